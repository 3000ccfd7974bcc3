//! Multiple-choice questions: parsed from the reply of a model, checked, and shuffled.

use seethink_core::{Problem, ProblemId, Purpose, Rng};
use serde::{Deserialize, Serialize};
use serde_json::{Deserializer, Map, Value};
use std::fmt;

/// Letter of an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Letter {
    /// First option.
    A,
    /// Second option.
    B,
    /// Third option.
    C,
    /// Fourth option.
    D,
}

impl Letter {
    /// All four letters.
    pub const ALL: [Self; 4] = [Self::A, Self::B, Self::C, Self::D];

    /// Option of this capital letter.
    pub fn new(letter: char) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str().starts_with(letter))
    }

    /// Letter as text.
    pub fn as_str(self) -> &'static str {
        ["A", "B", "C", "D"][self as usize]
    }
}

impl fmt::Display for Letter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Multiple-choice question: four options, one of which is right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mcq {
    /// The question.
    pub question: String,
    /// Options from A to D.
    pub options: [String; 4],
    /// Letter of the right option.
    pub answer: Letter,
}

/// Faults of a question in a model's reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum McqFault {
    /// There is no JSON object with a question in it.
    #[error("there is no JSON object with a `question`")]
    NoJson,
    /// A part is missing or of the wrong kind.
    #[error("`{part}` is {found}, expected {expected}")]
    Part {
        /// The part.
        part: String,
        /// Value found.
        found: String,
        /// Expected value.
        expected: &'static str,
    },
    /// Two options say the same.
    #[error("options {0} and {1} are the same")]
    SameOptions(Letter, Letter),
    /// A part mentions the caption, which those who answer do not see.
    #[error("`{0}` speaks of the caption")]
    SpeaksOfCaption(String),
    /// An option refers to options by their place, which shuffling changes.
    #[error("option {0} refers to options by their place")]
    RefersToOptions(Letter),
    /// A part contains the image placeholder.
    #[error("`{0}` contains {placeholder}", placeholder = Problem::IMAGE_PLACEHOLDER)]
    Placeholder(String),
}

impl McqFault {
    /// Kind of the fault, as counted in reports.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NoJson => "no JSON",
            Self::Part { .. } => "incomplete",
            Self::SameOptions(..) => "same options",
            Self::SpeaksOfCaption(_) => "speaks of the caption",
            Self::RefersToOptions(_) => "refers to options",
            Self::Placeholder(_) => "image placeholder",
        }
    }
}

/// Maximum number of JSON objects that are tried in one reply.
const MAX_OBJECTS: usize = 64;

impl Mcq {
    /// Parses the question in a model's reply: the first JSON object with the key `question`, with
    /// any text around it.
    ///
    /// # Errors
    /// If there is no such object, or it is not a question with four different options and the
    /// letter of one.
    ///
    /// # Examples
    /// ```
    /// use seethink_data::perception::{Letter, Mcq};
    /// let reply = "Sure!\n```json\n{\"question\": \"Where is the cup?\",
    ///     \"options\": {\"A\": \"left of the lamp\", \"B\": \"right of the lamp\",
    ///     \"C\": \"on the lamp\", \"D\": \"under the lamp\"}, \"answer\": \"D\"}\n```";
    /// assert_eq!(Mcq::parse(reply).map(|mcq| mcq.answer), Ok(Letter::D));
    /// assert!(Mcq::parse("I cannot see a picture.").is_err());
    /// ```
    pub fn parse(reply: &str) -> Result<Self, McqFault> {
        let starts = reply.match_indices('{').map(|(at, _)| at).take(MAX_OBJECTS);
        let object = |at| Deserializer::from_str(&reply[at..]).into_iter::<Map<String, Value>>().next()?.ok();
        let found = starts.filter_map(object).find(|object| object.contains_key("question"));
        let object = found.ok_or(McqFault::NoJson)?;
        let options = match object.get("options") {
            Some(Value::Object(options)) if options.len() == 4 => options,
            other => return Err(fault("options", other, "an object with the keys A, B, C and D")),
        };
        let option = |letter: Letter| text(&format!("options.{letter}"), options.get(letter.as_str()));
        let mcq = Self {
            question: text("question", object.get("question"))?,
            options: [option(Letter::A)?, option(Letter::B)?, option(Letter::C)?, option(Letter::D)?],
            answer: match object.get("answer") {
                Some(Value::String(answer)) if answer.trim().len() == 1 => answer.trim().chars().next(),
                _ => None,
            }
            .and_then(Letter::new)
            .ok_or_else(|| fault("answer", object.get("answer"), "one of the letters A, B, C and D"))?,
        };
        mcq.check()?;
        Ok(mcq)
    }

