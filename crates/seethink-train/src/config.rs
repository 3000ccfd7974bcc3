//! Settings of GRPO and of supervised fine-tuning.

use crate::{OptimizerConfig, PolicyLoss, TrainError};
use burn::tensor::Device;
use seethink_core::{SettingError, Trainable};
use seethink_curriculum::Stage;
use seethink_models::{Activations, VisionLanguageModel};
use seethink_rollout::{PromptFormat, Sampling};
use serde::{Deserialize, Serialize};
use std::fmt::Display;

/// Settings of GRPO.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrpoConfig {
    /// Prompt format: the text that surrounds a question.
    pub prompt: PromptFormat,
    /// Problems per step.
    pub rollout_batch: usize,
    /// Completions per problem.
    pub group_size: usize,
    /// Problems per optimiser update; `rollout_batch / mini_batch` updates per step.
    pub mini_batch: usize,
    /// Maximum number of draws in a step: those after the first replace groups that the curriculum
    /// refused.
    #[serde(default = "one")]
    pub max_draws: usize,
    /// Sampling settings of completions.
    pub sampling: Sampling,
    /// The loss.
    pub loss: PolicyLoss,
    /// The optimiser.
    pub optimizer: OptimizerConfig,
    /// Memory settings, which change no result.
    pub memory: MemoryConfig,
    /// Steps between checkpoints.
    pub checkpoint_every: usize,
    /// Steps between validations inside a stage; 0 validates at its end only.
    pub validate_every: usize,
}

/// Memory settings: sizes that trade memory for speed and change no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemoryConfig {
    /// Maximum number of sequences that decode together.
    pub decode_batch: usize,
    /// Maximum number of tokens, padding included, in one forward or backward pass.
    pub micro_batch_tokens: usize,
    /// Tokens projected onto the vocabulary at a time.
    pub logit_chunk: usize,
    /// Activations that a backward pass may keep.
    #[serde(default)]
    pub activations: ActivationMemory,
}

/// Memory for the activations of a backward pass. Where those of a micro-batch take more, each block
/// is run again instead, which takes a third more time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum ActivationMemory {
    /// 1 GiB on the processor, none elsewhere.
    #[default]
    Auto,
    /// This many MiB; 0 always runs blocks again.
    Mebibytes(usize),
}

impl ActivationMemory {
    /// Treatment of the activations of a micro-batch of `n_tokens`: kept if they fit.
    pub(crate) fn of<M: VisionLanguageModel>(self, model: &M, n_tokens: usize) -> Activations {
        let mebibytes = match self {
            Self::Auto if model.device().inner() == Device::flex() => 1024,
            Self::Auto => 0,
            Self::Mebibytes(mebibytes) => mebibytes,
        };
        let needed = n_tokens.saturating_mul(model.activation_bytes_per_token());
        if needed <= mebibytes.saturating_mul(1 << 20) { Activations::Kept } else { Activations::Recomputed }
    }
}

impl GrpoConfig {
    /// Checks these settings, and their overrides in each stage.
    ///
    /// # Errors
    /// If a value is out of range, or a stage trains nothing; the error names the value or the
    /// stage.
    pub fn check(&self, stages: &[Stage]) -> Result<(), TrainError> {
        const NOTHING: Trainable = Trainable { vision_encoder: false, projector: false, language_model: false };
        self.check_values()?;
        stages.iter().try_for_each(|stage| {
            if stage.trainable == NOTHING {
                return Err(TrainError::NothingTrainable { stage: stage.name.clone(), trainable: stage.trainable });
            }
            let wrong = |error| TrainError::Overrides { stage: stage.name.clone(), error };
            self.of_stage(stage)?.grpo.check_values().map_err(wrong)
        })
    }

    fn check_values(&self) -> Result<(), SettingError> {
        let wrong = |key: &str, found: &dyn Display, expected: &str| Err(SettingError::new(key, found, expected));
        if self.group_size < 2 {
            let expected = "at least 2: advantages compare completions of a group";
            return wrong("grpo.group_size", &self.group_size, expected);
        }
        if self.rollout_batch == 0 {
            return wrong("grpo.rollout_batch", &0, "at least 1");
        }
        if self.mini_batch == 0 || self.mini_batch > self.rollout_batch {
            return wrong("grpo.mini_batch", &self.mini_batch, "between 1 and grpo.rollout_batch");
        }
        if self.max_draws == 0 {
            return wrong("grpo.max_draws", &0, "at least 1");
        }
        if self.checkpoint_every == 0 {
            return wrong("grpo.checkpoint_every", &0, "at least 1");
        }
        let PolicyLoss { clip_low, clip_high, dual_clip, kl_coef } = self.loss;
        let at_least_zero = |value: f64| value.is_finite() && value >= 0.0;
        let off_or_above_one = dual_clip == 0.0 || (dual_clip.is_finite() && dual_clip > 1.0);
        if !(0.0..1.0).contains(&clip_low) || !at_least_zero(clip_high) || !at_least_zero(kl_coef) || !off_or_above_one
        {
            return wrong(
                "grpo.loss",
                &format!("{:?}", self.loss),
                "clip_low in [0, 1), clip_high and kl_coef at least 0, dual_clip above 1, or 0 for none",
            );
        }
        self.optimizer.check().map_err(|error| error.within("grpo"))?;
        self.sampling.check().map_err(|error| error.within("grpo"))
    }
}

/// Default of `max_draws`; serde wants a function.
fn one() -> usize {
    1
}

/// Settings of supervised fine-tuning.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SftConfig {
    /// Prompt format: the text that surrounds a question.
    pub prompt: PromptFormat,
    /// Examples per optimiser update.
    pub batch: usize,
    /// Passes over the examples.
    pub epochs: usize,
    /// The optimiser.
    pub optimizer: OptimizerConfig,
    /// Memory settings, which change no result.
    pub memory: MemoryConfig,
}

impl SftConfig {
    /// Checks these settings.
    ///
    /// # Errors
    /// If a value is out of range.
    pub fn check(&self) -> Result<(), SettingError> {
        let counts = [("sft.batch", self.batch), ("sft.epochs", self.epochs)];
        if let Some((key, _)) = counts.into_iter().find(|(_, count)| *count == 0) {
            return Err(SettingError::new(key, 0, "at least 1"));
        }
        self.optimizer.check().map_err(|error| error.within("sft"))
    }
}
