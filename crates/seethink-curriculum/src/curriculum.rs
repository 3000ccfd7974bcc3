//! Curriculum trait: the contract between a policy and the trainer.

use crate::{CurriculumError, Progress, Quantity, Stage, State};
use seethink_core::ProblemId;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt::Debug;

/// Curriculum: decides which problems are trained on when.
///
/// A training step makes these calls, in this order:
///
/// 1. [`draw`](Self::draw): the problems.
/// 2. [`extend`](Self::extend), for every problem: number of completions to sample; called again
///    after sampling them, until it is 0.
/// 3. [`admit`](Self::admit), for every group: whether it is trained on. If groups are refused and
///    the trainer refills, it goes back to 1 for the missing ones.
/// 4. [`replay`](Self::replay): groups of earlier steps for the places that are still empty.
/// 5. [`weight`](Self::weight), for every group of the update: factor of its advantages.
/// 6. [`observe`](Self::observe), once: every group sampled in this step, refused ones included.
///
/// Only `draw` is required; a policy that has state also implements [`state`](Self::state) and
/// [`load_state`](Self::load_state). Decisions depend only on the arguments, on the construction
/// (including its seed) and on the outcomes observed: no clock, no ambient randomness. State is
/// taken between steps, so it need not cover an unfinished step.
pub trait Curriculum: Debug + Send {
    /// Draws the problems to train on next: at most `want`, none twice in a step
    /// ([`Course`](crate::Course) leaves out repeated ones).
    ///
    /// An empty batch at the beginning of a step ends the training; later in a step it means that
    /// this step gets no more problems. A stage ends between steps, never within one.
    fn draw(&mut self, progress: Progress, want: usize) -> Batch;

    /// Number of completions to sample in addition to those of the group, which has none at first;
    /// `None` fills the group up to the run's group size.
    fn extend(&mut self, partial: &GroupOutcome) -> Option<usize> {
        let _ = partial;
        None
    }

    /// Returns whether a group is trained on.
    fn admit(&mut self, group: &GroupOutcome) -> bool {
        let _ = group;
        true
    }

    /// Groups of earlier steps to train on again: at most `places`, from those that
    /// [`banked`](Self::banked) lists.
    fn replay(&mut self, places: usize) -> Vec<GroupKey> {
        let _ = places;
        Vec::new()
    }

    /// Factor of the advantages of a group: finite and at least 0.
    fn weight(&self, group: &GroupOutcome) -> f64 {
        let _ = group;
        1.0
    }

    /// Ends a step: receives every group that was sampled in it, in the order drawn.
    fn observe(&mut self, groups: &[GroupOutcome]) {
        let _ = groups;
    }

    /// Learns from the outcomes of a step that another curriculum drew, without counting it as a
    /// step of its own.
    ///
    /// A policy that keeps statistics of problems or categories implements this, so that they are
    /// known when its turn comes ([`WarmStart`](crate::WarmStart)); one that follows its own draws,
    /// such as by a level or a target, does not.
    fn watch(&mut self, groups: &[GroupOutcome]) {
        let _ = groups;
    }

    /// Groups that [`replay`](Self::replay) may still ask for, admitted or not; the trainer
    /// discards all others after a step.
    fn banked(&self) -> Vec<GroupKey> {
        Vec::new()
    }

    /// Stages, in the order of their indices; at least one.
    fn stages(&self) -> &[Stage] {
        Stage::everything()
    }

    /// Planned steps in each stage over the whole run, if every step draws `want` problems (`None`
    /// if that number is unknown); `None` if outcomes, or an unknown number of problems, decide.
    ///
    /// # Shapes
    /// - output: `[stage]`, steps
    fn planned_steps(&self, want: Option<usize>) -> Option<Vec<usize>> {
        let _ = want;
        None
    }

    /// State needed to continue, besides the [`Progress`], which the caller keeps.
    fn state(&self) -> State {
        State::default()
    }

    /// Continues from a state of a curriculum that was built alike.
    ///
    /// # Errors
    /// If the state cannot be read or is out of range; the curriculum is then unchanged.
    fn load_state(&mut self, state: &State) -> Result<(), CurriculumError> {
        state.read::<()>()
    }

    /// Metrics to plot, by bare quantity (`stage`, `epoch`, …); the trainer adds the prefix
    /// `curriculum/`.
    fn metrics(&self) -> Vec<Metric> {
        Vec::new()
    }
}

/// Metric: a quantity and its value.
pub type Metric = (Cow<'static, str>, f64);

/// Batch of problems from one draw.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// Index into [`Curriculum::stages`].
    pub stage: usize,
    /// Problems, all different.
    pub problems: Vec<ProblemId>,
}

impl Batch {
    /// Empty batch: the curriculum, or the current step, is over.
    pub const OVER: Self = Self { stage: 0, problems: Vec::new() };

    /// Returns whether nothing was drawn.
    pub fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }
}

