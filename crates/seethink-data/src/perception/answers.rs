//! Journal of the answers of one model from one view.

use super::Letter;
use crate::DataError;
use crate::journal::{self, Journal};
use seethink_core::ProblemId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;

/// Answer of a model to a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Raw reply of the model.
    pub raw: String,
    /// Option that the answer names, if any.
    pub letter: Option<Letter>,
}

/// Answers of a model to each question.
#[derive(Debug)]
pub struct Answers {
    journal: Journal,
    letters: BTreeMap<ProblemId, Vec<Option<Letter>>>,
}

/// Answers to a question that arrived together.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    /// Id of the question as a training problem.
    #[serde(with = "journal::hex")]
    problem: ProblemId,
    /// Number of answers before those of this row.
    before: usize,
    /// Raw replies of the model.
    raw: Vec<String>,
    /// Options parsed from the replies.
    letters: Vec<Option<Letter>>,
}

impl Answers {
    /// Opens or creates a journal of answers; `origin` holds the settings that they are made with.
    ///
    /// # Errors
    /// If the file cannot be read or written, is not of answers, or was made with other settings.
    pub fn open(path: &Path, origin: &Map<String, Value>) -> Result<Self, DataError> {
        let mut letters = BTreeMap::<ProblemId, Vec<Option<Letter>>>::new();
        let journal = Journal::open(path, origin, |row: Row| {
            let given = letters.entry(row.problem).or_default();
            if given.len() != row.before {
                return Err(format!(
                    "{} answers to {} come before these, not {}",
                    given.len(),
                    row.problem,
                    row.before
                ));
            }
            if row.raw.len() != row.letters.len() {
                return Err(format!("{} answers, but {} letters", row.raw.len(), row.letters.len()));
            }
            given.extend(row.letters);
            Ok(())
        })?;
        Ok(Self { journal, letters })
    }

    /// Options that the model named for a problem, in the order of its attempts; `None` where an
    /// answer names none. Empty if it was not asked.
    pub fn given(&self, problem: ProblemId) -> &[Option<Letter>] {
        self.letters.get(&problem).map_or(&[], Vec::as_slice)
    }

    /// Adds answers to the journal.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn push(&mut self, answers: Vec<(ProblemId, Vec<Answer>)>) -> Result<(), DataError> {
        let row = |(problem, answers): (ProblemId, Vec<Answer>)| {
            let (raw, letters) = answers.into_iter().map(|answer| (answer.raw, answer.letter)).unzip();
            Row { problem, before: self.given(problem).len(), raw, letters }
        };
        let rows: Vec<Row> = answers.into_iter().map(row).collect();
        self.journal.push(&rows)?;
        for row in rows {
            self.letters.entry(row.problem).or_default().extend(row.letters);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(raw: &str, letter: Option<Letter>) -> Answer {
        Answer { raw: raw.into(), letter }
    }

    #[test]
    fn defect_24_answers_are_kept_as_written_and_as_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("answers.jsonl");
        let mut answers = Answers::open(&path, &Map::new()).unwrap();
        let one = ProblemId(1);
        answers
            .push(vec![(one, vec![answer("It is \\boxed{B}.", Some(Letter::B)), answer("Who knows?", None)])])
            .unwrap();
        answers.push(vec![(one, vec![answer("C", Some(Letter::C))])]).unwrap();
        drop(answers);
        let answers = Answers::open(&path, &Map::new()).unwrap();
        assert_eq!(answers.given(one), [Some(Letter::B), None, Some(Letter::C)]);
        assert_eq!(answers.given(ProblemId(2)), []);
        let text = std::fs::read_to_string(&path).unwrap();
        let row = r#"{"problem":"0000000000000001","before":0,"raw":["It is \\boxed{B}.","Who knows?"],"letters":["B",null]}"#;
        assert_eq!(text.lines().nth(1), Some(row));
    }

    #[test]
    fn rows_that_contradict_each_other_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("answers.jsonl");
        for (row, expected) in [
            (r#"{"problem":"0000000000000001","before":1,"raw":[],"letters":[]}"#, "0 answers to 0000000000000001"),
            (r#"{"problem":"0000000000000001","before":0,"raw":["B"],"letters":[]}"#, "1 answers, but 0 letters"),
            (r#"{"problem":"0000000000000001","before":0,"raw":["E"],"letters":["E"]}"#, "unknown variant `E`"),
        ] {
            std::fs::write(&path, format!("{{\"made_with\":{{}}}}\n{row}\n")).unwrap();
            let message = Answers::open(&path, &Map::new()).unwrap_err().to_string();
            assert!(message.contains("answers.jsonl:2: ") && message.contains(expected), "{message}");
        }
    }
}
