//! Reading of incomplete JSONL files, and atomic writes.

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

/// Reads a JSONL file. Blank lines are skipped; a broken last line was cut off by a crash and is
/// left out.
pub(super) fn read_jsonl<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, ReportError> {
    let bytes = read(path)?;
    // Split as bytes: a crash may cut a character in two.
    let lines: Vec<_> =
        bytes.split(|&byte| byte == b'\n').enumerate().filter(|(_, line)| !line.trim_ascii().is_empty()).collect();
    let mut values = Vec::with_capacity(lines.len());
    for (i, &(line, bytes_of_line)) in lines.iter().enumerate() {
        match serde_json::from_slice(bytes_of_line) {
            Ok(value) => values.push(value),
            Err(_) if i + 1 == lines.len() => {}
            Err(source) => return Err(ReportError::Parse { path: path.to_owned(), line: line + 1, source }),
        }
    }
    Ok(values)
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

    #[test]
    fn a_cut_off_last_line_is_dropped_and_a_broken_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("numbers.jsonl");
        // The last line ends inside the two bytes of an é.
        std::fs::write(&path, b"1\n\n2\n\"caf\xc3").unwrap();
        assert_eq!(read_jsonl::<u8>(&path).unwrap(), [1, 2]);
        std::fs::write(&path, "1\n\ntwo\n3\n").unwrap();
        let error = read_jsonl::<u8>(&path).unwrap_err().to_string();
        assert!(error.contains("numbers.jsonl, line 3"), "{error}");
    }
}
