//! Crash-safe file writes: beside the target, flushed to the disk, then renamed; and JSON-lines files
//! that are appended to ([`JsonLines`]).
//!
//! A rename alone protects against a killed process, not against a lost machine: the disk may keep
//! the new name and not yet the bytes. So every file is flushed before it gets its name, and the
//! folder is flushed after. [`FolderUpdate`] does the same for files that are valid only together.

mod json_lines;

pub use json_lines::{JsonLine, JsonLines, JsonLinesError, read_json_lines, visit_json_lines};

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Extension of a file that is still being written.
pub const PARTIAL: &str = "partial";

/// Writes a file atomically.
///
/// # Errors
/// If the file cannot be written; an old file of this name is then unchanged.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(path, |error| error, |partial| fs::write(partial, bytes))
}

/// Replaces a file atomically by what `write` puts at the path given to it; `failed` converts
/// errors of the system into the caller's.
///
/// # Errors
/// If the file cannot be written; an old file of this name is then unchanged.
pub fn replace<E>(
    path: &Path,
    failed: impl Fn(io::Error) -> E,
    write: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    stage(path, &failed, write)?;
    settle(path).and_then(|()| sync_folder_of(path)).map_err(failed)
}

/// Atomic replacement of several files of a folder, so that old and new files are never mixed.
///
/// New files are first written beside the old ones, which stay unchanged. The old files can be read
/// only by way of an *entry*, a file without which no reader opens the others: old entries are
/// removed first, the new one comes last. A crash in between leaves a folder without an entry,
/// which readers refuse ([`is_interrupted`]) instead of mixing old and new. Where only the entry
/// differs, it is replaced in one step.
#[derive(Debug)]
pub struct FolderUpdate<'a> {
    folder: &'a Path,
    entries: &'a [&'a str],
    owns: fn(&str) -> bool,
    staged: BTreeSet<String>,
    /// Names of files whose staged bytes equal the present ones.
    unchanged: BTreeSet<String>,
}

impl<'a> FolderUpdate<'a> {
    /// Begins an update of `folder`, which is created if need be. After the commit, the files whose
    /// names `owns` accepts are the staged ones and no others; all other files are left alone.
    /// `entries` are in ascending precedence: the first is read only if the later ones are missing.
    ///
    /// # Errors
    /// If the folder cannot be created or listed, or a file that an earlier update left unfinished
    /// cannot be removed.
    pub fn begin(folder: &'a Path, entries: &'a [&'a str], owns: fn(&str) -> bool) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let update = Self { folder, entries, owns, staged: BTreeSet::new(), unchanged: BTreeSet::new() };
        for name in update.names()? {
            if name.strip_suffix(PARTIAL).and_then(|name| name.strip_suffix('.')).is_some_and(owns) {
                remove(&folder.join(name))?;
            }
        }
        Ok(update)
    }

    /// Stages a new file: writes it beside its target; see [`replace`].
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn stage<E>(
        &mut self,
        name: &str,
        failed: impl Fn(io::Error) -> E,
        write: impl FnOnce(&Path) -> Result<(), E>,
    ) -> Result<(), E> {
        self.staged.insert(name.to_owned());
        stage(&self.folder.join(name), &failed, write)
    }

    /// Stages a file from bytes in memory. A file that has these bytes already is left unchanged.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn stage_bytes(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let path = self.folder.join(name);
        let same_length = fs::metadata(&path).is_ok_and(|found| found.len() == bytes.len() as u64);
        if same_length && !self.entries.contains(&name) && fs::read(&path).is_ok_and(|found| found == bytes) {
            self.unchanged.insert(name.to_owned());
            return Ok(());
        }
        self.stage(name, |error| error, |partial| fs::write(partial, bytes))
    }

    /// Commits the update: renames the staged files into place and removes the old ones.
    ///
    /// # Errors
    /// If a file cannot be renamed or removed; then the folder is as after a crash.
    pub fn commit(mut self) -> io::Result<()> {
        let (entries, others): (Vec<String>, Vec<String>) =
            std::mem::take(&mut self.staged).into_iter().partition(|name| self.is_entry(name));
        let path = |name: &str| self.folder.join(name);
        let found = self.names()?.into_iter().filter(|name| (self.owns)(name));
        let found: BTreeSet<String> = found.filter(|name| !self.unchanged.contains(name)).collect();
        let is_new = |name: &String| entries.contains(name) || others.contains(name);
        let stale: Vec<&String> = found.iter().filter(|name| !is_new(name)).collect();
        if !others.is_empty() || !stale.is_empty() {
            for entry in self.entries.iter().filter(|entry| found.contains(**entry)) {
                remove(&path(entry))?;
                // Flushed after each removal: a crash must not leave an entry of lower precedence
                // as the one that is read.
                sync_folder(self.folder)?;
            }
            others.iter().try_for_each(|name| settle(&path(name)))?;
            stale.iter().filter(|name| !self.is_entry(name)).try_for_each(|name| remove(&path(name)))?;
            sync_folder(self.folder)?;
        }
        entries.iter().try_for_each(|name| settle(&path(name)))?;
        sync_folder(self.folder)
    }

