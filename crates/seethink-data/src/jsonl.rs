//! Folders of problems: one JSON object a line in `problems.jsonl`, pictures in `images/`.
//!
//! Keys of the released data sets: `index`, `problem`, `answer`, `images` (paths relative to the file), `source`.
//! Keys of our own: `id`, `capability`, `solution`, `pass_rate`, `tags`.
//! Any further key is kept as a tag, a value that is not a string as its JSON.

use crate::{DataError, Fault, ImageLoader, content_id};
use seethink_core::{Capability, Image, ImageSource, PassRate, Problem, ProblemId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

#[cfg(test)]
mod tests;

/// The file of problems in a folder.
const FILE: &str = "problems.jsonl";
/// The folder of pictures in a folder.
const IMAGES: &str = "images";

/// One line.
#[derive(Serialize, Deserialize)]
struct Record {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    index: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<Value>,
    problem: String,
    answer: Value,
    #[serde(default)]
    images: Vec<String>,
    #[serde(default)]
    source: String,
    capability: Option<Capability>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    solution: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pass_rate: Option<PassRate>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    #[serde(flatten)]
    further: Map<String, Value>,
}

/// Reads problems one line at a time.
///
/// A bad line is an error of its own; the lines after it can still be read.
/// Images stay paths, checked to exist, unless [`decode`](Self::decode) is called.
/// A line without an `id` of ours gets a [`content_id`].
///
/// # Examples
/// ```no_run
/// use seethink_core::Capability;
/// use seethink_data::ProblemReader;
///
/// // A released file, whose lines do not say what they exercise.
/// let reader = ProblemReader::open("data/perception_train.jsonl")?.capability(Capability::PERCEPTION);
/// for problem in reader {
///     println!("{}", problem?.prompt);
/// }
/// # Ok::<(), seethink_data::DataError>(())
/// ```
#[derive(Debug)]
pub struct ProblemReader {
    file: PathBuf,
    lines: BufReader<File>,
    line: usize,
    image_dir: PathBuf,
    capability: Option<Capability>,
    loader: Option<ImageLoader>,
}

impl ProblemReader {
    /// Opens a JSON-lines file, or a folder that [`write_problems`] wrote.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, DataError> {
        let path = path.as_ref();
        let file = if path.is_dir() { path.join(FILE) } else { path.to_path_buf() };
        let lines = BufReader::new(File::open(&file).map_err(io("read", &file))?);
        let image_dir = file.parent().unwrap_or(Path::new("")).to_path_buf();
        Ok(Self { file, lines, line: 0, image_dir, capability: None, loader: None })
    }

    /// Looks for images under `dir` instead of beside the file.
    pub fn image_dir(self, dir: impl Into<PathBuf>) -> Self {
        Self { image_dir: dir.into(), ..self }
    }

    /// What lines that do not say so exercise.
    pub fn capability(self, capability: Capability) -> Self {
        Self { capability: Some(capability), ..self }
    }

    /// Decodes images while reading, so that problems hold pixels.
    pub fn decode(self, loader: ImageLoader) -> Self {
        Self { loader: Some(loader), ..self }
    }

    fn problem(&self, line: &[u8]) -> Result<Problem, DataError> {
        let json = |source| DataError::Json { file: self.file.clone(), line: self.line, source };
        let record: Record = serde_json::from_slice(line).map_err(json)?;
        let name = record.index.as_ref().or(record.id.as_ref()).map_or_else(|| format!("#{}", self.line), text);
        self.build(record).map_err(|fault| DataError::Problem {
            file: self.file.clone(),
            line: self.line,
            problem: name,
            fault,
        })
    }

    fn build(&self, record: Record) -> Result<Problem, Fault> {
        check_placeholders(&record.problem, record.images.len())?;
        let answer = match &record.answer {
            Value::String(_) | Value::Number(_) => text(&record.answer),
            other => return Err(Fault::Answer(other.to_string())),
        };
        let mut tags = record.tags;
        let own_id = record.id.as_ref().and_then(parse_id);
        let foreign_id = record.id.filter(|_| own_id.is_none()).map(|id| ("id".to_string(), id));
        for (key, value) in record.further.into_iter().chain(foreign_id) {
            let value = text(&value);
            if tags.contains_key(&key) {
                return Err(Fault::TwiceTagged(key));
            }
            tags.insert(key, value);
        }
        let images: Vec<ImageSource> = record.images.iter().map(|name| self.image(name)).collect::<Result<_, _>>()?;
        let id = own_id.unwrap_or_else(|| {
            // By relative path, so that moving a data set or decoding its images keeps its ids.
            let names: Vec<_> = record.images.iter().map(|name| ImageSource::Path(name.into())).collect();
            content_id(&record.problem, &names, &answer)
        });
        Ok(Problem {
            id,
            capability: record.capability.or_else(|| self.capability.clone()).ok_or(Fault::NoCapability)?,
            prompt: record.problem,
            images,
            answer,
            solution: record.solution,
            pass_rate: record.pass_rate,
            source: record.source,
            tags,
        })
    }

    fn image(&self, name: &str) -> Result<ImageSource, Fault> {
        let path = self.image_dir.join(name);
        if !path.is_file() {
            return Err(Fault::MissingImage(path));
        }
        let source = ImageSource::Path(path);
        match &self.loader {
            Some(loader) => Ok(ImageSource::Pixels(loader.load(&source)?)),
            None => Ok(source),
        }
    }
}

