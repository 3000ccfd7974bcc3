//! Discovery of data files at a path.

use crate::DataError;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

/// Names of subfolders that are searched for data files; others hold images, possibly a million of
/// them.
const INNER: [&str; 9] = ["data", "train", "training", "validation", "valid", "val", "dev", "test", "testing"];

/// Finds data files, sorted by name: a file, the files of a folder and of its data subfolders, or
/// those whose name matches a pattern (`*` for any characters).
pub(super) fn find(path: &Path) -> Result<Vec<PathBuf>, DataError> {
    let pattern = path.file_name().map(OsStr::to_string_lossy).filter(|name| name.contains('*'));
    let mut files = Vec::new();
    if path.is_dir() {
        collect(path, &mut files)?;
    } else if let Some(pattern) = pattern.filter(|_| !path.exists()) {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let fits = |file: &PathBuf| file.file_name().is_some_and(|name| fits(&pattern, &name.to_string_lossy()));
        files.extend(entries(folder)?.into_iter().filter(|file| fits(file) && is_data(file)));
    } else {
        // A file given by its path may have any name; reading it shows whether it is a data file.
        return Ok(vec![path.to_path_buf()]);
    }
    files.sort();
    if files.is_empty() { Err(DataError::NoFiles(path.to_path_buf())) } else { Ok(files) }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), DataError> {
    for entry in entries(folder)? {
        let is_inner = || entry.file_name().and_then(OsStr::to_str).is_some_and(|name| INNER.contains(&name));
        if is_data(&entry) {
            files.push(entry);
        } else if is_inner() && entry.is_dir() {
            collect(&entry, files)?;
        }
    }
    Ok(())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let entries = fs::read_dir(folder).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    entries.map_err(DataError::io("read", folder))
}

/// Returns whether a file is a data file by its extension; hidden files are half written.
fn is_data(file: &Path) -> bool {
    let ending = file.extension().is_some_and(|ending| ending == "jsonl" || ending == "parquet");
    ending && !file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")) && file.is_file()
}

/// Returns whether a name matches a pattern.
fn fits(pattern: &str, name: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(name) = name.strip_prefix(head) else { return false };
    (0..=name.len()).filter_map(|at| name.get(at..)).any(|name| fits(rest, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_and_patterns_give_their_files_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let names = [
            "data/train-00001-of-00002.parquet",
            "data/train-00000-of-00002.parquet",
            "data/test-00000-of-00001.parquet",
            "test/problems.jsonl",
            "images/x.jsonl",
            ".half.jsonl",
            "README.md",
            "all.jsonl",
        ];
        for name in names {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let found = |path: &str| {
            let files = find(&dir.path().join(path))?;
            let name = |file: &PathBuf| file.strip_prefix(dir.path()).unwrap().to_str().unwrap().to_owned();
            Ok::<_, DataError>(files.iter().map(name).collect::<Vec<_>>())
        };
        assert_eq!(found("").unwrap(), ["all.jsonl", names[2], names[1], names[0], names[3]]);
        assert_eq!(found("data/train-*.parquet").unwrap(), [names[1], names[0]]);
        assert_eq!(found("README.md").unwrap(), ["README.md"]);
        for nothing in ["images/*.parquet", "*.md"] {
            assert!(matches!(found(nothing), Err(DataError::NoFiles(_))), "{nothing}");
        }
        fs::create_dir(dir.path().join("empty")).unwrap();
        assert!(matches!(found("empty"), Err(DataError::NoFiles(_))));
        assert!(matches!(found("nowhere/*.jsonl"), Err(DataError::Io { .. })));
    }

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("a*c", "abc", true),
            ("a*c", "ac", true),
            ("a*c", "acb", false),
            ("*-*.x", "é-é.x", true),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }
}