    fn is_entry(&self, name: &str) -> bool {
        self.entries.contains(&name)
    }

    fn names(&self) -> io::Result<Vec<String>> {
        fs::read_dir(self.folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }
}

impl Drop for FolderUpdate<'_> {
    /// Removes staged files that were not committed; errors here are dropped in favour of the first
    /// one.
    fn drop(&mut self) {
        for name in &self.staged {
            let _ = remove(&self.folder.join(name).with_added_extension(PARTIAL));
        }
    }
}

/// Returns whether an update of a folder was interrupted: no entry is there, but a staged one is.
pub fn is_interrupted(folder: &Path, entries: &[&str]) -> bool {
    let is_file = |path: PathBuf| path.is_file();
    !entries.iter().any(|entry| is_file(folder.join(entry)))
        && entries.iter().any(|entry| is_file(folder.join(entry).with_added_extension(PARTIAL)))
}

/// Flushes a folder to the disk, and so the names of its files.
///
/// # Errors
/// If the system cannot flush the folder.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    operate(FileOperation::SyncFolder(folder.to_owned()), || {
        // On other systems a folder cannot be opened, and renames are in the journal.
        if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
    })
}

fn sync_folder_of(path: &Path) -> io::Result<()> {
    sync_folder(path.parent().unwrap_or(Path::new("")))
}

/// Writes a file under its partial name and flushes it.
fn stage<E>(path: &Path, failed: impl Fn(io::Error) -> E, write: impl FnOnce(&Path) -> Result<(), E>) -> Result<(), E> {
    let partial = path.with_added_extension(PARTIAL);
    // A writer may create the file readable by its owner only; the permissions are those of a plain
    // file.
    let create = || File::create(&partial)?.metadata();
    let permissions = operate(FileOperation::Create(partial.clone()), create).map_err(&failed)?.permissions();
    operate(FileOperation::Write(partial.clone()), || Ok(())).map_err(&failed)?;
    write(&partial)?;
    let sync = || {
        fs::set_permissions(&partial, permissions)?;
        File::options().write(true).open(&partial)?.sync_all()
    };
    operate(FileOperation::Sync(partial.clone()), sync).map_err(failed)
}

/// Renames a staged file to its final name.
fn settle(path: &Path) -> io::Result<()> {
    let partial = path.with_added_extension(PARTIAL);
    operate(FileOperation::Rename(path.to_owned()), || fs::rename(partial, path))
}

fn remove(path: &Path) -> io::Result<()> {
    operate(FileOperation::Remove(path.to_owned()), || fs::remove_file(path))
}

/// File-system operation of this crate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileOperation {
    /// Creates an empty file.
    Create(PathBuf),
    /// Writes the bytes of a file.
    Write(PathBuf),
    /// Flushes the bytes of a file to the disk.
    Sync(PathBuf),
    /// Renames a partial file to this path.
    Rename(PathBuf),
    /// Removes a file.
    Remove(PathBuf),
    /// Flushes the file names of a folder to the disk.
    SyncFolder(PathBuf),
}

struct Crash {
    left: usize,
    done: Vec<FileOperation>,
}

thread_local! {
    static CRASH: RefCell<Option<Crash>> = const { RefCell::new(None) };
}

/// Simulates a crash after `n` operations of this crate on this thread: all later ones fail and
/// change nothing. Returns the result of `work` and the operations that were carried out. For
/// tests.
pub fn crash_after<T>(n: usize, work: impl FnOnce() -> T) -> (T, Vec<FileOperation>) {
    CRASH.set(Some(Crash { left: n, done: Vec::new() }));
    let result = work();
    (result, CRASH.take().map(|crash| crash.done).unwrap_or_default())
}

fn operate<T>(operation: FileOperation, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    CRASH.with_borrow_mut(|crash| match crash {
        None => Ok(()),
        Some(Crash { left: 0, .. }) => Err(io::Error::other("crashed, as a test asked")),
        Some(Crash { left, done }) => {
            *left -= 1;
            done.push(operation);
            Ok(())
        }
    })?;
    work()
}

