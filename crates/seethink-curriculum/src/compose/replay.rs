//! Replay: a share of every batch for groups of earlier steps.
//!
//! State: keys and weights of the bank, and the state of the policy. Metrics: `replay/bank`, the
//! number of groups in the bank; and those of the policy.

use crate::policies::weights::choose;
use crate::policy_config::{PolicyConfig, keep_stages_of};
use crate::{
    Batch, Corpus, Course, Curriculum, CurriculumConfig, CurriculumError, CurriculumRecord, GroupKey, GroupOutcome,
    Metric, Progress, Stage, State,
};
use seethink_core::{Purpose, Rng, SettingError};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Experience replay: draws fewer problems and trains on banked groups in their place, each chosen
/// with weight `(mean |A|)^alpha`, none twice in a step. Groups with an advantage enter the bank;
/// when it is full, the oldest leave.
///
/// # Source
/// Selective Sample Replay, VL-Rethinker, arXiv 2504.08837. The paper describes a buffer, as here,
/// where it holds whole groups. Its code (TIGER-AI-Lab/VL-Rethinker at `1319c65`) draws single
/// samples of the same step again, with weight |A| + 1e-4, for half of the batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replay {
    /// Share of a batch that is replayed, in `[0, 1)`; smaller while the bank holds fewer groups.
    pub share: f64,
    /// Exponent of the mean absolute advantage, at least 0, by default 1; 0 draws uniformly.
    #[serde(default = "one")]
    pub alpha: f64,
    /// Maximum number of groups in the bank.
    pub capacity: usize,
    /// Policy that draws the other problems of a batch.
    pub policy: Box<CurriculumConfig>,
}

fn one() -> f64 {
    1.0
}

impl PolicyConfig for Replay {
    fn build(&self, corpus: &Corpus, seed: u64) -> Result<Box<dyn Curriculum>, CurriculumError> {
        if !((0.0..1.0).contains(&self.share) && self.alpha.is_finite() && self.alpha >= 0.0) {
            let found = format!("{} and alpha {}", self.share, self.alpha);
            let expected = "a share in [0, 1) and alpha at least 0";
            return Err(SettingError::new("Replay.share", found, expected).into());
        }
        let policy = Course::part(self.policy.build_policy(corpus, seed)?);
        let (share, alpha, capacity) = (self.share, self.alpha, self.capacity);
        Ok(Box::new(Replaying { share, alpha, capacity, policy, seed, bank: VecDeque::new(), reserved: 0, draws: 0 }))
    }

    fn is_endless(&self) -> bool {
        self.policy.is_endless()
    }

    keep_stages_of!(policy);
}

#[derive(Debug)]
struct Replaying {
    share: f64,
    alpha: f64,
    capacity: usize,
    policy: Course,
    seed: u64,
    /// Keys and weights of the groups, oldest first.
    bank: VecDeque<(GroupKey, f64)>,
    /// Places of the current step that are kept for the bank.
    reserved: usize,
    /// Number of the current step's first draw, which keys the draws from the bank.
    draws: u64,
}

impl Curriculum for Replaying {
    fn draw(&mut self, progress: Progress, want: usize) -> Batch {
        if self.reserved == 0 {
            self.draws = progress.draws;
            let share = (self.share * want as f64).round() as usize;
            self.reserved = share.min(self.bank.len()).min(want.saturating_sub(1));
            return self.policy.draw(want - self.reserved);
        }
        self.policy.draw(want)
    }

    fn extend(&mut self, partial: &GroupOutcome) -> Option<usize> {
        self.policy.extend(partial)
    }

    fn admit(&mut self, group: &GroupOutcome) -> bool {
        self.policy.admit(group)
    }

    fn replay(&mut self, places: usize) -> Vec<GroupKey> {
        let mut groups = self.policy.replay(places.saturating_sub(self.reserved));
        let mut rng = Rng::new(self.seed, Purpose::Curriculum, &[u64::MAX - 1, self.draws]);
        let mut weights: Vec<f64> = self.bank.iter().map(|(_, weight)| *weight).collect();
        for _ in 0..self.reserved.min(places) {
            let Some(index) = choose(&weights, &mut rng) else { break };
            weights[index] = 0.0;
            groups.push(self.bank[index].0);
        }
        groups
    }

    fn weight(&self, group: &GroupOutcome) -> f64 {
        self.policy.curriculum().weight(group)
    }

    fn observe(&mut self, groups: &[GroupOutcome]) {
        self.reserved = 0;
        for group in groups {
            if let Some(advantage) = group.mean_abs_advantage().filter(|&advantage| advantage > 0.0) {
                self.bank.push_back((group.key, advantage.powf(self.alpha)));
            }
        }
        self.bank.drain(..self.bank.len().saturating_sub(self.capacity));
        self.policy.observe(groups);
    }

    fn watch(&mut self, groups: &[GroupOutcome]) {
        self.policy.watch(groups);
    }

    fn banked(&self) -> Vec<GroupKey> {
        self.bank.iter().map(|(key, _)| *key).chain(self.policy.curriculum().banked()).collect()
    }

