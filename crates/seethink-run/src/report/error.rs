//! Errors of a report.

use seethink_files::JsonLinesError;
use seethink_plot::DrawError;
use std::path::{Path, PathBuf};

/// Errors of a report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// An input cannot be opened or read.
    #[error("cannot read {path}: {source}", path = .path.display())]
    Read {
        /// The input.
        path: PathBuf,
        /// Error of the system.
        source: std::io::Error,
    },
    /// An output cannot be written.
    #[error("cannot write {path}: {source}", path = .path.display())]
    Write {
        /// The output.
        path: PathBuf,
        /// Error of the system.
        source: std::io::Error,
    },
    /// A JSONL file cannot be used, or a line of it is invalid.
    #[error(transparent)]
    Lines(#[from] JsonLinesError),
    /// A JSON file cannot be parsed.
    #[error("{path}, line {line}: {source}", path = .path.display())]
    Parse {
        /// The input.
        path: PathBuf,
        /// Line number, from 1.
        line: usize,
        /// Error of the parser.
        source: serde_json::Error,
    },
    /// The metrics file has no records.
    #[error("{path} holds no record: expected one JSON object per line, the first for the base model", path = .path.display())]
    Empty {
        /// The metrics file.
        path: PathBuf,
    },
    /// No sample shows what training did.
    #[error("{path} has no problem for a digest: expected one that is wrong at step 0 and right at the last step", path = .path.display())]
    NothingLearnt {
        /// The file of samples.
        path: PathBuf,
    },
    /// A figure cannot be drawn.
    #[error(transparent)]
    Plot(#[from] DrawError),
    /// A value cannot be written as JSON.
    #[error("cannot encode {path} as JSON: {source}", path = .path.display())]
    Encode {
        /// The output.
        path: PathBuf,
        /// Error of the encoder.
        source: serde_json::Error,
    },
}

impl ReportError {
    /// Creates an error of reading `path`, for `map_err`.
    pub(super) fn read(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        |source| Self::Read { path: path.to_owned(), source }
    }

    /// Creates an error of writing `path`, for `map_err`.
    pub(super) fn write(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        |source| Self::Write { path: path.to_owned(), source }
    }

    /// Replaces the error of a missing input by `default`, for `or_else`; any other error stays.
    pub(super) fn missing_is<T>(default: T) -> impl FnOnce(Self) -> Result<T, Self> {
        |error| match error {
            Self::Read { source, .. } if source.kind() == std::io::ErrorKind::NotFound => Ok(default),
            Self::Lines(error) if error.is_missing() => Ok(default),
            error => Err(error),
        }
    }
}
