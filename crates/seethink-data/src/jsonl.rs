//! Reader of JSON-lines files.

use crate::DataError;
use crate::row::{Cell, Place, Row};
use serde::de::Error as _;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Reads one JSON object per line; empty lines are skipped, and reading goes on after a bad line.
#[derive(Debug)]
pub(crate) struct Lines {
    file: PathBuf,
    reader: BufReader<File>,
    /// Place of the next line.
    next: Place,
    /// Places of the lines to read; all lines if `None`.
    wanted: Option<std::vec::IntoIter<Place>>,
    failed: bool,
}

impl Lines {
    /// Opens a file for reading all lines, or those at `wanted`.
    pub(crate) fn open(file: &Path, wanted: Option<Vec<Place>>) -> Result<Self, DataError> {
        let reader = BufReader::new(File::open(file).map_err(DataError::io("read", file))?);
        let next = Place { line: 1, offset: 0 };
        Ok(Self { file: file.to_path_buf(), reader, next, wanted: wanted.map(Vec::into_iter), failed: false })
    }

    /// Reads the next wanted line into `line`; `None` at the end.
    fn read(&mut self, line: &mut Vec<u8>) -> io::Result<Option<Place>> {
        loop {
            if let Some(wanted) = &mut self.wanted {
                let Some(place) = wanted.next() else { return Ok(None) };
                if place.offset != self.next.offset {
                    self.reader.seek(SeekFrom::Start(place.offset))?;
                }
                self.next = place;
            }
            let place = self.next;
            line.clear();
            let n_bytes = self.reader.read_until(b'\n', line)?;
            self.next = Place { line: place.line + 1, offset: place.offset + n_bytes as u64 };
            if self.wanted.is_some() || !line.trim_ascii().is_empty() {
                return Ok(Some(place));
            }
            if n_bytes == 0 {
                return Ok(None);
            }
        }
    }
}

impl Iterator for Lines {
    type Item = Result<(Place, Row), DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let mut line = Vec::new();
        let place = match self.read(&mut line) {
            Ok(place) => place?,
            Err(error) => {
                self.failed = true;
                return Some(Err(DataError::io("read", &self.file)(error)));
            }
        };
        let json = |source| DataError::Json { file: self.file.clone(), line: place.line, source };
        let row = serde_json::from_slice(&line).and_then(|cell| match cell {
            Cell::Struct(row) => Ok(row),
            _ => Err(serde_json::Error::custom("expected an object")),
        });
        Some(row.map(|row| (place, row)).map_err(json))
    }
}
