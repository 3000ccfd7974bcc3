//! Errors of a run.

use crate::config::{ConfigError, ModelSource};
use crate::device::DeviceError;
use crate::report::ReportError;
use seethink_curriculum::CurriculumError;
use seethink_data::DataError;
use seethink_eval::EvaluationError;
use seethink_hub::HubError;
use seethink_models::{LoadError, ProcessorError, SaveError};
use seethink_rollout::PromptError;
use seethink_train::TrainError;
use std::path::PathBuf;

/// Errors of a run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(Box<ConfigError>),
    /// There is no device of this name.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The model cannot be downloaded.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// The processor of a checkpoint cannot be loaded or saved.
    #[error("cannot use {}", folder.display())]
    Processor {
        /// Checkpoint folder.
        folder: PathBuf,
        /// Cause of the failure.
        source: Box<ProcessorError>,
    },
    /// A model cannot be loaded.
    #[error(transparent)]
    Load(Box<LoadError>),
    /// A model cannot be saved.
    #[error("cannot save the model in {}", folder.display())]
    Save {
        /// Folder of the model.
        folder: PathBuf,
        /// Cause of the failure.
        source: Box<SaveError>,
    },
    /// The problems cannot be read.
    #[error(transparent)]
    Data(Box<DataError>),
    /// A problem cannot be encoded as a prompt.
    #[error(transparent)]
    Prompt(Box<PromptError>),
    /// The curriculum cannot be built.
    #[error(transparent)]
    Curriculum(#[from] CurriculumError),
    /// The evaluation failed.
    #[error(transparent)]
    Evaluation(Box<EvaluationError>),
    /// Training failed.
    #[error(transparent)]
    Train(Box<TrainError>),
    /// The report cannot be made.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// The program does not ship this base model.
    #[error(
        "this program ships no small model {0:?}: expected a folder or a name on the hub (`--model`, or `model: Pretrained(…)`)"
    )]
    NoBaseModel(ModelSource),
    /// A file or a folder cannot be read or written.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// Attempted action.
        doing: &'static str,
        /// Path of the file or folder.
        path: PathBuf,
        /// Error of the system.
        source: std::io::Error,
    },
    /// The folder of a new run is not empty.
    #[error("{} is not empty: resume the run in it with --resume, or choose another folder (nothing was overwritten)", .0.display())]
    Occupied(PathBuf),
    /// The folder of an export exists already.
    #[error("{} exists already, expected a folder that does not (nothing was overwritten)", .0.display())]
    Exists(PathBuf),
    /// The folder holds no run.
    #[error("{} holds no run", folder.display())]
    NoRun {
        /// The folder.
        folder: PathBuf,
        /// Error of its configuration.
        source: Box<ConfigError>,
    },
    /// The run was stopped before there was anything to resume.
    #[error("stopped before the first step: the run has to begin again")]
    StoppedEarly,
}

/// Conversions of errors that are boxed because they are large.
macro_rules! boxed {
    ($($variant:ident($error:ty)),* $(,)?) => {
        $(impl From<$error> for RunError {
            fn from(error: $error) -> Self {
                Self::$variant(Box::new(error))
            }
        })*
    };
}

boxed!(
    Config(ConfigError),
    Data(DataError),
    Evaluation(EvaluationError),
    Load(LoadError),
    Prompt(PromptError),
    Train(TrainError),
);

impl RunError {
    /// Creates an I/O error of this action at `path`, for `map_err`.
    pub(crate) fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { doing, path, source }
    }
}
