//! Journal of the questions that a language model writes.

use super::{Caption, Mcq};
use crate::DataError;
use crate::journal::{self, Journal};
use seethink_core::ProblemId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;

/// Questions and rejected replies of each caption.
#[derive(Debug)]
pub struct Questions {
    journal: Journal,
    seed: u64,
    tried: BTreeMap<ProblemId, Tried>,
}

/// Question and rejected replies of one caption.
#[derive(Debug, Default)]
struct Tried {
    /// Kinds of faults, one for each rejected reply.
    rejected: Vec<String>,
    mcq: Option<Mcq>,
}

/// Reply of the writer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    /// Key of the caption.
    #[serde(with = "journal::hex")]
    caption: ProblemId,
    /// Id of the caption, for human readers.
    id: String,
    /// Number of rejected replies before this one.
    before: usize,
    /// Raw reply of the model.
    raw: String,
    /// Parsed question, its options shuffled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mcq: Option<Mcq>,
    /// Reason for rejection: its kind as counted in reports, and the full message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rejected: Option<(String, String)>,
}

impl Questions {
    /// Opens or creates a journal of questions; `origin` holds the settings that they are made
    /// with, `seed` is the seed of the options' order.
    ///
    /// # Errors
    /// If the file cannot be read or written, is not of questions, or was made with other settings.
    pub fn open(path: &Path, origin: &Map<String, Value>, seed: u64) -> Result<Self, DataError> {
        let mut tried = BTreeMap::<ProblemId, Tried>::new();
        let mut origin = origin.clone();
        origin.insert("options_seed".into(), seed.into());
        let journal = Journal::open(path, &origin, |row: Row| {
            let one = tried.entry(row.caption).or_default();
            let n_before = one.rejected.len();
            if one.mcq.is_some() || n_before != row.before {
                let question = if one.mcq.is_some() { " and a question" } else { "" };
                return Err(format!(
                    "{n_before} rejected replies{question} come before this one of {}, not {}",
                    row.id, row.before
                ));
            }
            match (row.mcq, row.rejected) {
                (Some(mcq), None) => one.mcq = Some(mcq),
                (None, Some((kind, _))) => one.rejected.push(kind),
                _ => return Err("expected either `mcq` or `rejected`".to_owned()),
            }
            Ok(())
        })?;
        Ok(Self { journal, seed, tried })
    }

    /// Question for a caption, once there is one.
    pub fn mcq(&self, caption: &Caption) -> Option<&Mcq> {
        self.tried.get(&caption.key)?.mcq.as_ref()
    }

    /// Reasons for the rejected replies of a caption, in the order of the replies.
    pub fn rejected(&self, caption: &Caption) -> &[String] {
        self.tried.get(&caption.key).map_or(&[], |tried| &tried.rejected)
    }

    /// Adds replies for captions that have no question yet.
    ///
    /// # Errors
    /// If the file cannot be written.
    ///
    /// # Panics
    /// If a caption has its question already.
    pub fn push(&mut self, replies: Vec<(&Caption, String)>) -> Result<(), DataError> {
        let row = |(caption, raw): (&Caption, String)| {
            assert!(self.mcq(caption).is_none(), "{} has its question already", caption.id);
            let before = self.rejected(caption).len();
            let (mcq, rejected) = match Mcq::parse(&raw) {
                Ok(mcq) => (Some(mcq.shuffled(self.seed, caption.key)), None),
                Err(fault) => (None, Some((fault.kind().to_owned(), fault.to_string()))),
            };
            Row { caption: caption.key, id: caption.id.clone(), before, raw, mcq, rejected }
        };
        let rows: Vec<Row> = replies.into_iter().map(row).collect();
        self.journal.push(&rows)?;
        for row in rows {
            let tried = self.tried.entry(row.caption).or_default();
            tried.rejected.extend(row.rejected.map(|(kind, _)| kind));
            tried.mcq = row.mcq;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caption(key: u64) -> Caption {
        Caption {
            key: ProblemId(key),
            id: format!("caption {key}"),
            name: "a.png".into(),
            image: "a.png".into(),
            text: "A red cup.".into(),
            split: None,
            source: String::new(),
        }
    }

    const GOOD: &str =
        r#"{"question": "Which?", "options": {"A": "red", "B": "blue", "C": "black", "D": "white"}, "answer": "A"}"#;

    #[test]
    fn defect_21_a_malformed_question_is_counted_and_stops_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("questions.jsonl");
        let origin = Map::new();
        let mut questions = Questions::open(&path, &origin, 3).unwrap();
        let captions = [1, 2, 3].map(caption);
        let without_c = GOOD.replace("\"C\": \"black\", ", "");
        let replies = [GOOD, &without_c, "I would rather not."];
        questions.push(captions.iter().zip(replies.map(str::to_owned)).collect()).unwrap();
        drop(questions);
        let mut questions = Questions::open(&path, &origin, 3).unwrap();
        assert_eq!(questions.mcq(&captions[0]).map(Mcq::right), Some("red"));
        assert_eq!(questions.rejected(&captions[1]), ["incomplete"]);
        assert_eq!(questions.rejected(&captions[2]), ["no JSON"]);
        questions.push(vec![(&captions[2], "again".to_owned())]).unwrap();
        questions.push(vec![(&captions[2], GOOD.to_owned())]).unwrap();
        drop(questions);
        let questions = Questions::open(&path, &origin, 3).unwrap();
        assert_eq!(questions.rejected(&captions[2]), ["no JSON", "no JSON"]);
        assert!(questions.mcq(&captions[2]).is_some());
    }

    #[test]
    fn other_settings_and_rows_that_contradict_each_other_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("questions.jsonl");
        let mut questions = Questions::open(&path, &Map::new(), 3).unwrap();
        questions.push(vec![(&caption(1), GOOD.to_owned())]).unwrap();
        drop(questions);
        let message = Questions::open(&path, &Map::new(), 4).unwrap_err().to_string();
        assert!(
            message.contains("questions.jsonl:1: ") && message.contains("made with 3 as `options_seed`"),
            "{message}"
        );
        let text = std::fs::read_to_string(&path).unwrap();
        let last = text.lines().last().unwrap();
        let neither = last.split(",\"mcq\"").next().unwrap().replace("0000000000000001", "0000000000000002") + "}";
        for (line, expected) in [
            (last.to_owned(), "0 rejected replies and a question come before this one of caption 1, not 0"),
            (neither, "expected either `mcq` or `rejected`"),
            (last.replace("\"raw\"", "\"row\""), "unknown field `row`"),
            (last.replace("0000000000000001", "1"), "`1` is not an id of 16"),
        ] {
            std::fs::write(&path, format!("{text}{line}\n")).unwrap();
            let message = Questions::open(&path, &Map::new(), 3).unwrap_err().to_string();
            assert!(message.contains("questions.jsonl:3: ") && message.contains(expected), "{message}");
        }
    }
}
