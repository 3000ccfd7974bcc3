//! What can go wrong while problems are made, read or written.

use crate::LoadImageError;
use crate::perception::CaptionFault;
use std::path::PathBuf;

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
        line: usize,
        /// What is wrong with it; its own line number counts within this line.
        source: serde_json::Error,
    },
    /// A row that cannot be ordered.
    #[error("{}:{line}: {found}, expected `pass_rate` to be a number in [0, 1]", file.display())]
    Unrated {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What stands there.
        found: String,
    },
    /// A line does not belong into a table of pass rates.
    #[error("{}:{line}: not a row of this table of pass rates: {what}", file.display())]
    PassRates {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        what: String,
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
    /// A line does not belong into a journal of questions or answers.
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
        /// The line, from 1.
        line: usize,
        /// Its `index` or `id`.
        problem: String,
        /// What is wrong.
        fault: Fault,
    },
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
    /// An image cannot be decoded.
    #[error(transparent)]
    Image(#[from] LoadImageError),
    /// Neither the line nor the caller says what the problem exercises.
    #[error("there is no key \"capability\", and no capability was given for such lines")]
    NoCapability,
    /// An unknown key would overwrite a tag.
    #[error("the key {0:?} stands in the line and in its tags")]
    TwiceTagged(String),
    /// The ground truth is neither text nor a number.
    #[error("the answer is {0}, expected a string or a number")]
    Answer(String),
}