impl Iterator for ProblemReader {
    type Item = Result<Problem, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut line = Vec::new();
        loop {
            line.clear();
            match self.lines.read_until(b'\n', &mut line) {
                Ok(0) => return None,
                Ok(_) => self.line += 1,
                Err(source) => return Some(Err(DataError::Io { action: "read", path: self.file.clone(), source })),
            }
            if !line.trim_ascii().is_empty() {
                return Some(self.problem(&line));
            }
        }
    }
}

/// Writes problems to a new folder that [`ProblemReader`] reads back; returns how many.
///
/// Pixels are stored as PNG, without loss; encoded images and image files are stored as they are.
/// The folder appears complete or not at all: everything is written beside it and renamed at the end.
///
/// # Errors
/// If the folder exists and is not empty, a problem's placeholders do not match its images, an image file is missing, or
/// the system refuses to write.
pub fn write_problems<'a>(
    dir: impl AsRef<Path>,
    problems: impl IntoIterator<Item = &'a Problem>,
) -> Result<usize, DataError> {
    let dir = dir.as_ref();
    let existed = match fs::read_dir(dir).map(|mut entries| entries.next().is_none()) {
        Ok(is_empty) if !is_empty => return Err(DataError::NotEmpty(dir.to_path_buf())),
        Ok(_) => true,
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(io("read", dir)(error)),
    };
    let partial = Partial::beside(dir)?;
    let images = partial.0.join(IMAGES);
    fs::create_dir(&images).map_err(io("create", &images))?;
    let file = partial.0.join(FILE);
    let mut out = BufWriter::new(File::create(&file).map_err(io("create", &file))?);
    let mut n_problems = 0;
    for problem in problems {
        let record = store(problem, n_problems, &images).map_err(|error| match error {
            StoreError::Io(error) => error,
            StoreError::Fault(fault) => DataError::Problem {
                file: dir.join(FILE),
                line: n_problems + 1,
                problem: problem.id.to_string(),
                fault,
            },
        })?;
        let line = serde_json::to_string(&record).map_err(io::Error::from);
        line.and_then(|line| writeln!(out, "{line}")).map_err(io("write", &file))?;
        n_problems += 1;
    }
    out.into_inner()
        .map_err(|error| error.into_error())
        .and_then(|file| file.sync_all())
        .map_err(io("write", &file))?;
    if existed {
        fs::remove_dir(dir).map_err(io("replace", dir))?;
    }
    partial.rename(dir)?;
    Ok(n_problems)
}

