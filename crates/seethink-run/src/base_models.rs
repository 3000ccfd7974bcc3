//! Small base models that a program ships with.

use crate::RunError;
use crate::config::BaseFamily;
use std::path::Path;

/// Source of base models that a configuration names by their family instead of a folder.
pub trait BaseModels {
    /// Writes the model of a family as a Hugging Face folder.
    ///
    /// # Errors
    /// If there is no model of this family, or a file cannot be written.
    fn unpack(&self, family: BaseFamily, folder: &Path) -> Result<(), RunError>;
}

/// No base models, for a program whose models are folders or names on a hub.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoBaseModels;

impl BaseModels for NoBaseModels {
    fn unpack(&self, family: BaseFamily, _folder: &Path) -> Result<(), RunError> {
        Err(RunError::NoBaseModel(family))
    }
}
