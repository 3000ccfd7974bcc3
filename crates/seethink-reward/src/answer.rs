//! Light comparison of an answer with the ground truth.

use crate::number::Quantity;
use seethink_math::closing_brace;

/// Maximum length of an answer in characters; a longer one is wrong, as in the released reward.
const MAX_ANSWER_CHARS: usize = 200;

/// Returns whether the content of a box equals the ground truth.
///
/// The ground truth decides the comparison:
/// 1. one capital letter: the answer must name that option ([`choice_letter`]);
/// 2. a number, with or without a unit: the answer must be the same number, exactly, in the same
///    unit if both have one;
/// 3. anything else: the same text, once case, blanks around punctuation, dollar signs and a final
///    full stop are left out.
///
/// An empty answer equals nothing, nor does anything equal an empty ground truth.
///
/// # Examples
/// ```
/// use seethink_reward::is_correct;
/// assert!(is_correct("(b)", "B") && is_correct("B: 7", "B") && !is_correct("a red 7", "A"));
/// assert!(is_correct(r"\frac{1}{2}", "0.5") && !is_correct("2/4", "0.5"));
/// assert!(is_correct("The Top Row", "the top row"));
/// assert!(!is_correct("", ""));
/// ```
pub fn is_correct(answer: &str, truth: &str) -> bool {
    let (answer, truth) = (strip(answer), strip(truth));
    if answer.is_empty() || truth.is_empty() || answer.chars().nth(MAX_ANSWER_CHARS).is_some() {
        return false;
    }
    if let [letter @ b'A'..=b'Z'] = *truth.as_bytes() {
        return choice_letter(answer) == Some(char::from(letter));
    }
    match Quantity::parse(truth) {
        Some(truth) => Quantity::parse(answer).is_some_and(|answer| answer.answers(truth)),
        None => {
            let truth = normalise(truth);
            !truth.is_empty() && normalise(answer) == truth
        }
    }
}

/// Returns whether two texts are equal once case, blanks around punctuation, dollar signs and a
/// final full stop are left out, and are not empty then.
pub(crate) fn same_text(one: &str, other: &str) -> bool {
    let (one, other) = (normalise(strip(one)), normalise(strip(other)));
    !other.is_empty() && one == other
}

/// Option letter that the content of a box names, as a capital.
///
/// `B`, `b`, `(B)`, `B)`, `B.`, `B: 7`, `\text{B}`, `option B` and `the answer is B` name one;
/// `a red 7`, `A or B` and `A: 3, B: 7` do not.
///
/// # Examples
/// ```
/// use seethink_reward::choice_letter;
/// assert_eq!((choice_letter("(b)"), choice_letter("the answer is C: 7")), (Some('B'), Some('C')));
/// assert_eq!((choice_letter("2 + i"), choice_letter("A or B")), (None, None));
/// ```
pub fn choice_letter(answer: &str) -> Option<char> {
    let mut rest = strip(answer);
    // "The answer is", "option", "choice:", …
    while let Some((word, tail)) = rest.split_once(char::is_whitespace) {
        let word = word.trim_end_matches(':').to_ascii_lowercase();
        if !["the", "correct", "right", "answer", "option", "choice", "is"].contains(&word.as_str()) {
            break;
        }
        rest = tail.trim_start();
    }
    let (is_bracketed, rest) = match rest.strip_prefix('(') {
        Some(rest) => (true, rest.trim_start()),
        None => (false, rest),
    };
    let letter = rest.chars().next().filter(char::is_ascii_alphabetic)?;
    let mut rest = &rest[1..];
    if is_bracketed {
        rest = rest.trim_start().strip_prefix(')')?;
    }
    let text = match rest.strip_prefix([':', '.', ')']) {
        Some(text) => text,
        None if rest.is_empty() => "",
        None => rest.strip_prefix(' ').filter(|_| is_bracketed)?,
    };
    let hedges = text.split(|c: char| !c.is_alphanumeric()).any(|word| matches!(word.as_bytes(), [b'A'..=b'Z']));
    (!hedges).then(|| letter.to_ascii_uppercase())
}

