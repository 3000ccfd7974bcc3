//! The contract between a policy and the trainer.

use crate::{CurriculumError, Quantity, Stage, State};
use seethink_core::ProblemId;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt::Debug;

/// Decides what is trained when.
///
/// A training step asks in this order:
///
/// 1. [`draw`](Self::draw): which problems.
/// 2. [`extend`](Self::extend), for every problem: how many completions to sample; and again when
///    they are sampled, until 0.
/// 3. [`admit`](Self::admit), for every group: whether it is trained on. Where groups are refused
///    and the trainer refills, it goes
///    back to 1 for the missing ones.
/// 4. [`replay`](Self::replay): which groups of earlier steps take the places that are still empty.
/// 5. [`weight`](Self::weight), for every group of the update: what its advantages are multiplied
///    by.
/// 6. [`observe`](Self::observe), once: every group sampled in this step, refused ones too.
///
/// Only `draw` has to be written; a policy that has state writes [`state`](Self::state) and
/// [`load_state`](Self::load_state) too. Decisions depend on the arguments, on the construction
/// (its seed among it) and on what was observed, and on nothing else: no clock, no ambient
/// randomness. State is taken between steps, so it need not know of a step half done.
pub trait Curriculum: Debug + Send {
    /// Draws what to train on next: at most `want` problems, none twice in a step
    /// ([`Course`](crate::Course) leaves out what was).
    ///
    /// An empty batch at the beginning of a step ends the training; later in a step it means that
    /// this step gets no more. A stage ends between steps, never within one.
    fn draw(&mut self, progress: Progress, want: usize) -> Batch;

    /// How many completions to sample beyond those that a group has, none at first; `None` for what
    /// the run's group size lacks.
    fn extend(&mut self, partial: &GroupOutcome) -> Option<usize> {
        let _ = partial;
        None
    }

    /// Whether a group is trained on.
    fn admit(&mut self, group: &GroupOutcome) -> bool {
        let _ = group;
        true
    }

    /// Groups of earlier steps to train on again, at most `places`, of those that
    /// [`banked`](Self::banked) lists.
    fn replay(&mut self, places: usize) -> Vec<GroupKey> {
        let _ = places;
        Vec::new()
    }

    /// What the advantages of a group are multiplied by: finite and at least 0.
    fn weight(&self, group: &GroupOutcome) -> f64 {
        let _ = group;
        1.0
    }

    /// The end of a step: every group that was sampled in it, in the order drawn.
    fn observe(&mut self, groups: &[GroupOutcome]) {
        let _ = groups;
    }

    /// Outcomes of a step that another curriculum drew: what they say about problems is learnt, and
    /// no step of one's own is counted.
    ///
    /// A policy that keeps figures of problems or categories writes this, so that they are known
    /// when its turn comes ([`WarmStart`](crate::WarmStart)); one that follows its own draws, such
    /// as a level or a target, does not.
    fn watch(&mut self, groups: &[GroupOutcome]) {
        let _ = groups;
    }

    /// The groups that [`replay`](Self::replay) may still ask for, admitted or not; the trainer
    /// forgets all others after a step.
    fn banked(&self) -> Vec<GroupKey> {
        Vec::new()
    }

    /// The stages, in the order of their indices; at least one.
    fn stages(&self) -> &[Stage] {
        Stage::everything()
    }

    /// Steps in each stage over the whole run, if every step draws `want` problems (`None`: nobody
    /// knows how many); `None` where outcomes decide.
    ///
    /// # Shapes
    /// - output: `[stage]`, steps
    fn planned_steps(&self, want: Option<usize>) -> Option<Vec<usize>> {
        let _ = want;
        None
    }

    /// Everything needed to continue, besides the [`Progress`], which the caller keeps.
    fn state(&self) -> State {
        State::default()
    }

    /// Continues from a state that a curriculum built alike has given.
    ///
    /// # Errors
    /// If it cannot be read or is out of range; the curriculum is then unchanged.
    fn load_state(&mut self, state: &State) -> Result<(), CurriculumError> {
        state.read::<()>()
    }

    /// Figures worth a curve, by bare quantity (`stage`, `epoch`, …); the composer prefixes
    /// `curriculum/`.
    fn metrics(&self) -> Vec<Metric> {
        Vec::new()
    }
}

/// A quantity and its value.
pub type Metric = (Cow<'static, str>, f64);

/// How far a curriculum has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// Steps that it was part of and that are over.
    pub steps: u64,
    /// Calls of [`Curriculum::draw`] so far.
    pub draws: u64,
    /// Problems drawn so far, those included that were left out because their step had drawn them
    /// already.
    pub problems: u64,
}

/// The problems of one draw.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// Index into [`Curriculum::stages`].
    pub stage: usize,
    /// All different.
    pub problems: Vec<ProblemId>,
}

impl Batch {
    /// Nothing: the curriculum, or this step, is over.
    pub const OVER: Self = Self { stage: 0, problems: Vec::new() };

    /// Whether nothing was drawn.
    pub fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }
}

impl FromIterator<ProblemId> for Batch {
    /// Of the first stage.
    fn from_iter<I: IntoIterator<Item = ProblemId>>(problems: I) -> Self {
        Self { stage: 0, problems: problems.into_iter().collect() }
    }
}

/// Names a group of completions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GroupKey {
    /// The step of the run that it was sampled in.
    pub step: u64,
    /// The problem that it answers.
    pub problem: ProblemId,
}

/// What came of one group of completions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupOutcome {
    /// The group.
    pub key: GroupKey,
    /// Total reward of each completion, `[completion]`.
    pub rewards: Vec<f32>,
    /// Accuracy part of each reward in `[0, 1]`, `[completion]`.
    pub accuracies: Vec<f32>,
    /// Advantage of each completion before [`Curriculum::weight`], `[completion]`.
    pub advantages: Vec<f32>,
    /// Length of each completion, `[completion]`, tokens.
    pub lengths: Vec<u32>,
    /// Completions that reached the longest length allowed.
    pub n_truncated: usize,
}

impl GroupOutcome {
    /// The problem that the group answers.
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

    /// Absence of variance: all completions have the same value, so that there is nothing to learn
    /// from their comparison.
    pub fn has_no_variance(&self, quantity: Quantity) -> bool {
        self.values(quantity).windows(2).all(|pair| pair[0] == pair[1])
    }
}

/// The mean of some values; `None` of none.
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

    /// Draws, and leaves everything else to the trait.
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