    fn stages(&self) -> &[Stage] {
        self.policy.curriculum().stages()
    }

    fn planned_steps(&self, _: Option<usize>) -> Option<Vec<usize>> {
        // The number of problems that a step draws depends on the bank.
        self.policy.curriculum().planned_steps(None)
    }

    fn state(&self) -> State {
        State::new(&(&self.bank, self.policy.to_record()))
    }

    fn load_state(&mut self, state: &State) -> Result<(), CurriculumError> {
        let (bank, policy): (VecDeque<(GroupKey, f64)>, CurriculumRecord) = state.read()?;
        self.policy.load_record(&policy)?;
        self.bank = bank;
        self.reserved = 0;
        Ok(())
    }

    fn metrics(&self) -> Vec<Metric> {
        let mut metrics = self.policy.curriculum().metrics();
        metrics.push(("replay/bank".into(), self.bank.len() as f64));
        metrics
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Simulation;
    use crate::checks::{check_resume, outcome, read, three};

    fn replay(settings: &str, corpus: &Corpus, seed: u64) -> Course {
        let policy = "Merged(order: Shuffled, epochs: PerStage(9), last_batch: Keep)";
        read(&format!("Replay({settings}, policy: {policy})")).build(corpus, seed).unwrap()
    }

    #[test]
    fn half_of_a_batch_comes_from_the_bank() {
        let corpus = three(200, 200, 200);
        let policy = "Merged(order: Shuffled, epochs: PerStage(1), last_batch: Keep)";
        let text = format!("#![enable(unwrap_variant_newtypes)] Replay(share: 0.5, capacity: 40, policy: {policy})");
        let config: CurriculumConfig = ron::from_str(&text).unwrap();
        let mut course = config.build(&corpus, 1).unwrap();
        let steps = Simulation { batch: 20, ..Simulation::default() }.run(&mut course, &corpus, &mut |_: &_| 0.5);
        assert_eq!((steps[0].sampled.len(), steps[0].replayed.len()), (20, 0));
        for (now, step) in steps.iter().enumerate().skip(1).take(50) {
            assert_eq!((step.sampled.len(), step.replayed.len()), (10, 10), "{now}");
            let mut keys = step.replayed.clone();
            keys.sort_unstable();
            keys.dedup();
            assert!(keys.len() == 10 && keys.iter().all(|key| key.step < now as u64));
        }
        check_resume(&config, &corpus);
    }

    #[test]
    fn groups_with_an_advantage_enter_the_bank_and_the_oldest_give_way() {
        let mut course = replay("share: 0.5, capacity: 3", &three(9, 0, 0), 1);
        let banked =
            |course: &Course| course.curriculum().banked().into_iter().map(|key| key.problem.0).collect::<Vec<_>>();
        let [even, equal] = [[0.0, 1.0], [1.0, 1.0]];
        course.observe(&[outcome(1, &even), outcome(2, &equal), outcome(3, &even), outcome(4, &[])]);
        assert_eq!(banked(&course), [1, 3]);
        course.observe(&[outcome(5, &even), outcome(6, &even)]);
        assert_eq!(banked(&course), [3, 5, 6]);
        assert_eq!(course.curriculum().metrics().last(), Some(&("replay/bank".into(), 3.0)));
    }

    #[test]
    fn places_are_kept_for_the_bank_but_never_all() {
        // Groups in the bank, share, problems wanted, and number of them that the policy draws.
        let cases = [(0, 0.5, 4, 4), (1, 0.5, 4, 3), (9, 0.5, 4, 2), (9, 0.5, 5, 2), (9, 0.9, 4, 1), (9, 0.9, 1, 1)];
        for (n_banked, share, want, n_drawn) in cases {
            let corpus = three(30, 0, 0);
            let mut course = replay(&format!("share: {share}, capacity: 9"), &corpus, 1);
            course.observe(&(0..n_banked).map(|id| outcome(id, &[0.0, 1.0])).collect::<Vec<_>>());
            assert_eq!(course.draw(want).problems.len(), n_drawn, "{n_banked} banked, {share} of {want}");
            let missing = want.min(2);
            assert_eq!(course.draw(missing).problems.len(), missing, "what is drawn again is as much as was wanted");
            assert_eq!(course.replay(want).len(), want - n_drawn);
            assert_eq!(course.replay(0), []);
        }
    }

    #[test]
    fn the_bank_draws_apart_from_the_policy() {
        // Eight problems, equally likely, and a bank of all eight: with the same random number for
        // both, the draws would always agree.
        let corpus = three(8, 0, 0);
        let config = read("Replay(share: 0.5, alpha: 0.0, capacity: 8, policy: FgExpo())");
        let agrees = |seed: u64| {
            let mut course = config.build(&corpus, seed).unwrap();
            course.observe(&corpus.iter().map(|entry| outcome(entry.id.0, &[0.0, 1.0])).collect::<Vec<_>>());
            let drawn = course.draw(2).problems[0];
            course.replay(1)[0].problem == drawn
        };
        let n = (0..64).filter(|&seed| agrees(seed)).count();
        assert!((1..=20).contains(&n), "{n} of 64, expected about 8");
    }
}
