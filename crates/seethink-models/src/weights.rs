//! Weights of checkpoints in and out: safetensors files, single or sharded, one tensor in memory at a time.
//!
//! A backbone says in one table, its [`Naming`], what its modules are called in the file; everything else is here.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{DType, Tensor, TensorData};
use half::{bf16, f16};
use rayon::prelude::*;
use safetensors::tensor::{Dtype, Metadata, TensorInfo, View};
use seethink_core::{Purpose, Rng};
use serde::{Deserialize, de::DeserializeOwned};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// The model's configuration in a checkpoint folder.
pub(crate) const CONFIG: &str = "config.json";
const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// Why a checkpoint could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file is missing or cannot be read.
    #[error("cannot read {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A JSON file is malformed.
    #[error("{}: at `{field}`", .path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// Path to the field, `.` for the file as a whole.
        field: String,
        /// Why.
        source: serde_json::Error,
    },
    /// A model that is not implemented.
    #[error("{}: {what}", .path.display())]
    Unsupported {
        /// The configuration.
        path: PathBuf,
        /// What is not supported.
        what: String,
    },
    /// Neither a weight file nor an index of shards.
    #[error("{} holds neither {SINGLE} nor {INDEX}", .dir.display())]
    NoWeights {
        /// The folder.
        dir: PathBuf,
    },
    /// Not a safetensors file.
    #[error("{} is no safetensors file: its header is malformed", .path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// A weight file is shorter or longer than its header says.
    #[error("{} is damaged: it has {found} bytes, its header asks for {expected}", .path.display())]
    Length {
        /// The file.
        path: PathBuf,
        /// Bytes by the header.
        expected: u64,
        /// Bytes there are.
        found: u64,
    },
    /// Tensors that the model has and the file does not, or the other way round.
    #[error("{} does not fit the model: {}", .dir.display(), describe(.missing, .unexpected))]
    Names {
        /// The folder.
        dir: PathBuf,
        /// What the file lacks.
        missing: Vec<String>,
        /// What the model lacks.
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
        /// Shape by the configuration.
        expected: Vec<usize>,
    },
    /// A tensor that holds no floats.
    #[error("{}: tensor `{name}` has dtype {found:?}, expected F32, F16 or BF16", .path.display())]
    Dtype {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Its dtype.
        found: Dtype,
    },
}

fn describe(missing: &[String], unexpected: &[String]) -> String {
    let missing = (!missing.is_empty()).then(|| format!("it lacks {}", missing.join(", ")));
    let unexpected =
        (!unexpected.is_empty()).then(|| format!("it has {}, which the model lacks", unexpected.join(", ")));
    missing.into_iter().chain(unexpected).collect::<Vec<_>>().join("; ")
}

/// Why a checkpoint could not be written.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// A file or the folder cannot be written.
    #[error("cannot write {}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The configuration does not serialise.
    #[error("cannot serialise {}", .path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// The weights do not serialise.
    #[error("cannot write the tensors of {}", .path.display())]
    Tensors {
        /// The file.
        path: PathBuf,
        /// Why.
        source: safetensors::SafeTensorError,
    },
}

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

/// What a backbone's modules are called in its checkpoints.
#[derive(Debug)]
pub(crate) struct Naming {
    /// Our module path, the checkpoint's; `*` is an index.
    pub(crate) modules: &'static [(&'static str, &'static str)],
    /// Tensors, by the checkpoint's name, that the file keeps in another shape than ours, rows of the same length apart.
    pub(crate) shapes: Vec<(&'static str, Vec<usize>)>,
}

/// A parameter as the file has it.
struct FileTensor {
    name: String,
    shape: Vec<usize>,
    /// The file keeps linear weights `[out, in]`, burn `[in, out]`.
    transposed: bool,
}

/// Where in a module tree a visitor is.
#[derive(Debug, Default)]
struct Trail(Vec<(String, String)>);

impl Trail {
    fn enter(&mut self, name: &str, container: &str) {
        self.0.push((name.to_owned(), container.to_owned()));
    }

    fn exit(&mut self) {
        self.0.pop();
    }

