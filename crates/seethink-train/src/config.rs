//! Settings of GRPO and of supervised fine-tuning.

use crate::{OptimizerConfig, PolicyLoss, Schedule, TrainError};
use seethink_core::Trainable;
use seethink_curriculum::{Stage, StageOverrides};
use seethink_rollout::{PromptFormat, Sampling};
use serde::{Deserialize, Serialize};

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
            let overridden = self.of_stage(stage).check_values();
            overridden.map_err(|error| TrainError::Overrides { stage: stage.name.clone(), error: Box::new(error) })
        })
    }

    fn check_values(&self) -> Result<(), TrainError> {
        let wrong =
            |key, found: String, expected: &str| Err(TrainError::Setting { key, found, expected: expected.into() });
        if self.group_size < 2 {
            return wrong(
                "grpo.group_size",
                self.group_size.to_string(),
                "at least 2: advantages compare completions of a group",
            );
        }
        if self.rollout_batch == 0 {
            return wrong("grpo.rollout_batch", "0".into(), "at least 1");
        }
        if self.mini_batch == 0 || self.mini_batch > self.rollout_batch {
            return wrong("grpo.mini_batch", self.mini_batch.to_string(), "between 1 and grpo.rollout_batch");
        }
        if self.max_draws == 0 {
            return wrong("grpo.max_draws", "0".into(), "at least 1");
        }
        if self.checkpoint_every == 0 {
            return wrong("grpo.checkpoint_every", "0".into(), "at least 1");
        }
        let PolicyLoss { clip_low, clip_high, dual_clip, kl_coef } = self.loss;
        let at_least_zero = |value: f64| value.is_finite() && value >= 0.0;
        let off_or_above_one = dual_clip == 0.0 || (dual_clip.is_finite() && dual_clip > 1.0);
        if !(0.0..1.0).contains(&clip_low) || !at_least_zero(clip_high) || !at_least_zero(kl_coef) || !off_or_above_one
        {
            return wrong(
                "grpo.loss",
                format!("{:?}", self.loss),
                "clip_low in [0, 1), clip_high and kl_coef at least 0, dual_clip above 1, or 0 for none",
            );
        }
        self.optimizer.check("grpo.optimizer")?;
        self.sampling.check().map_err(|error| TrainError::Rollout(error.into()))
    }

    /// These settings with the overrides of a stage; its reward is looked up by name where
    /// completions are scored.
    ///
    /// All fields are named, so that the compiler finds an override that is not applied.
    pub(crate) fn of_stage(&self, stage: &Stage) -> Self {
        let StageOverrides {
            learning_rate,
            kl_coef,
            clip_low,
            clip_high,
            dual_clip,
            max_grad_norm,
            warmup,
            max_tokens,
            ref prompt_suffix,
            reward: _,
        } = stage.overrides;
        let Self { prompt, sampling, loss, optimizer, .. } = self;
        let PromptFormat { system, suffix } = prompt.clone();
        Self {
            prompt: PromptFormat { system, suffix: prompt_suffix.clone().unwrap_or(suffix) },
            sampling: Sampling { max_tokens: max_tokens.unwrap_or(sampling.max_tokens), ..*sampling },
            loss: PolicyLoss {
                clip_low: clip_low.unwrap_or(loss.clip_low),
                clip_high: clip_high.unwrap_or(loss.clip_high),
                dual_clip: dual_clip.unwrap_or(loss.dual_clip),
                kl_coef: kl_coef.unwrap_or(loss.kl_coef),
            },
            optimizer: OptimizerConfig {
                learning_rate: learning_rate.unwrap_or(optimizer.learning_rate),
                max_grad_norm: max_grad_norm.unwrap_or(optimizer.max_grad_norm),
                schedule: Schedule { warmup: warmup.unwrap_or(optimizer.schedule.warmup), ..optimizer.schedule },
                ..*optimizer
            },
            ..self.clone()
        }
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
    /// If a value is out of range; the error names the setting.
    pub fn check(&self) -> Result<(), TrainError> {
        let counts = [("sft.batch", self.batch), ("sft.epochs", self.epochs)];
        if let Some((key, _)) = counts.into_iter().find(|(_, count)| *count == 0) {
            return Err(TrainError::Setting { key, found: "0".into(), expected: "at least 1".into() });
        }
        self.optimizer.check("sft.optimizer")
    }
}
