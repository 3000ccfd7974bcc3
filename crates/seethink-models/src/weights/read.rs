//! From files to modules.

use super::{FileTensor, INDEX, LoadError, Naming, SINGLE, Trail, fill};
use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Tensor, TensorData};
use half::{bf16, f16};
use rayon::prelude::*;
use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use serde::{Deserialize, de::DeserializeOwned};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

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

#[cfg(test)]
mod tests {
    use super::*;

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
