//! Errors of a run.

use crate::config::{BaseFamily, ConfigError};
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

/// Why a run did not start, or stopped without a result.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(Box<ConfigError>),
    /// There is no such device.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The model cannot be downloaded.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// The processor of a checkpoint cannot be used.
    #[error("cannot use {}", folder.display())]
    Processor {
        /// The checkpoint.
        folder: PathBuf,
        /// Why.
        source: Box<ProcessorError>,
    },
    /// A model cannot be loaded.
    #[error(transparent)]
    Load(Box<LoadError>),
    /// The trained model cannot be saved.
    #[error("cannot save the trained model in {}", folder.display())]
    Save {
        /// Where.
        folder: PathBuf,
        /// Why.
        source: Box<SaveError>,
    },
    /// The problems cannot be read.
    #[error(transparent)]
    Data(Box<DataError>),
    /// A problem cannot be a prompt.
    #[error(transparent)]
    Prompt(Box<PromptError>),
    /// The curriculum cannot be built.
    #[error(transparent)]
    Curriculum(#[from] CurriculumError),
    /// The model cannot be measured.
    #[error(transparent)]
    Evaluation(Box<EvaluationError>),
    /// Training failed.
    #[error(transparent)]
    Train(Box<TrainError>),
    /// The report cannot be made.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// A base model that this program does not ship.
    #[error(
        "this program ships no small model of {0:?}: expected a folder or a name on the hub (`--model`, or `model: Pretrained(…)`)"
    )]
    NoBaseModel(BaseFamily),
    /// A file or a folder cannot be read or written.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A folder for a new run that is not empty.
    #[error("{} is not empty: resume the run in it with --resume, or choose another folder (nothing was overwritten)", .0.display())]
    Occupied(PathBuf),
    /// A folder without a run that could be resumed.
    #[error("{} holds no run to resume", folder.display())]
    NoRun {
        /// The folder.
        folder: PathBuf,
        /// What its configuration lacks.
        source: Box<ConfigError>,
    },
    /// A run that was stopped before there was anything to resume.
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
    /// For `map_err`: an error of doing this at `path`.
    pub(crate) fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { doing, path, source }
    }
}
