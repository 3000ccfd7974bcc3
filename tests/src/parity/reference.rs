//! Files of the reference.

use anyhow::{Context, Result, anyhow, bail};
use safetensors::{Dtype, SafeTensors};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A folder of fixtures.
#[derive(Debug)]
pub struct Reference {
    dir: PathBuf,
    /// JSON files by name: pictures, prompts, batches, completions, one training step.
    files: BTreeMap<&'static str, Value>,
    /// Tensors by file name.
    tensors: BTreeMap<&'static str, Tensors>,
}

impl Reference {
    /// Reads the folder.
    ///
    /// # Errors
    /// If a file is missing or malformed.
    pub fn open(dir: &Path) -> Result<Self> {
        let json = |name| Ok((name, read_json(&dir.join(format!("{name}.json")))?));
        let tensors = |name| Ok((name, Tensors::read(&dir.join(format!("{name}.safetensors")))?));
        Ok(Self {
            dir: dir.to_owned(),
            files: ["preprocess", "prompts", "forward", "generate", "train", "tokenizer_cases"]
                .into_iter()
                .map(json)
                .collect::<Result<_>>()?,
            tensors: ["preprocess", "forward", "train"].into_iter().map(tensors).collect::<Result<_>>()?,
        })
    }

    /// Folder of the checkpoint.
    pub fn checkpoint(&self) -> PathBuf {
        self.dir.join("checkpoint")
    }

    /// Path of a picture that all families share.
    pub fn image(&self, name: &str) -> PathBuf {
        let beside = self.dir.join("images").join(name);
        if beside.exists() { beside } else { self.dir.join("../images").join(name) }
    }

    /// Content of a JSON file.
    ///
    /// # Panics
    /// If the file is none of those above.
    pub fn json(&self, file: &str) -> &Value {
        &self.files[file]
    }

    /// The tensors of a file.
    ///
    /// # Panics
    /// If the file is none of those above.
    pub fn tensors(&self, file: &str) -> &Tensors {
        &self.tensors[file]
    }
}

/// # Errors
/// If the file is missing or not JSON.
pub(crate) fn read_json(path: &Path) -> Result<Value> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&bytes).with_context(|| format!("{} is not JSON", path.display()))
}

/// Converts a value of a JSON file to a Rust value.
///
/// # Errors
/// If the value is missing or of another type.
pub(crate) fn get<T: DeserializeOwned>(value: &Value, key: &str) -> Result<T> {
    T::deserialize(&value[key]).with_context(|| format!("`{key}` of {value:.200}"))
}

/// Tensors of a safetensors file, in memory.
#[derive(Debug, Clone, Default)]
pub struct Tensors(BTreeMap<String, (Vec<usize>, Values)>);

#[derive(Debug, Clone)]
enum Values {
    Floats(Vec<f32>),
    Ints(Vec<i64>),
    Bytes(Vec<u8>),
}

impl Tensors {
    /// Reads a safetensors file.
    ///
    /// # Errors
    /// If the file is missing or malformed, or holds other numbers than `f32`, `i64` and `u8`.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let file = SafeTensors::deserialize(&bytes).with_context(|| format!("{} is malformed", path.display()))?;
        let tensor = |(name, view): (&str, safetensors::tensor::TensorView<'_>)| {
            let data = view.data();
            let values = match view.dtype() {
                Dtype::F32 => Values::Floats(data.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()),
                Dtype::I64 => Values::Ints(data.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b)).collect()),
                Dtype::U8 => Values::Bytes(data.to_vec()),
                other => bail!("{}: tensor {name} has dtype {other:?}", path.display()),
            };
            Ok((name.to_owned(), (view.shape().to_vec(), values)))
        };
        Ok(Self(file.iter().map(tensor).collect::<Result<_>>()?))
    }

    /// Names of all tensors, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Returns whether there is a tensor of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    fn get(&self, name: &str) -> Result<&(Vec<usize>, Values)> {
        self.0.get(name).ok_or_else(|| anyhow!("the reference has no tensor {name}"))
    }

    /// Shape of a tensor.
    ///
    /// # Errors
    /// If there is none of this name.
    pub fn shape(&self, name: &str) -> Result<&[usize]> {
        Ok(&self.get(name)?.0)
    }

    /// Values of a tensor of floats.
    ///
    /// # Errors
    /// If there is none of this name.
    pub fn floats(&self, name: &str) -> Result<&[f32]> {
        match &self.get(name)?.1 {
            Values::Floats(values) => Ok(values),
            _ => bail!("tensor {name} holds no floats"),
        }
    }

    /// Values of a tensor of integers.
    ///
    /// # Errors
    /// If there is none of this name.
    pub fn ints(&self, name: &str) -> Result<&[i64]> {
        match &self.get(name)?.1 {
            Values::Ints(values) => Ok(values),
            _ => bail!("tensor {name} holds no integers"),
        }
    }

    /// Values of a tensor of bytes.
    ///
    /// # Errors
    /// If there is none of this name.
    pub fn bytes(&self, name: &str) -> Result<&[u8]> {
        match &self.get(name)?.1 {
            Values::Bytes(values) => Ok(values),
            _ => bail!("tensor {name} holds no bytes"),
        }
    }
}
