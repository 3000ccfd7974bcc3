//! Image captions, one JSON object a line.

use crate::image_value::ImageRoot;
use crate::{DataError, ImageOutside, Split, content_id};
use seethink_core::{ImageSource, ProblemId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

/// Image with its caption.
#[derive(Debug, Clone, PartialEq)]
pub struct Caption {
    /// Content key: a hash of the image's name, the id and the text, so that answers about another
    /// text are not reused.
    pub key: ProblemId,
    /// Id as in the file, a number as its digits; the key where the file has none.
    pub id: String,
    /// Name of the image in the file.
    pub name: String,
    /// Path of the image.
    pub image: PathBuf,
    /// Text of the caption.
    pub text: String,
    /// Split that the caption belongs to, where the file states it.
    pub split: Option<Split>,
    /// Name of the dataset.
    pub source: String,
}

/// JSON keys of a caption.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CaptionKeys {
    /// Key of the image, a path.
    pub image: String,
    /// Key of the text.
    pub caption: String,
    /// Key of the id, text or a number; lines need not have it.
    pub id: String,
    /// Key of the split; lines need not have it.
    pub split: String,
    /// Key of the dataset; lines need not have it.
    pub source: String,
}

impl Default for CaptionKeys {
    fn default() -> Self {
        let [image, caption, id, split, source] = ["image", "caption", "id", "split", "source"].map(str::to_owned);
        Self { image, caption, id, split, source }
    }
}

/// Faults of a single caption.
#[derive(Debug, thiserror::Error)]
pub enum CaptionFault {
    /// The line is not a JSON object.
    #[error("not a JSON object: {0}")]
    Json(serde_json::Error),
    /// A required key is missing.
    #[error("there is no key {key:?}; the line has {found}")]
    Missing {
        /// The key.
        key: String,
        /// Keys of the line.
        found: String,
    },
    /// A value is of the wrong kind.
    #[error("{key:?} is {found}, expected {expected}")]
    Value {
        /// The key.
        key: String,
        /// Value found.
        found: String,
        /// Expected value.
        expected: &'static str,
    },
    /// The image file is missing.
    #[error("there is no image file {}", .0.display())]
    MissingImage(PathBuf),
    /// The image lies outside the image folder.
    #[error(transparent)]
    Outside(#[from] Box<ImageOutside>),
    /// Two lines have the same id, or the same content.
    #[error("its id {id:?} stands in line {before} already")]
    Duplicate {
        /// The id.
        id: String,
        /// Number of the earlier line.
        before: usize,
    },
    /// One image is in two splits.
    #[error(
        "its picture {name} belongs to {split}, but to {other} in line {before}; the parts must not share pictures"
    )]
    TwoSplits {
        /// Name of the image.
        name: String,
        /// Split according to this line.
        split: &'static str,
        /// Split according to the other line.
        other: &'static str,
        /// Number of the other line.
        before: usize,
    },
}

/// Reads at most `limit` captions; images are looked up under `image_dir`, or beside the file, and
/// must exist and, links followed, lie below it, unless `images_outside`.
///
/// The whole file is checked before any model is asked, so a mistake in the last line costs
/// nothing. A caption without a split of its own has that of another caption of its image, where
/// one has.
///
/// # Errors
/// If the file cannot be read, or a line is not a caption; the error gives the file and the line.
pub fn read_captions(
    path: &Path,
    keys: &CaptionKeys,
    image_dir: Option<&Path>,
    images_outside: bool,
    limit: Option<usize>,
) -> Result<Vec<Caption>, DataError> {
    let io = |source| DataError::Io { action: "read", path: path.to_owned(), source };
    let dir = image_dir.or(path.parent()).unwrap_or(Path::new(""));
    let root = ImageRoot { dir, outside: images_outside };
    let mut reader = Reader { keys, root, ids: BTreeMap::new(), splits: BTreeMap::new() };
    let mut captions = Vec::new();
    let lines = BufReader::new(File::open(path).map_err(io)?).split(b'\n');
    for (line, bytes) in (1..).zip(lines) {
        if limit.is_some_and(|limit| captions.len() >= limit) {
            break;
        }
        let bytes = bytes.map_err(io)?;
        if bytes.trim_ascii().is_empty() {
            continue;
        }
        let caption = reader.caption(&bytes, line);
        captions.push(caption.map_err(|fault| DataError::Caption { file: path.to_owned(), line, fault })?);
    }
    for caption in &mut captions {
        caption.split = caption.split.or(reader.splits.get(&caption.name).map(|&(split, _)| split));
    }
    Ok(captions)
}

