//! Band: a policy over the problems whose number on an axis lies in a range.

use crate::policy_config::{PolicyConfig, keep_stages_of};
use crate::{Axis, Corpus, Curriculum, CurriculumConfig, CurriculumError};
use serde::{Deserialize, Serialize};

/// Offline filter of problems: leaves out those outside `at_least..=at_most` before training; the
/// rest is the policy's whole corpus.
///
/// On the axis [`PassRate`](Axis::PassRate) it filters by difficulty, such as 0.1 to 0.9, or 0 to
/// 15/16 for the released `_filtered` files, which drop problems that are always solved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Band {
    /// Axis of numbers.
    pub axis: Axis,
    /// Smallest number that is kept; `None` sets no bound.
    #[serde(default)]
    pub at_least: Option<f64>,
    /// Largest number that is kept; `None` sets no bound.
    #[serde(default)]
    pub at_most: Option<f64>,
    /// Policy that draws from the problems kept.
    pub policy: Box<CurriculumConfig>,
}

impl PolicyConfig for Band {
    fn build(&self, corpus: &Corpus, seed: u64) -> Result<Box<dyn Curriculum>, CurriculumError> {
        let within = |number: f64| {
            self.at_least.is_none_or(|least| number >= least) && self.at_most.is_none_or(|most| number <= most)
        };
        let rest = corpus.try_filter(|entry| self.axis.number(entry).map(within))?;
        if rest.is_empty() {
            return Err(CurriculumError::NoProblems { policy: "Band" });
        }
        self.policy.build_policy(&rest, seed)
    }

    fn is_endless(&self) -> bool {
        self.policy.is_endless()
    }

    keep_stages_of!(policy);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::{drain, three};
    use crate::{Course, Epochs, LastBatch, Merged, Order, Stage};

    #[test]
    fn what_lies_outside_is_never_drawn() {
        let corpus = three(50, 50, 50);
        let merged = Merged {
            stage: Stage::new("merged", []),
            order: Order::Shuffled,
            epochs: Epochs::PerStage(1),
            last_batch: LastBatch::Keep,
        };
        let policy = Box::new(CurriculumConfig::Merged(merged));
        let band = Band { axis: Axis::PassRate, at_least: Some(0.25), at_most: Some(0.75), policy };
        let batches = drain(&mut Course::part(band.build(&corpus, 1).unwrap()), 7);
        let rates: Vec<f32> = batches
            .iter()
            .flat_map(|batch| &batch.problems)
            .map(|&id| corpus.get(id).unwrap().pass_rate.unwrap().fraction())
            .collect();
        assert!(rates.iter().all(|rate| (0.25..=0.75).contains(rate)), "{rates:?}");
        let inside = corpus.filter(|entry| (0.25..=0.75).contains(&entry.pass_rate.unwrap().fraction()));
        assert_eq!(rates.len(), inside.len());
        let nothing = Band { at_least: Some(2.0), ..band };
        assert!(matches!(nothing.build(&corpus, 1), Err(CurriculumError::NoProblems { .. })));
    }
}
