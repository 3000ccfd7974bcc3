//! Stages: what is drawn from, for how long, and what the trainer changes when one begins.

use seethink_core::{Capability, Trainable};
use serde::{Deserialize, Serialize};

/// A stretch of training with one pool of problems and one set of training settings.
///
/// A stage is data: the trainer reads these fields for every batch of the stage, resets the optimiser and takes the
/// reference at its first batch only, and nothing else changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// Unique within a curriculum; the name in reports and plots.
    pub name: String,
    /// The capabilities that its problems exercise; empty means every capability of the corpus.
    #[serde(default)]
    pub capabilities: Vec<Capability>,
    /// How long it lasts, where that differs from the plan's [`Epochs`](crate::Epochs).
    #[serde(default)]
    pub length: Option<Length>,
    /// The parts of the model that learn.
    #[serde(default)]
    pub trainable: Trainable,
    /// Whether the optimiser's moments start from zero.
    #[serde(default = "yes")]
    pub reset_optimizer: bool,
    /// Whether the policy of that moment becomes the KL reference.
    #[serde(default = "yes")]
    pub snapshot_reference: bool,
    /// Hyper-parameters that differ from the run's.
    #[serde(default)]
    pub overrides: StageOverrides,
}

/// How long a stage lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Length {
    /// Passes over its problems.
    Epochs(u32),
    /// Exactly so many batches; epochs follow one another as long as it takes.
    Steps(u32),
}

/// Hyper-parameters that a stage sets for itself; `None` keeps the run's value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StageOverrides {
    /// Peak learning rate.
    pub learning_rate: Option<f64>,
    /// Weight of the KL term in the loss.
    pub kl_coef: Option<f64>,
    /// Lower clip range ε: ratios below `1 − ε` are clipped.
    pub clip_low: Option<f64>,
    /// Upper clip range ε: ratios above `1 + ε` are clipped.
    pub clip_high: Option<f64>,
    /// Largest norm of the gradient over all parameters.
    pub max_grad_norm: Option<f64>,
}

impl Stage {
    /// A stage over `capabilities` (empty: all) with everything trainable, a fresh optimiser and a fresh reference.
    pub fn new(name: impl Into<String>, capabilities: impl Into<Vec<Capability>>) -> Self {
        Self {
            name: name.into(),
            capabilities: capabilities.into(),
            length: None,
            trainable: Trainable::ALL,
            reset_optimizer: true,
            snapshot_reference: true,
            overrides: StageOverrides::default(),
        }
    }

    /// The stage of a single capability, named after it.
    pub fn of(capability: Capability) -> Self {
        Self::new(capability.as_str(), [capability.clone()])
    }
}

/// serde wants a function for a default of `true`.
fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_stage_in_a_file_is_the_stage_in_code() {
        let read: Stage = ron::from_str("(name: \"perception\", capabilities: [\"perception\"])").unwrap();
        assert_eq!(read, Stage::of(Capability::PERCEPTION));
    }

    #[test]
    fn a_full_stage_survives_a_round_trip() {
        let mut stage = Stage::of(Capability::VISUAL_REASONING);
        stage.length = Some(Length::Steps(40));
        stage.trainable = Trainable::LANGUAGE_MODEL;
        stage.reset_optimizer = false;
        stage.overrides.learning_rate = Some(3e-7);
        assert_eq!(ron::from_str::<Stage>(&ron::to_string(&stage).unwrap()).unwrap(), stage);
    }

    #[test]
    fn unknown_keys_are_refused_by_name() {
        for text in ["(name: \"a\", freeze: true)", "(name: \"a\", overrides: (lr: Some(1.0)))"] {
            let message = ron::from_str::<Stage>(text).unwrap_err().to_string();
            assert!(message.contains("freeze") || message.contains("lr"), "{message}");
        }
    }
}
