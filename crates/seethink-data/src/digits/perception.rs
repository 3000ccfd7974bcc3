//! Perception problems: what stands where in a picture.

use super::config::{DigitsConfig, Questions};
use super::scene::{Ink, Palette, Scene};
use super::{Digits, GlyphSet, Item, list};
use seethink_core::Rng;

/// Kinds of question, each as often as it stands here of twenty.
const FAMILIES: [(&str, usize); 5] = [("list", 10), ("digit", 7), ("compare", 1), ("color", 1), ("count", 1)];
const COMPARISONS: [&str; 3] = ["smaller", "equal", "larger"];
const LETTERS: [&str; 4] = ["A", "B", "C", "D"];

/// Draws a question about a random picture.
pub(super) fn draw(rng: &mut Rng, set: GlyphSet, config: &DigitsConfig) -> Item {
    let family = draw_family(rng);
    let grid = Scene::draw_grid(rng, &config.cells);
    let scene = Scene::draw(rng, |digit| Digits::get().glyphs(set, digit), grid, &Palette::FULL);
    let mut cells: Vec<usize> = (0..scene.cells.len()).collect();
    rng.shuffle(&mut cells);
    let place = |cell: usize| scene.place(cell);
    let digit = |cell: usize| scene.cells[cell].digit;
    let (question, answer, asked) = match family {
        "digit" => {
            let question = match rng.below(2) {
                0 => format!("Read the {} digit.", place(cells[0])),
                _ => format!("Which digit is {}?", place(cells[0])),
            };
            (question, digit(cells[0]).to_string(), vec![cells[0]])
        }
        "list" => {
            let asked = cells[..2 + rng.below(3)].to_vec();
            let places: Vec<String> = asked.iter().map(|&cell| place(cell)).collect();
            let (last, others) = places.split_last().expect("at least two");
            let question = format!("Read the digits {} and {last}.", others.join(", "));
            (question, list(asked.iter().map(|&cell| digit(cell))), asked)
        }
        "compare" => {
            let asked = [cells[0], cells[1]];
            let [a, b] = asked.map(place);
            let order = digit(asked[0]).cmp(&digit(asked[1])) as i8;
            let question = format!("Is {a} smaller, equal or larger than {b}?");
            (question, COMPARISONS[(order + 1) as usize].to_string(), asked.to_vec())
        }
        "color" => {
            (format!("What color is {}?", place(cells[0])), scene.cells[cells[0]].ink.name().to_string(), Vec::new())
        }
        _ => {
            let ink = scene.cells[cells[0]].ink;
            let n = scene.cells.iter().filter(|cell| cell.ink == ink).count();
            (format!("How many are {}?", ink.name()), n.to_string(), Vec::new())
        }
    };
    // Reading is the reasoning: of the digits asked for, of all colors where some are counted, else of the answer.
    let thought = match family {
        "count" => list(scene.cells.iter().map(|cell| cell.ink.name())),
        "color" => answer.clone(),
        _ => list(asked.iter().map(|&cell| digit(cell))),
    };
    let item = Item { question, answer, thought, family, operations: 0, seen: Some((scene, asked)) };
    match config.questions {
        Questions::Open => item,
        Questions::MultipleChoice => with_options(rng, item),
    }
}

fn draw_family(rng: &mut Rng) -> &'static str {
    let mut at = rng.below(FAMILIES.iter().map(|(_, weight)| weight).sum());
    let mut chosen = FAMILIES.iter().skip_while(|(_, weight)| {
        let is_past = at >= *weight;
        at = at.saturating_sub(*weight);
        is_past
    });
    chosen.next().expect("below the sum of the weights").0
}

/// Turns an open question into one with four options.
fn with_options(rng: &mut Rng, item: Item) -> Item {
    let mut options = vec![item.answer.clone()];
    while options.len() < LETTERS.len() {
        let other = other_answer(rng, &item);
        if !options.contains(&other) {
            options.push(other);
        }
    }
    rng.shuffle(&mut options);
    let letter = letter_of(&options, &item.answer);
    let thought = format!("{}. {letter} {}", item.thought, item.answer);
    Item { question: format!("{}\n{}", item.question, written(&options)), answer: letter.into(), thought, ..item }
}

/// Draws an answer that a question of the same kind could have.
fn other_answer(rng: &mut Rng, item: &Item) -> String {
    match item.family {
        "color" => rng.choose(&Ink::ALL).name().into(),
        "count" => (1 + rng.below(6)).to_string(),
        // Three comparisons and one that says nothing.
        "compare" => ["smaller", "equal", "larger", "none"][rng.below(4)].into(),
        _ => list(item.answer.split(' ').map(|_| rng.below(10) as u8)),
    }
}

/// Draws a question about a picture of a single digit: which one it is, or of what color.
pub(super) fn draw_single(rng: &mut Rng, set: GlyphSet) -> Item {
    let scene = Scene::draw(rng, |digit| Digits::get().glyphs(set, digit), (1, 1), &Palette::FULL);
    let cell = &scene.cells[0];
    let (question, answer, asked) = match rng.below(2) {
        0 => ("Read the digit.", cell.digit.to_string(), vec![0]),
        _ => ("What color is the digit?", cell.ink.name().to_owned(), Vec::new()),
    };
    let thought = answer.clone();
    Item { question: question.into(), answer, thought, family: "single", operations: 0, seen: Some((scene, asked)) }
}

/// Draws a list of options and the question which letter stands for one of them.
pub(super) fn draw_binding(rng: &mut Rng) -> Item {
    let mut options: Vec<String> = (0..10u8).map(|digit| digit.to_string()).collect();
    rng.shuffle(&mut options);
    options.truncate(LETTERS.len());
    let wanted = rng.choose(&options).clone();
    let letter = letter_of(&options, &wanted);
    Item {
        question: format!("Which letter is {wanted}?\n{}", written(&options)),
        answer: letter.into(),
        thought: format!("{letter} {wanted}"),
        family: "binding",
        operations: 0,
        seen: None,
    }
}

fn letter_of(options: &[String], wanted: &str) -> &'static str {
    options.iter().zip(LETTERS).find(|(option, _)| *option == wanted).expect("it is one of the options").1
}

/// Writes options, as in "A 3, B 7".
fn written(options: &[String]) -> String {
    let all: Vec<String> = options.iter().zip(LETTERS).map(|(option, letter)| format!("{letter} {option}")).collect();
    all.join(", ")
}
