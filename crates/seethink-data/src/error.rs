//! What can go wrong while problems are made, read or written.

use crate::LoadImageError;
use crate::perception::CaptionFault;
use seethink_core::ProblemId;
use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

/// Why problems could not be made, read or written.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A difficulty knob of the digits world is out of its range.
    #[error("digits world: {field} is {found}, expected {expected}")]
    Config {
        /// The knob.
        field: &'static str,
        /// Its value.
        found: String,
        /// What it may be.
        expected: &'static str,
    },
    /// A file or folder cannot be used.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried: "read", "write", …
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Writing would mix new problems with what is there.
    #[error("{} is not empty; problems are written to a folder of their own", .0.display())]
    NotEmpty(PathBuf),
    /// A line is not the JSON of a problem.
    #[error("{}:{line}: not a problem: {source}", file.display())]
    Json {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong with it; its own line number counts within this line.
        source: serde_json::Error,
    },
    /// A row that cannot be ordered.
    #[error("{}:{line}: {found}, expected `pass_rate` to be a number in [0, 1]", file.display())]
    Unrated {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What stands there.
        found: String,
    },
    /// Something was to be added to a table that is only read.
    #[error("the table of pass rates was opened for reading")]
    ReadOnly,
    /// A file is no parquet file, or a damaged one.
    #[error("cannot read {} as parquet: {source}", file.display())]
    Parquet {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        source: parquet::errors::ParquetError,
    },
    /// A parquet file of which some column is compressed in a way that is not read.
    #[error("{} is compressed with {found}, expected Snappy, gzip, LZ4 or no compression", file.display())]
    Compression {
        /// The file.
        file: PathBuf,
        /// The compression.
        found: String,
    },
    /// A setting of a data set is out of range.
    #[error("{field} is {found}, expected {expected}")]
    Setting {
        /// The setting.
        field: &'static str,
        /// Its value.
        found: String,
        /// What it may be.
        expected: &'static str,
    },
    /// A folder or pattern without a file of problems.
    #[error("there are no problems at {}, expected .jsonl or .parquet files", .0.display())]
    NoFiles(PathBuf),
    /// Two rows are the same problem.
    #[error("{}:{line}: problem {problem} stands already in {}:{first_line}", file.display(), first_file.display())]
    Duplicate {
        /// The file of the later row.
        file: PathBuf,
        /// The later row, from 1.
        line: u64,
        /// The id of both.
        problem: ProblemId,
        /// The file of the earlier row.
        first_file: PathBuf,
        /// The earlier row, from 1.
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
        /// Tokens of its prompt.
        n_tokens: usize,
        /// Most tokens allowed.
        max_tokens: usize,
    },
    /// Several rows are bad.
    #[error("{n_rows} bad rows{}", list(first, *n_rows))]
    Rows {
        /// How many.
        n_rows: usize,
        /// What is wrong with the first of them.
        first: Vec<DataError>,
    },
    /// A file is not what it was when it was checked.
    #[error("{}:{line}: the file changed after it was opened: problem {expected} stood here", file.display())]
    Changed {
        /// The file.
        file: PathBuf,
        /// The line or row, from 1.
        line: u64,
        /// The problem that was here.
        expected: ProblemId,
    },
    /// A line is not a caption.
    #[error("{}:{line}: {fault}", file.display())]
    Caption {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        fault: CaptionFault,
    },
    /// A line does not belong into a journal of questions, answers or attempts.
    #[error("{}:{line}: {what}", file.display())]
    Journal {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        what: String,
    },
    /// A problem contradicts itself or lacks something.
    #[error("{}:{line}: problem {problem}: {fault}", file.display())]
    Problem {
        /// The file that it stands in, or was to be written to.
        file: PathBuf,
        /// The line or row, from 1.
        line: u64,
        /// Its `index` or `id`.
        problem: String,
        /// What is wrong.
        fault: Fault,
    },
}

impl DataError {
    /// What the system says about a file or folder.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_path_buf(), source }
    }
}

/// The first errors of so many, a line each.
fn list(first: &[DataError], n: usize) -> String {
    let lines: String = first.iter().map(|error| format!("\n  {error}")).collect();
    let more = if n > first.len() { format!("\n  and {} more", n - first.len()) } else { String::new() };
    lines + &more
}

/// An image file that does not lie below the root of its data set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the image {written:?} is {}, which is not below {}: expected a file there, or the setting `images_outside`",
    found.display(),
    root.display()
)]
pub struct ImageOutside {
    /// Its path as the file of problems has it.
    pub written: String,
    /// Where that leads, links followed.
    pub found: PathBuf,
    /// The root, links followed.
    pub root: PathBuf,
}

/// What can be wrong with one problem.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Each placeholder stands for one image.
    #[error("the text has {placeholders} <image> placeholders for {images} images")]
    Placeholders {
        /// In the text.
        placeholders: usize,
        /// In the list.
        images: usize,
    },
    /// An image file is not there.
    #[error("there is no image file {}", .0.display())]
    MissingImage(PathBuf),
    /// An image file that does not lie below the root of its data set.
    #[error(transparent)]
    ImageOutside(#[from] Box<ImageOutside>),
    /// An image cannot be decoded.
    #[error(transparent)]
    Image(#[from] LoadImageError),
    /// Neither the line nor the caller says what the problem exercises.
    #[error("there is no key \"capability\", and no capability was given for such lines")]
    NoCapability,
    /// A column that must be there is not.
    #[error("there is no column {column:?}; the row has {}", quoted(found))]
    MissingColumn {
        /// The column.
        column: String,
        /// Those of the row.
        found: Vec<String>,
    },
    /// A column holds something of another type.
    #[error("the column {column:?} is {found}, expected {expected}")]
    Type {
        /// The column.
        column: String,
        /// What it should hold.
        expected: &'static str,
        /// What it holds.
        found: String,
    },
    /// A value that stands for no capability.
    #[error("{found:?} stands for no capability, expected one of {}", quoted(expected))]
    Capability {
        /// The value.
        found: String,
        /// Those that stand for one.
        expected: Vec<String>,
    },
    /// A pass rate that is no fraction.
    #[error("the pass rate is {0}, expected a number in [0, 1]")]
    PassRate(String),
    /// An image that is none.
    #[error("the image is {0}, expected a path, bytes, base64, or a structure of `bytes` and `path`")]
    ImageValue(String),
    /// The prompt cannot be made.
    #[error("the prompt cannot be counted: {0}")]
    Uncountable(#[source] Box<dyn Error + Send + Sync>),
    /// An unknown key would overwrite a tag.
    #[error("the key {0:?} stands in the line and in its tags")]
    TwiceTagged(String),
    /// The ground truth is neither text nor a number.
    #[error("the answer is {0}, expected a string or a number")]
    Answer(String),
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
}