    /// The kind of module that owns the parameter, and the parameter's field.
    fn owner(&self) -> (&str, &str) {
        self.0.last().map_or(("", ""), |(field, container)| (container, field))
    }
}

impl Naming {
    /// How the parameter at `trail` stands in the file.
    ///
    /// # Panics
    /// If the table lacks the module.
    fn locate(&self, trail: &Trail, dims: &[usize]) -> FileTensor {
        let path: Vec<&str> = trail.0[..trail.0.len() - 1].iter().map(|(name, _)| name.as_str()).collect();
        let module = self.modules.iter().find_map(|(ours, theirs)| rename(&path, ours, theirs));
        let module = module.unwrap_or_else(|| panic!("no name for module {}", path.join(".")));
        let (owner, field) = trail.owner();
        let field = match field {
            "gamma" => "weight",
            "beta" => "bias",
            other => other,
        };
        let name = format!("{module}.{field}");
        let transposed = owner == "Struct:Linear" && dims.len() == 2;
        let shape = match self.shapes.iter().find(|(special, _)| *special == name) {
            Some((_, shape)) => shape.clone(),
            None if transposed => vec![dims[1], dims[0]],
            None => dims.to_vec(),
        };
        FileTensor { name, shape, transposed }
    }
}

/// `theirs` with the indices that `path` has in the place of the stars of `ours`, if it is such a path.
fn rename(path: &[&str], ours: &str, theirs: &str) -> Option<String> {
    let mut pattern = ours.split('.');
    let mut indices = Vec::new();
    for segment in path {
        match pattern.next()? {
            "*" => indices.push(*segment),
            expected if expected == *segment => {}
            _ => return None,
        }
    }
    if pattern.next().is_some() {
        return None;
    }
    let mut indices = indices.into_iter();
    let segments = theirs.split('.').map(|s| if s == "*" { indices.next().unwrap_or(s) } else { s });
    Some(segments.collect::<Vec<_>>().join("."))
}

/// The weight files of a checkpoint, headers read.
#[derive(Debug)]
pub(crate) struct WeightFiles {
    dir: PathBuf,
    files: Vec<WeightFile>,
    /// Which file holds a tensor.
    places: BTreeMap<String, usize>,
}

#[derive(Debug)]
struct WeightFile {
    path: PathBuf,
    file: File,
    metadata: Metadata,
    data_start: u64,
}

#[derive(Deserialize)]
struct Index {
    weight_map: HashMap<String, String>,
}

impl WeightFiles {
    /// Opens `model.safetensors`, or the shards that the index names.
    ///
    /// # Errors
    /// If a file is missing, no safetensors file, or not as long as its header says.
    pub(crate) fn open(dir: &Path) -> Result<Self, LoadError> {
        let names = if dir.join(SINGLE).is_file() {
            BTreeSet::from([SINGLE.to_owned()])
        } else if dir.join(INDEX).is_file() {
            read_json::<Index>(&dir.join(INDEX))?.weight_map.into_values().collect()
        } else {
            return Err(LoadError::NoWeights { dir: dir.to_owned() });
        };
        let files = names.into_iter().map(|name| WeightFile::open(dir.join(name))).collect::<Result<Vec<_>, _>>()?;
        let names = |(i, file): (usize, &WeightFile)| {
            file.metadata.tensors().into_keys().map(move |name| (name, i)).collect::<Vec<_>>()
        };
        let places = files.iter().enumerate().flat_map(names).collect();
        Ok(Self { dir: dir.to_owned(), files, places })
    }

    /// Whether a tensor of this name exists.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.places.contains_key(name)
    }

    /// The values of a tensor, or `None` if there is no such tensor.
    fn read(&self, tensor: &FileTensor) -> Result<Option<Vec<f32>>, LoadError> {
        let Some(file) = self.places.get(&tensor.name).map(|&i| &self.files[i]) else { return Ok(None) };
        let Some(info) = file.metadata.info(&tensor.name) else { return Ok(None) };
        if info.shape != tensor.shape {
            return Err(LoadError::Shape {
                path: file.path.clone(),
                name: tensor.name.clone(),
                found: info.shape.clone(),
                expected: tensor.shape.clone(),
            });
        }
        let bytes = file.bytes(info).map_err(|source| LoadError::Read { path: file.path.clone(), source })?;
        let rows = if tensor.transposed { tensor.shape[0] } else { 0 };
        let values = to_f32(&bytes, info.dtype, rows).ok_or_else(|| LoadError::Dtype {
            path: file.path.clone(),
            name: tensor.name.clone(),
            found: info.dtype,
        })?;
        Ok(Some(values))
    }
}

