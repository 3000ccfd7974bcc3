//! Prelude: the imports of most programs.

pub use crate::core::{
    Capability, Completion, FinishReason, Group, Image, ImageSource, PassRate, Problem, ProblemId, Purpose, Rng,
    Trainable,
};
pub use crate::curriculum::{
    Axis, Batch, Corpus, CorpusEntry, Course, Curriculum, CurriculumConfig, CurriculumError, CurriculumRecord, Epochs,
    GroupKey, GroupOutcome, LastBatch, Length, Merged, Metric, Order, Partition, Progress, Stage, Staged, State,
};
pub use crate::data::{DataError, Split};
pub use crate::models::{ImageLimits, Processor, VisionLanguageModel};
pub use crate::reward::{AnswerReward, Penalty, Response, Reward, Score};
pub use crate::rollout::{Generator, PromptFormat, Sampling};
pub use crate::run::config::{DataConfig, EvaluationConfig, ModelSource};
pub use crate::run::{ConfigError, DeviceError, Job, RunConfig, RunError, TrainArgs, backends, device};
pub use crate::train::{
    Grpo, GrpoConfig, Moment, OptimizerConfig, PolicyLoss, SftConfig, StageOverrides, Trained, Validate,
};
pub use burn::tensor::{Device, Tensor};
