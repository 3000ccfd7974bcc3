//! Pass rates: a table of attempts at problems, written as they are made.
//!
//! JSON lines: first what the attempts were made with, then for each batch of attempts the problem, how many attempts came before, and which of
//! these were right. A line is written at once, and half a line at the end of the file is what a killed program leaves: it is cut off.

use crate::DataError;
use seethink_core::{PassRate, Problem, ProblemId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Attempts at problems, in a file.
#[derive(Debug)]
pub struct PassRateTable {
    path: PathBuf,
    /// What rows are added to; `None` where the table is only read.
    file: Option<File>,
    right: BTreeMap<ProblemId, Vec<bool>>,
}

/// The first line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Origin {
    measured_with: Value,
}

/// Every other line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    /// As problem ids are shown.
    problem: String,
    /// Attempts before these.
    before: usize,
    right: Vec<bool>,
}

impl PassRateTable {
    /// Opens a table, or begins one, of attempts made with `origin` (model, prompt, sampling: whatever tells measurements apart).
    ///
    /// # Errors
    /// If the file cannot be read or written, has a line that is not of a table, or was made with something else.
    pub fn open(path: impl AsRef<Path>, origin: &Value) -> Result<Self, DataError> {
        let path = path.as_ref().to_owned();
        let io = |action| {
            let path = path.clone();
            move |source| DataError::Io { action, path, source }
        };
        let mut options = OpenOptions::new();
        let mut file = options.read(true).write(true).create(true).truncate(false).open(&path).map_err(io("open"))?;
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(io("read"))?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let mut table = Self { path: path.clone(), file: None, right: BTreeMap::new() };
        let found = table.parse(&text[..whole])?;
        if let Some(found) = &found
            && found != origin
        {
            return Err(table.fault(1, format!("measured with {found}, not with {origin}")));
        }
        file.set_len(whole as u64).and_then(|()| file.seek(SeekFrom::End(0))).map_err(io("write"))?;
        table.file = Some(file);
        if found.is_none() {
            table.write(&Origin { measured_with: origin.clone() })?;
        }
        Ok(table)
    }

    /// Reads a table, whatever its attempts were made with; nothing can be added to it.
    ///
    /// # Errors
    /// If the file cannot be read, or has a line that is not of a table.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, DataError> {
        let path = path.as_ref().to_owned();
        let text = std::fs::read_to_string(&path).map_err(|source| DataError::Io {
            action: "read",
            path: path.clone(),
            source,
        })?;
        let mut table = Self { path, file: None, right: BTreeMap::new() };
        table.parse(&text[..text.rfind('\n').map_or(0, |end| end + 1)])?;
        Ok(table)
    }

    /// Takes in whole lines. Returns what the attempts were made with, unless there are no lines.
    fn parse(&mut self, text: &str) -> Result<Option<Value>, DataError> {
        let table = self;
        let mut lines = (1..).zip(text.lines());
        let Some((_, first)) = lines.next() else { return Ok(None) };
        let Origin { measured_with } =
            serde_json::from_str(first).map_err(|error| table.fault(1, error.to_string()))?;
        for (line, text) in lines {
            let row: Row = serde_json::from_str(text).map_err(|error| table.fault(line, error.to_string()))?;
            let id = u64::from_str_radix(&row.problem, 16).ok().filter(|_| row.problem.len() == 16);
            let id = id.ok_or_else(|| table.fault(line, format!("`{}` is not the id of a problem", row.problem)))?;
            let n_before = table.attempts(ProblemId(id)).len();
            if n_before != row.before {
                let what = format!("{n_before} attempts at {} come before this line, not {}", row.problem, row.before);
                return Err(table.fault(line, what));
            }
            table.right.entry(ProblemId(id)).or_default().extend(row.right);
        }
        Ok(Some(measured_with))
    }

    /// Which attempts at a problem were right, in the order made.
    pub fn attempts(&self, problem: ProblemId) -> &[bool] {
        self.right.get(&problem).map_or(&[], Vec::as_slice)
    }

    /// Adds attempts at a problem, in memory and in the file.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn push(&mut self, problem: ProblemId, right: &[bool]) -> Result<(), DataError> {
        let before = self.attempts(problem).len();
        self.write(&Row { problem: problem.to_string(), before, right: right.to_vec() })?;
        self.right.entry(problem).or_default().extend_from_slice(right);
        Ok(())
    }

    /// The share of right attempts at a problem; `None` without any.
    pub fn pass_rate(&self, problem: ProblemId) -> Option<PassRate> {
        let right = self.attempts(problem);
        let n_right = right.iter().filter(|&&right| right).count();
        (!right.is_empty()).then(|| n_right as f32 / right.len() as f32).and_then(|rate| PassRate::new(rate).ok())
    }

    /// Gives every problem that was attempted its pass rate, and the number of attempts as the tag `attempts`.
    pub fn apply(&self, problems: &mut [Problem]) {
        for problem in problems {
            if let Some(rate) = self.pass_rate(problem.id) {
                problem.pass_rate = Some(rate);
                problem.tags.insert("attempts".into(), self.attempts(problem.id).len().to_string());
            }
        }
    }

    fn write(&mut self, row: &impl Serialize) -> Result<(), DataError> {
        let line = serde_json::to_string(row).map_err(std::io::Error::from).map(|line| line + "\n");
        let read_only = || std::io::Error::other("the table was opened for reading");
        let written = line.and_then(|line| self.file.as_mut().ok_or_else(read_only)?.write_all(line.as_bytes()));
        written.map_err(|source| DataError::Io { action: "write", path: self.path.clone(), source })
    }

    fn fault(&self, line: usize, what: String) -> DataError {
        DataError::PassRates { file: self.path.clone(), line, what }
    }
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
        let origin = json!({ "model": "small" });
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
        let mut table = PassRateTable::open(&path, &Value::Null).unwrap();
        table.push(ONE, &[true]).unwrap();
        table.push(TWO, &[true]).unwrap();
        drop(table);
        let whole = std::fs::read_to_string(&path).unwrap();
        for end in whole.len() - 30..whole.len() {
            std::fs::write(&path, &whole[..end]).unwrap();
            let mut table = PassRateTable::open(&path, &Value::Null).unwrap();
            assert_eq!((table.attempts(ONE), table.attempts(TWO)), (&[true][..], &[][..]), "{end}");
            table.push(TWO, &[true]).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), whole);
        }
    }

    #[test]
    fn what_does_not_fit_is_named_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rates.jsonl");
        let head = "{\"measured_with\":null}\n";
        let cases = [
            ("{\"measured_with\":7}\n".to_owned(), 1, "measured with 7, not with null"),
            ("nonsense\n".to_owned(), 1, "expected ident"),
            (format!("{head}{{\"problem\":\"x\",\"before\":0,\"right\":[]}}\n"), 2, "`x` is not the id"),
            (format!("{head}\n{{}}\n"), 2, "EOF"),
            (format!("{head}{{\"problem\":\"0000000000000001\",\"before\":3,\"right\":[true]}}\n"), 2, "0 attempts"),
        ];
        for (text, line, expected) in cases {
            std::fs::write(&path, &text).unwrap();
            let message = PassRateTable::open(&path, &Value::Null).unwrap_err().to_string();
            assert!(message.contains(&format!("rates.jsonl:{line}: ")) && message.contains(expected), "{message}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text, "nothing is lost");
        }
    }
}
