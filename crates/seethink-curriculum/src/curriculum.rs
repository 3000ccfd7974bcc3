//! The contract between a policy and the trainer.

use crate::{Corpus, CurriculumError, CurriculumRecord, Stage};
use seethink_core::ProblemId;
use serde::{Deserialize, Serialize};
use std::fmt::Debug;

/// Decides what is trained when.
///
/// The trainer asks [`next_batch`](Self::next_batch) once per step, trains on what it gets, and tells the outcome to
/// [`observe`](Self::observe). Draws depend on the construction seed and on what was observed, and on nothing else;
/// state is data, so [`load_record`](Self::load_record) continues where [`to_record`](Self::to_record) was taken.
pub trait Curriculum: Debug + Send {
    /// The stages, in the order of their indices; at least one, and exactly one in a merged run.
    fn stages(&self) -> &[Stage];

    /// What to train on next, or `None` when the curriculum is over (and from then on).
    ///
    /// `size` is the most problems to return; no problem stands in a batch twice.
    ///
    /// # Panics
    /// If `size` is zero or `corpus` is not the one that the curriculum was built for.
    fn next_batch(&mut self, corpus: &Corpus, size: usize) -> Option<BatchPlan>;

    /// Batches in each stage if every call asks for `size` problems; `None` where outcomes decide.
    ///
    /// # Shapes
    /// - output: `[stage]`, batches over the whole run
    fn planned_steps(&self, size: usize) -> Option<Vec<usize>> {
        let _ = size;
        None
    }

    /// Outcomes of finished groups, for policies that adapt.
    fn observe(&mut self, outcomes: &[GroupOutcome]) {
        let _ = outcomes;
    }

    /// Everything needed to continue.
    fn to_record(&self) -> CurriculumRecord;

    /// Continues from a record.
    ///
    /// # Errors
    /// If the record is of another version, policy, corpus or configuration; the curriculum is then unchanged.
    fn load_record(&mut self, record: CurriculumRecord) -> Result<(), CurriculumError>;

    /// Figures worth a curve, by bare quantity (`stage`, `epoch`, …); the composer prefixes `curriculum/`.
    fn metrics(&self) -> Vec<(&'static str, f64)> {
        Vec::new()
    }
}

/// The problems of one training step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchPlan {
    /// Index into [`Curriculum::stages`].
    pub stage: usize,
    /// At least one, all different.
    pub problems: Vec<ProblemId>,
}

/// What came of one group of completions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupOutcome {
    /// The problem that the group answers.
    pub problem: ProblemId,
    /// Total reward of each completion, `[completion]`.
    pub rewards: Vec<f32>,
    /// Accuracy part of each reward in `[0, 1]`, `[completion]`.
    pub accuracies: Vec<f32>,
    /// Mean completion length, tokens.
    pub mean_length: f64,
}

impl GroupOutcome {
    /// Mean accuracy of the group, in `[0, 1]`; `None` for a group without completions.
    pub fn pass_rate(&self) -> Option<f64> {
        let sum: f64 = self.accuracies.iter().copied().map(f64::from).sum();
        (!self.accuracies.is_empty()).then(|| sum / self.accuracies.len() as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_groups_pass_rate_is_its_mean_accuracy() {
        let group = |accuracies: &[f32]| GroupOutcome {
            problem: ProblemId(1),
            rewards: accuracies.to_vec(),
            accuracies: accuracies.to_vec(),
            mean_length: 3.0,
        };
        assert_eq!(group(&[1.0, 0.0, 0.0, 1.0]).pass_rate(), Some(0.5));
        assert_eq!(group(&[]).pass_rate(), None);
    }
}
