//! SPEED: a few completions decide whether the others are sampled.

use crate::{Batch, Curriculum, CurriculumError, GroupOutcome, Progress, Quantity};
use seethink_core::SettingError;
use serde::{Deserialize, Serialize};

/// Screening: samples `screen` completions first, and `more` only for those groups whose accuracies
/// (or rewards) differ; other groups are dropped.
///
/// # Source
/// arXiv 2506.09016 and Zanette-Labs/speed-rl at `80e47b5` (4 and 12; the paper's scripts 4 and
/// 20). Differs: both phases belong to one step and one training policy, where the source samples
/// the rest together with the next screening; no group waits in a buffer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Speed {
    /// Completions of the screening, at least 2.
    pub screen: usize,
    /// Completions after the screening, at least 1.
    pub more: usize,
    /// Quantity that must vary.
    #[serde(default)]
    pub quantity: Quantity,
}

impl Speed {
    pub(crate) fn build(&self) -> Result<Box<dyn Curriculum>, CurriculumError> {
        let found = format!("{} and {}", self.screen, self.more);
        let wrong = SettingError::new("Speed.screen", found, "at least 2, and `more` at least 1");
        if self.screen >= 2 && self.more >= 1 { Ok(Box::new(self.clone())) } else { Err(wrong.into()) }
    }
}

impl Curriculum for Speed {
    fn draw(&mut self, _: Progress, _: usize) -> Batch {
        Batch::OVER
    }

    fn extend(&mut self, partial: &GroupOutcome) -> Option<usize> {
        let size = partial.size();
        Some(match size {
            0 => self.screen,
            _ if size == self.screen && !partial.has_no_variance(self.quantity) => self.more,
            _ => 0,
        })
    }

    fn admit(&mut self, group: &GroupOutcome) -> bool {
        group.size() > self.screen
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::{outcome, three};
    use crate::{CurriculumConfig, Simulation};
    use seethink_core::Capability;

    #[test]
    fn a_screening_looks_at_accuracy_unless_told_otherwise() {
        let group = GroupOutcome { rewards: vec![1.0, 0.9], ..outcome(1, &[1.0, 1.0]) };
        let more = |text: &str| ron::from_str::<Speed>(text).unwrap().extend(&group);
        let texts = ["(screen: 2, more: 3)", "(screen: 2, more: 3, quantity: Reward)"];
        assert_eq!(texts.map(more), [Some(0), Some(3)]);
    }

    #[test]
    fn hopeless_and_solved_problems_cost_a_screening() {
        let corpus = three(100, 100, 100);
        let policy = "Merged(order: Shuffled, epochs: PerStage(1), last_batch: Keep)";
        let text =
            format!("#![enable(unwrap_variant_newtypes)] With(policy: {policy}, rules: [Speed(screen: 4, more: 12)])");
        let config: CurriculumConfig = ron::from_str(&text).unwrap();
        let mut course = config.build(&corpus, 1).unwrap();
        let rate = |entry: &crate::CorpusEntry| {
            [0.0, 0.5, 1.0][Capability::ALL.iter().position(|one| *one == entry.capability).unwrap()]
        };
        let steps = Simulation::default().run(&mut course, &corpus, &mut { rate });
        let groups = || steps.iter().flat_map(|step| &step.sampled);
        assert_eq!(groups().count(), 300);
        for (group, admitted) in groups() {
            assert_eq!((group.size() == 16, group.size() == 4), (*admitted, !*admitted));
        }
        // At a pass rate of 1/2, four completions agree in one group of eight.
        let n_admitted = groups().filter(|(_, admitted)| *admitted).count();
        assert!((78..=97).contains(&n_admitted), "{n_admitted}");
    }
}
