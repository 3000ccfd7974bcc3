//! Files that are whole after a crash: written beside their place, flushed to the disk, then renamed.
//!
//! A rename alone protects against a killed process, not against a lost machine: the disk may keep the new name and not yet
//! the bytes. So every file is flushed before it gets its name, and the folder is flushed after.
//! [`FolderUpdate`] does the same for files that mean something only together.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Ending of a file that is still being written.
pub const PARTIAL: &str = "partial";

/// Replaces a file by these bytes.
///
/// # Errors
/// If it cannot be written; then what was there before is still there.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(path, |error| error, |partial| fs::write(partial, bytes))
}

/// Replaces a file by what `write` puts at the path that it is given; `failed` makes an error of the system one of the caller's.
///
/// # Errors
/// If it cannot be written; then what was there before is still there.
pub fn replace<E>(
    path: &Path,
    failed: impl Fn(io::Error) -> E,
    write: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    stage(path, &failed, write)?;
    settle(path).and_then(|()| sync_folder_of(path)).map_err(failed)
}

/// Replacement of several files of a folder, so that at no moment some are of the old and some of the new.
///
/// New files are first written beside the old ones, which stay as they are. What is replaced then can be read only by way of
/// an *entry*, a file without which nobody reads the others: old entries leave first, the new one comes last. A crash in
/// between leaves a folder without an entry, which readers refuse ([`is_interrupted`]) instead of mixing old and new.
/// Where nothing but the entry differs, it is replaced in one step.
#[derive(Debug)]
pub struct FolderUpdate<'a> {
    folder: &'a Path,
    entries: &'a [&'a str],
    owns: fn(&str) -> bool,
    staged: BTreeSet<String>,
    /// As they were, and as they shall be.
    unchanged: BTreeSet<String>,
}

impl<'a> FolderUpdate<'a> {
    /// Begins an update of `folder`, which is created if need be. The files that `owns` accepts by their name will be those that
    /// are staged and no others; all other files are left alone. `entries` begin with the one that is read only if the later are missing.
    ///
    /// # Errors
    /// If the folder cannot be created or listed, or a file that an earlier update left unfinished cannot be removed.
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

    /// Writes a new file beside its place; see [`replace`].
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn stage<E>(
        &mut self,
        name: &str,
        failed: impl Fn(io::Error) -> E,
        write: impl FnOnce(&Path) -> Result<(), E>,
    ) -> Result<(), E> {
        self.staged.insert(name.to_owned());
        stage(&self.folder.join(name), &failed, write)
    }

    /// The same for bytes that are in memory. A file that has these bytes already stays as it is.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn stage_bytes(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let path = self.folder.join(name);
        let same_length = fs::metadata(&path).is_ok_and(|found| found.len() == bytes.len() as u64);
        if same_length && !self.entries.contains(&name) && fs::read(&path).is_ok_and(|found| found == bytes) {
            self.unchanged.insert(name.to_owned());
            return Ok(());
        }
        self.stage(name, |error| error, |partial| fs::write(partial, bytes))
    }

    /// Puts the new files into their places and removes the old ones.
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
                // In this order on the disk too: the next entry to be read would otherwise be one that was passed over before.
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
    /// What was staged and not committed goes again; of this nothing need be said beside the error that led here.
    fn drop(&mut self) {
        for name in &self.staged {
            let _ = remove(&self.folder.join(name).with_added_extension(PARTIAL));
        }
    }
}

/// Detects an update of this folder that never came to its end: none of the entries is there.
pub fn is_interrupted(folder: &Path, entries: &[&str]) -> bool {
    let is_file = |path: PathBuf| path.is_file();
    !entries.iter().any(|entry| is_file(folder.join(entry)))
        && entries.iter().any(|entry| is_file(folder.join(entry).with_added_extension(PARTIAL)))
}

/// Flushes the entries of a folder: that files are there, and under which names.
///
/// # Errors
/// If the system cannot.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    operate(FileOperation::SyncFolder(folder.to_owned()), || {
        // Elsewhere a folder cannot be opened, and renames are in the journal.
        if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
    })
}

fn sync_folder_of(path: &Path) -> io::Result<()> {
    sync_folder(path.parent().unwrap_or(Path::new("")))
}

/// Writes a file under its partial name and flushes it.
fn stage<E>(path: &Path, failed: impl Fn(io::Error) -> E, write: impl FnOnce(&Path) -> Result<(), E>) -> Result<(), E> {
    let partial = path.with_added_extension(PARTIAL);
    // A writer may make a file of its own that only its owner can read: the permissions are those of a plain file.
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

/// Gives a staged file its name.
fn settle(path: &Path) -> io::Result<()> {
    let partial = path.with_added_extension(PARTIAL);
    operate(FileOperation::Rename(path.to_owned()), || fs::rename(partial, path))
}

fn remove(path: &Path) -> io::Result<()> {
    operate(FileOperation::Remove(path.to_owned()), || fs::remove_file(path))
}

/// A change that this module makes to the file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileOperation {
    /// An empty file.
    Create(PathBuf),
    /// Its bytes.
    Write(PathBuf),
    /// Its bytes onto the disk.
    Sync(PathBuf),
    /// The partial file to this name.
    Rename(PathBuf),
    /// A file removed.
    Remove(PathBuf),
    /// Names onto the disk.
    SyncFolder(PathBuf),
}

struct Crash {
    left: usize,
    done: Vec<FileOperation>,
}

thread_local! {
    static CRASH: RefCell<Option<Crash>> = const { RefCell::new(None) };
}

/// Runs `work` with a crash after `n` operations of this module on this thread: all later ones fail and change nothing.
/// Returns the operations that were carried out. For tests of what a crash leaves behind.
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

    /// A folder that goes with the test.
    struct Folder(TempDir);

    impl Folder {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn path(&self) -> &Path {
            self.0.path()
        }

        /// Names and contents.
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

    /// Files `a`, `b` and `c` that mean something only together, by way of the entry `z`.
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
