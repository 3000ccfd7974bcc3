//! Reading of problems from a checked data set.

use super::{Dataset, Shard};
use crate::DataError;
use crate::reader::{self, Rows};
use seethink_core::Problem;
use std::iter::Peekable;
use std::vec;

/// Maximum number of problems read in one go.
const RUN: usize = 4096;

/// Iterator that reads problems in the order of their numbers; those that follow one another in a
/// file are read in one go.
pub(super) struct Reading<'a, N: Iterator<Item = usize>> {
    dataset: &'a Dataset,
    numbers: Peekable<N>,
    /// Numbers of the problems in `rows`.
    run: vec::IntoIter<usize>,
    rows: Option<Rows>,
}

impl<'a, N: Iterator<Item = usize>> Reading<'a, N> {
    pub(super) fn new(dataset: &'a Dataset, numbers: N) -> Self {
        Self { dataset, numbers: numbers.peekable(), run: Vec::new().into_iter(), rows: None }
    }

    /// Opens the next problems that follow one another in a file, from `first` on.
    fn begin(&mut self, first: usize) -> Result<(), DataError> {
        let (shard, mut last) = self.dataset.at(first);
        let (mut run, mut places) = (vec![first], vec![shard.index.place(last)]);
        let dataset = self.dataset;
        while run.len() < RUN
            && let Some(next) = self.numbers.next_if(|&next| {
                let (other, row) = dataset.at(next);
                std::ptr::eq(other, shard) && row > last
            })
        {
            last = dataset.at(next).1;
            run.push(next);
            places.push(shard.index.place(last));
        }
        self.rows = Some(Rows::open(&shard.file, shard.footer()?, Some(places))?);
        self.run = run.into_iter();
        Ok(())
    }

    fn problem(&mut self, number: usize) -> Result<Problem, DataError> {
        let (shard, row) = self.dataset.at(number);
        let changed = || {
            let (file, line) = (shard.file.clone(), shard.index.place(row).line);
            DataError::Changed { file, line, expected: shard.index.id(row) }
        };
        let (place, read) = self.rows.as_mut().and_then(Iterator::next).ok_or_else(changed)??;
        let (mut problem, _) = reader::problem(&shard.source, &shard.file, place, &read)?;
        if problem.id != shard.index.id(row) {
            return Err(changed());
        }
        if let Some(table) = &self.dataset.pass_rates {
            table.apply(std::slice::from_mut(&mut problem));
        }
        Ok(problem)
    }
}

impl<N: Iterator<Item = usize>> Iterator for Reading<'_, N> {
    type Item = Result<Problem, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.run.len() == 0 {
            let first = self.numbers.next()?;
            if let Err(error) = self.begin(first) {
                return Some(Err(error));
            }
        }
        let number = self.run.next()?;
        Some(self.problem(number))
    }
}

impl Shard {
    /// Footer of a parquet file, read once.
    fn footer(&self) -> Result<Option<crate::table::Footer>, DataError> {
        if let Some(footer) = self.footer.get() {
            return Ok(footer.clone());
        }
        let footer = reader::footer(&self.file)?;
        Ok(self.footer.get_or_init(|| footer).clone())
    }
}
