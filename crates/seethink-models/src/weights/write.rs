//! Writing of weights: from modules to files.

use super::naming::{Dialect, FileTensor, Naming, Trail};
use super::{CONFIG, ENTRIES, INDEX, SINGLE, SaveError, WeightDtype};
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};
use half::{bf16, f16};
use rayon::prelude::*;
use safetensors::tensor::{Dtype, View};
use seethink_files::FolderUpdate;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// Options of saving weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SaveOptions {
    /// Number format; by default the model's own.
    pub dtype: Option<WeightDtype>,
    /// Maximum bytes of tensors in one file; a larger model is written in shards. A tensor is never
    /// divided.
    pub max_shard_bytes: u64,
}

impl Default for SaveOptions {
    /// Options for the model's own format, in shards of 5 GB, as transformers 4 writes them.
    fn default() -> Self {
        Self { dtype: None, max_shard_bytes: 5_000_000_000 }
    }
}

impl From<WeightDtype> for SaveOptions {
    fn from(dtype: WeightDtype) -> Self {
        Self { dtype: Some(dtype), ..Self::default() }
    }
}

/// Saves `config.json` and the weights into `dir`, which is created if need be. Whenever it is
/// stopped, the folder holds the model that was there before, or the new one, or weights that
/// [`WeightFiles::open`](super::WeightFiles::open) refuses as unfinished; see [`FolderUpdate`].
/// Files of weights that were there before and are no part of the new ones are deleted at the end.
///
/// # Errors
/// If a file cannot be written.
pub(crate) fn save<M: Module>(
    dir: &Path,
    config: &Value,
    module: &M,
    (naming, dialect): (&Naming, Dialect),
    dtype: WeightDtype,
    max_shard_bytes: u64,
) -> Result<(), SaveError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| SaveError::Write { path: path.clone(), source }
    };
    let mut collect = Collect { naming, dialect, trail: Trail::default(), dtype, tensors: Vec::new() };
    module.visit(&mut collect);
    let mut update = FolderUpdate::begin(dir, &ENTRIES, is_part).map_err(failed(dir))?;
    let stage_json = |update: &mut FolderUpdate<'_>, name: &str, json: &Value| {
        let path = dir.join(name);
        let text =
            serde_json::to_string_pretty(json).map_err(|source| SaveError::Config { path: path.clone(), source })?;
        update.stage_bytes(name, (text + "\n").as_bytes()).map_err(failed(&path))
    };
    stage_json(&mut update, CONFIG, config)?;
    let shards = shards(collect.tensors, max_shard_bytes);
    let n = shards.len();
    let mut weight_map = BTreeMap::new();
    let mut total_size = 0;
    for (i, shard) in shards.into_iter().enumerate() {
        let name = if n == 1 { SINGLE.to_owned() } else { format!("model-{:05}-of-{n:05}.safetensors", i + 1) };
        total_size += shard.iter().map(|(_, tensor)| tensor.data_len()).sum::<usize>();
        weight_map.extend(shard.iter().map(|(tensor, _)| (tensor.clone(), name.clone())));
        let path = dir.join(&name);
        update.stage(&name, failed(&path), |partial| {
            // The reference refuses files that do not name the framework whose layout they follow.
            let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
            safetensors::serialize_to_file(shard, Some(metadata), partial)
                .map_err(|source| SaveError::Tensors { path: path.clone(), source })
        })?;
    }
    if n > 1 {
        let index = json!({"metadata": {"total_size": total_size}, "weight_map": weight_map});
        stage_json(&mut update, INDEX, &index)?;
    }
    update.commit().map_err(failed(dir))
}

/// Returns whether a file name belongs to a model: its configuration, a single file of weights, the
/// index, or a shard.
fn is_part(name: &str) -> bool {
    let shard = |middle: &str| {
        middle.split_once("-of-").is_some_and(|(i, n)| {
            [i, n].iter().all(|number| number.len() == 5 && number.bytes().all(|byte| byte.is_ascii_digit()))
        })
    };
    [CONFIG, SINGLE, INDEX].contains(&name)
        || name.strip_prefix("model-").and_then(|rest| rest.strip_suffix(".safetensors")).is_some_and(shard)
}

/// Splits tensors, in order, into shards of at most `max_bytes`, unless one tensor is larger.
fn shards(tensors: Vec<(String, Stored)>, max_bytes: u64) -> Vec<Vec<(String, Stored)>> {
    let mut shards = vec![Vec::new()];
    let mut bytes = 0;
    for tensor in tensors {
        let len = tensor.1.data_len() as u64;
        if bytes > 0 && bytes + len > max_bytes {
            shards.push(Vec::new());
            bytes = 0;
        }
        bytes += len;
        shards.last_mut().expect("one at least").push(tensor);
    }
    shards
}

/// Collects the parameters of a module as tensors of the file; values are fetched only when they
/// are written.
struct Collect<'a> {
    naming: &'a Naming,
    dialect: Dialect,
    trail: Trail,
    dtype: WeightDtype,
    tensors: Vec<(String, Stored)>,
}

impl ModuleVisitor for Collect<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.trail.enter(name, container);
    }
    fn exit_module(&mut self, _: &str, container: &str) {
        self.trail.exit(container);
    }
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let FileTensor { name, shape, transposed } = self.naming.locate(&self.trail, &param.lazy_shape(), self.dialect);
        let tensor = param.val();
        let values = move || {
            let tensor = tensor.clone().inner();
            let tensor = if transposed { tensor.transpose() } else { tensor };
            tensor.into_data()
        };
        self.tensors.push((name, Stored { shape, dtype: self.dtype, values: Box::new(values) }));
    }
}

struct Stored {
    shape: Vec<usize>,
    dtype: WeightDtype,
    values: Box<dyn Fn() -> TensorData>,
}

impl View for Stored {
    fn dtype(&self) -> Dtype {
        self.dtype.file_dtype()
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let data = (self.values)();
        // Same format, same bits.
        if data.dtype() == self.dtype.tensor_dtype() {
            return Cow::Owned(data.as_bytes().to_vec());
        }
        let data = data.convert::<f32>();
        let values = data.as_slice::<f32>().expect("converted to f32");
        let mut bytes = vec![0; self.data_len()];
        match self.dtype {
            WeightDtype::F32 => encode(values, &mut bytes, f32::to_le_bytes),
            WeightDtype::F16 => encode(values, &mut bytes, |x| f16::from_f32(x).to_le_bytes()),
            WeightDtype::Bf16 => encode(values, &mut bytes, |x| bf16::from_f32(x).to_le_bytes()),
        }
        Cow::Owned(bytes)
    }

    fn data_len(&self) -> usize {
        self.shape.iter().product::<usize>() * self.dtype.size()
    }
}

fn encode<const N: usize>(values: &[f32], bytes: &mut [u8], encode: impl Fn(f32) -> [u8; N] + Sync) {
    bytes.as_chunks_mut().0.par_iter_mut().zip(values).for_each(|(bytes, &value)| *bytes = encode(value));
}
