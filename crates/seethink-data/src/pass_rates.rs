//! Pass-rate tables: attempts at problems, written as they are made.

use crate::DataError;
use crate::journal::{self, Journal};
use seethink_core::{PassRate, Problem, ProblemId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;

/// Table of attempts at problems, in a file of JSON lines.
#[derive(Debug)]
pub struct PassRateTable {
    /// Journal that rows are added to; `None` where the table is only read.
    journal: Option<Journal>,
    right: BTreeMap<ProblemId, Vec<bool>>,
}

/// Attempts at a problem that were made together.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    #[serde(with = "journal::hex")]
    problem: ProblemId,
    /// Number of attempts before those of this row.
    before: usize,
    right: Vec<bool>,
}

impl PassRateTable {
    /// Opens or creates a table of attempts made with `origin` (model, prompt, sampling: all
    /// settings that distinguish measurements).
    ///
    /// # Errors
    /// If the file cannot be read or written, another program has it open, it has a line that is
    /// not of a table, or it was made with other settings.
    pub fn open(path: impl AsRef<Path>, origin: &Map<String, Value>) -> Result<Self, DataError> {
        let mut right = BTreeMap::new();
        let journal = Journal::open(path.as_ref(), origin, |row| take(&mut right, row))?;
        Ok(Self { journal: Some(journal), right })
    }

    /// Reads a table made with any settings; it cannot be added to.
    ///
    /// # Errors
    /// If the file cannot be read, or has a line that is not of a table.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, DataError> {
        let mut right = BTreeMap::new();
        Journal::read(path.as_ref(), |row| take(&mut right, row))?;
        Ok(Self { journal: None, right })
    }

    /// Outcomes of the attempts at a problem, in the order made; `true` is right.
    pub fn attempts(&self, problem: ProblemId) -> &[bool] {
        self.right.get(&problem).map_or(&[], Vec::as_slice)
    }

    /// Adds attempts at a problem to the table and its file.
    ///
    /// # Errors
    /// If the file cannot be written, or the table was only [`read`](Self::read).
    pub fn push(&mut self, problem: ProblemId, right: &[bool]) -> Result<(), DataError> {
        let row = Row { problem, before: self.attempts(problem).len(), right: right.to_vec() };
        match &mut self.journal {
            Some(journal) => journal.push(std::slice::from_ref(&row))?,
            None => return Err(DataError::ReadOnly),
        }
        self.right.entry(problem).or_default().extend(row.right);
        Ok(())
    }

    /// Pass rate of a problem: the share of right attempts; `None` without attempts.
    pub fn pass_rate(&self, problem: ProblemId) -> Option<PassRate> {
        let right = self.attempts(problem);
        let n_right = right.iter().filter(|&&right| right).count();
        (!right.is_empty()).then(|| n_right as f32 / right.len() as f32).and_then(|rate| PassRate::new(rate).ok())
    }

    /// Sets the pass rate of every problem that was attempted, and its number of attempts as the
    /// tag `attempts`.
    pub fn apply(&self, problems: &mut [Problem]) {
        for problem in problems {
            if let Some(rate) = self.pass_rate(problem.id) {
                problem.pass_rate = Some(rate);
                problem.tags.insert("attempts".into(), self.attempts(problem.id).len().to_string());
            }
        }
    }
}

/// Appends the attempts of a row to those of its problem.
fn take(right: &mut BTreeMap<ProblemId, Vec<bool>>, row: Row) -> Result<(), String> {
    let attempts = right.entry(row.problem).or_default();
    if attempts.len() != row.before {
        return Err(format!(
            "{} attempts at {} come before this line, not {}",
            attempts.len(),
            row.problem,
            row.before
        ));
    }
    attempts.extend(row.right);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ONE: ProblemId = ProblemId(1);
    const TWO: ProblemId = ProblemId(0xfedc_ba98_7654_3210);

    #[test]
    fn attempts_come_back_and_can_be_continued() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rates.jsonl");
        let origin = Map::from_iter([("model".to_owned(), json!("small"))]);
        let mut table = PassRateTable::open(&path, &origin).unwrap();
        table.push(ONE, &[true, false]).unwrap();
        table.push(TWO, &[false]).unwrap();
        drop(table);
        let mut table = PassRateTable::open(&path, &origin).unwrap();
        table.push(ONE, &[true, true]).unwrap();
        drop(table);
        let table = PassRateTable::open(&path, &origin).unwrap();
        assert_eq!(table.attempts(ONE), [true, false, true, true]);
        assert_eq!(table.pass_rate(ONE).map(PassRate::fraction), Some(0.75));
        assert_eq!(table.pass_rate(TWO).map(PassRate::fraction), Some(0.0));
        assert_eq!(table.pass_rate(ProblemId(7)), None);
    }

    #[test]
    fn half_a_line_at_the_end_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rates.jsonl");
        let mut table = PassRateTable::open(&path, &Map::new()).unwrap();
        table.push(ONE, &[true]).unwrap();
        table.push(TWO, &[true]).unwrap();
        drop(table);
        let whole = std::fs::read_to_string(&path).unwrap();
        // Without its newline alone a row is whole.
        for end in whole.len() - 30..whole.len() - 1 {
            std::fs::write(&path, &whole[..end]).unwrap();
            let mut table = PassRateTable::open(&path, &Map::new()).unwrap();
            assert_eq!((table.attempts(ONE), table.attempts(TWO)), (&[true][..], &[][..]), "{end}");
            table.push(TWO, &[true]).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), whole);
        }
    }

    #[test]
    fn what_does_not_fit_is_named_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rates.jsonl");
        let head = "{\"made_with\":{}}\n";
        let cases = [
            ("{\"made_with\":{\"seed\":7}}\n".to_owned(), 1, "made with 7 as `seed`, not with nothing"),
            ("nonsense\n".to_owned(), 1, "expected ident"),
            (format!("{head}{{\"problem\":\"x\",\"before\":0,\"right\":[]}}\n"), 2, "`x` is not an id"),
            (format!("{head}\n{{}}\n"), 3, "missing field `problem`"),
            (format!("{head}{{\"problem\":\"0000000000000001\",\"before\":3,\"right\":[true]}}\n"), 2, "0 attempts"),
        ];
        for (text, line, expected) in cases {
            std::fs::write(&path, &text).unwrap();
            let message = PassRateTable::open(&path, &Map::new()).unwrap_err().to_string();
            assert!(message.contains(&format!("rates.jsonl:{line}: ")) && message.contains(expected), "{message}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text, "nothing is lost");
        }
    }
}
