//! Journals: append-only JSON-lines files of answers or attempts, from which an interrupted program
//! resumes.
//!
//! The first line records the settings that the rows were made with; a file made with other
//! settings is refused. Rows that arrive together are written in one piece and flushed to the disk
//! before the next request. A program that is killed leaves an incomplete last line: it is cut off,
//! and its request is repeated.

use crate::DataError;
use seethink_files::{JsonLine, JsonLines, visit_json_lines};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::path::Path;

/// Journal: a JSON-lines file open for appending, by this program alone.
#[derive(Debug)]
pub(crate) struct Journal(JsonLines);

/// First line: the settings that the rows were made with.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Origin {
    made_with: Map<String, Value>,
}

impl Journal {
    /// Opens or creates a journal of rows made with `origin`; `row` receives each row in the file
    /// and returns what is wrong with it.
    ///
    /// # Errors
    /// If the file cannot be read or written, another program has it open, it was made with other
    /// settings, or a line is not a row.
    pub(crate) fn open<R: DeserializeOwned>(
        path: &Path,
        origin: &Map<String, Value>,
        mut row: impl FnMut(R) -> Result<(), String>,
    ) -> Result<Self, DataError> {
        let mut is_new = true;
        let lines = JsonLines::open_exclusive(path, |line| {
            match std::mem::take(&mut is_new) {
                true => check_origin(line, origin)?,
                false => row(line.parse()?)?,
            }
            Ok(true)
        })?;
        let mut journal = Self(lines);
        if is_new {
            journal.push(&[Origin { made_with: origin.clone() }])?;
        }
        Ok(journal)
    }

    /// Reads a journal made with any settings; `row` as in [`open`](Self::open).
    ///
    /// # Errors
    /// If the file cannot be read, or a line is not a row.
    pub(crate) fn read<R: DeserializeOwned>(
        path: &Path,
        mut row: impl FnMut(R) -> Result<(), String>,
    ) -> Result<(), DataError> {
        let mut is_first = true;
        Ok(visit_json_lines(path, |line| match std::mem::take(&mut is_first) {
            true => line.parse::<Origin>().map(drop),
            false => row(line.parse()?),
        })?)
    }

    /// Appends rows and flushes them to the disk.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(crate) fn push(&mut self, rows: &[impl Serialize]) -> Result<(), DataError> {
        Ok(self.0.push(rows)?)
    }
}

/// Checks that the first line names the settings `origin`.
fn check_origin(line: JsonLine<'_>, origin: &Map<String, Value>) -> Result<(), String> {
    let found: Origin = line.parse()?;
    difference(&found.made_with, origin).map_or(Ok(()), Err)
}

/// Describes the first setting in which two origins differ.
fn difference(found: &Map<String, Value>, origin: &Map<String, Value>) -> Option<String> {
    let mut keys = origin.keys().chain(found.keys());
    let key = keys.find(|&key| found.get(key) != origin.get(key))?;
    let shown = |value: Option<&Value>| value.map_or_else(|| "nothing".to_owned(), Value::to_string);
    let (found, asked) = (shown(found.get(key)), shown(origin.get(key)));
    Some(format!("made with {found} as `{key}`, not with {asked}; go on with the former, or write to another folder"))
}

/// Serialisation of problem ids as 16 hexadecimal digits.
pub(crate) mod hex {
    use seethink_core::ProblemId;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(id: &ProblemId, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(id)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ProblemId, D::Error> {
        let text = String::deserialize(deserializer)?;
        let id = u64::from_str_radix(&text, 16).ok().filter(|_| text.len() == 16);
        id.map(ProblemId).ok_or_else(|| D::Error::custom(format!("`{text}` is not an id of 16 hexadecimal digits")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn origin(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    /// Opens a journal and returns its rows, then appends `more`.
    fn open(path: &Path, made_with: Value, more: &[i64]) -> Result<Vec<i64>, DataError> {
        let mut rows = Vec::new();
        let mut journal = Journal::open(path, &origin(made_with), |row: i64| {
            rows.push(row);
            if row < 0 { Err(format!("{row} is less than nothing")) } else { Ok(()) }
        })?;
        journal.push(more)?;
        Ok(rows)
    }

    #[test]
    fn half_a_line_is_cut_off_wherever_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        let made_with = || json!({ "seed": 1 });
        assert_eq!(open(&path, made_with(), &[123, 456]).unwrap(), [] as [i64; 0]);
        let whole = std::fs::read(&path).unwrap();
        for (cut, left) in [(0, &[123, 456][..]), (1, &[123]), (3, &[123]), (4, &[123]), (5, &[]), (8, &[])] {
            std::fs::write(&path, &whole[..whole.len() - cut]).unwrap();
            assert_eq!(open(&path, made_with(), &[7]).unwrap(), left, "{cut}");
            assert_eq!(open(&path, made_with(), &[]).unwrap(), [left, &[7]].concat(), "{cut}");
        }
        // Blank lines are no rows, in the first place too.
        std::fs::write(&path, "\n").unwrap();
        assert_eq!(open(&path, made_with(), &[7]).unwrap(), [] as [i64; 0]);
        assert_eq!(open(&path, made_with(), &[]).unwrap(), [7]);
        // Half of the first line only.
        std::fs::write(&path, &whole[..5]).unwrap();
        assert_eq!(open(&path, made_with(), &[]).unwrap(), [] as [i64; 0]);
    }

    #[test]
    fn what_does_not_fit_is_named_and_nothing_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        let head = "{\"made_with\":{\"seed\":1,\"model\":\"m\"}}\n";
        let cases = [
            (format!("{head}1\nx\n"), 3, "expected value"),
            (format!("{head}\"1\"\n2\n"), 2, "expected i64"),
            (format!("{head}-1\n"), 2, "-1 is less than nothing"),
            ("7\n".to_owned(), 1, "invalid type"),
            ("{\"made_with\":{\"seed\":2,\"model\":\"m\"}}\n".to_owned(), 1, "made with 2 as `seed`, not with 1"),
            ("{\"made_with\":{\"model\":\"m\"}}\n".to_owned(), 1, "made with nothing as `seed`, not with 1"),
            (
                "{\"made_with\":{\"seed\":1,\"model\":\"m\",\"n\":3}}\n".to_owned(),
                1,
                "made with 3 as `n`, not with nothing",
            ),
        ];
        for (text, line, expected) in cases {
            std::fs::write(&path, &text).unwrap();
            let message = open(&path, json!({ "seed": 1, "model": "m" }), &[5]).unwrap_err().to_string();
            assert!(message.contains(&format!("rows.jsonl:{line}: ")) && message.contains(expected), "{message}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn two_programs_do_not_write_to_one_journal() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        let _held = Journal::open(&path, &Map::new(), |_: i64| Ok(())).unwrap();
        let message = open(&path, json!({}), &[]).unwrap_err().to_string();
        assert!(message.contains("another run may be using it"), "{message}");
    }
}
