//! Browsable completions: one card per problem, with the answer of each checkpoint.

use super::escape;
use crate::report::Sample;
use crate::report::number::words;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt::Write;

/// Maximum number of cards per capability: enough to form an opinion, few enough for a page of some
/// megabytes.
const MAX_PROBLEMS: usize = 48;
/// Maximum side length of a magnified image, pixels; magnification is by whole numbers.
const PICTURE_SIZE: u32 = 200;

/// Renders the section of the samples; empty without samples.
pub(super) fn section(samples: &[Sample]) -> String {
    if samples.is_empty() {
        return String::new();
    }
    let (problems, n_left_out) = choose(samples);
    let mut section = String::from("<section id=\"samples\">\n<h2>Completions</h2>\n");
    section += "<p class=\"quiet\">The same problems at each checkpoint. The boxed answer is marked.";
    if n_left_out > 0 {
        let _ = write!(
            section,
            " The first {MAX_PROBLEMS} of each capability; {n_left_out} more are in <code>samples.jsonl</code>."
        );
    }
    section += "</p>\n";
    section += &filters(samples);
    problems.iter().for_each(|attempts| section += &card(attempts));
    section + "</section>\n"
}

/// Attempts at each problem, in the order of their first appearance, and the number of problems
/// without a card.
fn choose(samples: &[Sample]) -> (Vec<Vec<&Sample>>, usize) {
    let mut problems: Vec<Vec<&Sample>> = Vec::new();
    let mut place = std::collections::HashMap::new();
    for sample in samples {
        let i = *place.entry((&sample.capability, &sample.problem)).or_insert_with(|| {
            problems.push(Vec::new());
            problems.len() - 1
        });
        problems[i].push(sample);
    }
    let n_problems = problems.len();
    let mut taken = std::collections::HashMap::new();
    problems.retain(|attempts| {
        let n = taken.entry(&attempts[0].capability).or_insert(0);
        *n += 1;
        *n <= MAX_PROBLEMS
    });
    // Capabilities alternate, so that the page does not begin with many cards of one.
    let mut rank = std::collections::HashMap::new();
    problems.sort_by_cached_key(|attempts| {
        let n = rank.entry(&attempts[0].capability).or_insert(0);
        *n += 1;
        *n
    });
    let n_left_out = n_problems - problems.len();
    (problems, n_left_out)
}

/// Filters of the cards, hidden until the script shows them.
fn filters(samples: &[Sample]) -> String {
    let select = |name: &str, label: &str, values: Vec<(&str, String)>| {
        let options: String = values
            .iter()
            .map(|(value, text)| format!("<option value=\"{}\">{}</option>", escape(value), escape(text)))
            .collect();
        format!(
            "<label>{label} <select data-filter=\"{name}\"><option value=\"\">all</option>{options}</select></label>\n"
        )
    };
    let distinct = |get: fn(&Sample) -> &str| {
        let mut values: Vec<(&str, String)> = Vec::new();
        for value in samples.iter().map(get) {
            if !values.iter().any(|(known, _)| *known == value) {
                values.push((value, words(value)));
            }
        }
        values
    };
    let verdicts = vec![("right", "right".to_owned()), ("wrong", "wrong".to_owned())];
    format!(
        "<form class=\"filters\" hidden=\"hidden\">\n{}{}{}<output></output>\n</form>\n",
        select("capability", "Capability", distinct(|sample| &sample.capability)),
        select("stage", "After", distinct(|sample| &sample.stage)),
        select("verdict", "Answer", verdicts),
    )
}

fn card(attempts: &[&Sample]) -> String {
    let problem = attempts[0];
    let mut card = format!("<article data-capability=\"{}\">\n", escape(&problem.capability));
    let _ = writeln!(
        card,
        "<header>{} <span class=\"quiet\">{}</span></header>",
        escape(&words(&problem.capability)),
        escape(&problem.problem)
    );
    card += "<div class=\"problem\">\n";
    problem.images.iter().for_each(|image| card += &picture(image));
    let _ = writeln!(card, "<div class=\"prompt\">{}</div>", escape(&problem.prompt));
    let _ = writeln!(
        card,
        "<div class=\"answer\">Answer: <b>{}</b></div>\n</div>\n<div class=\"attempts\">",
        escape(&problem.answer)
    );
    attempts.iter().for_each(|sample| card += &attempt(sample));
    card + "</div>\n</article>\n"
}

