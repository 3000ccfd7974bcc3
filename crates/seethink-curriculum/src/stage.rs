//! Stages: their problems, their lengths, and the settings that the trainer applies.

use crate::{Axis, CorpusEntry, CurriculumConfig, CurriculumError, Overrides};
use seethink_core::{Capability, Trainable};
use serde::{Deserialize, Serialize};
use std::sync::LazyLock;

/// Stage of training, with one pool of problems and one set of training settings.
///
/// A stage is data: the trainer reads these fields for every batch of the stage, resets the
/// optimiser and takes the reference only at its first batch, and changes nothing else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// Name in reports and plots, unique within a curriculum.
    pub name: String,
    /// Capabilities of its problems; empty means every capability of the corpus.
    #[serde(default)]
    pub capabilities: Vec<Capability>,
    /// Further conditions on its problems, which must all hold.
    #[serde(default)]
    pub only: Vec<Only>,
    /// Policy that draws within the stage, if not by the plan's [`Order`](crate::Order).
    #[serde(default)]
    pub policy: Option<Box<CurriculumConfig>>,
    /// Length of the stage, if not by the plan's [`Epochs`](crate::Epochs).
    #[serde(default)]
    pub length: Option<Length>,
    /// Parts of the model that are trained.
    #[serde(default)]
    pub trainable: Trainable,
    /// `true` (default) if the optimiser's moments start from zero.
    #[serde(default = "yes")]
    pub reset_optimizer: bool,
    /// `true` (default) if the model at the beginning of the stage becomes the KL reference.
    #[serde(default = "yes")]
    pub snapshot_reference: bool,
    /// Settings of the trainer that differ from the run's.
    #[serde(default)]
    pub overrides: Overrides,
}

/// Condition on problems: the key on an axis is one of those listed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Only {
    /// Axis of the keys.
    pub axis: Axis,
    /// Keys that are allowed.
    pub keys: Vec<String>,
}

/// Length of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Length {
    /// Epochs over its problems.
    Epochs(u32),
    /// Exact number of steps, over as many epochs as they take.
    Steps(u32),
    /// Threshold: the stage ends when the quantity, averaged over the last `window` steps, is at
    /// least `at_least`; at most `at_most` steps.
    Threshold {
        /// Quantity that is watched.
        quantity: Quantity,
        /// Threshold of the quantity.
        at_least: f64,
        /// Number of steps averaged over.
        window: u32,
        /// Maximum number of steps.
        at_most: u32,
    },
    /// Plateau: the stage ends when the quantity, averaged over the last `window` steps, is less
    /// than `gain` above its average over the `window` steps before; at most `at_most` steps.
    Plateau {
        /// Quantity that is watched.
        quantity: Quantity,
        /// Smallest gain that continues the stage.
        gain: f64,
        /// Number of steps averaged over.
        window: u32,
        /// Maximum number of steps.
        at_most: u32,
    },
}

/// Quantity of a completion, by which rules about groups and lengths of stages decide.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Quantity {
    /// Accuracy part of the reward, in `[0, 1]`.
    #[default]
    Accuracy,
    /// Total reward, with format and penalties.
    Reward,
}

impl Stage {
    /// Stage over `capabilities` (empty: all) with everything trainable, a fresh optimiser and a
    /// fresh reference.
    pub fn new(name: impl Into<String>, capabilities: impl Into<Vec<Capability>>) -> Self {
        Self {
            name: name.into(),
            capabilities: capabilities.into(),
            only: Vec::new(),
            policy: None,
            length: None,
            trainable: Trainable::ALL,
            reset_optimizer: true,
            snapshot_reference: true,
            overrides: Overrides::default(),
        }
    }

    /// Stage of a curriculum that defines none: all problems.
    pub(crate) fn everything() -> &'static [Self] {
        static EVERYTHING: LazyLock<[Stage; 1]> = LazyLock::new(|| [Stage::new("everything", [])]);
        &*EVERYTHING
    }

    /// Returns whether the stage draws from a problem.
    ///
    /// # Errors
    /// If the problem lacks the key of an axis.
    pub(crate) fn draws_from(&self, entry: &CorpusEntry) -> Result<bool, CurriculumError> {
        if !self.capabilities.is_empty() && !self.capabilities.contains(&entry.capability) {
            return Ok(false);
        }
        self.only.iter().try_fold(true, |all, Only { axis, keys }| {
            let key = axis.key(entry)?.to_string();
            Ok(all && keys.contains(&key))
        })
    }

    /// Stage of a single capability, named after it.
    pub fn of(capability: Capability) -> Self {
        Self::new(capability.as_str(), [capability.clone()])
    }
}

impl Length {
    /// Checks that a stage can have this length.
    ///
    /// # Errors
    /// If a length or a window is zero, or a number is not finite.
    pub(crate) fn check(self, stage: &str) -> Result<(), CurriculumError> {
        let stage = stage.to_owned();
        match self {
            Self::Epochs(0)
            | Self::Steps(0)
            | Self::Threshold { at_most: 0, .. }
            | Self::Plateau { at_most: 0, .. } => Err(CurriculumError::ZeroLength { stage }),
            Self::Threshold { at_least: number, window, .. } | Self::Plateau { gain: number, window, .. }
                if window == 0 || !number.is_finite() =>
            {
                Err(CurriculumError::BadLength { stage, length: self })
            }
            _ => Ok(()),
        }
    }
}

/// serde needs a function for a default of `true`.
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
        stage.overrides.set("learning_rate", 3e-7);
        assert_eq!(ron::from_str::<Stage>(&ron::to_string(&stage).unwrap()).unwrap(), stage);
    }

    #[test]
    fn unknown_keys_are_refused_by_name() {
        let message = ron::from_str::<Stage>("(name: \"a\", freeze: true)").unwrap_err().to_string();
        assert!(message.contains("freeze"), "{message}");
    }

    #[test]
    fn lengths_that_no_stage_can_have_are_refused() {
        let quantity = Quantity::Accuracy;
        let threshold = |at_least, window, at_most| Length::Threshold { quantity, at_least, window, at_most };
        let plateau = |gain, window, at_most| Length::Plateau { quantity, gain, window, at_most };
        for good in [Length::Epochs(1), Length::Steps(1), threshold(0.5, 1, 1), plateau(-0.5, 1, 1)] {
            assert!(good.check("a").is_ok(), "{good:?}");
        }
        for empty in [Length::Epochs(0), Length::Steps(0), threshold(0.5, 1, 0), plateau(0.5, 1, 0)] {
            assert!(matches!(empty.check("a"), Err(CurriculumError::ZeroLength { .. })), "{empty:?}");
        }
        let bad = [
            threshold(0.5, 0, 9),
            threshold(f64::NAN, 1, 9),
            threshold(f64::INFINITY, 1, 9),
            plateau(0.5, 0, 9),
            plateau(f64::NAN, 1, 9),
        ];
        for bad in bad {
            assert!(matches!(bad.check("a"), Err(CurriculumError::BadLength { .. })), "{bad:?}");
        }
    }
}