impl FromIterator<ProblemId> for Batch {
    /// Batch of the first stage.
    fn from_iter<I: IntoIterator<Item = ProblemId>>(problems: I) -> Self {
        Self { stage: 0, problems: problems.into_iter().collect() }
    }
}

/// Identifier of a group of completions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GroupKey {
    /// Step of the run that the group was sampled in.
    pub step: u64,
    /// Problem that the group answers.
    pub problem: ProblemId,
}

/// Outcome of one group of completions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupOutcome {
    /// Identifier of the group.
    pub key: GroupKey,
    /// Total reward of each completion, `[completion]`.
    pub rewards: Vec<f32>,
    /// Accuracy part of each reward in `[0, 1]`, `[completion]`.
    pub accuracies: Vec<f32>,
    /// Advantage of each completion before [`Curriculum::weight`], `[completion]`.
    pub advantages: Vec<f32>,
    /// Length of each completion, `[completion]`, tokens.
    pub lengths: Vec<u32>,
    /// Number of completions that reached the maximum length.
    pub n_truncated: usize,
}

impl GroupOutcome {
    /// Problem that the group answers.
    pub fn problem(&self) -> ProblemId {
        self.key.problem
    }

    /// Number of completions.
    pub fn size(&self) -> usize {
        self.rewards.len()
    }

    /// Mean accuracy of the group, in `[0, 1]`; `None` for a group without completions.
    pub fn pass_rate(&self) -> Option<f64> {
        self.mean(Quantity::Accuracy)
    }

    /// Mean reward; `None` for a group without completions.
    pub fn mean_reward(&self) -> Option<f64> {
        self.mean(Quantity::Reward)
    }

    /// Mean absolute advantage; `None` for a group without completions.
    pub fn mean_abs_advantage(&self) -> Option<f64> {
        mean(self.advantages.iter().map(|&advantage| f64::from(advantage).abs()))
    }

    /// A quantity of each completion, `[completion]`.
    pub fn values(&self, quantity: Quantity) -> &[f32] {
        match quantity {
            Quantity::Accuracy => &self.accuracies,
            Quantity::Reward => &self.rewards,
        }
    }

    /// Mean of a quantity over the group; `None` for a group without completions.
    pub fn mean(&self, quantity: Quantity) -> Option<f64> {
        mean(self.values(quantity).iter().map(|&value| f64::from(value)))
    }

    /// Returns whether all completions have the same value, so that there is nothing to learn from
    /// their comparison.
    pub fn has_no_variance(&self, quantity: Quantity) -> bool {
        self.values(quantity).windows(2).all(|pair| pair[0] == pair[1])
    }
}

/// Mean of some values; `None` if there are none.
pub(crate) fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, n) = values.fold((0.0, 0u32), |(sum, n), value| (sum + value, n + 1));
    (n > 0).then(|| sum / f64::from(n))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::outcome;

    #[test]
    fn a_groups_pass_rate_is_its_mean_accuracy() {
        assert_eq!(outcome(1, &[1.0, 0.0, 0.0, 1.0]).pass_rate(), Some(0.5));
        assert_eq!(outcome(1, &[]).pass_rate(), None);
        for quantity in [Quantity::Accuracy, Quantity::Reward] {
            assert!(outcome(1, &[0.0, 0.0]).has_no_variance(quantity));
            assert!(!outcome(1, &[0.0, 1.0]).has_no_variance(quantity));
        }
    }

    #[test]
    fn accuracy_and_reward_vary_on_their_own() {
        let group = GroupOutcome { rewards: vec![0.5, 1.0], ..outcome(1, &[1.0, 1.0]) };
        assert_eq!(
            [Quantity::Accuracy, Quantity::Reward].map(|quantity| group.has_no_variance(quantity)),
            [true, false]
        );
        assert_eq!(
            [Quantity::Accuracy, Quantity::Reward].map(|quantity| group.mean(quantity)),
            [Some(1.0), Some(0.75)]
        );
    }

    /// Policy that implements `draw` alone.
    #[derive(Debug)]
    struct Drawing;

    impl Curriculum for Drawing {
        fn draw(&mut self, _: Progress, _: usize) -> Batch {
            Batch::OVER
        }
    }

    #[test]
    fn a_policy_that_only_draws_trains_once_on_every_group_and_shows_and_keeps_nothing() {
        let mut policy = Drawing;
        let group = outcome(1, &[0.0, 1.0]);
        assert_eq!((policy.extend(&group), policy.admit(&group), policy.weight(&group)), (None, true, 1.0));
        assert_eq!((policy.replay(9), policy.banked(), policy.metrics()), (vec![], vec![], vec![]));
        assert_eq!((policy.planned_steps(Some(8)), policy.stages().len()), (None, 1));
        assert!(policy.load_state(&Drawing.state()).is_ok());
        assert!(policy.load_state(&State::new(&[1, 2])).is_err(), "the state of another");
    }
}
