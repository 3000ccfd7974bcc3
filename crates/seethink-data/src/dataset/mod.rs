//! Data sets over files of problems: checked once, then opened from an index and read by number.

#[cfg(feature = "parquet")]
mod cache;
#[cfg(not(feature = "parquet"))]
#[path = "no_cache.rs"]
mod cache;
mod check;
mod files;
mod index;
mod read;
mod report;
#[cfg(test)]
mod tests;

pub use report::Report;

use crate::table::Footer;
use crate::{DataError, DataSource, PassRateTable, Split, Splits};
use cache::Cache;
use check::{Faults, check};
use index::Index;
use read::Reading;
use seethink_core::{PassRate, Problem, ProblemId, SettingError};
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Configuration of a data set: files, splits, duplicates, overlong prompts and pass rates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetConfig {
    /// Sources: files of one schema each.
    pub sources: Vec<DataSource>,
    /// Assignment of rows to training, validation and test.
    #[serde(default)]
    pub splits: Splits,
    /// Treatment of duplicate problems.
    #[serde(default)]
    pub duplicates: Duplicates,
    /// Treatment of overlong prompts; tokens are not counted if not given.
    #[serde(default)]
    pub overlong: Option<Overlong>,
    /// Path of a table of pass rates, which take precedence over those of the rows.
    #[serde(default)]
    pub pass_rates: Option<PathBuf>,
    /// Folder for the indices of checked files; beside the files if not given.
    #[serde(default)]
    pub index: Option<PathBuf>,
}

/// Treatment of duplicate problems.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Duplicates {
    /// A duplicate is an error.
    #[default]
    Error,
    /// Duplicates are left out and counted.
    Drop,
}

/// Length limit of prompts, and the treatment of longer ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Overlong {
    /// Maximum number of tokens of a prompt, images included.
    pub max_tokens: usize,
    /// Treatment of longer prompts; they are counted in any case.
    #[serde(default)]
    pub action: OverlongAction,
}

/// Treatment of overlong prompts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum OverlongAction {
    /// Overlong prompts are left out.
    #[default]
    Drop,
    /// An overlong prompt is an error.
    Error,
    /// Overlong prompts are kept.
    Keep,
}

/// Token counter of prompts.
#[derive(Clone, Copy)]
pub struct TokenCounter<'a> {
    /// Identity of the counter: cached counts are valid for a counter of this name only.
    pub name: &'a str,
    /// Function that counts the tokens of a prompt.
    pub count: &'a CountTokens<'a>,
}

/// Function that counts the tokens of a question with images of these sizes (width, height;
/// pixels), or says why it cannot be a prompt.
pub type CountTokens<'a> = dyn Fn(&str, &[(u32, u32)]) -> Result<usize, Box<dyn Error + Send + Sync>> + 'a;

/// Data set of checked problems: metadata in memory, contents on disk.
///
/// # Examples
/// ```no_run
/// use seethink_data::{DataSource, Dataset, DatasetConfig};
///
/// let dataset = Dataset::open(&DatasetConfig::new([DataSource::new("geometry3k")]), None)?;
/// println!("{}", dataset.report());
/// println!("{}", dataset.problem(0)?.prompt);
/// # Ok::<(), seethink_data::DataError>(())
/// ```
#[derive(Debug)]
pub struct Dataset {
    shards: Vec<Shard>,
    splits: Splits,
    pass_rates: Option<PassRateTable>,
    /// Shard and row of each problem.
    problems: Vec<(u32, u32)>,
    /// Id and number of each problem, in ascending order of ids.
    by_id: Vec<(ProblemId, u32)>,
    report: Report,
}

/// A file of a data set.
#[derive(Debug)]
struct Shard {
    file: PathBuf,
    source: DataSource,
    /// Split by the names of file and folder.
    split: Split,
    index: Index,
    footer: OnceLock<Option<Footer>>,
}

/// Metadata of a problem, known without reading it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Entry<'a> {
    /// Id of the problem.
    pub id: ProblemId,
    /// Capability that the problem exercises.
    pub capability: &'a str,
    /// Split that the problem belongs to.
    pub split: Split,
    /// Pass rate of some model on the problem, where known.
    pub pass_rate: Option<PassRate>,
    /// Name of the dataset that the problem comes from.
    pub source: &'a str,
    /// Length of the reference solution, where there is one. Characters.
    pub solution_length: Option<u32>,
    /// Number of tokens of the prompt, where counted.
    pub n_tokens: Option<u32>,
    sizes: &'a [u32],
}

