//! What can go wrong between a run folder and its report.

use crate::drawing::DrawError;
use std::path::{Path, PathBuf};

/// Why a report could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// An input cannot be opened or read.
    #[error("cannot read {path}: {source}", path = .path.display())]
    Read {
        /// The input.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// An output cannot be written.
    #[error("cannot write {path}: {source}", path = .path.display())]
    Write {
        /// The output.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line of a JSONL file, or a whole JSON file, is not what it should be.
    #[error("{path}, line {line}: {source}", path = .path.display())]
    Parse {
        /// The input.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What was expected.
        source: serde_json::Error,
    },
    /// There is nothing to report on.
    #[error("{path} holds no record: expected one JSON object per line, the first for the base model", path = .path.display())]
    Empty {
        /// The metrics file.
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
        /// Why.
        source: serde_json::Error,
    },
}

impl ReportError {
    /// For `map_err`: an error of reading `path`.
    pub(super) fn read(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        |source| Self::Read { path: path.to_owned(), source }
    }

    /// For `map_err`: an error of writing `path`.
    pub(super) fn write(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        |source| Self::Write { path: path.to_owned(), source }
    }

    /// For `or_else`: an input that does not exist reads as `default`, any other error stays one.
    pub(super) fn missing_is<T>(default: T) -> impl FnOnce(Self) -> Result<T, Self> {
        |error| match error {
            Self::Read { source, .. } if source.kind() == std::io::ErrorKind::NotFound => Ok(default),
            error => Err(error),
        }
    }
}