impl WeightFile {
    fn open(path: PathBuf) -> Result<Self, LoadError> {
        let unreadable = |source| LoadError::Read { path: path.clone(), source };
        let mut file = File::open(&path).map_err(unreadable)?;
        let found = file.metadata().map_err(unreadable)?.len();
        let damaged = |expected| LoadError::Length { path: path.clone(), expected, found };
        let mut length = [0; 8];
        if found < 8 {
            return Err(damaged(8));
        }
        file.read_exact(&mut length).map_err(unreadable)?;
        let data_start = u64::from_le_bytes(length).saturating_add(8);
        if data_start > found {
            return Err(damaged(data_start));
        }
        let mut header = vec![0; (data_start - 8) as usize];
        file.read_exact(&mut header).map_err(unreadable)?;
        let metadata: Metadata =
            serde_json::from_slice(&header).map_err(|source| LoadError::Header { path: path.clone(), source })?;
        let expected = data_start.saturating_add(metadata.data_len() as u64);
        if expected != found {
            return Err(damaged(expected));
        }
        Ok(Self { path, file, metadata, data_start })
    }

    fn bytes(&self, info: &TensorInfo) -> io::Result<Vec<u8>> {
        let (start, end) = info.data_offsets;
        let mut bytes = vec![0; end - start];
        let mut file = &self.file;
        file.seek(SeekFrom::Start(self.data_start + start as u64))?;
        file.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

/// Little-endian floats, widened, and transposed if they are a matrix of `rows > 0` rows; `None` for other kinds of numbers.
fn to_f32(bytes: &[u8], dtype: Dtype, rows: usize) -> Option<Vec<f32>> {
    Some(match dtype {
        Dtype::F32 => decode(bytes.as_chunks().0, rows, f32::from_le_bytes),
        Dtype::F16 => decode(bytes.as_chunks().0, rows, |b| f16::from_le_bytes(b).to_f32()),
        Dtype::BF16 => decode(bytes.as_chunks().0, rows, |b| bf16::from_le_bytes(b).to_f32()),
        _ => return None,
    })
}

/// One pass, so that of a big tensor there is never more than the bytes and the floats; in strips that fit the caches.
fn decode<const N: usize>(values: &[[u8; N]], rows: usize, decode: impl Fn([u8; N]) -> f32 + Sync) -> Vec<f32> {
    const STRIP: usize = 16;
    if rows == 0 {
        return values.par_iter().map(|&value| decode(value)).collect();
    }
    let columns = values.len() / rows;
    let mut out = vec![0.0; values.len()];
    out.par_chunks_mut(STRIP * rows).enumerate().for_each(|(strip, out)| {
        for row in 0..rows {
            let source = &values[row * columns + strip * STRIP..];
            for (out, &value) in out.chunks_exact_mut(rows).zip(source) {
                out[row] = decode(value);
            }
        }
    });
    out
}

/// Reads a JSON file.
///
/// # Errors
/// If it is missing or not of this form.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, LoadError> {
    let text = std::fs::read(path).map_err(|source| LoadError::Read { path: path.to_owned(), source })?;
    let mut reader = serde_json::Deserializer::from_slice(&text);
    serde_path_to_error::deserialize(&mut reader).map_err(|source| LoadError::Config {
        path: path.to_owned(),
        field: source.path().to_string(),
        source: source.into_inner(),
    })
}

/// Fills `module` with the tensors of `files`, as `f32`. Parameters keep their identity and whether they learn.
///
/// `ignored`: a tensor of the file that the model has no use for.
///
/// # Errors
/// If a tensor is missing, unexpected, of the wrong shape or not of floats.
pub(crate) fn load<M: Module>(
    module: M,
    naming: &Naming,
    files: &WeightFiles,
    ignored: &[&str],
) -> Result<M, LoadError> {
    struct Load<'a> {
        naming: &'a Naming,
        files: &'a WeightFiles,
        trail: Trail,
        seen: BTreeSet<String>,
        missing: Vec<String>,
        failed: Option<LoadError>,
    }
    impl ModuleMapper for Load<'_> {
        fn enter_module(&mut self, name: &str, container: &str) {
            self.trail.enter(name, container);
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.trail.exit();
        }
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            if self.failed.is_some() {
                return param;
            }
            let dims = param.lazy_shape();
            let tensor = self.naming.locate(&self.trail, &dims);
            match self.files.read(&tensor) {
                Ok(Some(values)) => {
                    self.seen.insert(tensor.name);
                    fill(param, TensorData::new(values, dims))
                }
                Ok(None) => {
                    self.missing.push(tensor.name);
                    param
                }
                Err(error) => {
                    self.failed = Some(error);
                    param
                }
            }
        }
    }
    let trail = Trail::default();
    let mut load = Load { naming, files, trail, seen: BTreeSet::new(), missing: Vec::new(), failed: None };
    let module = module.map(&mut load);
    if let Some(error) = load.failed {
        return Err(error);
    }
    let known = |name: &String| load.seen.contains(name) || ignored.contains(&name.as_str());
    let unexpected: Vec<String> = files.places.keys().filter(|name| !known(name)).cloned().collect();
    if !load.missing.is_empty() || !unexpected.is_empty() {
        return Err(LoadError::Names { dir: files.dir.clone(), missing: load.missing, unexpected });
    }
    Ok(module)
}

