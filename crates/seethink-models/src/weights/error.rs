//! Errors of reading and writing checkpoints.

use super::{INDEX, SINGLE};
use safetensors::tensor::Dtype;
use seethink_core::SettingError;
use std::io;
use std::path::PathBuf;

/// Errors of loading a checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file is missing or cannot be read.
    #[error("cannot read {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// A JSON file is malformed.
    #[error("{}: at `{field}`", .path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// Path to the field, `.` for the file as a whole.
        field: String,
        /// Cause.
        source: serde_json::Error,
    },
    /// A setting has a value that is not supported.
    #[error("{}: {error}", .path.display())]
    Setting {
        /// The file.
        path: PathBuf,
        /// The setting, its value, and the values that would work.
        error: SettingError,
    },
    /// A folder with neither a weight file nor an index of shards.
    #[error("{} holds neither {SINGLE} nor {INDEX}", .dir.display())]
    NoWeights {
        /// The folder.
        dir: PathBuf,
    },
    /// Weight files that are partly old and partly new.
    #[error("{} holds no whole model: saving it was interrupted, expected it to be saved again", .dir.display())]
    Interrupted {
        /// The folder.
        dir: PathBuf,
    },
    /// Not a safetensors file.
    #[error("{} is no safetensors file: its header is malformed", .path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// Cause.
        source: serde_json::Error,
    },
    /// A weight file is shorter or longer than its header says.
    #[error("{} is damaged: it has {found} bytes, its header asks for {expected}", .path.display())]
    Length {
        /// The file.
        path: PathBuf,
        /// Bytes according to the header.
        expected: u64,
        /// Bytes in the file.
        found: u64,
    },
    /// Tensors that the model has and the file does not, or the other way round.
    #[error("{} does not fit the model: {}", .dir.display(), describe(.missing, .unexpected))]
    Names {
        /// The folder.
        dir: PathBuf,
        /// Tensors that the file lacks.
        missing: Vec<String>,
        /// Tensors that the model lacks.
        unexpected: Vec<String>,
    },
    /// A tensor of another shape than the configuration asks for.
    #[error("{}: tensor `{name}` has shape {found:?}, but the configuration asks for {expected:?}", .path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Shape in the file.
        found: Vec<usize>,
        /// Shape according to the configuration.
        expected: Vec<usize>,
    },
    /// A tensor that holds no floats.
    #[error("{}: tensor `{name}` has dtype {found:?}, expected F32, F16 or BF16", .path.display())]
    Dtype {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Dtype of the tensor.
        found: Dtype,
    },
}

fn describe(missing: &[String], unexpected: &[String]) -> String {
    let missing = (!missing.is_empty()).then(|| format!("it lacks {}", missing.join(", ")));
    let unexpected =
        (!unexpected.is_empty()).then(|| format!("it has {}, which the model lacks", unexpected.join(", ")));
    missing.into_iter().chain(unexpected).collect::<Vec<_>>().join("; ")
}

/// Errors of saving a checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// A file or the folder cannot be written.
    #[error("cannot write {}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// The configuration does not serialise.
    #[error("cannot serialise {}", .path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// Cause.
        source: serde_json::Error,
    },
    /// The weights do not serialise.
    #[error("cannot write the tensors of {}", .path.display())]
    Tensors {
        /// The file.
        path: PathBuf,
        /// Cause.
        source: safetensors::SafeTensorError,
    },
}