/// State of the reader: ids and splits read so far.
struct Reader<'a> {
    keys: &'a CaptionKeys,
    root: ImageRoot<'a>,
    /// Line of each id.
    ids: BTreeMap<String, usize>,
    /// Split of each image, and the line that states it.
    splits: BTreeMap<String, (Split, usize)>,
}

impl Reader<'_> {
    fn caption(&mut self, bytes: &[u8], line: usize) -> Result<Caption, CaptionFault> {
        let row: Map<String, Value> = serde_json::from_slice(bytes).map_err(CaptionFault::Json)?;
        let name = required(&row, &self.keys.image)?;
        let text = required(&row, &self.keys.caption)?;
        let image = self.root.dir.join(&name);
        if !image.is_file() {
            return Err(CaptionFault::MissingImage(image));
        }
        self.root.check(Path::new(&name), &image)?;
        let split = optional(&row, &self.keys.split)?.map(|text| split(&self.keys.split, &text)).transpose()?;
        let id = optional(&row, &self.keys.id)?;
        let key = content_id(&text, &[ImageSource::Path(name.clone().into())], id.as_deref().unwrap_or_default());
        let id = id.unwrap_or_else(|| key.to_string());
        if let Some(before) = self.ids.insert(id.clone(), line) {
            return Err(CaptionFault::Duplicate { id, before });
        }
        if let Some(split) = split {
            let &mut (other, before) = self.splits.entry(name.clone()).or_insert((split, line));
            if other != split {
                let (split, other) = (split.as_str(), other.as_str());
                return Err(CaptionFault::TwoSplits { name, split, other, before });
            }
        }
        let source = optional(&row, &self.keys.source)?.unwrap_or_default();
        Ok(Caption { key, id, name, image, text, split, source })
    }
}

/// Value of a required key: text that is not empty.
fn required(row: &Map<String, Value>, key: &str) -> Result<String, CaptionFault> {
    let found = || row.keys().cloned().collect::<Vec<_>>().join(", ");
    let value = row.get(key).ok_or_else(|| CaptionFault::Missing { key: key.to_owned(), found: found() })?;
    let text = value.as_str().map(str::trim).filter(|text| !text.is_empty());
    text.map(str::to_owned).ok_or_else(|| CaptionFault::Value {
        key: key.to_owned(),
        found: value.to_string(),
        expected: "text that is not empty",
    })
}

/// Value of an optional key: text or a number.
fn optional(row: &Map<String, Value>, key: &str) -> Result<Option<String>, CaptionFault> {
    match row.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if !text.trim().is_empty() => Ok(Some(text.trim().to_owned())),
        Some(Value::Number(number)) => Ok(Some(number.to_string())),
        Some(other) => Err(CaptionFault::Value {
            key: key.to_owned(),
            found: other.to_string(),
            expected: "text that is not empty, or a number",
        }),
    }
}

