//! Normalisation of a formula before parsing: removes boxes around it, units after it, escapes in
//! it.

use crate::rule::replace;
use seethink_math::{MAX_LENGTH, closing_brace};

/// Maximum number of boxes that are read.
const MAX_BOXES: usize = 64;

/// Normalised formula: parts that do not change its meaning are removed, and boxes replaced by
/// their contents.
pub(super) fn normalised(text: &str, only_last_boxes: bool) -> String {
    let mut text = boxed_contents(text, only_last_boxes);
    if text.len() > MAX_LENGTH {
        // A text of this length will not be parsed.
        return text;
    }
    let spellings = [
        ("\\mathrm{T}", "T"),
        ("\\mathrm{d}", "d"),
        ("{\\rm d}", "d"),
        ("\\mathrm{th}", ""),
        ("\\$", ""),
        ("\\displaystyle", ""),
        ("infinity", "\\infty"),
        ("\n", " "),
        ("\t", " "),
        ("\\text{percent}", "%"),
        ("\\text{percentage}", "%"),
        ("\\text{pct}", "%"),
    ];
    replace(&mut text, &spellings);
    if !text.contains("matrix") {
        // `\\frac` where a backslash was escaped once too often.
        while let Some(at) = doubled_command(&text) {
            text.remove(at);
        }
    }
    for word in ["percentage", "percent", "pct"] {
        if let Some(number) = text.trim_end().strip_suffix(word) {
            text = format!("{}\\%", number.trim_end());
        }
    }
    let text = without_units(text.trim()).to_owned();
    let text = with_named_roots(&text);
    if text.starts_with('.') { format!("0{text}") } else { text }
}

/// Converts `sqrt(3)` and `2 sqrt{3}` to `\sqrt(3)` and `2 \sqrt{3}`.
fn with_named_roots(text: &str) -> String {
    let mut parts = text.split("sqrt").peekable();
    let mut out = String::with_capacity(text.len());
    while let Some(part) = parts.next() {
        out += part;
        if let Some(after) = parts.peek() {
            let is_named = out.ends_with('\\') || !(out.ends_with(' ') || after.trim_start().starts_with('('));
            out += if is_named { "sqrt" } else { "\\sqrt" };
        }
    }
    out
}

/// Index of two backslashes that begin a command.
fn doubled_command(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    (0..bytes.len().saturating_sub(2))
        .find(|&at| bytes[at] == b'\\' && bytes[at + 1] == b'\\' && bytes[at + 2].is_ascii_alphabetic())
}

/// Contents of the boxes in a text, separated by commas; the text itself if it has no box.
///
/// With `only_last`, the contents of the last box and of the ones right before it, which belong to
/// the same answer.
fn boxed_contents(text: &str, only_last: bool) -> String {
    let mut contents: Vec<&str> = Vec::new();
    let mut end = text.len();
    let mut last_start: Option<usize> = None;
    for _ in 0..MAX_BOXES {
        let Some(start) = text[..end].rfind("\\boxed").max(text[..end].rfind("\\fbox")) else { break };
        let command = if text[start..].starts_with("\\boxed") { 6 } else { 5 };
        let rest = &text[start + command..end];
        let blanks = rest.len() - rest.trim_start().len();
        let rest = &rest[blanks..];
        let content = match rest.strip_prefix('{') {
            Some(inner) => match unescaped_closing_brace(inner) {
                Some(close) => &inner[..close],
                None => {
                    if contents.is_empty() {
                        contents.push(inner);
                    }
                    break;
                }
            },
            None => {
                if contents.is_empty() && !rest.is_empty() {
                    contents.push(rest);
                }
                break;
            }
        };
        let content_end = start + command + blanks + 1 + content.len();
        let content = content.trim();
        if only_last && let Some(last_start) = last_start {
            let between = text.get(content_end + 1..last_start).unwrap_or("");
            let is_joined = between.contains([',', ';']) || words(between).any(|word| word == "and" || word == "or");
            let is_near = between.len() < 10 || (contents.last() != Some(&content) && between.len() < 70 && is_joined);
            if !is_near {
                break;
            }
        }
        if contents.last() != Some(&content) {
            contents.push(content);
        }
        last_start = Some(start);
        end = start;
    }
    if contents.is_empty() {
        return text.to_owned();
    }
    contents.reverse();
    contents.join(",")
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric())
}

