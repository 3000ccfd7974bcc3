//! JSON-lines files that are appended to, one object per line, and survive a crash.
//!
//! A crash leaves an incomplete last line, which readers leave out and the next append replaces. A
//! last line without a newline counts if it is a complete object, as in files written by hand.

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// JSON-lines file open for appending.
#[derive(Debug)]
pub struct JsonLines {
    path: PathBuf,
    file: File,
}

/// Line of a JSON-lines file.
#[derive(Debug, Clone, Copy)]
pub struct JsonLine<'a> {
    /// Line number, from 1.
    pub number: usize,
    /// JSON text of the line.
    pub text: &'a [u8],
}

impl<'a> JsonLine<'a> {
    /// Parses the line.
    ///
    /// # Errors
    /// If the line is not a `T`; says what was found and what was expected.
    pub fn parse<T: Deserialize<'a>>(self) -> Result<T, String> {
        serde_json::from_slice(self.text).map_err(|error| error.to_string())
    }
}

/// Errors of JSON-lines files.
#[derive(Debug, thiserror::Error)]
pub enum JsonLinesError {
    /// The file cannot be used.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// Attempted action: "open", "read", "write", …
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Error of the system.
        source: io::Error,
    },
    /// A line is invalid.
    #[error("{}:{line}: {what}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Line number, from 1.
        line: usize,
        /// Description of the fault.
        what: String,
    },
}

impl JsonLinesError {
    /// Returns whether the file does not exist.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }
}

