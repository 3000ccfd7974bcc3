//! Scripted models for the pipeline: fixed rules, and draws that depend on the request alone.
//!
//! - The *writer* asks for the colour that a caption names, or for the thing; the right option is
//!   always its first. Some of its replies are no question, as those of a model are, and another
//!   seed makes another reply.
//! - `scripted-eyes` sees the mean colour of a picture, and guesses where that does not answer the
//!   question.
//! - `scripted-guess` guesses, whatever the picture.
//! - Both find the option that stands in a caption, and guess where none does.
//!
//! Answers come in many forms; one in forty names no option.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use seethink::core::{Purpose, Rng};
use seethink::data::content_id;
use seethink::data::perception::INSTRUCTION;
use serde_json::{Value, json};

/// Names of the models that answer.
pub const SCRIPTED: [&str; 2] = ["scripted-eyes", "scripted-guess"];

/// Colours that the script knows, by name.
const COLOURS: [(&str, [u8; 3]); 10] = [
    ("red", [200, 40, 40]),
    ("green", [60, 150, 60]),
    ("blue", [50, 80, 190]),
    ("yellow", [235, 210, 60]),
    ("white", [235, 235, 235]),
    ("black", [35, 35, 35]),
    ("brown", [125, 85, 50]),
    ("orange", [235, 140, 40]),
    ("pink", [240, 160, 190]),
    ("purple", [130, 60, 160]),
];

/// Things for the wrong options.
const THINGS: [&str; 16] = [
    "trumpet",
    "pineapple",
    "submarine",
    "hedgehog",
    "lighthouse",
    "wheelbarrow",
    "octopus",
    "armchair",
    "volcano",
    "umbrella",
    "tractor",
    "snowflake",
    "pelican",
    "teapot",
    "cactus",
    "helmet",
];

/// Replies to a request of OpenAI's API, one for each of its `n`; `None` for a request without a
/// reply.
pub fn reply(request: &Value) -> Option<Vec<String>> {
    let content = request["messages"].as_array()?.last()?["content"].as_array()?;
    let text: String = content.iter().filter_map(|part| part["text"].as_str()).collect();
    let picture = content.iter().find_map(|part| part["image_url"]["url"].as_str());
    let seed = request["seed"].as_u64()?;
    let model = request["model"].as_str()?;
    let key = content_id(&text, &[], &format!("{model} {}", picture.unwrap_or_default())).0;
    let one = |i: u64| {
        let mut draws = Rng::new(seed, Purpose::Evaluation, &[key, i]);
        match text.strip_prefix(INSTRUCTION) {
            Some(caption) => question(caption, &mut draws),
            None => {
                let sees = if model == SCRIPTED[0] { picture } else { None };
                let caption = if picture.is_none() { text.lines().nth(1) } else { None };
                answer(&text, sees, caption, &mut draws)
            }
        }
    };
    Some((0..request["n"].as_u64()?).map(one).collect())
}

/// Splits a text into words in lower case.
fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

/// Question about a caption, or a malformed reply.
fn question(caption: &str, draws: &mut Rng) -> String {
    let words = words(caption);
    let colours = COLOURS.map(|(name, _)| name);
    // The first clause of a caption mostly ends with the subject.
    let sentence = caption.split(['.', ',', '!', '(', '—']).next().unwrap_or(caption);
    let thing = self::words(sentence).pop().unwrap_or_else(|| "thing".into());
    let colour = words.iter().find_map(|word| colours.into_iter().find(|colour| colour == word));
    let (question, right, others): (String, String, Vec<&str>) = match colour {
        Some(colour) => (format!("What colour is the {thing}?"), colour.into(), colours.to_vec()),
        None => ("Which of these does the picture show?".into(), thing, THINGS.to_vec()),
    };
    let mut wrong: Vec<&str> = others.into_iter().filter(|other| !words.iter().any(|word| word == other)).collect();
    draws.shuffle(&mut wrong);
    let mut options = json!({ "A": right, "B": wrong[0], "C": wrong[1], "D": wrong[2] });
    let mut asked = json!(question);
    match draws.below(16) {
        0 => return format!("What a nice picture! It shows {caption}"),
        1 => options["C"] = options["B"].clone(),
        2 => asked = json!(format!("According to the caption: {question}")),
        _ => {}
    }
    let json = json!({ "question": asked, "options": options, "answer": "A" }).to_string();
    match draws.below(3) {
        0 => json,
        1 => format!("```json\n{json}\n```"),
        _ => format!("Here is a question.\n\n{json}\n\nShall I write another?"),
    }
}

/// Answer to a question, in one of many forms.
fn answer(text: &str, picture: Option<&str>, caption: Option<&str>, draws: &mut Rng) -> String {
    let mut options = [""; 4];
    for line in text.lines() {
        if let Some((letter, option)) = line.split_once(". ")
            && let Some(index) = ["A", "B", "C", "D"].iter().position(|one| *one == letter)
        {
            options[index] = option;
        }
    }
    let seen = picture.filter(|_| text.contains("What colour")).and_then(mean_colour).map(|mean| {
        let distance = |option: &str| {
            let of = COLOURS.iter().find(|(name, _)| *name == option).map_or([0; 3], |(_, rgb)| *rgb);
            of.iter().zip(mean).map(|(&a, b)| (i64::from(a) - i64::from(b)).pow(2)).sum::<i64>()
        };
        (0..4).min_by_key(|&index| distance(options[index])).unwrap_or(0)
    });
    let read =
        caption.map(words).and_then(|words| options.iter().position(|option| words.iter().any(|word| word == option)));
    let choice = seen.or(read).unwrap_or_else(|| draws.below(4));
    let (letter, option) = (["A", "B", "C", "D"][choice], options[choice]);
    match draws.below(40) {
        0 => "It is a matter of taste.".into(),
        1..10 => format!("The answer is {letter}."),
        10..14 => format!("{letter}. {option}"),
        14..18 => format!("I would say it is a thing like this.\n({letter})"),
        _ => format!(r"<think>A look at it says {option}.</think> \boxed{{{letter}}}"),
    }
}

/// Mean colour of the pixels that are not nearly white.
fn mean_colour(url: &str) -> Option<[u8; 3]> {
    let png = BASE64.decode(url.strip_prefix("data:image/png;base64,")?).ok()?;
    let picture = image::load_from_memory(&png).ok()?.into_rgb8();
    let coloured = || picture.pixels().filter(|pixel| pixel.0.iter().any(|&level| level < 240));
    let n = coloured().count().max(1) as u64;
    let mut sums = [0; 3];
    for pixel in coloured() {
        for (sum, &level) in sums.iter_mut().zip(&pixel.0) {
            *sum += u64::from(level);
        }
    }
    Some(sums.map(|sum| (sum / n) as u8))
}