#[cfg(test)]
mod tests {
    use super::FileOperation::{Create, Remove, Rename, Sync, SyncFolder, Write};
    use super::*;
    use tempfile::TempDir;

    /// Temporary folder of a test.
    struct Folder(TempDir);

    impl Folder {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn path(&self) -> &Path {
            self.0.path()
        }

        /// Names and contents of the files.
        fn files(&self) -> Vec<(String, String)> {
            let read = |entry: fs::DirEntry| {
                (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap())
            };
            let mut files: Vec<_> = fs::read_dir(self.path()).unwrap().map(|entry| read(entry.unwrap())).collect();
            files.sort();
            files
        }
    }

    #[test]
    fn a_file_is_on_the_disk_before_its_name_and_the_name_before_the_end() {
        let folder = Folder::new();
        let (path, partial) = (folder.path().join("a.json"), folder.path().join("a.json.partial"));
        let (result, done) = crash_after(usize::MAX, || write(&path, b"new"));
        result.unwrap();
        let expected = [
            Create(partial.clone()),
            Write(partial.clone()),
            Sync(partial),
            Rename(path.clone()),
            SyncFolder(folder.path().to_owned()),
        ];
        assert_eq!(done, expected);
        assert_eq!(folder.files(), [("a.json".to_owned(), "new".to_owned())]);
    }

    #[test]
    fn a_crash_leaves_the_old_file_or_the_new_one() {
        let folder = Folder::new();
        let path = folder.path().join("a");
        for n in 0..=5 {
            write(&path, b"old").unwrap();
            let (result, done) = crash_after(n, || write(&path, b"new"));
            assert_eq!((result.is_ok(), done.len()), (n == 5, n));
            assert_eq!(fs::read(&path).unwrap(), if n < 4 { b"old" } else { b"new" }, "after {n}");
        }
    }

    /// Updates files `a`, `b` and `c`, which are valid only together, with the entry `z`.
    fn update(folder: &Path, files: &[(&str, &str)]) -> io::Result<()> {
        let mut update = FolderUpdate::begin(folder, &["z"], |name| name.len() == 1)?;
        files.iter().try_for_each(|(name, bytes)| update.stage_bytes(name, bytes.as_bytes()))?;
        update.commit()
    }

    #[test]
    fn a_crash_leaves_all_files_old_or_new_or_no_entry() {
        let folder = Folder::new();
        let (old, new) = ([("a", "1"), ("b", "1"), ("z", "1")], [("a", "1"), ("c", "2"), ("z", "2")]);
        let owned =
            |files: &[(&str, &str)]| files.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect::<Vec<_>>();
        let mut seen = [0; 3];
        for n in 0.. {
            fs::write(folder.path().join("notes"), "mine").unwrap();
            update(folder.path(), &old).unwrap();
            let (result, done) = crash_after(n, || update(folder.path(), &new));
            let files = folder.files();
            assert!(files.contains(&("notes".to_owned(), "mine".to_owned())));
            let files: Vec<_> = files.into_iter().filter(|(name, _)| name.len() == 1).collect();
            let state = match (files == owned(&old), files == owned(&new)) {
                (true, _) => 0,
                (_, true) => 1,
                _ => {
                    assert!(is_interrupted(folder.path(), &["z"]), "after {done:?}: {files:?}");
                    2
                }
            };
            seen[state] += 1;
            if result.is_ok() {
                assert_eq!(state, 1);
                assert!(done.contains(&Remove(folder.path().join("b"))), "{done:?}");
                break;
            }
        }
        assert!(seen.iter().all(|&n| n > 0), "{seen:?}");
        assert_eq!(folder.files().len(), 4, "nothing partial is left: {:?}", folder.files());
    }

    #[test]
    fn an_entry_that_alone_differs_is_replaced_in_one_step() {
        let folder = Folder::new();
        let (old, new) = ([("a", "1"), ("z", "1")], [("a", "1"), ("z", "2")]);
        for n in 0..5 {
            update(folder.path(), &old).unwrap();
            let (_, done) = crash_after(n, || update(folder.path(), &new));
            assert!(!is_interrupted(folder.path(), &["z"]), "{done:?}");
            let entry = fs::read_to_string(folder.path().join("z")).unwrap();
            assert_eq!(entry, if done.contains(&Rename(folder.path().join("z"))) { "2" } else { "1" });
        }
    }
}
