//! Reading of weights: from files to modules.

use super::naming::{Dialect, FileTensor, Naming, Trail};
use super::{ENTRIES, INDEX, LoadError, SINGLE, WeightDtype};
use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, Element, Tensor, TensorData};
use half::{bf16, f16};
use rayon::prelude::*;
use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use seethink_core::SettingError;
use serde::{Deserialize, de::DeserializeOwned};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Loads the tensors of `files` into `module`, as `dtype`. Parameters keep their ids and whether
/// they learn.
///
/// Names and shapes of all tensors are compared before the first is read.
///
/// `ignored`: names of tensors of the file that the model does not use.
///
/// # Errors
/// If a tensor is missing, unexpected, of the wrong shape or not of floats.
pub(crate) fn load<M: Module>(
    module: M,
    naming: &Naming,
    dialect: Dialect,
    files: &WeightFiles,
    dtype: WeightDtype,
    ignored: &[&str],
) -> Result<M, LoadError> {
    struct Load<'a> {
        naming: &'a Naming,
        dialect: Dialect,
        files: &'a WeightFiles,
        dtype: WeightDtype,
        trail: Trail,
        failed: Option<LoadError>,
    }
    impl ModuleMapper for Load<'_> {
        fn enter_module(&mut self, name: &str, container: &str) {
            self.trail.enter(name, container);
        }
        fn exit_module(&mut self, _: &str, container: &str) {
            self.trail.exit(container);
        }
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            if self.failed.is_some() {
                return param;
            }
            let dims = param.lazy_shape();
            let tensor = self.naming.locate(&self.trail, &dims, self.dialect);
            match self.files.read(&tensor, &dims, self.dtype) {
                Ok(values) => fill(param, values, self.dtype.tensor_dtype()),
                Err(error) => {
                    self.failed = Some(error);
                    param
                }
            }
        }
    }
    files.check(&super::parameters(&module, naming, dialect), ignored)?;
    let mut load = Load { naming, dialect, files, dtype, trail: Trail::default(), failed: None };
    let module = module.map(&mut load);
    match load.failed {
        Some(error) => Err(error),
        None => Ok(module),
    }
}

/// Sets the values of a parameter whose initial values were never computed.
pub(super) fn fill<const D: usize>(param: Param<Tensor<D>>, data: TensorData, dtype: DType) -> Param<Tensor<D>> {
    let tensor = Tensor::from_data(data, (&param.lazy_device(), dtype));
    let id = param.id;
    param.transform_for_load(tensor, id)
}

