//! Files of problems as one data set: checked once, then opened from an index and read by number.

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
use check::{Faults, check};
use index::{Cache, Index};
use read::Reading;
use seethink_core::{PassRate, Problem, ProblemId};
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Where a data set lies and how it is read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetConfig {
    /// Its files.
    pub sources: Vec<DataSource>,
    /// Which rows are for training, validation and test.
    #[serde(default)]
    pub splits: Splits,
    /// What becomes of a problem that stands there a second time.
    #[serde(default)]
    pub duplicates: Duplicates,
    /// What becomes of prompts that are too long; not counted if not given.
    #[serde(default)]
    pub overlong: Option<Overlong>,
    /// A table of pass rates, which take precedence over those of the rows.
    #[serde(default)]
    pub pass_rates: Option<PathBuf>,
    /// A folder for what is known of checked files; beside them if not given.
    #[serde(default)]
    pub index: Option<PathBuf>,
}

/// What becomes of a problem that stands there a second time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Duplicates {
    /// It is an error.
    #[default]
    Error,
    /// It is left out and counted.
    Drop,
}

/// What becomes of prompts that are too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Overlong {
    /// Most tokens of a prompt, images included.
    pub max_tokens: usize,
    /// What becomes of longer ones; they are counted in any case.
    #[serde(default)]
    pub action: OverlongAction,
}

/// What becomes of a prompt that is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum OverlongAction {
    /// It is left out.
    #[default]
    Drop,
    /// It is an error.
    Error,
    /// It stays.
    Keep,
}

/// Counts the tokens of prompts.
#[derive(Clone, Copy)]
pub struct TokenCounter<'a> {
    /// Tells it from others: counts that are remembered are of a counter of this name.
    pub name: &'a str,
    /// Counts them.
    pub count: &'a CountTokens<'a>,
}

/// Tokens of a question with images of these sizes (width, height; pixels), or why it cannot be a prompt.
pub type CountTokens<'a> = dyn Fn(&str, &[(u32, u32)]) -> Result<usize, Box<dyn Error + Send + Sync>> + 'a;

/// A checked data set: what is known of each problem is in memory, the problems are on disk.
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
    /// Ids, ascending, and numbers of the problems.
    by_id: Vec<(ProblemId, u32)>,
    report: Report,
}

/// A file of a data set.
#[derive(Debug)]
struct Shard {
    file: PathBuf,
    source: DataSource,
    /// Where names tell.
    split: Split,
    index: Index,
    footer: OnceLock<Option<Footer>>,
}

/// What is known of a problem without reading it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Entry<'a> {
    /// The problem.
    pub id: ProblemId,
    /// What it exercises.
    pub capability: &'a str,
    /// The part of the data that it belongs to.
    pub split: Split,
    /// How often some model solved it, where known.
    pub pass_rate: Option<PassRate>,
    /// The dataset that it comes from.
    pub source: &'a str,
    /// Length of the known solution, where there is one. Characters.
    pub solution_length: Option<u32>,
    /// Tokens of the prompt, where they were counted.
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
    /// The files of these sources, parts by name, no problem twice.
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
    /// Opens a data set. Files that are not known yet are read to their end and checked, a few rows in memory at a time; what was found
    /// is remembered for as long as length and time of the file, and the way it is read, stay the same. Image files are looked at only then.
    ///
    /// # Errors
    /// If a file cannot be read; if rows are bad (the error shows the first of them): a column is missing or of a wrong type, placeholders
    /// do not match the images, the header of an image cannot be read, a problem stands there twice; if there is a limit to the length of
    /// prompts and no `counter`; if the index cannot be written.
    pub fn open(config: &DatasetConfig, counter: Option<&TokenCounter<'_>>) -> Result<Self, DataError> {
        config.splits.check()?;
        if let (Some(Overlong { max_tokens, .. }), None) = (config.overlong, counter) {
            let found = format!("max_tokens {max_tokens} without a tokenizer");
            return Err(DataError::Setting {
                field: "overlong",
                found,
                expected: "a model that counts tokens, or no limit",
            });
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

    /// Numbers the problems, without the rows that are left out.
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
            // A number is lower by those left out before it.
            by_id.iter_mut().for_each(|(_, number)| *number -= dropped.partition_point(|gone| gone < number) as u32);
        }
        self.by_id = by_id;
    }

    /// File and line of a row, by its number before any were left out.
    fn place(&self, number: u32) -> (&Path, u64) {
        let (shard, row) = self.problems[number as usize];
        let shard = &self.shards[shard as usize];
        (&shard.file, shard.index.place(row as usize).line)
    }

    /// Number of problems.
    pub fn len(&self) -> usize {
        self.problems.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// What is known of a problem.
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

    /// The tags of a problem that its source names; all others come with the problem.
    ///
    /// # Panics
    /// If `number` is not below [`len`](Self::len).
    pub fn tags(&self, number: usize) -> impl Iterator<Item = (&str, &str)> {
        let (shard, row) = self.at(number);
        shard.index.tags(row)
    }

    /// The number of the problem with this id.
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

    /// Reads problems one after the other, each file from its beginning to its end if the numbers ascend.
    ///
    /// # Errors
    /// Each as [`problem`](Self::problem).
    ///
    /// # Panics
    /// If a number is not below [`len`](Self::len).
    pub fn read(&self, numbers: impl IntoIterator<Item = usize>) -> impl Iterator<Item = Result<Problem, DataError>> {
        Reading::new(self, numbers.into_iter())
    }

    /// Numbers about the problems and their files; counted when asked for.
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