/// Index of the closing brace, as [`closing_brace`], but braces after backslashes count, as
/// everywhere in math-verify.
fn unescaped_closing_brace(text: &str) -> Option<usize> {
    let mut depth = 1usize;
    text.bytes().position(|byte| {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        depth == 0
    })
}

/// Units: words that follow numbers without changing them, as in the original.
const UNITS: [&str; 106] = [
    "ab", "acre", "am", "apple", "are", "bc", "by", "c", "cc", "cent", "cm", "coin", "cu", "cube", "cubic", "d", "day",
    "decrease", "deg", "degree", "digit", "dm", "east", "edge", "excess", "feet", "ft", "g", "gain", "gal", "gallon",
    "gm", "h", "hectare", "hour", "hr", "inch", "increase", "kg", "km", "kmh", "kmph", "l", "lb", "less", "liter",
    "litre", "loss", "lt", "m", "man", "mark", "meal", "men", "meter", "metre", "mile", "min", "minute", "mm",
    "monkey", "month", "more", "mp", "mph", "mt", "mtr", "multiple", "noon", "number", "o", "ohm", "per", "pie", "pm",
    "pound", "prime", "profit", "pure", "ratio", "rd", "rise", "rounds", "rs", "rupee", "s", "sec", "second",
    "soldier", "sq", "square", "st", "student", "sue", "t", "th", "tile", "toy", "unit", "way", "west", "woman",
    "women", "yard", "year", "yr",
];

/// Removes units at the end, with or without an exponent; a text of nothing else stays.
fn without_units(text: &str) -> &str {
    // Two units may stand side by side: `\text{ square}\text{ cm}`.
    let mut text = without_unit_in_text(without_unit_in_text(text));
    for _ in 0..2 {
        let trimmed = text.trim_end();
        let word_start = trimmed
            .rfind(|c: char| !c.is_ascii_alphabetic() && c != '.')
            .map_or(0, |at| at + trimmed[at..].chars().next().map_or(1, char::len_utf8));
        let (before, word) = trimmed.split_at(word_start);
        // A letter that follows a digit or a brace may be a variable: only words of more than one
        // letter are units there.
        let is_apart = before.ends_with(char::is_whitespace);
        let follows = is_apart || before.ends_with(|c: char| c.is_ascii_digit() || c == '}');
        let singulars = [Some(word), word.strip_suffix('s'), word.strip_suffix("es")];
        let is_unit = singulars.into_iter().flatten().any(|word| UNITS.contains(&word));
        let is_long = word.len() > 1 || is_apart;
        if !follows
            || !is_unit
            || !is_long
            || before.trim().is_empty()
            || before.trim_end().ends_with(['+', '-', '*', '/', '=', '^', '_'])
        {
            break;
        }
        text = before.trim_end();
    }
    text
}

/// Returns whether the last word is *and* or *or*, with braces around it or without.
fn ends_in_conjunction(text: &str) -> bool {
    let text = text.trim_end_matches(['}', ' ']);
    ["and", "or"]
        .iter()
        .any(|word| text.strip_suffix(word).is_some_and(|before| !before.ends_with(|c: char| c.is_ascii_alphabetic())))
}

/// Removes a `\text{…}` at the end, and its exponent.
fn without_unit_in_text(text: &str) -> &str {
    let mut head = text.trim_end();
    for exponent in ["^2", "^3", "^{2}", "^{3}", "{^2}", "{^3}"] {
        head = head.strip_suffix(exponent).unwrap_or(head);
    }
    let Some(inner) = head.trim_end().strip_suffix('}') else { return text };
    let commands = [
        "\\text{",
        "\\mbox{",
        "\\textbf{",
        "\\textnormal{",
        "\\textrm{",
        "\\textit{",
        "\\mathrm{",
        "\\mathbf{",
        "\\mathit{",
    ];
    for command in commands {
        if let Some(at) = inner.rfind(command)
            && closing_brace(&head[at + command.len()..]) == Some(inner.len() - at - command.len())
        {
            let before = text[..at].trim_end();
            let before = before.strip_suffix("\\,").unwrap_or(before).trim_end();
            let is_term = !before.is_empty()
                && !before.ends_with(['+', '-', '*', '/', '=', '^', '_', ',', '{', '(', '<', '>', ':'])
                && !before.ends_with("\\quad")
                && !ends_in_conjunction(before);
            return if is_term { before } else { text };
        }
    }
    text
}
