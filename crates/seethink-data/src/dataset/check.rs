//! Validation of every row of a file.

use super::TokenCounter;
use super::cache::Cache;
use super::index::{Checked, Index, IndexBuilder};
use crate::reader::{self, Rows};
use crate::row::{Place, Row};
use crate::{DataError, DataSource, Fault, ImageLoader};
use std::path::Path;

/// Maximum number of bad rows that an error lists; it also gives their total number.
const SHOWN: usize = 10;

/// Validates all rows of a file and builds its index, which is cached if no row is bad.
pub(super) fn check(
    file: &Path,
    source: &DataSource,
    counter: Option<&TokenCounter<'_>>,
    cache: &Cache,
    faults: &mut Faults,
) -> Result<Index, DataError> {
    let n_before = faults.n;
    let mut builder = IndexBuilder::new(&source.columns.tags);
    for row in Rows::open(file, reader::footer(file)?, None)? {
        match row.and_then(|(place, row)| checked(file, source, counter, place, &row)) {
            Ok(checked) => builder.push(&checked),
            Err(error) => faults.push(error),
        }
    }
    let index = builder.finish();
    if faults.n == n_before {
        cache.store(&index)?;
    }
    Ok(index)
}

fn checked(
    file: &Path,
    source: &DataSource,
    counter: Option<&TokenCounter<'_>>,
    place: Place,
    row: &Row,
) -> Result<Checked, DataError> {
    let (problem, image_keys) = reader::problem(source, file, place, row)?;
    let loader = ImageLoader::default();
    let sizes = problem.images.iter().map(|image| loader.size(image)).collect::<Result<Vec<_>, _>>();
    let image_sizes = sizes.map_err(|error| reader::fault(file, place, row)(error.into()))?;
    let count = counter.map(|counter| (counter.count)(&problem.prompt, &image_sizes)).transpose();
    let n_tokens = count.map_err(|error| reader::fault(file, place, row)(Fault::Uncountable(error)))?;
    Ok(Checked { place, problem, image_keys, image_sizes, n_tokens })
}

/// Bad rows: their number, and the first errors.
#[derive(Default)]
pub(super) struct Faults {
    n: usize,
    first: Vec<DataError>,
}

impl Faults {
    pub(super) fn push(&mut self, error: DataError) {
        self.n += 1;
        if self.first.len() < SHOWN {
            self.first.push(error);
        }
    }

    /// # Errors
    /// If there are bad rows; a single one gives its own error.
    pub(super) fn none(mut self) -> Result<(), DataError> {
        match self.n {
            0 => Ok(()),
            1 => self.first.pop().map_or(Ok(()), Err),
            n_rows => Err(DataError::Rows { n_rows, first: self.first }),
        }
    }
}
