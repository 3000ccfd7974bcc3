//! Errors of training.

use seethink_core::{ProblemId, SettingError, Trainable};
use seethink_curriculum::CurriculumError;
use seethink_rollout::{CapacityError, PromptError, RolloutError};
use std::path::PathBuf;
use std::sync::Arc;

/// Errors of training.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A setting that cannot work.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// A setting that a stage cannot override, or that is out of range once it has.
    #[error("with the overrides of stage `{stage}`, {error}")]
    Overrides {
        /// Name of the stage.
        stage: String,
        /// Error of the setting.
        error: SettingError,
    },
    /// Prompts or completions of a stage that exceed the model's positions or the memory.
    #[error(
        "stage `{stage}`: {source} (grpo.sampling.max_tokens, grpo.memory.decode_batch, or overrides of the stage)"
    )]
    Capacity {
        /// Name of the stage.
        stage: String,
        /// Sizes asked for and available.
        source: CapacityError,
    },
    /// A warm-up in a stage whose number of steps is not known beforehand.
    #[error(
        "stage `{stage}` has a warm-up, which is a share of its steps, but the curriculum does not know beforehand how many there \
         are; expected stages of a fixed length, or a warm-up of 0"
    )]
    WarmupOfUnknownSteps {
        /// Name of the stage.
        stage: String,
    },
    /// An example of fine-tuning that the model has no positions for.
    #[error("problem {problem} has {n_tokens} tokens with its solution, but the model has {max_positions} positions")]
    LongExample {
        /// The problem.
        problem: ProblemId,
        /// Tokens of prompt and solution.
        n_tokens: usize,
        /// Number of positions of the model.
        max_positions: usize,
    },
    /// A stage that trains nothing.
    #[error("stage `{stage}` trains no part of the model ({trainable:?}), expected at least one")]
    NothingTrainable {
        /// Name of the stage.
        stage: String,
        /// Trainable parts, as the stage sets them.
        trainable: Trainable,
    },
    /// A stage with a reward that the run does not define.
    #[error("stage `{stage}` has the reward `{reward}`, which the run does not define; it defines [{known}]")]
    UnknownReward {
        /// Name of the stage.
        stage: String,
        /// Name of the reward.
        reward: String,
        /// Names of the rewards that the run defines.
        known: String,
    },
    /// The curriculum failed.
    #[error(transparent)]
    Curriculum(#[from] CurriculumError),
    /// A problem without what training on it needs.
    #[error("problem {problem} has no {missing}")]
    Incomplete {
        /// The problem.
        problem: ProblemId,
        /// Name of the missing part.
        missing: &'static str,
    },
    /// A problem cannot be read or cannot be a prompt.
    #[error(transparent)]
    Prompt(#[from] PromptError),
    /// Generation failed.
    #[error(transparent)]
    Rollout(#[from] RolloutError),
    /// The metrics file could not be read or written.
    #[error(transparent)]
    Metrics(#[from] seethink_files::JsonLinesError),
    /// A file of the run folder could not be read or written.
    #[error("{doing} {}", path.display())]
    File {
        /// Action that failed.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Cause.
        source: std::io::Error,
    },
    /// A run folder that already holds a run.
    #[error("{} already holds a run; resume it, or choose another folder (nothing was overwritten)", .0.display())]
    OccupiedFolder(PathBuf),
    /// A run folder without a checkpoint.
    #[error("{} holds no complete checkpoint", .0.display())]
    NoCheckpoint(PathBuf),
    /// A step without a checkpoint, because it was deleted, is not complete or was never written.
    #[error("{} holds no complete checkpoint of step {step}, expected one of {}", path.display(), join(steps))]
    NoStep {
        /// Folder of the checkpoints.
        path: PathBuf,
        /// The step.
        step: usize,
        /// Steps of the complete checkpoints.
        steps: Vec<usize>,
    },
    /// A checkpoint that does not fit the run or cannot be read.
    #[error("checkpoint {} {problem}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// Description of the mismatch.
        problem: String,
    },
    /// A record of a checkpoint could not be written or read.
    #[error("record `{name}` of the checkpoint at step {step} could not be written or read")]
    Record {
        /// Name of the record.
        name: &'static str,
        /// Step of the checkpoint.
        step: usize,
        /// Cause.
        source: burn::train::checkpoint::CheckpointerError,
    },
    /// burn's learner stopped on an error.
    #[error("the learner stopped")]
    Learner(#[source] Arc<burn::train::TrainingError>),
    /// A validation callback failed.
    #[error("validation failed")]
    Validation(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Formats steps as a list.
fn join(steps: &[usize]) -> String {
    steps.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
}
