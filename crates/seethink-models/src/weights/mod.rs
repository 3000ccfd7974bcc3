//! Weights of checkpoints: reading and writing safetensors files, single or sharded, one tensor in
//! memory at a time.
//!
//! A backbone has one table, its [`Naming`], with the names of its modules in the file; all other
//! code is here.

mod error;
mod init;
mod naming;
mod read;
mod write;

pub use error::{LoadError, SaveError};
pub use init::Initial;
pub(crate) use init::initialize;
pub use naming::Naming;
pub(crate) use naming::{Dialect, parameters};
pub use read::WeightSummary;
pub(crate) use read::{WeightFiles, load, read_json};
pub use write::SaveOptions;
pub(crate) use write::save;

use burn::tensor::DType;
use safetensors::tensor::Dtype;
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// Name of the model's configuration in a checkpoint folder.
pub(crate) const CONFIG: &str = "config.json";
const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// Files through which weights are found; the second counts if both exist.
const ENTRIES: [&str; 2] = [INDEX, SINGLE];

/// Number format of weights, in files and in models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum WeightDtype {
    /// Single precision: exact.
    #[default]
    F32,
    /// Half precision: half the size, 11 bits of precision, a narrow range.
    F16,
    /// bfloat16: half the size, 8 bits of precision; the format of published checkpoints.
    Bf16,
}

impl WeightDtype {
    /// Every format, with its name in `--dtype`.
    pub const ALL: [(&'static str, Self); 3] = [("f32", Self::F32), ("f16", Self::F16), ("bf16", Self::Bf16)];

    /// Number format of a model's tensors.
    pub(crate) fn of(dtype: DType) -> Self {
        match dtype {
            DType::F16 => Self::F16,
            DType::BF16 => Self::Bf16,
            _ => Self::F32,
        }
    }

    /// Name of the format in `config.json`.
    pub(crate) fn torch_name(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::F16 => "float16",
            Self::Bf16 => "bfloat16",
        }
    }

    /// Dtype of the format in burn.
    pub fn tensor_dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::F16 => DType::F16,
            Self::Bf16 => DType::BF16,
        }
    }

    /// Dtype of the format in files.
    fn file_dtype(self) -> Dtype {
        match self {
            Self::F32 => Dtype::F32,
            Self::F16 => Dtype::F16,
            Self::Bf16 => Dtype::BF16,
        }
    }

    /// Size of a number, bytes.
    pub fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }
}

impl FromStr for WeightDtype {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|(one, _)| *one == name).map(|(_, dtype)| dtype);
        found.ok_or_else(|| format!("expected one of {}", Self::ALL.map(|(name, _)| name).join(", ")))
    }
}