impl JsonLines {
    /// Opens or creates a file for appending. `keep` receives each line; from the first line for
    /// which it returns `false`, all lines are removed.
    ///
    /// # Errors
    /// If the file cannot be read or written, or `keep` says what is wrong with a line; the file is
    /// then unchanged.
    pub fn open(path: &Path, keep: impl FnMut(JsonLine<'_>) -> Result<bool, String>) -> Result<Self, JsonLinesError> {
        Self::open_unlocked(path)?.keep(keep)
    }

    /// Opens a file as [`open`](Self::open) does, for this program alone until the file is closed.
    ///
    /// # Errors
    /// As [`open`](Self::open), and if another program has the file open in this way.
    pub fn open_exclusive(
        path: &Path,
        keep: impl FnMut(JsonLine<'_>) -> Result<bool, String>,
    ) -> Result<Self, JsonLinesError> {
        let lines = Self::open_unlocked(path)?;
        let locked = lines.file.try_lock().map_err(io::Error::from);
        locked.map_err(JsonLinesError::io("lock, another run may be using it,", path))?;
        lines.keep(keep)
    }

    fn open_unlocked(path: &Path) -> Result<Self, JsonLinesError> {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        let file = options.open(path).map_err(JsonLinesError::io("open", path))?;
        Ok(Self { path: path.to_owned(), file })
    }

    fn keep(mut self, keep: impl FnMut(JsonLine<'_>) -> Result<bool, String>) -> Result<Self, JsonLinesError> {
        let mut bytes = Vec::new();
        self.file.read_to_end(&mut bytes).map_err(JsonLinesError::io("read", &self.path))?;
        let kept = scan(&self.path, &bytes, keep)?;
        let newline: &[u8] = if matches!(bytes[..kept].last(), None | Some(b'\n')) { b"" } else { b"\n" };
        let cut = self.file.set_len(kept as u64).and_then(|()| self.file.seek(SeekFrom::End(0)));
        cut.and_then(|_| self.file.write_all(newline)).map_err(JsonLinesError::io("write", &self.path))?;
        Ok(self)
    }

    /// Appends rows in one piece and flushes them to the disk.
    ///
    /// # Errors
    /// If a row cannot be encoded or the file cannot be written.
    pub fn push(&mut self, rows: &[impl Serialize]) -> Result<(), JsonLinesError> {
        let mut text = Vec::new();
        let mut encode = |row| {
            serde_json::to_writer(&mut text, row)?;
            text.push(b'\n');
            Ok::<_, serde_json::Error>(())
        };
        let encoded = rows.iter().try_for_each(&mut encode).map_err(io::Error::from);
        let written = encoded.and_then(|()| self.file.write_all(&text)).and_then(|()| self.file.sync_data());
        written.map_err(JsonLinesError::io("write", &self.path))
    }
}

/// Reads all rows of a JSON-lines file; blank lines are skipped.
///
/// # Errors
/// If the file cannot be read, or a complete line is not a `T`.
pub fn read_json_lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, JsonLinesError> {
    let mut rows = Vec::new();
    visit_json_lines(path, |line| {
        rows.push(line.parse()?);
        Ok(())
    })?;
    Ok(rows)
}

/// Passes each line of a JSON-lines file to `visit`; blank lines are skipped.
///
/// # Errors
/// If the file cannot be read, or `visit` says what is wrong with a line.
pub fn visit_json_lines(
    path: &Path,
    mut visit: impl FnMut(JsonLine<'_>) -> Result<(), String>,
) -> Result<(), JsonLinesError> {
    let bytes = fs::read(path).map_err(JsonLinesError::io("read", path))?;
    scan(path, &bytes, |line| visit(line).map(|()| true)).map(drop)
}

/// Passes the complete lines to `keep` and returns the length in bytes of those that are kept.
fn scan(
    path: &Path,
    bytes: &[u8],
    mut keep: impl FnMut(JsonLine<'_>) -> Result<bool, String>,
) -> Result<usize, JsonLinesError> {
    let mut kept = 0;
    for (number, text) in (1..).zip(bytes.split_inclusive(|&byte| byte == b'\n')) {
        let line = JsonLine { number, text: text.trim_ascii() };
        let is_complete = text.ends_with(b"\n") || (line.text.starts_with(b"{") && line.parse::<IgnoredAny>().is_ok());
        if !is_complete {
            break;
        }
        let stays = line.text.is_empty()
            || keep(line).map_err(|what| JsonLinesError::Line { path: path.to_owned(), line: number, what })?;
        if !stays {
            break;
        }
        kept += text.len();
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(path: &Path) -> Vec<Value> {
        read_json_lines(path).expect("read")
    }

    #[test]
    fn an_incomplete_line_is_replaced_wherever_it_ends() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("rows.jsonl");
        let row = |n: u32| json!({ "n": n, "text": "café" });
        let whole: Vec<u8> = [row(1), row(2)].iter().flat_map(|row| format!("{row}\n").into_bytes()).collect();
        let first = whole.len() / 2;
        for len in 0..=whole.len() {
            fs::write(&path, &whole[..len]).expect("write");
            let mut expected: Vec<Value> = Vec::new();
            expected.extend((len + 1 >= first).then(|| row(1)));
            expected.extend((len + 1 >= whole.len()).then(|| row(2)));
            assert_eq!(read(&path), expected, "{len}");
            JsonLines::open(&path, |_| Ok(true)).and_then(|mut file| file.push(&[row(3)])).expect("push");
            expected.push(row(3));
            assert_eq!(read(&path), expected, "{len}");
        }
    }

    #[test]
    fn lines_are_removed_from_the_first_that_is_not_kept() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("rows.jsonl");
        // Numbers stay as they are written.
        fs::write(&path, "{\"n\": 1.50}\n\n{\"n\": 2}\n{\"n\": 1}\n").expect("write");
        let below_two = |line: JsonLine<'_>| Ok(line.parse::<Value>()?["n"].as_f64() < Some(2.0));
        JsonLines::open(&path, below_two).and_then(|mut file| file.push(&[json!({ "n": 7 })])).expect("open");
        assert_eq!(fs::read_to_string(&path).expect("read"), "{\"n\": 1.50}\n\n{\"n\":7}\n");
    }

    #[test]
    fn a_broken_line_is_named_and_the_file_left_alone() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("rows.jsonl");
        let text = "{\"n\": 1}\n\nnonsense\n{\"n\"";
        fs::write(&path, text).expect("write");
        let error = read_json_lines::<Value>(&path).expect_err("broken").to_string();
        assert!(error.contains("rows.jsonl:3: expected"), "{error}");
        let opened = JsonLines::open(&path, |line| line.parse::<Value>().map(|_| true));
        assert_eq!(opened.expect_err("broken").to_string(), error);
        assert_eq!(fs::read_to_string(&path).expect("read"), text);
        assert!(read_json_lines::<Value>(&folder.path().join("none")).expect_err("missing").is_missing());
    }
}