    /// Checks the parts of the question.
    fn check(&self) -> Result<(), McqFault> {
        let options = || Letter::ALL.into_iter().zip(&self.options);
        let named = options().map(|(letter, text)| (format!("options.{letter}"), text));
        for (part, text) in std::iter::once(("question".to_owned(), &self.question)).chain(named) {
            let words = || text.split(|c: char| !c.is_alphanumeric()).map(str::to_lowercase);
            if words().any(|word| word.starts_with("caption") || word == "description" || word == "described") {
                return Err(McqFault::SpeaksOfCaption(part));
            }
            if text.contains(Problem::IMAGE_PLACEHOLDER) {
                return Err(McqFault::Placeholder(part));
            }
        }
        for (letter, text) in options() {
            if refers_to_options(text) {
                return Err(McqFault::RefersToOptions(letter));
            }
            if let Some((other, _)) = options().find(|&(other, same)| other < letter && folded(same) == folded(text)) {
                return Err(McqFault::SameOptions(other, letter));
            }
        }
        Ok(())
    }

    /// Shuffles the options, in an order drawn from the seed and the key of the caption, so that
    /// every letter is right equally often, whichever the writer prefers.
    #[must_use]
    pub fn shuffled(&self, seed: u64, key: ProblemId) -> Self {
        let mut order = [0, 1, 2, 3];
        Rng::new(seed, Purpose::Options, &[key.0]).shuffle(&mut order);
        let answer = self.answer as usize;
        Self {
            question: self.question.clone(),
            options: order.map(|from| self.options[from].clone()),
            answer: Letter::ALL[order.iter().position(|&from| from == answer).unwrap_or(answer)],
        }
    }

    /// The text of the right option.
    pub fn right(&self) -> &str {
        &self.options[self.answer as usize]
    }
}

/// Value of a part: text that is not empty, or a number as its digits.
fn text(part: &str, value: Option<&Value>) -> Result<String, McqFault> {
    match value {
        Some(Value::String(text)) if !text.trim().is_empty() => Ok(text.trim().to_owned()),
        Some(Value::Number(number)) => Ok(number.to_string()),
        other => Err(fault(part, other, "text that is not empty")),
    }
}

fn fault(part: &str, value: Option<&Value>, expected: &'static str) -> McqFault {
    let found: String = value.map_or_else(|| "missing".into(), |value| value.to_string().chars().take(80).collect());
    McqFault::Part { part: part.to_owned(), found, expected }
}

/// Normalised text of an option, for the comparison of options.
fn folded(option: &str) -> String {
    let words: Vec<String> = option.trim_end_matches('.').split_whitespace().map(str::to_lowercase).collect();
    words.join(" ")
}

