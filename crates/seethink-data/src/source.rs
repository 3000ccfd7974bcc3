//! Data sources: files, and the mapping of their columns to problems.

use crate::id::image_key;
use crate::image_value::{self, ImageRoot};
use crate::row::{Cell, Row};
use crate::{Fault, content_id};
use seethink_core::{Capability, PassRate, Problem, ProblemId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Files of one schema, with their column names and defaults.
///
/// # Examples
/// ```
/// use seethink_data::DataSource;
///
/// // Hugging Face shards whose column `dataset` tells what a row exercises.
/// let json = r#"{
///     "path": "geo/train-*.parquet",
///     "columns": {"problem": "question", "capability": "dataset", "tags": ["level"]},
///     "capabilities": {"docci": "perception", "geoqa": "visual_reasoning"}
/// }"#;
/// let source: DataSource = serde_json::from_str(json)?;
/// assert_eq!(source.columns.answer, "answer");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSource {
    /// Path: a file, a folder of files, or files whose name matches a pattern:
    /// `data/train-*.parquet`.
    pub path: PathBuf,
    /// Root folder of images: their paths are relative to it, and they lie below it. The folder of
    /// the file if not given.
    #[serde(default)]
    pub image_dir: Option<PathBuf>,
    /// Accept images outside their root: by absolute paths, by `..`, or by links that lead out of
    /// it (as they do in the cache of the Hugging Face hub). A file of problems from elsewhere can
    /// then make any image file that the process can read part of a problem.
    #[serde(default)]
    pub images_outside: bool,
    /// Names of the columns.
    #[serde(default)]
    pub columns: Columns,
    /// Capability of rows that do not state it.
    #[serde(default)]
    pub capability: Option<Capability>,
    /// Capabilities by the values of their column, where these are not the names of capabilities;
    /// no other value may occur then.
    #[serde(default)]
    pub capabilities: BTreeMap<String, Capability>,
    /// Pass rate of rows that do not state it.
    #[serde(default)]
    pub pass_rate: Option<PassRate>,
}

/// Column names: keys of JSON objects, or columns of a table.
///
/// A column that is named must be in every row, though it may be null where it is optional. `None`
/// takes the usual name, in rows that have it. Any further column becomes a tag, unless it holds
/// bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Columns {
    /// Column of the question, with an `<image>` for each image.
    pub problem: String,
    /// Column of the ground truth: text or a number.
    pub answer: String,
    /// Column of the images: path, bytes, base64 or `{bytes, path}`, or a list of these. Usually
    /// `images`, else `image`.
    pub images: Option<String>,
    /// Column of the capability. Usually `capability`.
    pub capability: Option<String>,
    /// Column of the pass rate: share of attempts that were right, in `[0, 1]`. Usually
    /// `pass_rate`.
    pub pass_rate: Option<String>,
    /// Column of the reference solution, a completion that earns full reward. Usually `solution`.
    pub solution: Option<String>,
    /// Column of the dataset's name. Usually `source`.
    pub source: Option<String>,
    /// Further columns that a curriculum sorts by: the index of a data set holds them, so that no
    /// row need be read for them.
    pub tags: Vec<String>,
}

impl Default for Columns {
    /// Column names of the released files, which are EasyR1's too.
    fn default() -> Self {
        Self {
            problem: "problem".into(),
            answer: "answer".into(),
            images: None,
            capability: None,
            pass_rate: None,
            solution: None,
            source: None,
            tags: Vec::new(),
        }
    }
}

impl DataSource {
    /// Creates a source of the files at a path, with the usual column names.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            image_dir: None,
            images_outside: false,
            columns: Columns::default(),
            capability: None,
            capabilities: BTreeMap::new(),
            pass_rate: None,
        }
    }

    /// Root folder of the images of a file.
    pub(crate) fn image_root<'a>(&'a self, file: &'a Path) -> ImageRoot<'a> {
        let dir = self.image_dir.as_deref().or_else(|| file.parent()).unwrap_or(Path::new(""));
        ImageRoot { dir, outside: self.images_outside }
    }

    /// Builds the problem of a row, and a content key for each of its images.
    pub(crate) fn problem(&self, row: &Row, root: ImageRoot<'_>) -> Result<(Problem, Vec<u64>), Fault> {
        let mut columns = Reading { row, used: BTreeSet::from(["index"]) };
        let prompt = columns.text(&self.columns.problem)?;
        let answer = match columns.named(&self.columns.answer)? {
            Cell::Scalar(Value::String(text)) => text.clone(),
            Cell::Scalar(Value::Number(number)) => number.to_string(),
            other => return Err(Fault::Answer(other.excerpt())),
        };
        let written = columns.optional(&self.columns.images, &["images", "image"])?;
        let written = written.map_or(Ok(Vec::new()), |(_, cell)| image_value::parse(cell))?;
        check_placeholders(&prompt, written.len())?;
        let images = written.iter().map(|image| root.locate(image)).collect::<Result<_, _>>()?;
        let capability = match columns.optional(&self.columns.capability, &["capability"])? {
            Some((name, cell)) => self.capability_of(text(name, cell)?)?,
            None => self.capability.clone().ok_or(Fault::NoCapability)?,
        };
        let pass_rate = match columns.optional(&self.columns.pass_rate, &["pass_rate"])? {
            Some((_, cell)) => Some(pass_rate(cell)?),
            None => self.pass_rate,
        };
        let mut optional_text = |name, usual| match columns.optional(name, &[usual])? {
            Some((name, cell)) => text(name, cell).map(|text| Some(text.to_owned())),
            None => Ok(None),
        };
        let solution = optional_text(&self.columns.solution, "solution")?;
        let source = optional_text(&self.columns.source, "source")?.unwrap_or_default();
        let own_id = row.get("id").and_then(own_id);
        if own_id.is_some() {
            columns.used.insert("id");
        }
        let tags = columns.tags(&self.columns.tags)?;
        // Hashed by relative path, so that moving a data set or decoding its images keeps its ids.
        let id = own_id.unwrap_or_else(|| content_id(&prompt, &written, &answer));
        let keys = written.iter().map(image_key).collect();
        Ok((Problem { id, capability, prompt, images, answer, solution, pass_rate, source, tags }, keys))
    }

    fn capability_of(&self, name: &str) -> Result<Capability, Fault> {
        if self.capabilities.is_empty() {
            return Ok(Capability::new(name));
        }
        let unknown =
            || Fault::Capability { found: name.to_owned(), expected: self.capabilities.keys().cloned().collect() };
        self.capabilities.get(name).cloned().ok_or_else(unknown)
    }
}

