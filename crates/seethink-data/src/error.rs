//! Errors of making, reading and writing problems.

use crate::LoadImageError;
use crate::perception::CaptionFault;
use seethink_core::{ProblemId, SettingError};
use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

/// Errors of making, reading and writing problems.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A file or folder cannot be used.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// Attempted action: "read", "write", …
        action: &'static str,
        /// Path of the file or folder.
        path: PathBuf,
        /// Error of the system.
        source: std::io::Error,
    },
    /// The output folder is not empty: new problems would mix with its files.
    #[error("{} is not empty; problems are written to a folder of their own", .0.display())]
    NotEmpty(PathBuf),
    /// A line is not the JSON of a problem.
    #[error("{}:{line}: not a problem: {source}", file.display())]
    Json {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: u64,
        /// Error of the parser; its line number counts within this line.
        source: serde_json::Error,
    },
    /// A row has no valid pass rate to sort by.
    #[error("{}:{line}: {found}, expected `pass_rate` to be a number in [0, 1]", file.display())]
    Unrated {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: u64,
        /// Value found.
        found: String,
    },
    /// A table of pass rates that was opened for reading cannot be added to.
    #[error("the table of pass rates was opened for reading")]
    ReadOnly,
    /// A file is not a parquet file, or a damaged one.
    #[cfg(feature = "parquet")]
    #[error("cannot read {} as parquet: {source}", file.display())]
    Parquet {
        /// The file.
        file: PathBuf,
        /// Error of the parquet reader.
        source: parquet::errors::ParquetError,
    },
    /// A parquet file in a build that reads none.
    #[error("{} is a parquet file, expected JSON lines, or a build with the feature `parquet`", .0.display())]
    NoParquet(PathBuf),
    /// A parquet file has a column with an unsupported compression.
    #[error("{} is compressed with {found}, expected Snappy, gzip, LZ4 or no compression", file.display())]
    Compression {
        /// The file.
        file: PathBuf,
        /// The compression.
        found: String,
    },
    /// A setting of a data set is out of range.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// A folder or pattern has no file of problems.
    #[error("there are no problems at {}, expected .jsonl or .parquet files", .0.display())]
    NoFiles(PathBuf),
    /// Two rows are the same problem.
    #[error("{}:{line}: problem {problem} stands already in {}:{first_line}", file.display(), first_file.display())]
    Duplicate {
        /// File of the later row.
        file: PathBuf,
        /// Line or row of the later row, from 1.
        line: u64,
        /// Id of both rows.
        problem: ProblemId,
        /// File of the earlier row.
        first_file: PathBuf,
        /// Line or row of the earlier row, from 1.
        first_line: u64,
    },
    /// A prompt is longer than allowed.
    #[error("{}:{line}: problem {problem} has a prompt of {n_tokens} tokens, more than the {max_tokens} allowed", file.display())]
    Overlong {
        /// The file.
        file: PathBuf,
        /// The line or row, from 1.
        line: u64,
        /// The problem.
        problem: ProblemId,
        /// Number of tokens of the prompt.
        n_tokens: usize,
        /// Maximum number of tokens.
        max_tokens: usize,
    },
    /// Several rows are bad.
    #[error("{n_rows} bad rows{}", list(first, *n_rows))]
    Rows {
        /// Number of bad rows.
        n_rows: usize,
        /// Errors of the first bad rows.
        first: Vec<DataError>,
    },
    /// A file changed after it was checked.
    #[error("{}:{line}: the file changed after it was opened: problem {expected} stood here", file.display())]
    Changed {
        /// The file.
        file: PathBuf,
        /// The line or row, from 1.
        line: u64,
        /// Id of the problem that the row had.
        expected: ProblemId,
    },
    /// A line is not a valid caption.
    #[error("{}:{line}: {fault}", file.display())]
    Caption {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// Fault of the caption.
        fault: CaptionFault,
    },
    /// A file of questions, answers or attempts cannot be used, or a line of it is invalid.
    #[error(transparent)]
    Lines(#[from] seethink_files::JsonLinesError),
    /// A problem is inconsistent or incomplete.
    #[error("{}:{line}: problem {problem}: {fault}", file.display())]
    Problem {
        /// File that the problem is in, or was to be written to.
        file: PathBuf,
        /// The line or row, from 1.
        line: u64,
        /// `index` or `id` of the problem, or else its row number.
        problem: String,
        /// Fault of the problem.
        fault: Fault,
    },
}

impl DataError {
    /// Creates an I/O error of a file or folder, for `map_err`.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_path_buf(), source }
    }
}

/// Formats the first errors, a line each, and the number of the others.
fn list(first: &[DataError], n: usize) -> String {
    let lines: String = first.iter().map(|error| format!("\n  {error}")).collect();
    let more = if n > first.len() { format!("\n  and {} more", n - first.len()) } else { String::new() };
    lines + &more
}

/// Error for an image file outside the root of its data set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the image {written:?} is {}, which is not below {}: expected a file there, or the setting `images_outside`",
    found.display(),
    root.display()
)]
pub struct ImageOutside {
    /// Path of the image as written in the file of problems.
    pub written: String,
    /// Resolved path of the image, links followed.
    pub found: PathBuf,
    /// Resolved root of the data set, links followed.
    pub root: PathBuf,
}

/// Faults of a single problem.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The numbers of placeholders and images differ.
    #[error("the text has {placeholders} <image> placeholders for {images} images")]
    Placeholders {
        /// Number of placeholders in the text.
        placeholders: usize,
        /// Number of images in the list.
        images: usize,
    },
    /// An image file is missing.
    #[error("there is no image file {}", .0.display())]
    MissingImage(PathBuf),
    /// An image file lies outside the root of its data set.
    #[error(transparent)]
    ImageOutside(#[from] Box<ImageOutside>),
    /// An image cannot be decoded.
    #[error(transparent)]
    Image(#[from] LoadImageError),
    /// Neither the row nor the caller gives the capability of the problem.
    #[error("there is no key \"capability\", and no capability was given for such lines")]
    NoCapability,
    /// A required column is missing.
    #[error("there is no column {column:?}; the row has {}", quoted(found))]
    MissingColumn {
        /// The column.
        column: String,
        /// Columns of the row.
        found: Vec<String>,
    },
    /// A column has a value of the wrong type.
    #[error("the column {column:?} is {found}, expected {expected}")]
    Type {
        /// The column.
        column: String,
        /// Expected type.
        expected: &'static str,
        /// Value found.
        found: String,
    },
    /// A value is not the name of a capability.
    #[error("{found:?} stands for no capability, expected one of {}", quoted(expected))]
    Capability {
        /// The value.
        found: String,
        /// Accepted values.
        expected: Vec<String>,
    },
    /// A pass rate is not a fraction.
    #[error("the pass rate is {0}, expected a number in [0, 1]")]
    PassRate(String),
    /// A value is not an image.
    #[error("the image is {0}, expected a path, bytes, base64, or a structure of `bytes` and `path`")]
    ImageValue(String),
    /// The tokens of the prompt cannot be counted.
    #[error("the prompt cannot be counted: {0}")]
    Uncountable(#[source] Box<dyn Error + Send + Sync>),
    /// A column would overwrite a tag of the same name.
    #[error("the key {0:?} stands in the line and in its tags")]
    TwiceTagged(String),
    /// The ground truth is neither text nor a number.
    #[error("the answer is {0}, expected a string or a number")]
    Answer(String),
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
}
