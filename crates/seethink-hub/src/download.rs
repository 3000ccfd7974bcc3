//! Download of single files from the hub into the cache.

use super::cache::{Cache, create_parent};
use super::remote::{Metadata, Remote, connection, text};
use super::{DownloadProgress, HubError};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Bytes per read.
const PIECE: usize = 1 << 18;

/// Download of a commit into the cache.
pub(super) struct Download<'a> {
    pub(super) remote: &'a Remote<'a>,
    pub(super) cache: &'a Cache,
    pub(super) commit: &'a str,
    pub(super) progress: &'a mut dyn FnMut(DownloadProgress<'_>),
}

impl Download<'_> {
    /// Downloads a file of the commit into its snapshot; makes no request if the file is there
    /// already.
    pub(super) fn fetch(&mut self, file: &str) -> Result<(), HubError> {
        let path = self.cache.snapshot(self.commit).join(file);
        if path.is_file() {
            return Ok(());
        }
        let url = self.remote.url(self.commit, file);
        let metadata = self.remote.metadata(&url)?;
        let _lock = self.cache.lock(&metadata.etag)?;
        let blob = self.cache.blob(&metadata.etag);
        // Another process, or another commit with the same file, may have downloaded the blob.
        if !fs::metadata(&blob).is_ok_and(|blob| blob.len() == metadata.length) {
            self.bring(Draft::open(file, &metadata, &blob)?, &url)?.finish(&blob)?;
        }
        self.cache.link(&metadata.etag, &path)
    }

    /// Downloads the missing bytes of a draft and verifies the result.
    fn bring<'d>(&mut self, mut draft: Draft<'d>, url: &str) -> Result<Draft<'d>, HubError> {
        loop {
            let mut furthest = draft.done;
            let kept = furthest > 0;
            self.remote.retry(|failures| {
                let tried = self.append(&mut draft, url);
                if draft.done > furthest {
                    furthest = draft.done;
                    *failures = 0;
                }
                tried
            })?;
            match draft.damage()? {
                None => return Ok(draft),
                // The bytes of an earlier run may be at fault: download once more from the start.
                Some(_) if kept => draft.clear()?,
                Some(damage) => {
                    fs::remove_file(&draft.path).map_err(HubError::cache(&draft.path))?;
                    return Err(damage);
                }
            }
        }
    }

    /// Makes one request for the missing bytes of a draft.
    fn append(&mut self, draft: &mut Draft<'_>, url: &str) -> Result<(), HubError> {
        let total = draft.metadata.length;
        let mut report = |done| (self.progress)(DownloadProgress { file: draft.name, done, total });
        report(draft.done);
        if draft.done == total {
            return Ok(());
        }
        let mut response = self.remote.get(url, draft.done)?;
        let range = text(&response, "content-range").unwrap_or_default();
        match response.status().as_u16() {
            206 if range.starts_with(&format!("bytes {}-", draft.done)) => {}
            200 => draft.clear()?,
            _ => return Err(HubError::Answer { url: url.to_owned(), expected: "the file, or the range asked for" }),
        }
        let mut body = response.body_mut().as_reader();
        let mut piece = vec![0; PIECE];
        // One byte too many is enough to detect a wrong length.
        while draft.done <= total {
            let read = body.read(&mut piece).map_err(connection(url))?;
            if read == 0 {
                break;
            }
            draft.file.write_all(&piece[..read]).map_err(HubError::cache(&draft.path))?;
            draft.done += read as u64;
            report(draft.done);
        }
        if draft.done < total { Err(connection(url)(io::Error::from(io::ErrorKind::UnexpectedEof))) } else { Ok(()) }
    }
}

/// Draft of a blob: incomplete, or not yet verified.
struct Draft<'a> {
    name: &'a str,
    metadata: &'a Metadata,
    path: PathBuf,
    file: File,
    /// Number of bytes present.
    done: u64,
}

impl<'a> Draft<'a> {
    /// Creates the draft of a blob, or resumes that of an earlier run.
    fn open(name: &'a str, metadata: &'a Metadata, blob: &Path) -> Result<Self, HubError> {
        let path = blob.with_added_extension("incomplete");
        create_parent(&path)?;
        let open = || {
            let mut file = File::options().create(true).truncate(false).write(true).open(&path)?;
            let done = file.seek(SeekFrom::End(0))?;
            Ok((file, done))
        };
        let (file, done) = open().map_err(HubError::cache(&path))?;
        let mut draft = Self { name, metadata, path, file, done };
        if done > metadata.length {
            draft.clear()?;
        }
        Ok(draft)
    }

    fn clear(&mut self) -> Result<(), HubError> {
        self.done = 0;
        self.file.set_len(0).and_then(|()| self.file.rewind()).map_err(HubError::cache(&self.path))
    }

    /// Compares the draft with the hub's length and checksum; where the ETag is no checksum, only
    /// the length is compared.
    fn damage(&self) -> Result<Option<HubError>, HubError> {
        let Metadata { etag, length } = self.metadata;
        let of_git = || Sha1::new_with_prefix(format!("blob {length}\0"));
        let is_hex = etag.chars().all(|c| c.is_ascii_hexdigit());
        let (what, found, expected) = match etag.len() {
            _ if self.done != *length => ("length", Ok(self.done.to_string()), length.to_string()),
            64 if is_hex => ("SHA-256", digest(Sha256::new(), &self.path), etag.to_lowercase()),
            40 if is_hex => ("SHA-1 as a git blob", digest(of_git(), &self.path), etag.to_lowercase()),
            _ => return Ok(None),
        };
        let found = found.map_err(HubError::cache(&self.path))?;
        let damaged = |found| HubError::Damaged { file: self.name.to_owned(), what, found, expected: expected.clone() };
        Ok((found != expected).then(|| damaged(found)))
    }

    /// Renames the verified draft to the path of its blob.
    fn finish(self, blob: &Path) -> Result<(), HubError> {
        self.file.sync_all().and_then(|()| fs::rename(&self.path, blob)).map_err(HubError::cache(blob))
    }
}

/// Hexadecimal digest of what was hashed before, followed by a file.
fn digest(mut hash: impl Digest, path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece)? {
            0 => break,
            read => hash.update(&piece[..read]),
        }
    }
    Ok(hash.finalize().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}
