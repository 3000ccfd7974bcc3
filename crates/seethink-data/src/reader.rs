//! Sequential reader of the problems of one file.

use crate::jsonl::Lines;
use crate::row::{Place, Row};
use crate::table::{self, Footer, Table};
use crate::write::FILE;
use crate::{Columns, DataError, DataSource, ImageLoader};
use seethink_core::{Capability, ImageSource, Problem};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

#[cfg(test)]
mod tests;

/// Reads problems one row at a time from a JSON-lines or parquet file, detected by its content.
///
/// A bad row is an error of its own; the rows after it can still be read. Images stay paths,
/// checked to exist below the folder of the file, or encoded bytes, unless [`decode`](Self::decode)
/// is called. A row without an `id` in the form of [`ProblemId`](seethink_core::ProblemId) gets a
/// [`content_id`](crate::content_id). [`Dataset`](crate::Dataset) reads several files, checks them
/// once, and gives problems by number.
///
/// # Examples
/// ```no_run
/// use seethink_core::Capability;
/// use seethink_data::ProblemReader;
///
/// // A released file, whose lines do not say what they exercise.
/// let reader =
///     ProblemReader::open("data/perception_train.jsonl")?.capability(Capability::PERCEPTION);
/// for problem in reader {
///     println!("{}", problem?.prompt);
/// }
/// # Ok::<(), seethink_data::DataError>(())
/// ```
#[derive(Debug)]
pub struct ProblemReader {
    file: PathBuf,
    rows: Rows,
    source: DataSource,
    loader: Option<ImageLoader>,
}

impl ProblemReader {
    /// Opens a file, or a folder that [`write_problems`](crate::write_problems) wrote.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, DataError> {
        let path = path.as_ref();
        let file = if path.is_dir() { path.join(FILE) } else { path.to_path_buf() };
        let rows = Rows::open(&file, footer(&file)?, None)?;
        Ok(Self { source: DataSource::new(&file), file, rows, loader: None })
    }

    /// Sets the root folder of images, instead of the folder of the file.
    pub fn image_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.source.image_dir = Some(dir.into());
        self
    }

    /// Accepts images outside their root folder; see
    /// [`DataSource::images_outside`](crate::DataSource::images_outside).
    pub fn images_outside(mut self) -> Self {
        self.source.images_outside = true;
        self
    }

    /// Sets the capability of rows that do not state it.
    pub fn capability(mut self, capability: Capability) -> Self {
        self.source.capability = Some(capability);
        self
    }

    /// Sets the names of the columns.
    pub fn columns(mut self, columns: Columns) -> Self {
        self.source.columns = columns;
        self
    }

    /// Decodes images while reading, so that problems hold pixels.
    pub fn decode(self, loader: ImageLoader) -> Self {
        Self { loader: Some(loader), ..self }
    }
}

impl Iterator for ProblemReader {
    type Item = Result<Problem, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = self.rows.next()?;
        Some(row.and_then(|(place, row)| {
            let (mut problem, _) = problem(&self.source, &self.file, place, &row)?;
            if let Some(loader) = &self.loader {
                for image in &mut problem.images {
                    let decoded = loader.load(image).map_err(|error| fault(&self.file, place, &row)(error.into()))?;
                    *image = ImageSource::Pixels(decoded);
                }
            }
            Ok(problem)
        }))
    }
}

/// Rows of a file.
#[derive(Debug)]
pub(crate) enum Rows {
    Lines(Lines),
    Table(Table),
}

impl Rows {
    /// Opens all rows of a file, or those at the places, which ascend; `footer` is [`footer`]'s.
    pub(crate) fn open(file: &Path, footer: Option<Footer>, wanted: Option<Vec<Place>>) -> Result<Self, DataError> {
        match footer {
            Some(footer) => Table::open(file, footer, wanted).map(Self::Table),
            None => Lines::open(file, wanted).map(Self::Lines),
        }
    }
}

impl Iterator for Rows {
    type Item = Result<(Place, Row), DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Lines(lines) => lines.next(),
            Self::Table(table) => table.next(),
        }
    }
}

/// Reads the footer of a parquet file; `None` for other files.
pub(crate) fn footer(file: &Path) -> Result<Option<Footer>, DataError> {
    let mut head = Vec::new();
    let read = File::open(file).and_then(|opened| opened.take(4).read_to_end(&mut head));
    read.map_err(DataError::io("read", file))?;
    (head == b"PAR1").then(|| table::footer(file)).transpose()
}

/// Builds the problem of a row, and a content key for each of its images.
pub(crate) fn problem(
    source: &DataSource,
    file: &Path,
    place: Place,
    row: &Row,
) -> Result<(Problem, Vec<u64>), DataError> {
    source.problem(row, source.image_root(file)).map_err(fault(file, place, row))
}

/// Adds the place to a fault: file, line, and the row's `index`, `id` or number.
pub(crate) fn fault<'a>(file: &'a Path, place: Place, row: &'a Row) -> impl FnOnce(crate::Fault) -> DataError + 'a {
    move |fault| {
        let name = row.get("index").or_else(|| row.get("id")).and_then(|cell| cell.scalar_text());
        let problem = name.unwrap_or_else(|| format!("#{}", place.line));
        DataError::Problem { file: file.to_path_buf(), line: place.line, problem, fault }
    }
}