/// Weight files of a checkpoint, with their headers read.
#[derive(Debug)]
pub(crate) struct WeightFiles {
    dir: PathBuf,
    files: Vec<WeightFile>,
    /// Index of the file that holds a tensor, by name.
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
    /// If a file is missing, no safetensors file, or not as long as its header says, or its saving
    /// was interrupted.
    pub(crate) fn open(dir: &Path) -> Result<Self, LoadError> {
        let names = if dir.join(SINGLE).is_file() {
            BTreeSet::from([SINGLE.to_owned()])
        } else if dir.join(INDEX).is_file() {
            let index = dir.join(INDEX);
            let names: BTreeSet<String> = read_json::<Index>(&index)?.weight_map.into_values().collect();
            // An index may come from anywhere: it leads to files beside it, and to nothing that is
            // executed when it is read.
            let foreign = |name: &&String| !name.ends_with(".safetensors") || name.contains(['/', '\\', ':']);
            if let Some(name) = names.iter().find(foreign) {
                let expected = "names of .safetensors files in the same folder";
                let error = SettingError::new("weight_map", format!("a map to {name:?}"), expected);
                return Err(LoadError::Setting { path: index, error });
            }
            names
        } else if seethink_files::is_interrupted(dir, &ENTRIES) {
            return Err(LoadError::Interrupted { dir: dir.to_owned() });
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

    /// Returns whether a tensor of this name exists.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.places.contains_key(name)
    }

    /// Checks that the files hold the model's tensors, in the right shapes, and no others.
    fn check(&self, parameters: &[crate::Parameter], ignored: &[&str]) -> Result<(), LoadError> {
        let lacks = |parameter: &&crate::Parameter| !self.contains(&parameter.name);
        let missing: Vec<String> = parameters.iter().filter(lacks).map(|parameter| parameter.name.clone()).collect();
        let known: BTreeSet<&str> =
            parameters.iter().map(|parameter| parameter.name.as_str()).chain(ignored.iter().copied()).collect();
        let unexpected: Vec<String> =
            self.places.keys().filter(|name| !known.contains(name.as_str())).cloned().collect();
        if !missing.is_empty() || !unexpected.is_empty() {
            return Err(LoadError::Names { dir: self.dir.clone(), missing, unexpected });
        }
        parameters.iter().try_for_each(|parameter| {
            let (file, info) = self.find(&parameter.name)?;
            if info.shape == parameter.shape {
                return Ok(());
            }
            Err(LoadError::Shape {
                path: file.path.clone(),
                name: parameter.name.clone(),
                found: info.shape.clone(),
                expected: parameter.shape.clone(),
            })
        })
    }

    fn find(&self, name: &str) -> Result<(&WeightFile, &TensorInfo), LoadError> {
        let file = self.places.get(name).map(|&i| &self.files[i]);
        let found = file.and_then(|file| Some((file, file.metadata.info(name)?)));
        found.ok_or_else(|| LoadError::Names {
            dir: self.dir.clone(),
            missing: vec![name.to_owned()],
            unexpected: Vec::new(),
        })
    }

    /// Reads the values of a tensor, in the model's shape.
    fn read(&self, tensor: &FileTensor, dims: &[usize], dtype: WeightDtype) -> Result<TensorData, LoadError> {
        let (file, info) = self.find(&tensor.name)?;
        let rows = if tensor.transposed { tensor.shape[0] } else { 0 };
        let values = match dtype {
            WeightDtype::F32 => file.values::<f32>(info, rows).map(|read| Some(TensorData::new(read?, dims))),
            WeightDtype::F16 => file.values::<f16>(info, rows).map(|read| Some(TensorData::new(read?, dims))),
            WeightDtype::Bf16 => file.values::<bf16>(info, rows).map(|read| Some(TensorData::new(read?, dims))),
        };
        let values = values.map_err(|source| LoadError::Read { path: file.path.clone(), source })?;
        values.ok_or_else(|| LoadError::Dtype { path: file.path.clone(), name: tensor.name.clone(), found: info.dtype })
    }
}

/// Summary of the weight files of a checkpoint, by their headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeightSummary {
    /// Number of weight files.
    pub n_files: usize,
    /// Bytes of all tensors.
    pub n_bytes: u64,
    /// Number of values of each format, such as `BF16`.
    pub n_numbers: BTreeMap<String, u64>,
}

impl WeightSummary {
    /// Reads the headers of the files in `dir`.
    ///
    /// # Errors
    /// If a file is missing, no safetensors file, or not as long as its header says.
    pub fn read(dir: &Path) -> Result<Self, LoadError> {
        let files = WeightFiles::open(dir)?.files;
        let mut summary = Self { n_files: files.len(), n_bytes: 0, n_numbers: BTreeMap::new() };
        for info in files.iter().flat_map(|file| file.metadata.tensors().into_values()) {
            summary.n_bytes += (info.data_offsets.1 - info.data_offsets.0) as u64;
            *summary.n_numbers.entry(format!("{:?}", info.dtype)).or_default() +=
                info.shape.iter().product::<usize>() as u64;
        }
        Ok(summary)
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

    /// Reads the values of a tensor, transposed if it is a matrix of `rows > 0` rows; `None` if
    /// they are no floats.
    fn values<T: Number>(&self, info: &TensorInfo, rows: usize) -> io::Result<Option<Vec<T>>> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start(self.data_start + info.data_offsets.0 as u64))?;
        let n = info.shape.iter().product();
        Ok(Some(match info.dtype {
            Dtype::F32 => read_values(&mut file, n, rows, |b| T::from_f32(f32::from_le_bytes(b)))?,
            Dtype::F16 => read_values(&mut file, n, rows, |b| T::from_f16(f16::from_le_bytes(b)))?,
            Dtype::BF16 => read_values(&mut file, n, rows, |b| T::from_bf16(bf16::from_le_bytes(b)))?,
            _ => return Ok(None),
        }))
    }
}

/// Number format of a model's values. A conversion to the same format keeps every bit.
trait Number: Element + Default + Sync {
    fn from_f32(value: f32) -> Self;
    fn from_f16(value: f16) -> Self;
    fn from_bf16(value: bf16) -> Self;
}

