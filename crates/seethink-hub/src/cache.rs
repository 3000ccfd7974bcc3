//! The cache on disk, laid out as `huggingface_hub` does.
//!
//! Contents lie in `blobs` under their ETag, `snapshots/<commit>` links names to them, `refs` says what commit a branch
//! was last seen at.

use super::{CONFIG, HubError, INDEX, Model, SINGLE, shards};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process;

/// The part of the cache that belongs to one model.
pub(super) struct Cache {
    repo: PathBuf,
    locks: PathBuf,
}

impl Cache {
    pub(super) fn new(cache: &Path, model: &Model) -> Self {
        let name = format!("models--{}--{}", model.owner, model.name);
        Self { repo: cache.join(&name), locks: cache.join(".locks").join(name) }
    }

    /// The folder of a commit.
    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.repo.join("snapshots").join(commit)
    }

    /// The content of that ETag.
    pub(super) fn blob(&self, etag: &str) -> PathBuf {
        self.repo.join("blobs").join(etag)
    }

    /// The checkpoint folder without asking the hub.
    ///
    /// # Errors
    /// If anything is missing that a model cannot do without.
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

    /// Notes what commit a revision stands for.
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

    /// Puts a blob into a snapshot: a link where there are links, or else a copy.
    pub(super) fn link(&self, etag: &str, path: &Path) -> Result<(), HubError> {
        create_parent(path)?;
        replace(path, |draft| {
            #[cfg(unix)]
            return std::os::unix::fs::symlink(Path::new("../../blobs").join(etag), draft);
            #[cfg(not(unix))]
            return fs::hard_link(self.blob(etag), draft).or_else(|_| fs::copy(self.blob(etag), draft).map(drop));
        })
    }

    /// Waits until no other process, Python's included, works on `what`; the lock ends with the file that is returned.
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

/// Makes a file beside `path` and gives it that name once it is whole.
fn replace(path: &Path, make: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), HubError> {
    let draft = path.with_added_extension(format!("{}.tmp", process::id()));
    // What a process of the same number left behind.
    let _ = fs::remove_file(&draft);
    make(&draft).and_then(|()| fs::rename(&draft, path)).map_err(HubError::cache(path))
}