/// Why a problem could not be stored.
enum StoreError {
    Io(DataError),
    Fault(Fault),
}

/// Writes the images of a problem and returns its line.
fn store(problem: &Problem, index: usize, images: &Path) -> Result<Record, StoreError> {
    check_placeholders(&problem.prompt, problem.images.len()).map_err(StoreError::Fault)?;
    let mut names = Vec::new();
    for (nth, image) in problem.images.iter().enumerate() {
        let name = format!("{index:06}-{nth}.{}", extension(image));
        let path = images.join(&name);
        match image {
            ImageSource::Path(original) if !original.is_file() => {
                return Err(StoreError::Fault(Fault::MissingImage(original.clone())));
            }
            ImageSource::Path(original) => fs::copy(original, &path).map(|_| ()),
            ImageSource::Encoded(bytes) => fs::write(&path, bytes),
            ImageSource::Pixels(image) => png(image).and_then(|bytes| fs::write(&path, bytes)),
        }
        .map_err(|error| StoreError::Io(io("write", &path)(error)))?;
        names.push(format!("{IMAGES}/{name}"));
    }
    Ok(Record {
        index: Some(Value::String(index.to_string())),
        id: Some(Value::String(problem.id.to_string())),
        problem: problem.prompt.clone(),
        answer: Value::String(problem.answer.clone()),
        images: names,
        source: problem.source.clone(),
        capability: Some(problem.capability.clone()),
        solution: problem.solution.clone(),
        pass_rate: problem.pass_rate,
        tags: problem.tags.clone(),
        further: Map::new(),
    })
}

/// How the name of a stored image ends. Readers go by content, so this is for people.
fn extension(image: &ImageSource) -> &str {
    match image {
        ImageSource::Path(path) => path.extension().and_then(|extension| extension.to_str()).unwrap_or("image"),
        ImageSource::Encoded(bytes) => {
            let format = ::image::guess_format(bytes).ok();
            format.and_then(|format| format.extensions_str().first().copied()).unwrap_or("image")
        }
        ImageSource::Pixels(_) => "png",
    }
}

fn png(image: &Image) -> io::Result<Vec<u8>> {
    let mut bytes = io::Cursor::new(Vec::new());
    let (format, color) = (::image::ImageFormat::Png, ::image::ExtendedColorType::Rgb8);
    ::image::write_buffer_with_format(&mut bytes, image.rgb(), image.width(), image.height(), color, format)
        .map_err(io::Error::other)?;
    Ok(bytes.into_inner())
}

/// A folder that is removed again unless it is renamed.
struct Partial(PathBuf);

impl Partial {
    fn beside(dir: &Path) -> Result<Self, DataError> {
        let name = dir.file_name().ok_or_else(|| io("create", dir)(io::ErrorKind::InvalidFilename.into()))?;
        let path = dir.with_file_name(format!(".{}.{}.partial", name.to_string_lossy(), std::process::id()));
        fs::create_dir_all(&path).map_err(io("create", &path))?;
        Ok(Self(path))
    }

    fn rename(self, dir: &Path) -> Result<(), DataError> {
        fs::rename(&self.0, dir).map_err(io("create", dir))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // After a rename there is nothing left to remove; before it, this is the clean-up of an error already reported.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn check_placeholders(text: &str, images: usize) -> Result<(), Fault> {
    let placeholders = text.matches(Problem::IMAGE_PLACEHOLDER).count();
    if placeholders == images { Ok(()) } else { Err(Fault::Placeholders { placeholders, images }) }
}

/// A string as it is, anything else as its JSON.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_string)
}

/// An id as [`ProblemId`] shows it; files of others may use the key for something else.
fn parse_id(value: &Value) -> Option<ProblemId> {
    let digits = value.as_str().filter(|text| text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    u64::from_str_radix(digits, 16).ok().map(ProblemId)
}

fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DataError {
    move |source| DataError::Io { action, path: path.to_path_buf(), source }
}