impl Number for f32 {
    fn from_f32(value: f32) -> Self {
        value
    }
    fn from_f16(value: f16) -> Self {
        value.to_f32()
    }
    fn from_bf16(value: bf16) -> Self {
        value.to_f32()
    }
}

impl Number for f16 {
    fn from_f32(value: f32) -> Self {
        Self::from_f32(value)
    }
    fn from_f16(value: f16) -> Self {
        value
    }
    fn from_bf16(value: bf16) -> Self {
        Self::from_f32(value.to_f32())
    }
}

impl Number for bf16 {
    fn from_f32(value: f32) -> Self {
        Self::from_f32(value)
    }
    fn from_f16(value: f16) -> Self {
        Self::from_f32(value.to_f32())
    }
    fn from_bf16(value: bf16) -> Self {
        value
    }
}

/// Reads `n` values in strips, so that beside the result there are never more than a few megabytes.
fn read_values<const N: usize, T: Number>(
    source: &mut impl Read,
    n: usize,
    rows: usize,
    decode: impl Fn([u8; N]) -> T + Sync,
) -> io::Result<Vec<T>> {
    const STRIP: usize = 1 << 20;
    // Rows of a strip of a matrix that is transposed, and columns that are written together:
    // squares that fit the caches.
    const ROWS: usize = 64;
    const COLUMNS: usize = 16;
    let mut out = vec![T::default(); n];
    if rows == 0 {
        let mut bytes = vec![0; N * STRIP.min(n)];
        for out in out.chunks_mut(STRIP) {
            let bytes = &mut bytes[..N * out.len()];
            source.read_exact(bytes)?;
            let values = bytes.as_chunks().0;
            out.par_iter_mut().zip(values).with_min_len(4096).for_each(|(out, &value)| *out = decode(value));
        }
        return Ok(out);
    }
    let columns = n / rows;
    let mut bytes = vec![0; N * columns * ROWS.min(rows)];
    for first in (0..rows).step_by(ROWS) {
        let height = ROWS.min(rows - first);
        let bytes = &mut bytes[..N * columns * height];
        source.read_exact(bytes)?;
        let values: &[[u8; N]] = bytes.as_chunks().0;
        out.par_chunks_mut(COLUMNS * rows).enumerate().for_each(|(block, out)| {
            for (row, values) in values.chunks_exact(columns).enumerate() {
                for (out, &value) in out.chunks_exact_mut(rows).zip(&values[block * COLUMNS..]) {
                    out[first + row] = decode(value);
                }
            }
        });
    }
    Ok(out)
}

/// Reads a JSON file.
///
/// # Errors
/// If the file is missing or not of this form.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, LoadError> {
    let text = std::fs::read(path).map_err(|source| LoadError::Read { path: path.to_owned(), source })?;
    let mut reader = serde_json::Deserializer::from_slice(&text);
    serde_path_to_error::deserialize(&mut reader).map_err(|source| LoadError::Config {
        path: path.to_owned(),
        field: source.path().to_string(),
        source: source.into_inner(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matrices_are_transposed_across_strips() {
        let (rows, columns) = (131, 37);
        let values: Vec<f32> = (0..rows * columns).map(|i| i as f32).collect();
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let read =
            |rows| read_values(&mut bytes.as_slice(), values.len(), rows, f32::from_le_bytes).expect("enough bytes");
        assert_eq!(read(0), values);
        let transposed = read(rows);
        for row in 0..rows {
            for column in 0..columns {
                assert_eq!(transposed[column * rows + row], values[row * columns + column]);
            }
        }
    }

    #[test]
    fn halves_are_widened_and_kept() {
        let bytes = [0x80, 0x3f, 0x20, 0xc0];
        let wide = read_values(&mut bytes.as_slice(), 2, 0, |b| <f32 as Number>::from_bf16(bf16::from_le_bytes(b)));
        assert_eq!(wide.expect("enough bytes"), [1.0, -2.5]);
        for bits in 0..=u16::MAX {
            assert_eq!(<bf16 as Number>::from_bf16(bf16::from_bits(bits)).to_bits(), bits);
            assert_eq!(<f16 as Number>::from_f16(f16::from_bits(bits)).to_bits(), bits);
        }
    }
}