fn attempt(sample: &Sample) -> String {
    let verdict = if sample.is_right() { "right" } else { "wrong" };
    let off_format = if sample.format < 0.5 { " <span class=\"quiet\">off format</span>" } else { "" };
    format!(
        "<div class=\"attempt {verdict}\" data-stage=\"{}\" data-verdict=\"{verdict}\">\n\
         <div class=\"verdict\"><b>{}</b> <span class=\"badge\">{verdict}</span>{off_format}</div>\n\
         <div class=\"completion\">{}</div>\n</div>\n",
        escape(&sample.stage),
        escape(&words(&sample.stage)),
        highlight(&sample.completion)
    )
}

/// Marks the last box of a completion, which is the one that was scored.
fn highlight(completion: &str) -> String {
    let Some(content) = seethink_reward::last_boxed(completion) else { return escape(completion) };
    // The content is a slice of the completion; the box adds the seven bytes before it and the
    // brace after it.
    let from = content.as_ptr() as usize - completion.as_ptr() as usize;
    let (start, end) = (from - r"\boxed{".len(), from + content.len() + 1);
    format!(
        "{}<mark>{}</mark>{}",
        escape(&completion[..start]),
        escape(&completion[start..end]),
        escape(&completion[end..])
    )
}

/// Image element, magnified by a whole number so that its pixels stay square; a note if the image
/// is no PNG.
fn picture(base64: &str) -> String {
    let Some((width, height)) = png_size(base64) else {
        return "<div class=\"quiet\">(a picture that cannot be shown)</div>\n".to_owned();
    };
    let longest = width.max(height);
    let (width, height) = match PICTURE_SIZE / longest {
        0 => (width * PICTURE_SIZE / longest, height * PICTURE_SIZE / longest),
        factor => (width * factor, height * factor),
    };
    let (width, height) = (width.max(1), height.max(1));
    format!(
        "<img src=\"data:image/png;base64,{base64}\" width=\"{width}\" height=\"{height}\" alt=\"picture of the problem\" loading=\"lazy\" />\n"
    )
}

/// Width and height of a PNG, from its header. `None` if `base64` is not base64 or not a PNG.
fn png_size(base64: &str) -> Option<(u32, u32)> {
    // Decoding everything also shows that no character can end the attribute that will hold it.
    let png = STANDARD.decode(base64).ok()?;
    let header = png.strip_prefix(b"\x89PNG\r\n\x1a\n")?.get(8..16)?;
    let number = |bytes: &[u8]| bytes.iter().fold(0u32, |number, &byte| number << 8 | u32::from(byte));
    let (width, height) = (number(&header[..4]), number(&header[4..]));
    // The limits keep the magnified size from overflowing; no encoder writes a side of zero.
    ((1..=1 << 20).contains(&width) && (1..=1 << 20).contains(&height)).then_some((width, height))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::{check_markup, samples};

    #[test]
    fn a_problem_has_one_card_with_all_its_attempts() {
        let section = section(&samples());
        check_markup(&section);
        assert_eq!(section.matches("<article").count(), 3);
        assert_eq!(section.matches("class=\"attempt ").count(), 9);
        assert_eq!(section.matches("data-verdict=\"wrong\"").count(), 2);
        assert_eq!(section.matches("<img").count(), 2, "one picture per problem that has one, not per attempt");
    }

    #[test]
    fn the_last_box_is_marked_and_escaped() {
        assert_eq!(
            highlight(r"\boxed{1} or \boxed{\frac{a}{b<c}}."),
            r"\boxed{1} or <mark>\boxed{\frac{a}{b&lt;c}}</mark>."
        );
        assert_eq!(highlight(r"no & \boxed{1"), r"no &amp; \boxed{1");
        assert_eq!(highlight(r"é\boxed{é}é"), r"é<mark>\boxed{é}</mark>é");
    }

    #[test]
    fn pictures_are_magnified_by_whole_numbers() {
        let image = &samples()[0].images[0];
        assert_eq!(png_size(image), Some((24, 16)));
        assert!(picture(image).contains("width=\"192\" height=\"128\""));
        for broken in ["", "\" onerror=\"alert(1)", "aGVsbG8="] {
            let shown = picture(broken);
            assert!(!shown.contains("<img") && !shown.contains("onerror"), "{shown}");
        }
    }

    #[test]
    fn many_problems_are_cut_and_the_page_says_so() {
        let mut many = Vec::new();
        for i in 0..MAX_PROBLEMS + 5 {
            many.extend(samples().into_iter().map(|sample| Sample { problem: format!("{i}"), ..sample }));
        }
        let section = section(&many);
        assert_eq!(section.matches("<article").count(), 3 * MAX_PROBLEMS);
        assert!(section.contains("15 more are in"));
        let first = section.find("data-capability=\"textual_reasoning\"").unwrap();
        assert!(first < section.match_indices("<article").nth(3).unwrap().0, "capabilities alternate");
    }
}
