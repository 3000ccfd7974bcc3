//! Writer of problem folders: one JSON object a line in `problems.jsonl`, images in `images/`.

use crate::source::check_placeholders;
use crate::{DataError, Fault};
use seethink_core::{Capability, Image, ImageSource, PassRate, Problem};
use serde::Serialize;
use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Name of the file of problems in a folder.
pub(crate) const FILE: &str = "problems.jsonl";
/// Name of the image folder in a folder.
const IMAGES: &str = "images";

/// Line of the file of problems.
#[derive(Serialize)]
struct Record<'a> {
    index: String,
    id: String,
    problem: &'a str,
    answer: &'a str,
    images: Vec<String>,
    source: &'a str,
    capability: &'a Capability,
    #[serde(skip_serializing_if = "Option::is_none")]
    solution: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pass_rate: Option<PassRate>,
    tags: &'a BTreeMap<String, String>,
}

/// Writes problems to a new folder that [`ProblemReader`](crate::ProblemReader) reads back; returns
/// their number.
///
/// Pixels are stored as PNG, without loss; encoded images and image files are stored as they are.
/// The folder appears complete or not at all: everything is written beside it and renamed at the
/// end.
///
/// # Errors
/// If the folder exists and is not empty, a problem's placeholders do not match its images, an
/// image file is missing, or the system refuses to write.
pub fn write_problems<'a>(
    dir: impl AsRef<Path>,
    problems: impl IntoIterator<Item = &'a Problem>,
) -> Result<usize, DataError> {
    try_write_problems(dir, problems.into_iter().map(Ok::<_, DataError>))
}

/// Writes problems that have to be read first, as [`write_problems`] does.
///
/// # Errors
/// As [`write_problems`], and the first error among the problems; then there is no folder.
pub fn try_write_problems<P: Borrow<Problem>, E: From<DataError>>(
    dir: impl AsRef<Path>,
    problems: impl IntoIterator<Item = Result<P, E>>,
) -> Result<usize, E> {
    let dir = dir.as_ref();
    let existed = match fs::read_dir(dir).map(|mut entries| entries.next().is_none()) {
        Ok(is_empty) if !is_empty => return Err(DataError::NotEmpty(dir.to_path_buf()).into()),
        Ok(_) => true,
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(DataError::io("read", dir)(error).into()),
    };
    let partial = Partial::beside(dir)?;
    let images = partial.0.join(IMAGES);
    fs::create_dir(&images).map_err(DataError::io("create", &images))?;
    let file = partial.0.join(FILE);
    let mut out = BufWriter::new(File::create(&file).map_err(DataError::io("create", &file))?);
    let mut n_problems = 0;
    for problem in problems {
        let problem = problem?;
        let problem = problem.borrow();
        let record = store(problem, n_problems, &images).map_err(|error| match error {
            StoreError::Io(error) => error,
            StoreError::Fault(fault) => DataError::Problem {
                file: dir.join(FILE),
                line: n_problems as u64 + 1,
                problem: problem.id.to_string(),
                fault,
            },
        })?;
        let line = serde_json::to_string(&record).map_err(io::Error::from);
        line.and_then(|line| writeln!(out, "{line}")).map_err(DataError::io("write", &file))?;
        n_problems += 1;
    }
    out.into_inner()
        .map_err(|error| error.into_error())
        .and_then(|file| file.sync_all())
        .map_err(DataError::io("write", &file))?;
    if existed {
        fs::remove_dir(dir).map_err(DataError::io("replace", dir))?;
    }
    partial.rename(dir)?;
    Ok(n_problems)
}

/// Error of storing a problem.
enum StoreError {
    Io(DataError),
    Fault(Fault),
}

/// Writes the images of a problem and returns its line.
fn store<'a>(problem: &'a Problem, index: usize, images: &Path) -> Result<Record<'a>, StoreError> {
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
        .map_err(|error| StoreError::Io(DataError::io("write", &path)(error)))?;
        names.push(format!("{IMAGES}/{name}"));
    }
    Ok(Record {
        index: index.to_string(),
        id: problem.id.to_string(),
        problem: &problem.prompt,
        answer: &problem.answer,
        images: names,
        source: &problem.source,
        capability: &problem.capability,
        solution: problem.solution.as_deref(),
        pass_rate: problem.pass_rate,
        tags: &problem.tags,
    })
}

/// File extension of a stored image, for human readers: the format is detected from the content.
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

/// Temporary folder that is removed unless it is renamed.
struct Partial(PathBuf);

impl Partial {
    fn beside(dir: &Path) -> Result<Self, DataError> {
        let name =
            dir.file_name().ok_or_else(|| DataError::io("create", dir)(io::ErrorKind::InvalidFilename.into()))?;
        let path = dir.with_file_name(format!(".{}.{}.partial", name.to_string_lossy(), std::process::id()));
        fs::create_dir_all(&path).map_err(DataError::io("create", &path))?;
        Ok(Self(path))
    }

    fn rename(self, dir: &Path) -> Result<(), DataError> {
        fs::rename(&self.0, dir).map_err(DataError::io("create", dir))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // After a rename there is nothing left to remove; before it, this is the clean-up of an
        // error already reported.
        let _ = fs::remove_dir_all(&self.0);
    }
}