impl Entry<'_> {
    /// Number of images.
    pub fn n_images(&self) -> usize {
        self.sizes.len() / 2
    }

    /// Width and height of each image, pixels.
    pub fn image_sizes(&self) -> impl ExactSizeIterator<Item = (u32, u32)> {
        self.sizes.as_chunks().0.iter().map(|&[width, height]| (width, height))
    }
}

impl DatasetConfig {
    /// Creates a configuration of these sources: splits by name, no duplicate problems.
    pub fn new(sources: impl Into<Vec<DataSource>>) -> Self {
        Self {
            sources: sources.into(),
            splits: Splits::default(),
            duplicates: Duplicates::default(),
            overlong: None,
            pass_rates: None,
            index: None,
        }
    }
}

impl Dataset {
    /// Opens a data set. Files without a valid index are read to their end and checked, a few rows
    /// in memory at a time; the index is cached for as long as length and time of the file, and the
    /// way it is read, stay the same. Image files are inspected in this check only.
    ///
    /// # Errors
    /// If a file cannot be read; if rows are bad (the error shows the first of them): a column is
    /// missing or of a wrong type, placeholders do not match the images, the header of an image
    /// cannot be read, a problem is a duplicate; if there is a limit to the length of prompts and
    /// no `counter`; if the index cannot be written.
    pub fn open(config: &DatasetConfig, counter: Option<&TokenCounter<'_>>) -> Result<Self, DataError> {
        config.splits.check()?;
        if let (Some(Overlong { max_tokens, .. }), None) = (config.overlong, counter) {
            let found = format!("max_tokens {max_tokens} without a tokenizer");
            return Err(SettingError::new("overlong", found, "a model that counts tokens, or no limit").into());
        }
        let mut faults = Faults::default();
        let mut report = Report::default();
        let mut shards = Vec::new();
        for source in &config.sources {
            for file in files::find(&source.path)? {
                let cache = Cache::new(&file, source, counter, config.index.as_deref())?;
                let known = cache.load();
                report.n_cached += usize::from(known.is_some());
                let index = match known {
                    Some(index) => index,
                    None => check(&file, source, counter, &cache, &mut faults)?,
                };
                let (split, footer) = (Split::of_file(&file), OnceLock::new());
                shards.push(Shard { file, source: source.clone(), split, index, footer });
            }
        }
        report.n_files = shards.len();
        report.n_rows = shards.iter().map(|shard| shard.index.len()).sum();
        let pass_rates = config.pass_rates.as_ref().map(PassRateTable::read).transpose()?;
        let mut dataset = Self { shards, splits: config.splits, pass_rates, problems: vec![], by_id: vec![], report };
        dataset.keep(config, &mut faults);
        faults.none()?;
        Ok(dataset)
    }

    /// Numbers the problems, leaving out duplicates and overlong prompts as configured.
    fn keep(&mut self, config: &DatasetConfig, faults: &mut Faults) {
        let shards = (0..).zip(&self.shards);
        let places =
            shards.flat_map(|(shard, Shard { index, .. })| (0..index.len() as u32).map(move |row| (shard, row)));
        self.problems = places.collect();
        let mut by_id: Vec<(ProblemId, u32)> = (0..)
            .zip(&self.problems)
            .map(|(number, &(shard, row))| (self.shards[shard as usize].index.id(row as usize), number))
            .collect();
        by_id.sort_unstable();
        let mut dropped = Vec::new();
        for same in by_id.chunk_by(|a, b| a.0 == b.0).filter(|same| same.len() > 1) {
            dropped.extend(same[1..].iter().map(|&(_, number)| number));
            if config.duplicates == Duplicates::Error {
                let (first_file, first_line) = self.place(same[0].1);
                for &(problem, number) in &same[1..] {
                    let (file, line) = self.place(number);
                    let (file, first_file) = (file.to_path_buf(), first_file.to_path_buf());
                    faults.push(DataError::Duplicate { file, line, problem, first_file, first_line });
                }
            }
        }
        self.report.n_duplicates = dropped.len();
        let tokens = |&(shard, row): &(u32, u32)| self.shards[shard as usize].index.n_tokens(row as usize);
        self.report.longest = self.problems.iter().filter_map(tokens).max();
        if let Some(Overlong { max_tokens, action }) = config.overlong {
            let too_long = |n_tokens: u32| n_tokens as usize > max_tokens;
            for (number, place) in (0..).zip(&self.problems).filter(|(_, place)| tokens(place).is_some_and(too_long)) {
                self.report.n_overlong += 1;
                match action {
                    OverlongAction::Keep => {}
                    OverlongAction::Drop => dropped.push(number),
                    OverlongAction::Error => {
                        let (file, line) = self.place(number);
                        let (problem, n_tokens) = (
                            self.shards[place.0 as usize].index.id(place.1 as usize),
                            tokens(place).unwrap_or(0) as usize,
                        );
                        faults.push(DataError::Overlong {
                            file: file.to_path_buf(),
                            line,
                            problem,
                            n_tokens,
                            max_tokens,
                        });
                    }
                }
            }
            self.report.dropped_overlong = action == OverlongAction::Drop;
        }
        if !dropped.is_empty() {
            dropped.sort_unstable();
            dropped.dedup();
            let is_kept = |number: u32| dropped.binary_search(&number).is_err();
            self.problems =
                (0..).zip(&self.problems).filter(|&(number, _)| is_kept(number)).map(|(_, &place)| place).collect();
            by_id.retain(|&(_, number)| is_kept(number));
            // Each number decreases by the count of dropped problems before it.
            by_id.iter_mut().for_each(|(_, number)| *number -= dropped.partition_point(|gone| gone < number) as u32);
        }
        self.by_id = by_id;
    }

