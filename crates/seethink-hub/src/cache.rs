//! Model cache on disk, in the layout of `huggingface_hub`.
//!
//! File contents lie in `blobs` under their ETag, `snapshots/<commit>` links file names to them,
//! and `refs` holds the last known commit of each branch.

use super::{CONFIG, HubError, INDEX, Model, SINGLE, shards};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process;

/// Cache of one model.
pub(super) struct Cache {
    repo: PathBuf,
    locks: PathBuf,
}

impl Cache {
    pub(super) fn new(cache: &Path, model: &Model) -> Self {
        let name = format!("models--{}--{}", model.owner, model.name);
        Self { repo: cache.join(&name), locks: cache.join(".locks").join(name) }
    }

    /// Snapshot folder of a commit.
    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.repo.join("snapshots").join(commit)
    }

    /// Path of the blob with this ETag.
    pub(super) fn blob(&self, etag: &str) -> PathBuf {
        self.repo.join("blobs").join(etag)
    }

    /// Finds a complete cached checkpoint without a request to the hub.
    ///
    /// # Errors
    /// If a file is missing that a model cannot do without.
    pub(super) fn whole(&self, model: &Model) -> Result<PathBuf, HubError> {
        let commit = fs::read_to_string(self.reference(&model.revision));
        let folder = self.snapshot(commit.as_deref().unwrap_or(&model.revision).trim());
        let has = |name: &str| folder.join(name).is_file();
        let mut missing = vec![];
        if !has(CONFIG) {
            missing.push(CONFIG.to_owned());
        }
        let in_parts = has("vocab.json") && has("merges.txt");
        if !in_parts && !has("tokenizer.json") {
            missing.push("tokenizer.json".to_owned());
        }
        if has(INDEX) && !has(SINGLE) {
            missing.extend(shards(&folder.join(INDEX))?.into_iter().filter(|shard| !has(shard)));
        } else if !has(SINGLE) {
            missing.push(SINGLE.to_owned());
        }
        if missing.is_empty() {
            Ok(folder)
        } else {
            Err(HubError::NotCached { model: model.to_string(), folder, missing })
        }
    }

    /// Writes the commit of a revision into `refs`.
    pub(super) fn write_ref(&self, revision: &str, commit: &str) -> Result<(), HubError> {
        let path = self.reference(revision);
        let noted = fs::read_to_string(&path).is_ok_and(|noted| noted == commit);
        if noted || revision == commit {
            return Ok(());
        }
        let _lock = self.lock("refs")?;
        create_parent(&path)?;
        replace(&path, |draft| fs::write(draft, commit))
    }

    /// Adds a blob to a snapshot: as a symbolic link where the system has them, else as a copy.
    pub(super) fn link(&self, etag: &str, path: &Path) -> Result<(), HubError> {
        create_parent(path)?;
        replace(path, |draft| {
            #[cfg(unix)]
            return std::os::unix::fs::symlink(Path::new("../../blobs").join(etag), draft);
            #[cfg(not(unix))]
            return fs::hard_link(self.blob(etag), draft).or_else(|_| fs::copy(self.blob(etag), draft).map(drop));
        })
    }

    /// Locks `what` against other processes, Python's included, and waits for the lock; dropping
    /// the returned file releases it.
    pub(super) fn lock(&self, what: &str) -> Result<File, HubError> {
        let path = self.locks.join(format!("{what}.lock"));
        create_parent(&path)?;
        let open = File::options().create(true).write(true).truncate(false).open(&path);
        open.and_then(|file| file.lock().map(|()| file)).map_err(HubError::cache(&path))
    }

    fn reference(&self, revision: &str) -> PathBuf {
        self.repo.join("refs").join(revision)
    }
}

pub(super) fn create_parent(path: &Path) -> Result<(), HubError> {
    path.parent().map_or(Ok(()), |parent| fs::create_dir_all(parent).map_err(HubError::cache(parent)))
}

/// Replaces a file atomically: writes it beside `path` and renames it once it is complete.
fn replace(path: &Path, make: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), HubError> {
    let draft = path.with_added_extension(format!("{}.tmp", process::id()));
    // Left behind by a process with the same number.
    let _ = fs::remove_file(&draft);
    make(&draft).and_then(|()| fs::rename(&draft, path)).map_err(HubError::cache(path))
}
