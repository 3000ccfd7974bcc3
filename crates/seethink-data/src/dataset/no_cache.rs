//! Cache of the index of a file in builds without the feature `parquet`: there is none, so that
//! every file is checked at every start.

use super::TokenCounter;
use super::index::Index;
use crate::{DataError, DataSource};
use std::path::Path;

/// Cache that holds nothing.
pub(super) struct Cache;

impl Cache {
    pub(super) fn new(
        _: &Path,
        _: &DataSource,
        _: Option<&TokenCounter<'_>>,
        _: Option<&Path>,
    ) -> Result<Self, DataError> {
        Ok(Self)
    }

    pub(super) fn load(&self) -> Option<Index> {
        None
    }

    pub(super) fn store(&self, _: &Index) -> Result<(), DataError> {
        Ok(())
    }
}
