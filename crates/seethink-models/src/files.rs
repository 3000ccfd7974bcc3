//! Small files beside the weights of a checkpoint: read once, kept as they are, written back
//! unchanged.

use crate::ProcessorError;
use seethink_files::FolderUpdate;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// The model's configuration, which is read here but written by the model.
const CONFIG: &str = "config.json";

/// The tokenizer's file: without it nothing else is read, and so it is written last.
pub(crate) const TOKENIZER: &str = "tokenizer.json";

/// Names of the files that are read and written back.
const NAMES: [&str; 9] = [
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "generation_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "special_tokens_map.json",
    "tokenizer_config.json",
    "video_preprocessor_config.json",
];

/// Contents of the small files of a checkpoint folder, by name.
#[derive(Clone)]
pub struct CheckpointFiles {
    dir: PathBuf,
    files: BTreeMap<&'static str, Vec<u8>>,
}

impl fmt::Debug for CheckpointFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CheckpointFiles({}: {:?})", self.dir.display(), self.files.keys())
    }
}

impl CheckpointFiles {
    /// Reads those files of `dir` that exist.
    ///
    /// # Errors
    /// If the folder or a file in it cannot be read.
    pub(crate) fn read(dir: &Path) -> Result<Self, ProcessorError> {
        std::fs::read_dir(dir).map_err(|source| ProcessorError::Read { path: dir.to_owned(), source })?;
        let mut files = BTreeMap::new();
        for name in NAMES.into_iter().chain([CONFIG]) {
            let path = dir.join(name);
            match std::fs::read(&path) {
                Ok(bytes) => drop(files.insert(name, bytes)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(ProcessorError::Read { path, source }),
            }
        }
        Ok(Self { dir: dir.to_owned(), files })
    }

    /// The folder that was read.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Content of a file, if it exists.
    pub(crate) fn bytes(&self, name: &str) -> Option<&[u8]> {
        self.files.get(name).map(Vec::as_slice)
    }

    /// A file parsed as JSON, if it exists.
    ///
    /// # Errors
    /// If the file is not such JSON.
    pub(crate) fn json<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, ProcessorError> {
        let parse = |bytes| serde_json::from_slice(bytes);
        let parsed = self.bytes(name).map(parse).transpose();
        parsed.map_err(|source| ProcessorError::Json { path: self.dir.join(name), source })
    }

    /// Writes all files except the model's own configuration into `dir`, which is created if need
    /// be; `tokenizer` is the text of `tokenizer.json`. Files of these names that were there before
    /// and are not written are deleted at the end. Whenever it is stopped, the folder holds the old
    /// files or the new ones, or no `tokenizer.json`; see [`FolderUpdate`].
    ///
    /// # Errors
    /// If the folder or a file cannot be written.
    pub(crate) fn write(&self, dir: &Path, tokenizer: &str) -> Result<(), ProcessorError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| ProcessorError::Write { path, source }
        };
        let owns = |name: &str| NAMES.contains(&name) || name == TOKENIZER;
        let mut update = FolderUpdate::begin(dir, &[TOKENIZER], owns).map_err(failed(dir))?;
        for (name, bytes) in self.files.iter().filter(|(name, _)| **name != CONFIG) {
            update.stage_bytes(name, bytes).map_err(failed(&dir.join(name)))?;
        }
        update.stage_bytes(TOKENIZER, tokenizer.as_bytes()).map_err(failed(&dir.join(TOKENIZER)))?;
        update.commit().map_err(failed(dir))
    }

    /// Content of the tokenizer's own file, if it exists; it is large, and not kept.
    ///
    /// # Errors
    /// If the file cannot be read, or its replacement was interrupted.
    pub(crate) fn tokenizer(&self) -> Result<Option<Vec<u8>>, ProcessorError> {
        let path = self.dir.join(TOKENIZER);
        if seethink_files::is_interrupted(&self.dir, &[TOKENIZER]) {
            return Err(ProcessorError::Interrupted { dir: self.dir.clone() });
        }
        match std::fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(ProcessorError::Read { path, source }),
        }
    }
}
