//! Epochs: the number of passes over problems, and the treatment of an incomplete last batch.

use crate::{CurriculumError, Length, Stage};
use serde::{Deserialize, Serialize};

/// Number of epochs, and whether stages or epochs are the outer loop.
///
/// Always stated in a configuration: `PerStage` finishes a stage before the next begins,
/// `OverWholePlan` returns to the first stage in every epoch. The paper describes the former; the
/// released launchers of its curriculum table do the latter because they cycle one ordered file, so
/// that "perception first" means "perception first, fifteen times".
///
/// A sorted [`Order`](crate::Order) starts over in every epoch; `PerStage(1)` goes through it once.
///
/// # Source
/// arXiv 2605.20177 §4.5; VLM-CapCurriculum `training/` at `ccde3ff`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Epochs {
    /// Epochs of each stage, one stage after the other; a stage's own [`Length`] takes precedence.
    PerStage(u32),
    /// Passes over the whole plan, each with one epoch of every stage.
    OverWholePlan(u32),
    /// As many epochs as it takes for `steps` steps in each stage; a stage's own [`Length`] takes
    /// precedence.
    AsNeeded {
        /// Steps in a stage.
        steps: u32,
    },
}

/// Treatment of the problems left at the end of an epoch if they do not fill a batch.
///
/// Batches never span two epochs, so that no problem is in a batch twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LastBatch {
    /// Leaves them out in this epoch, unless they are the whole stage. A sorted order always leaves
    /// out problems of the same end: the hardest in easy-to-hard, so prefer `Keep` there.
    Drop,
    /// Draws them as a smaller batch.
    Keep,
}

impl Epochs {
    /// Number of passes over the plan, from its first stage to its last.
    pub(crate) fn passes(self) -> u32 {
        match self {
            Self::OverWholePlan(passes) => passes,
            Self::PerStage(_) | Self::AsNeeded { .. } => 1,
        }
    }

    /// Length of one visit to `stage`.
    ///
    /// # Errors
    /// If the length is zero, or the stage has a length of its own in a plan that counts epochs
    /// over all stages.
    pub(crate) fn length(self, stage: &Stage) -> Result<Length, CurriculumError> {
        let length = match (self, stage.length) {
            (Self::OverWholePlan(_), Some(length)) => {
                return Err(CurriculumError::LengthInWholePlan { stage: stage.name.clone(), length });
            }
            (Self::OverWholePlan(passes), None) => Length::Epochs(passes.min(1)),
            (_, Some(length)) => length,
            (Self::PerStage(epochs), None) => Length::Epochs(epochs),
            (Self::AsNeeded { steps }, None) => Length::Steps(steps),
        };
        length.check(&stage.name)?;
        Ok(length)
    }
}

impl LastBatch {
    /// Number of batches of `size` in an epoch over `n_problems`.
    pub(crate) fn batches_per_epoch(self, n_problems: usize, size: usize) -> usize {
        match self {
            Self::Drop => (n_problems / size).max(1),
            Self::Keep => n_problems.div_ceil(size),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stages_own_length_wins_where_stages_are_the_outer_loop() {
        let mut stage = Stage::new("one", []);
        assert_eq!(Epochs::PerStage(15).length(&stage).unwrap(), Length::Epochs(15));
        assert_eq!(Epochs::AsNeeded { steps: 9 }.length(&stage).unwrap(), Length::Steps(9));
        assert_eq!(Epochs::OverWholePlan(15).length(&stage).unwrap(), Length::Epochs(1));
        stage.length = Some(Length::Epochs(16));
        assert_eq!(Epochs::PerStage(15).length(&stage).unwrap(), Length::Epochs(16));
        assert_eq!(Epochs::AsNeeded { steps: 9 }.length(&stage).unwrap(), Length::Epochs(16));
        let refused = Epochs::OverWholePlan(15).length(&stage).unwrap_err().to_string();
        assert!(refused.contains("`one`") && refused.contains("OverWholePlan"), "{refused}");
    }

    #[test]
    fn nothing_lasts_zero() {
        let stage = Stage::new("one", []);
        for epochs in [Epochs::PerStage(0), Epochs::OverWholePlan(0), Epochs::AsNeeded { steps: 0 }] {
            assert!(matches!(epochs.length(&stage), Err(CurriculumError::ZeroLength { .. })), "{epochs:?}");
        }
    }

    #[test]
    fn an_epoch_is_never_empty() {
        assert_eq!(LastBatch::Drop.batches_per_epoch(3360, 512), 6);
        assert_eq!(LastBatch::Keep.batches_per_epoch(3360, 512), 7);
        assert_eq!(LastBatch::Drop.batches_per_epoch(3, 512), 1);
    }
}