/// Returns whether an option refers to others, as "all of the above" or "both A and B": its meaning
/// must not depend on its place. Nor may it be the letter of an option: the answer "C" would mean
/// the option of that letter or the option with that text.
fn refers_to_options(option: &str) -> bool {
    let words: Vec<&str> = option.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let is_letter = |word: &str| word.len() == 1 && word.chars().all(|letter| Letter::new(letter).is_some());
    let pair = words.windows(3).any(|three| {
        is_letter(three[0]) && is_letter(three[2]) && ["and", "or"].contains(&three[1].to_lowercase().as_str())
    });
    let lower = words.join(" ").to_lowercase();
    let is_one = words.len() == 1 && is_letter(&words[0].to_uppercase());
    pair || is_one
        || ["of the above", "of the below", "of these options", "of the options"]
            .iter()
            .any(|some| lower.contains(some))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn reply(change: impl FnOnce(&mut Value)) -> String {
        let mut mcq = json!({
            "question": "What colour is the cup?",
            "options": { "A": "red", "B": "green", "C": "blue", "D": "white" },
            "answer": "C",
        });
        change(&mut mcq);
        mcq.to_string()
    }

    #[test]
    fn a_question_is_found_whatever_stands_around_it() {
        let bare = reply(|_| {});
        let mcq = Mcq::parse(&bare).unwrap();
        assert_eq!((mcq.answer, mcq.right()), (Letter::C, "blue"));
        for text in [
            format!("```json\n{bare}\n```"),
            format!("```\n{bare}```\nDoes this help?"),
            format!("<think>{{a: set}} or {{\"b\": 1}}</think>\n{bare}"),
            format!("Here it is: {bare} {bare}"),
        ] {
            assert_eq!(Mcq::parse(&text).as_ref(), Ok(&mcq), "{text}");
        }
        let number = Mcq::parse(&reply(|mcq| mcq["options"]["A"] = json!(3))).unwrap();
        assert_eq!(number.options[0], "3");
    }

    #[test]
    fn what_is_no_question_is_rejected_with_a_reason() {
        type Change = fn(&mut Value);
        let cases: [(Change, &str); 14] = [
            (|mcq| mcq["question"] = json!("  "), "`question` is \"  \", expected text"),
            (|mcq| mcq["question"] = json!(null), "`question` is null"),
            (|mcq| mcq["options"]["B"] = json!(""), "`options.B` is \"\""),
            (|mcq| mcq["options"] = json!(["a", "b", "c", "d"]), "`options` is [\"a\""),
            (|mcq| mcq["options"]["E"] = json!("black"), "`options` is {"),
            (|mcq| drop(mcq["options"].as_object_mut().unwrap().remove("D")), "expected an object with the keys A"),
            (|mcq| mcq["answer"] = json!("E"), "`answer` is \"E\", expected one of the letters"),
            (|mcq| mcq["answer"] = json!("blue"), "`answer` is \"blue\""),
            (|mcq| drop(mcq.as_object_mut().unwrap().remove("answer")), "`answer` is missing"),
            (|mcq| mcq["options"]["D"] = json!("Red."), "options A and D are the same"),
            (|mcq| mcq["question"] = json!("What does the caption say?"), "`question` speaks of the caption"),
            (|mcq| mcq["options"]["D"] = json!("as described"), "`options.D` speaks of the caption"),
            (|mcq| mcq["options"]["D"] = json!("None of the above"), "option D refers to options"),
            (|mcq| mcq["question"] = json!("<image> What?"), "`question` contains <image>"),
        ];
        for (change, expected) in cases {
            let fault = Mcq::parse(&reply(change)).unwrap_err();
            assert!(fault.to_string().contains(expected), "{fault}");
            assert!(!fault.kind().is_empty());
        }
        for text in ["", "no", "{}", "{\"question\": ", "[1, 2]", &"{".repeat(9999)] {
            assert_eq!(Mcq::parse(text), Err(McqFault::NoJson));
        }
        for option in ["Both A and B", "B or C", "b", "(C)", "all of the above"] {
            assert!(refers_to_options(option), "{option}");
        }
        for option in ["a cat and a dog", "E", "above the door", "vitamin C"] {
            assert!(!refers_to_options(option), "{option}");
        }
    }

    #[test]
    fn every_letter_is_right_equally_often() {
        // A writer whose right option is always the first.
        let mcq = Mcq::parse(&reply(|mcq| mcq["answer"] = json!("A"))).unwrap();
        let mut counts = [0; 4];
        for key in 0..4000 {
            let shuffled = mcq.shuffled(5, ProblemId(key));
            assert_eq!(shuffled.right(), "red");
            counts[shuffled.answer as usize] += 1;
        }
        // Four standard deviations of a fair draw are 110.
        assert!(counts.iter().all(|n| (890..1110).contains(n)), "{counts:?}");
        let of = |seed| (0..40).map(|key| mcq.shuffled(seed, ProblemId(key))).collect::<Vec<_>>();
        assert_eq!(of(5), of(5));
        assert_ne!(of(5), of(6));
    }

    proptest! {
        #[test]
        fn parsing_never_fails_otherwise(text in any::<String>(), key in any::<u64>()) {
            let _ = Mcq::parse(&text);
            let _ = Mcq::parse(&reply(|mcq| mcq["question"] = json!(text)));
            if let Ok(mcq) = Mcq::parse(&reply(|mcq| mcq["options"]["B"] = json!(text))) {
                let shuffled = mcq.shuffled(1, ProblemId(key));
                prop_assert_eq!(shuffled.right(), mcq.right());
            }
        }
    }
}