/// Strips blanks, dollar signs and text commands around the text, and a full stop at the end.
fn strip(text: &str) -> &str {
    let mut text = text.trim();
    text = text.strip_suffix('.').unwrap_or(text).trim_end();
    // Real answers do not nest deeper, and the bound keeps the time linear.
    for _ in 0..4 {
        let argument = || {
            let content =
                [r"\text{", r"\textbf{", r"\mathrm{", r"\mathbf{"].iter().find_map(|open| text.strip_prefix(open))?;
            let end = closing_brace(content)?;
            (end + 1 == content.len()).then(|| &content[..end])
        };
        let inner = argument().or_else(|| text.strip_prefix('$')?.strip_suffix('$')).or_else(|| text.strip_prefix('$'));
        match inner {
            Some(inner) => text = inner.trim(),
            None => break,
        }
    }
    text
}

/// Normalises a text for comparison: lower case, one spelling for characters that look alike, and
/// blanks only between words.
fn normalise(text: &str) -> String {
    let mut text = text.to_lowercase();
    for (spelling, replacement) in [
        (r"\left", ""),
        (r"\right", ""),
        (r"\dfrac", r"\frac"),
        (r"\tfrac", r"\frac"),
        (r"\,", ""),
        (r"\!", ""),
        (r"\;", ""),
        (r"\ ", " "),
        ("$", ""),
    ] {
        text = text.replace(spelling, replacement);
    }
    let mut words = text.split_whitespace();
    let mut joined = String::from(words.next().unwrap_or_default());
    for word in words {
        let apart = |end: Option<char>| end.is_some_and(char::is_alphanumeric);
        if apart(joined.chars().next_back()) && apart(word.chars().next()) {
            joined.push(' ');
        }
        joined.push_str(word);
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn option_letters() {
        for text in [
            "B",
            "b",
            "(B)",
            "( B )",
            "(b)",
            "B)",
            "B.",
            "b.",
            "B:",
            "B: 7",
            "b: 7",
            "(B) 7",
            "B) red",
            "$B$",
            r"\text{B}",
            r"\text{(B)}",
            r"\textbf{B}",
            "option B",
            "Option (B)",
            "the correct choice: B",
            "The answer is: b",
            " B ",
        ] {
            assert_eq!(choice_letter(text), Some('B'), "{text}");
        }
        for text in [
            "",
            "a red 7",
            "a 7",
            "A red 7",
            "AB",
            "A or B",
            "A, B",
            "A: 3, B: 7",
            "(A) or (B)",
            "7",
            "apple",
            "(A",
            "é",
            "is",
        ] {
            assert_eq!(choice_letter(text), None, "{text}");
        }
    }

    #[test]
    fn the_ground_truth_decides_the_rule() {
        assert!(!is_correct("B", "7") && !is_correct("7", "B") && !is_correct("B + 1", "B"));
        assert!(is_correct("( 1, 2 )", "(1,2)") && !is_correct("(2,1)", "(1,2)"));
        assert!(
            is_correct(r"\text{Yes}.", "yes") && !is_correct("yes no", "yes") && !is_correct("redblue", "red blue")
        );
        assert!(is_correct("x", "x") && is_correct("X", "x"));
        assert!(is_correct("None", "None"));
    }

    #[test]
    fn nothing_equals_nothing() {
        for nothing in ["", " ", "$", "$$", r"\text{}", "$ $"] {
            assert!(
                !is_correct(nothing, "7") && !is_correct("7", nothing) && !is_correct(nothing, nothing),
                "{nothing:?}"
            );
        }
        for (a, b) in [(".", ".."), ("..", "..."), (r"\,", r"\;")] {
            assert!(!is_correct(a, b), "{a} {b}");
        }
    }

    #[test]
    fn long_answers_are_wrong() {
        let long = "7".repeat(MAX_ANSWER_CHARS);
        assert!(is_correct(&long, &long));
        assert!(!is_correct(&format!("{long}7"), &format!("{long}7")));
    }
}
