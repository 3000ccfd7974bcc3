//! Extractors of the answer from a completion.

use crate::answer::choice_letter;
use seethink_math::closing_brace;
use serde::{Deserialize, Serialize};

/// Extractor: finds the answer in a completion.
///
/// # Examples
/// ```
/// use seethink_reward::Extractor;
///
/// let text = r"<think>3 + 4</think> The answer is 7, so \boxed{7}.";
/// let found = Extractor::Boxed.find(text).unwrap();
/// assert_eq!((found.text, &text[found.at..found.at + 1]), ("7", "7"));
/// assert_eq!(Extractor::AnswerTag.find("<answer> B </answer>").unwrap().text, "B");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Extractor {
    /// Content of the last `\boxed{…}`.
    #[default]
    Boxed,
    /// Content of the last `\boxed{…}` or `\fbox{…}`, with blanks before the brace or not.
    AnyBox,
    /// Text between the last `<answer>` and its closing tag.
    AnswerTag,
    /// Text after the last "answer is" or "answer:", to the end of its sentence or line.
    Phrase,
    /// Last number.
    FinalNumber,
    /// Last line, if it names an option letter.
    ChoiceLetter,
    /// The whole completion.
    Whole,
}

/// Extracted answer, with its place and its extractor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extracted<'a> {
    /// The answer, without blanks around it.
    pub text: &'a str,
    /// Start of the answer in the completion, bytes.
    pub at: usize,
    /// Extractor that found the answer.
    pub by: Extractor,
}

impl Extractor {
    /// Finds the answer in a completion.
    pub fn find<'a>(&self, completion: &'a str) -> Option<Extracted<'a>> {
        let found = match self {
            Self::Boxed => crate::last_boxed(completion),
            Self::AnyBox => any_box(completion),
            Self::AnswerTag => {
                let (_, content) = completion.rsplit_once("<answer>")?;
                content.split_once("</answer>").map(|(content, _)| content)
            }
            Self::Phrase => phrase(completion),
            Self::FinalNumber => crate::rule::last_number(completion),
            Self::ChoiceLetter => {
                completion.trim_end().lines().next_back().filter(|line| choice_letter(line).is_some())
            }
            Self::Whole => Some(completion),
        }?;
        let text = found.trim();
        // Every extracted text is a part of the completion.
        let at = (text.as_ptr() as usize).saturating_sub(completion.as_ptr() as usize);
        Some(Extracted { text, at, by: *self })
    }

    /// Finds the answer with the first extractor that succeeds.
    pub fn first<'a, 'e>(extractors: impl IntoIterator<Item = &'e Self>, completion: &'a str) -> Option<Extracted<'a>> {
        extractors.into_iter().find_map(|extractor| extractor.find(completion))
    }
}

fn any_box(text: &str) -> Option<&str> {
    let start = text.rfind("\\boxed").max(text.rfind("\\fbox"))?;
    let rest = text[start..].trim_start_matches("\\boxed").trim_start_matches("\\fbox").trim_start();
    let content = rest.strip_prefix('{')?;
    Some(&content[..closing_brace(content)?])
}

fn phrase(text: &str) -> Option<&str> {
    let lower = text.to_ascii_lowercase();
    let (start, length) =
        ["answer is", "answer:"].iter().filter_map(|mark| lower.rfind(mark).map(|at| (at, mark.len()))).max()?;
    let rest = text[start + length..].trim_start_matches([':', ' ']);
    let line = rest.lines().next().unwrap_or("");
    // A full stop ends the answer, unless digits follow.
    let end = line.match_indices('.').find(|(at, _)| !line[at + 1..].starts_with(|c: char| c.is_ascii_digit()));
    Some(end.map_or(line, |(at, _)| &line[..at])).filter(|found| !found.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_finds_the_last_of_its_kind() {
        let cases = [
            (Extractor::Boxed, r"\boxed{1} and \boxed{\frac{1}{2}}.", Some(r"\frac{1}{2}")),
            (Extractor::Boxed, r"\fbox{1}", None),
            (Extractor::AnyBox, r"\boxed{1} or \fbox {2}", Some("2")),
            (Extractor::AnyBox, r"\boxed 3", None),
            (Extractor::AnswerTag, "<answer>1</answer> <answer>\n2 </answer>", Some("2")),
            (Extractor::AnswerTag, "<answer>1", None),
            (Extractor::Phrase, "The answer is 1. No, the Answer: 2.5. Sure.", Some("2.5")),
            (Extractor::Phrase, "no idea", None),
            (Extractor::FinalNumber, "3 apples and -1,200.5 pears, ok", Some("-1,200.5")),
            (Extractor::FinalNumber, "none", None),
            (Extractor::ChoiceLetter, "A or B?\n(B)", Some("(B)")),
            (Extractor::ChoiceLetter, "A or B? Both.", None),
            (Extractor::Whole, " all ", Some("all")),
        ];
        for (extractor, text, expected) in cases {
            let found = extractor.find(text);
            assert_eq!(found.map(|found| found.text), expected, "{extractor:?} {text}");
            if let Some(found) = found {
                assert!(text[found.at..].starts_with(found.text));
            }
        }
        let both = [Extractor::Boxed, Extractor::FinalNumber];
        assert_eq!(Extractor::first(&both, "it is 7").map(|found| found.by), Some(Extractor::FinalNumber));
    }
}