/// Parses a split by its usual names; the last two are DOCCI's.
fn split(key: &str, text: &str) -> Result<Split, CaptionFault> {
    match text.to_ascii_lowercase().as_str() {
        "train" | "training" => Ok(Split::Train),
        "validation" | "valid" | "val" | "dev" | "qual_dev" => Ok(Split::Validation),
        "test" | "qual_test" => Ok(Split::Test),
        _ => Err(CaptionFault::Value {
            key: key.to_owned(),
            found: format!("{text:?}"),
            expected: "train, validation (val, dev, qual_dev) or test (qual_test)",
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn read(folder: &Path, lines: &[&str], keys: &CaptionKeys) -> Result<Vec<Caption>, DataError> {
        for name in ["a.png", "b.png"] {
            fs::write(folder.join(name), "not looked into yet").unwrap();
        }
        let path = folder.join("captions.jsonl");
        fs::write(&path, lines.join("\n")).unwrap();
        read_captions(&path, keys, None, false, None)
    }

    #[test]
    fn keys_have_the_names_that_one_gives_them() {
        let folder = tempfile::tempdir().unwrap();
        let keys = CaptionKeys {
            image: "image_file".into(),
            caption: "description".into(),
            id: "example_id".into(),
            ..CaptionKeys::default()
        };
        let line =
            r#"{"example_id": "train_0", "split": "qual_dev", "image_file": "a.png", "description": " A cat. "}"#;
        let captions = read(folder.path(), &[line, ""], &keys).unwrap();
        let [caption] = &captions[..] else { panic!("{captions:?}") };
        assert_eq!((caption.id.as_str(), caption.text.as_str()), ("train_0", "A cat."));
        assert_eq!((caption.split, &caption.image), (Some(Split::Validation), &folder.path().join("a.png")));
    }

    #[test]
    fn a_bad_line_is_named_with_its_file_and_number() {
        let folder = tempfile::tempdir().unwrap();
        let good = r#"{"image": "a.png", "caption": "A cat.", "id": 1, "split": "train"}"#;
        let cases = [
            (r#"{"image": "b.png", "capt"#, "not a JSON object"),
            ("[]", "not a JSON object"),
            (r#"{"image": "b.png", "text": "A dog."}"#, "there is no key \"caption\"; the line has image, text"),
            (r#"{"image": "b.png", "caption": " "}"#, "\"caption\" is \" \", expected text that is not empty"),
            (r#"{"image": "b.png", "caption": 7}"#, "\"caption\" is 7"),
            (r#"{"image": "no.png", "caption": "A dog."}"#, "no.png"),
            (r#"{"image": "b.png", "caption": "A dog.", "split": "some"}"#, "\"split\" is \"some\", expected train"),
            (r#"{"image": "b.png", "caption": "A dog.", "id": [1]}"#, "\"id\" is [1], expected text"),
            (r#"{"image": "b.png", "caption": "A dog.", "id": "1"}"#, "its id \"1\" stands in line 1 already"),
            (r#"{"image": "a.png", "caption": "Cat.", "split": "test"}"#, "belongs to test, but to train in line 1"),
        ];
        for (line, expected) in cases {
            let message = read(folder.path(), &[good, line], &CaptionKeys::default()).unwrap_err().to_string();
            assert!(message.contains("captions.jsonl:2: ") && message.contains(expected), "{message}");
        }
        let missing = folder.path().join("none.jsonl");
        let message = read_captions(&missing, &CaptionKeys::default(), None, false, None).unwrap_err().to_string();
        assert!(message.contains("cannot read") && message.contains("none.jsonl"), "{message}");
    }

    #[test]
    fn defect_18_ids_do_not_depend_on_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let lines = [
            r#"{"image": "a.png", "caption": "A cat."}"#,
            r#"{"image": "a.png", "caption": "A black cat."}"#,
            r#"{"image": "b.png", "caption": "A cat."}"#,
        ];
        let keys = |lines| -> Vec<ProblemId> {
            let captions = read(folder.path(), lines, &CaptionKeys::default()).unwrap();
            captions.iter().map(|caption| caption.key).collect()
        };
        let found = keys(&lines);
        // The first 64 bits of a SHA-256 over the text, the picture's name and the id, as computed
        // elsewhere.
        assert_eq!(found[0], ProblemId(0x13c4197e1356d232));
        assert!(found[0] != found[1] && found[0] != found[2] && found[1] != found[2]);
        assert_eq!(keys(&[lines[2], lines[0]]), [found[2], found[0]], "nor on where the line stands");
        let message = read(folder.path(), &[lines[0], lines[0]], &CaptionKeys::default()).unwrap_err().to_string();
        assert!(message.contains("stands in line 1 already"), "{message}");
    }

    #[test]
    fn defect_22_numbers_are_ids_and_the_split_of_the_data_set_is_heeded() {
        let folder = tempfile::tempdir().unwrap();
        let lines = [
            r#"{"image": "a.png", "caption": "A cat.", "id": 7}"#,
            r#"{"image": "a.png", "caption": "A black cat.", "id": 8, "split": "test"}"#,
            r#"{"image": "b.png", "caption": "A cat.", "id": 9}"#,
        ];
        let captions = read(folder.path(), &lines, &CaptionKeys::default()).unwrap();
        assert_eq!(captions[0].id, "7");
        let splits: Vec<_> = captions.iter().map(|caption| caption.split).collect();
        assert_eq!(splits, [Some(Split::Test), Some(Split::Test), None], "a picture is in one part only");
    }
}