    /// File and line of a row, by its number before any rows are left out.
    fn place(&self, number: u32) -> (&Path, u64) {
        let (shard, row) = self.problems[number as usize];
        let shard = &self.shards[shard as usize];
        (&shard.file, shard.index.place(row as usize).line)
    }

    /// Number of problems.
    pub fn len(&self) -> usize {
        self.problems.len()
    }

    /// Returns whether the data set has no problems.
    pub fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// Metadata of a problem.
    ///
    /// # Panics
    /// If `number` is not below [`len`](Self::len).
    pub fn entry(&self, number: usize) -> Entry<'_> {
        let (shard, row) = self.at(number);
        let index = &shard.index;
        let id = index.id(row);
        let key = index.image_keys(row).iter().copied().min().unwrap_or(id.0);
        let measured = self.pass_rates.as_ref().and_then(|table| table.pass_rate(id));
        Entry {
            id,
            capability: index.capability(row),
            split: self.splits.by_hash(key).unwrap_or(shard.split),
            pass_rate: measured.or_else(|| index.pass_rate(row)),
            source: index.source(row),
            solution_length: index.solution_length(row),
            n_tokens: index.n_tokens(row),
            sizes: index.image_sizes(row),
        }
    }

    /// Tags of a problem that its source lists; all others come with the problem.
    ///
    /// # Panics
    /// If `number` is not below [`len`](Self::len).
    pub fn tags(&self, number: usize) -> impl Iterator<Item = (&str, &str)> {
        let (shard, row) = self.at(number);
        shard.index.tags(row)
    }

    /// Number of the problem with this id.
    pub fn number(&self, id: ProblemId) -> Option<usize> {
        let found = self.by_id.binary_search_by_key(&id, |&(id, _)| id).ok()?;
        Some(self.by_id[found].1 as usize)
    }

    /// Reads a problem.
    ///
    /// # Errors
    /// If its file cannot be read, or is not what it was when the data set was opened.
    ///
    /// # Panics
    /// If `number` is not below [`len`](Self::len).
    pub fn problem(&self, number: usize) -> Result<Problem, DataError> {
        let (shard, row) = self.at(number);
        let (file, line) = (shard.file.clone(), shard.index.place(row).line);
        let gone = DataError::Changed { file, line, expected: shard.index.id(row) };
        self.read([number]).next().unwrap_or(Err(gone))
    }

    /// Reads problems one after another; each file is read from its beginning to its end if the
    /// numbers ascend.
    ///
    /// # Errors
    /// Each as [`problem`](Self::problem).
    ///
    /// # Panics
    /// If a number is not below [`len`](Self::len).
    pub fn read(&self, numbers: impl IntoIterator<Item = usize>) -> impl Iterator<Item = Result<Problem, DataError>> {
        Reading::new(self, numbers.into_iter())
    }

    /// Report on the problems and their files; counted on each call.
    pub fn report(&self) -> Report {
        self.report.clone().add_problems(self)
    }

    fn at(&self, number: usize) -> (&Shard, usize) {
        let (shard, row) = self.problems[number];
        (&self.shards[shard as usize], row as usize)
    }

    fn image_keys(&self, number: usize) -> &[u64] {
        let (shard, row) = self.at(number);
        shard.index.image_keys(row)
    }
}
