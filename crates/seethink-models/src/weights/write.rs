//! From modules to files.

use super::{CONFIG, FileTensor, Naming, SINGLE, SaveError, Trail};
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};
use half::bf16;
use rayon::prelude::*;
use safetensors::tensor::{Dtype, View};
use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

/// Number format of saved weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WeightDtype {
    /// Exact.
    #[default]
    F32,
    /// Half the size, 8 bits of precision; how published checkpoints come.
    Bf16,
}

impl WeightDtype {
    /// The name in `config.json`.
    pub(crate) fn torch_name(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::Bf16 => "bfloat16",
        }
    }
}

/// Writes `config.json` and `model.safetensors` into `dir`, which is created if need be. Each file appears whole or not at all.
///
/// # Errors
/// If something cannot be written.
pub(crate) fn save<M: Module>(
    dir: &Path,
    config: &impl serde::Serialize,
    module: &M,
    naming: &Naming,
    dtype: WeightDtype,
) -> Result<(), SaveError> {
    std::fs::create_dir_all(dir).map_err(|source| SaveError::Write { path: dir.to_owned(), source })?;
    let path = dir.join(SINGLE);
    let mut collect = Collect { naming, trail: Trail::default(), dtype, tensors: Vec::new() };
    module.visit(&mut collect);
    replace(&path, |temporary| {
        // The reference refuses files that do not say which framework's layout they follow.
        let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
        safetensors::serialize_to_file(collect.tensors, Some(metadata), temporary)
            .map_err(|source| SaveError::Tensors { path: path.clone(), source })
    })?;
    let path = dir.join(CONFIG);
    replace(&path, |temporary| {
        let text =
            serde_json::to_string_pretty(config).map_err(|source| SaveError::Config { path: path.clone(), source })?;
        std::fs::write(temporary, text + "\n").map_err(|source| SaveError::Write { path: path.clone(), source })
    })
}

/// Writes a file under a temporary name, then gives it its own.
fn replace(path: &Path, write: impl FnOnce(&Path) -> Result<(), SaveError>) -> Result<(), SaveError> {
    let temporary = path.with_extension("partial");
    let failed = |source| SaveError::Write { path: path.to_owned(), source };
    // A writer may make a file of its own that only its owner can read: the permissions are those of a plain file.
    let permissions = File::create(&temporary).and_then(|file| file.metadata()).map_err(failed)?.permissions();
    write(&temporary)?;
    let settle = || {
        std::fs::set_permissions(&temporary, permissions)?;
        File::open(&temporary)?.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    settle().map_err(failed)
}

/// Collects the parameters of a module as tensors of the file; their values are only fetched when they are written.
struct Collect<'a> {
    naming: &'a Naming,
    trail: Trail,
    dtype: WeightDtype,
    tensors: Vec<(String, Stored)>,
}

impl ModuleVisitor for Collect<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.trail.enter(name, container);
    }
    fn exit_module(&mut self, _: &str, _: &str) {
        self.trail.exit();
    }
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let FileTensor { name, shape, transposed } = self.naming.locate(&self.trail, &param.lazy_shape());
        let tensor = param.val();
        let values = move || {
            let tensor = tensor.clone().inner();
            let tensor = if transposed { tensor.transpose() } else { tensor };
            tensor.into_data().convert::<f32>()
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
        match self.dtype {
            WeightDtype::F32 => Dtype::F32,
            WeightDtype::Bf16 => Dtype::BF16,
        }
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let data = (self.values)();
        let values = data.as_slice::<f32>().expect("converted to f32");
        let mut bytes = vec![0; self.data_len()];
        match self.dtype {
            WeightDtype::F32 => encode(values, &mut bytes, f32::to_le_bytes),
            WeightDtype::Bf16 => encode(values, &mut bytes, |x| bf16::from_f32(x).to_le_bytes()),
        }
        Cow::Owned(bytes)
    }

    fn data_len(&self) -> usize {
        self.shape.iter().product::<usize>() * self.dtype().bitsize() / 8
    }
}

fn encode<const N: usize>(values: &[f32], bytes: &mut [u8], encode: impl Fn(f32) -> [u8; N] + Sync) {
    bytes.as_chunks_mut().0.par_iter_mut().zip(values).for_each(|(bytes, &value)| *bytes = encode(value));
}
