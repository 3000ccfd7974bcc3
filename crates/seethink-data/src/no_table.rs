//! Reader of parquet files in builds without the feature `parquet`: it reads none.

use crate::DataError;
use crate::row::{Place, Row};
use std::path::Path;

/// Footer of a parquet file; no such value exists.
#[derive(Debug, Clone)]
pub(crate) enum Footer {}

/// Refuses a parquet file.
pub(crate) fn footer(file: &Path) -> Result<Footer, DataError> {
    Err(DataError::NoParquet(file.to_owned()))
}

/// Rows of a parquet file; no such value exists.
#[derive(Debug)]
pub(crate) enum Table {}

impl Table {
    pub(crate) fn open(_: &Path, footer: Footer, _: Option<Vec<Place>>) -> Result<Self, DataError> {
        match footer {}
    }
}

impl Iterator for Table {
    type Item = Result<(Place, Row), DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        match *self {}
    }
}

#[cfg(test)]
mod tests {
    use crate::ProblemReader;

    #[test]
    fn a_parquet_file_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("train.parquet");
        std::fs::write(&file, b"PAR1").unwrap();
        let error = ProblemReader::open(&file).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("train.parquet is a parquet file") && error.contains("feature `parquet`"), "{error}");
    }
}