/// Row, and the columns read from it so far.
struct Reading<'a> {
    row: &'a Row,
    used: BTreeSet<&'a str>,
}

impl<'a> Reading<'a> {
    /// Value of a required column.
    fn named(&mut self, name: &'a str) -> Result<&'a Cell, Fault> {
        self.used.insert(name);
        self.row.cell(name).ok_or_else(|| {
            let found = self.row.0.iter().map(|(key, _)| key.clone()).collect();
            Fault::MissingColumn { column: name.to_owned(), found }
        })
    }

    fn text(&mut self, name: &'a str) -> Result<String, Fault> {
        text(name, self.named(name)?).map(str::to_owned)
    }

    /// Value of a named column, or of the first usual one that the row has; `None` where it is
    /// null.
    fn optional(
        &mut self,
        name: &'a Option<String>,
        usual: &[&'static str],
    ) -> Result<Option<(&'a str, &'a Cell)>, Fault> {
        if let Some(name) = name {
            let cell = self.named(name)?;
            return Ok((!cell.is_null()).then_some((name, cell)));
        }
        Ok(usual.iter().find_map(|&name| {
            let cell = self.row.get(name)?;
            self.used.insert(name);
            Some((name, cell))
        }))
    }

    /// Tags of the row: all columns that were not read, and `wanted`, which must be in the row.
    fn tags(mut self, wanted: &'a [String]) -> Result<BTreeMap<String, String>, Fault> {
        let mut tags = BTreeMap::new();
        if let Some(Cell::Struct(own)) = self.row.get("tags") {
            self.used.insert("tags");
            let own = own.0.iter().filter(|(_, cell)| !cell.is_null());
            tags.extend(own.filter_map(|(key, cell)| Some((key.clone(), cell.text()?))));
        }
        for (key, cell) in &self.row.0 {
            let is_further = !self.used.contains(key.as_str()) && !cell.is_null();
            let is_wanted = || wanted.contains(key) && !cell.is_null();
            let Some(text) = cell.text().filter(|_| is_further || is_wanted()) else { continue };
            if tags.insert(key.clone(), text).is_some() {
                return Err(Fault::TwiceTagged(key.clone()));
            }
        }
        for name in wanted {
            if !tags.contains_key(name) {
                self.named(name)?;
            }
        }
        Ok(tags)
    }
}

fn text<'a>(column: &str, cell: &'a Cell) -> Result<&'a str, Fault> {
    match cell {
        Cell::Scalar(Value::String(text)) => Ok(text),
        other => Err(Fault::Type { column: column.to_owned(), expected: "text", found: other.excerpt() }),
    }
}

fn pass_rate(cell: &Cell) -> Result<PassRate, Fault> {
    let fraction = match cell {
        Cell::Scalar(value) => value.as_f64(),
        _ => None,
    };
    // Adding zero turns −0 into 0; −0 would be a level of its own.
    let rate = fraction.and_then(|fraction| PassRate::new(fraction as f32 + 0.0).ok());
    rate.ok_or_else(|| Fault::PassRate(cell.excerpt()))
}

/// Checks that a text has one placeholder per image.
pub(crate) fn check_placeholders(text: &str, images: usize) -> Result<(), Fault> {
    let placeholders = text.matches(Problem::IMAGE_PLACEHOLDER).count();
    if placeholders == images { Ok(()) } else { Err(Fault::Placeholders { placeholders, images }) }
}

/// Parses an id in the form of [`ProblemId`]; other values of the key are not ids.
fn own_id(cell: &Cell) -> Option<ProblemId> {
    let Cell::Scalar(Value::String(text)) = cell else { return None };
    let is_id = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    u64::from_str_radix(text, 16).ok().filter(|_| is_id).map(ProblemId)
}