/// Puts values into a parameter whose own initial ones were never made.
fn fill<const D: usize>(param: Param<Tensor<D>>, data: TensorData) -> Param<Tensor<D>> {
    let tensor = Tensor::from_data(data, (&param.lazy_device(), DType::F32));
    let id = param.id;
    param.transform_for_load(tensor, id)
}

/// Fresh weights: matrices are normal with deviation `std(name)`, biases zero, norms one.
///
/// Every tensor draws from its own stream, keyed by its name in the checkpoint.
pub(crate) fn initialize<M: Module>(module: M, naming: &Naming, seed: u64, std: impl Fn(&str) -> f64) -> M {
    struct Initialize<'a, F> {
        naming: &'a Naming,
        trail: Trail,
        seed: u64,
        std: F,
    }
    impl<F: Fn(&str) -> f64> ModuleMapper for Initialize<'_, F> {
        fn enter_module(&mut self, name: &str, container: &str) {
            self.trail.enter(name, container);
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.trail.exit();
        }
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let dims = param.lazy_shape();
            let name = self.naming.locate(&self.trail, &dims).name;
            let n = dims.num_elements();
            let values = match self.trail.owner() {
                ("Struct:Linear" | "Struct:Embedding", "weight") => {
                    let mut rng = Rng::new(self.seed, Purpose::Weights, &[fnv1a(&name)]);
                    let std = (self.std)(&name);
                    (0..n).map(|_| (rng.normal() * std) as f32).collect()
                }
                (_, "bias" | "beta") => vec![0.0; n],
                _ => vec![1.0f32; n],
            };
            fill(param, TensorData::new(values, dims))
        }
    }
    module.map(&mut Initialize { naming, trail: Trail::default(), seed, std })
}

/// A stable hash of a name (FNV-1a, 64 bits).
fn fnv1a(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
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
    write(&temporary)?;
    let settle = || {
        File::open(&temporary)?.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    settle().map_err(|source| SaveError::Write { path: path.to_owned(), source })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_renamed_by_pattern() {
        let path = ["text", "layers", "12", "attn", "q"];
        let renamed = rename(&path, "text.layers.*.attn.q", "model.layers.*.self_attn.q_proj");
        assert_eq!(renamed.as_deref(), Some("model.layers.12.self_attn.q_proj"));
        assert_eq!(rename(&path, "text.layers.*.attn", "a.*"), None);
        assert_eq!(rename(&path[..4], "text.layers.*.attn.q", "a.*"), None);
    }

    #[test]
    fn matrices_are_transposed_across_strips() {
        let (rows, columns) = (3, 37);
        let values: Vec<f32> = (0..rows * columns).map(|i| i as f32).collect();
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        assert_eq!(to_f32(&bytes, Dtype::F32, 0), Some(values.clone()));
        let transposed = to_f32(&bytes, Dtype::F32, rows).expect("floats");
        for row in 0..rows {
            for column in 0..columns {
                assert_eq!(transposed[column * rows + row], values[row * columns + column]);
            }
        }
    }

    #[test]
    fn halves_are_widened() {
        assert_eq!(to_f32(&[0x80, 0x3f, 0x20, 0xc0], Dtype::BF16, 0), Some(vec![1.0, -2.5]));
        assert_eq!(to_f32(&[0x00, 0x3c, 0x00, 0xc1], Dtype::F16, 0), Some(vec![1.0, -2.5]));
        assert_eq!(to_f32(&[0; 4], Dtype::I32, 0), None);
    }
}
