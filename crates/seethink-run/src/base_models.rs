//! Small base models that a program ships with.

use crate::RunError;
use crate::config::ModelSource;
use std::path::Path;

/// Source of base models that a configuration names instead of a folder.
pub trait BaseModels {
    /// Writes a model as a Hugging Face folder.
    ///
    /// # Errors
    /// If the program does not ship this model, or a file cannot be written.
    fn unpack(&self, model: &ModelSource, folder: &Path) -> Result<(), RunError>;
}

/// No base models, for a program whose models are folders or names on a hub.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoBaseModels;

impl BaseModels for NoBaseModels {
    fn unpack(&self, model: &ModelSource, _folder: &Path) -> Result<(), RunError> {
        Err(RunError::NoBaseModel(model.clone()))
    }
}
