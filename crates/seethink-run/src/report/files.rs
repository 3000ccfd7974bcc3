//! Reading and atomic writing of the files of a report.

use super::ReportError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::Path;

/// Reads all bytes of `path`.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, ReportError> {
    std::fs::read(path).map_err(ReportError::read(path))
}

/// Reads a JSON file.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, ReportError> {
    serde_json::from_slice(&read(path)?).map_err(|source| ReportError::Parse {
        path: path.to_owned(),
        line: source.line(),
        source,
    })
}

/// Writes `bytes` to `path` atomically, under a temporary name first. Creates the folder.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), ReportError> {
    let whole = || {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        seethink_files::write(path, bytes)
    };
    whole().map_err(ReportError::write(path))
}

/// Writes `value` as indented JSON.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<(), ReportError> {
    let encode = |source| ReportError::Encode { path: path.to_owned(), source };
    write(path, (serde_json::to_string_pretty(value).map_err(encode)? + "\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_leaves_no_temporary_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plots/reward.svg");
        write(&path, b"old").unwrap();
        write(&path, b"new").unwrap();
        assert_eq!(read(&path).unwrap(), b"new");
        assert_eq!(std::fs::read_dir(folder.path().join("plots")).unwrap().count(), 1);
    }

    #[test]
    fn an_output_that_cannot_be_written_is_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("plots"), b"a file where a folder should be").unwrap();
        let error = write(&folder.path().join("plots/reward.svg"), b"").unwrap_err();
        assert!(error.to_string().contains("reward.svg"), "{error}");
    }
}
