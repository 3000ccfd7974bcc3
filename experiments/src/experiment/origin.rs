//! Origin of a result: fingerprints of the base model and of the code, which affect a run beside
//! its settings.

use crate::base;
use anyhow::{Context, Result};
use seethink::data::digest;
use seethink::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Fingerprint of the sources that this program was built from, taken by its build script.
const CODE: &str = env!("SEETHINK_CODE");

/// Fingerprints of base model and code. [Decision
/// 10](../../../docs/decisions/0010-what-makes-a-result-valid.md) explains why the sources are
/// hashed, instead of a version number raised by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// Fingerprint of every file of the base model.
    pub model: String,
    /// Fingerprint of the sources of reward, world, rollouts, training and models, and of the
    /// versions of dependencies; comments aside.
    pub code: String,
}

impl Origin {
    /// Origin of a run that this program would make now.
    ///
    /// # Errors
    /// If the base model cannot be read.
    pub fn of(config: &RunConfig) -> Result<Self> {
        let model = match &config.model {
            ModelSource::Pretrained(folder) => folder_fingerprint(folder)?,
            shipped => base::fingerprint(shipped)?,
        };
        Ok(Self { model, code: CODE.into() })
    }
}

/// Fingerprint of the files in a folder. Each folder is read once: weights are large.
fn folder_fingerprint(folder: &Path) -> Result<String> {
    static KNOWN: Mutex<BTreeMap<PathBuf, String>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(fingerprint) = known.get(folder) {
        return Ok(fingerprint.clone());
    }
    let context = || format!("cannot read the base model in {}", folder.display());
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
        .with_context(context)?;
    files.retain(|path| path.is_file());
    files.sort();
    let mut parts: Vec<Vec<u8>> = Vec::new();
    for path in files {
        let mut hash = Sha256::new();
        std::io::copy(&mut File::open(&path).with_context(context)?, &mut Hashing(&mut hash)).with_context(context)?;
        parts.push(path.file_name().unwrap_or_default().as_encoded_bytes().to_vec());
        parts.push(hash.finalize().to_vec());
    }
    let fingerprint = digest(parts);
    known.insert(folder.to_owned(), fingerprint.clone());
    Ok(fingerprint)
}

/// Writer into a hash.
struct Hashing<'a>(&'a mut Sha256);

impl std::io::Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_file_or_name_is_another_model() {
        let of = |name: &str, bytes: &[u8]| {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join(name), bytes).unwrap();
            folder_fingerprint(folder.path()).unwrap()
        };
        let first = of("model.safetensors", b"weights");
        assert_eq!(first, of("model.safetensors", b"weights"));
        assert_ne!(first, of("model.safetensors", b"weightz"));
        assert_ne!(first, of("other.safetensors", b"weights"));
        let error = format!("{:#}", folder_fingerprint(Path::new("no/such/model")).unwrap_err());
        assert!(error.contains("no/such/model"), "{error}");
    }

    #[test]
    fn every_base_model_is_another() {
        let all: Vec<String> = base::all().map(|model| base::fingerprint(&model).unwrap()).collect();
        assert!(all.iter().enumerate().all(|(i, one)| !all[..i].contains(one)), "{all:?}");
    }
}
