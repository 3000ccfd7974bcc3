//! Simulation: training without a model, by a learner whose pass rates are known, to see the effect
//! of a curriculum.

use crate::{Corpus, CorpusEntry, Course, GroupKey, GroupOutcome};
use seethink_core::{Capability, ProblemId, Purpose, Rng};
use std::collections::{BTreeMap, BTreeSet};

/// Learner that solves problems with known probability.
pub trait Learner {
    /// Probability that a completion is right, in `[0, 1]`.
    fn pass_rate(&self, entry: &CorpusEntry) -> f64;

    /// Learns from a group that was trained on, with its weight.
    fn learn(&mut self, entry: &CorpusEntry, group: &GroupOutcome, weight: f64) {
        let _ = (entry, group, weight);
    }
}

/// Learner that never changes.
impl<F: Fn(&CorpusEntry) -> f64> Learner for F {
    fn pass_rate(&self, entry: &CorpusEntry) -> f64 {
        self(entry)
    }
}

/// Learner with a skill for each capability: a problem of prior pass rate `r` (0.5 if unknown) is
/// solved with probability `sigmoid(logit r + skill)`, `r` clamped to `[0.02, 0.98]`. A group
/// trained on adds `rate · 4 p (1 − p) · weight` to the skill of its capability, where `p` is its
/// pass rate, and `transfer` times that to the other skills.
///
/// This is the simplest model in which both the order of capabilities and that of difficulties can
/// matter; it is not a model of a VLM.
#[derive(Debug, Clone, PartialEq)]
pub struct SkilledLearner {
    /// Gain of skill per group at a pass rate of 1/2 and weight 1, logits.
    pub rate: f64,
    /// Share of a gain that the other capabilities get.
    pub transfer: f64,
    skills: BTreeMap<Capability, f64>,
}

impl SkilledLearner {
    /// Learner of skill 0 in every capability of a corpus.
    pub fn new(corpus: &Corpus, rate: f64, transfer: f64) -> Self {
        let skills = corpus.capabilities().into_keys().map(|capability| (capability.clone(), 0.0)).collect();
        Self { rate, transfer, skills }
    }
}

impl Learner for SkilledLearner {
    fn pass_rate(&self, entry: &CorpusEntry) -> f64 {
        let prior = entry.pass_rate.map_or(0.5, |rate| f64::from(rate.fraction())).clamp(0.02, 0.98);
        let skill = self.skills.get(&entry.capability).copied().unwrap_or(0.0);
        1.0 / (1.0 + (-((prior / (1.0 - prior)).ln() + skill)).exp())
    }

    fn learn(&mut self, entry: &CorpusEntry, group: &GroupOutcome, weight: f64) {
        let p = group.pass_rate().unwrap_or(0.0);
        let gain = self.rate * 4.0 * p * (1.0 - p) * weight;
        for (capability, skill) in &mut self.skills {
            *skill += if *capability == entry.capability { gain } else { self.transfer * gain };
        }
    }
}

/// Settings of a simulated run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Simulation {
    /// Problems per step.
    pub batch: usize,
    /// Completions per problem.
    pub group_size: usize,
    /// Maximum number of draws in a step.
    pub max_draws: usize,
    /// Maximum number of steps, since not every curriculum ends.
    pub max_steps: usize,
    /// Seed of the outcomes.
    pub seed: u64,
}

impl Default for Simulation {
    fn default() -> Self {
        Self { batch: 32, group_size: 8, max_draws: 1, max_steps: 1000, seed: 0 }
    }
}

/// Step of a simulated run.
#[derive(Debug, Clone, PartialEq)]
pub struct SimulatedStep {
    /// Stage index.
    pub stage: usize,
    /// Groups sampled, in the order drawn, each with `true` if it was admitted.
    pub sampled: Vec<(GroupOutcome, bool)>,
    /// Groups of earlier steps that were trained on again.
    pub replayed: Vec<GroupKey>,
}

impl SimulatedStep {
    /// Problems drawn.
    pub fn drawn(&self) -> impl Iterator<Item = ProblemId> + '_ {
        self.sampled.iter().map(|(group, _)| group.problem())
    }
}

impl Simulation {
    /// Runs a course to its end, or for `max_steps` steps, in the way the trainer does.
    pub fn run(&self, course: &mut Course, corpus: &Corpus, learner: &mut impl Learner) -> Vec<SimulatedStep> {
        let mut steps = Vec::new();
        self.go_on(course, corpus, learner, &mut BTreeMap::new(), &mut steps);
        steps
    }

    /// Continues a run from the end of `steps`.
    pub(crate) fn go_on(
        &self,
        course: &mut Course,
        corpus: &Corpus,
        learner: &mut impl Learner,
        bank: &mut BTreeMap<GroupKey, GroupOutcome>,
        steps: &mut Vec<SimulatedStep>,
    ) {
        while steps.len() < self.max_steps {
            let now = course.progress().steps;
            let first = course.draw(self.batch);
            if first.is_empty() {
                break;
            }
            let target = first.problems.len();
            let mut sampled: Vec<(GroupOutcome, bool)> = Vec::new();
            let n_admitted =
                |sampled: &[(GroupOutcome, bool)]| sampled.iter().filter(|(_, admitted)| *admitted).count();
            let mut problems = first.problems;
            for draw in 1..=self.max_draws {
                for problem in problems {
                    let group = self.sample(course, corpus, learner, GroupKey { step: now, problem });
                    let admitted = course.admit(&group);
                    sampled.push((group, admitted));
                }
                let missing = target - n_admitted(&sampled);
                if missing == 0 || draw == self.max_draws {
                    break;
                }
                problems = course.draw(missing).problems;
                if problems.is_empty() {
                    break;
                }
            }
            let places = self.batch - n_admitted(&sampled);
            let replayed = if places > 0 { course.replay(places) } else { Vec::new() };
            let again = replayed.iter().filter_map(|key| bank.get(key));
            let admitted = sampled.iter().filter(|(_, admitted)| *admitted).map(|(group, _)| group);
            for group in admitted.chain(again) {
                if let Some(entry) = corpus.get(group.problem()) {
                    learner.learn(entry, group, course.curriculum().weight(group));
                }
            }
            let groups: Vec<GroupOutcome> = sampled.iter().map(|(group, _)| group.clone()).collect();
            course.observe(&groups);
            let kept: BTreeSet<GroupKey> = course.curriculum().banked().into_iter().collect();
            bank.extend(groups.into_iter().map(|group| (group.key, group)));
            bank.retain(|key, _| kept.contains(key));
            steps.push(SimulatedStep { stage: first.stage, sampled, replayed });
        }
    }

    /// Samples a group of as many completions as the course asks for.
    fn sample(&self, course: &mut Course, corpus: &Corpus, learner: &impl Learner, key: GroupKey) -> GroupOutcome {
        let p = corpus.get(key.problem).map_or(0.0, |entry| learner.pass_rate(entry));
        let mut rng = Rng::new(self.seed, Purpose::Rollout, &[key.step, key.problem.0]);
        let mut group = outcome(key, Vec::new());
        loop {
            let more = course.extend(&group).unwrap_or(self.group_size.saturating_sub(group.size()));
            if more == 0 {
                return group;
            }
            let fresh = (0..more).map(|_| f32::from(u8::from(rng.uniform() < p)));
            group = outcome(key, group.rewards.iter().copied().chain(fresh).collect());
        }
    }
}

/// Group with these rewards, which are its accuracies too; its advantages are over the sample
/// deviation.
fn outcome(key: GroupKey, rewards: Vec<f32>) -> GroupOutcome {
    let n = rewards.len() as f32;
    let mean = rewards.iter().sum::<f32>() / n;
    let variance = rewards.iter().map(|reward| (reward - mean).powi(2)).sum::<f32>() / (n - 1.0).max(1.0);
    GroupOutcome {
        key,
        accuracies: rewards.clone(),
        advantages: rewards.iter().map(|reward| (reward - mean) / (variance.sqrt() + 1e-6)).collect(),
        lengths: vec![1; rewards.len()],
        n_truncated: 0,
        rewards,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks;
    use seethink_core::PassRate;

    #[test]
    fn a_group_moves_a_skill_by_how_even_it_is() {
        let entry = |id, capability, rate| CorpusEntry {
            pass_rate: Some(PassRate::new(rate).unwrap()),
            ..CorpusEntry::new(ProblemId(id), capability)
        };
        let (seen, other) = (entry(1, Capability::PERCEPTION, 0.5), entry(2, Capability::TEXTUAL_REASONING, 0.75));
        let mut learner = SkilledLearner::new(&Corpus::new([seen.clone(), other.clone()]).unwrap(), 0.5, 0.25);
        let mut after = |rewards: &[f32], weight: f64| {
            learner.learn(&seen, &checks::outcome(1, rewards), weight);
            // Skills: what exceeds the logits of 1/2 and 3/4, in units of the rate.
            let logit = |entry: &CorpusEntry| (learner.pass_rate(entry) / (1.0 - learner.pass_rate(entry))).ln();
            [logit(&seen), logit(&other) - 3f64.ln()].map(|skill| (skill / 0.5 * 1e9).round() / 1e9)
        };
        assert_eq!(after(&[1.0, 1.0], 1.0), [0.0, 0.0], "nothing to learn");
        assert_eq!(after(&[], 1.0), [0.0, 0.0]);
        assert_eq!(after(&[1.0, 0.0], 1.0), [1.0, 0.25], "and a quarter for the other skill");
        assert_eq!(after(&[1.0, 0.0], 3.0), [4.0, 1.0], "three times as much");
        assert_eq!(after(&[1.0, 1.0, 1.0, 0.0], 1.0), [4.75, 1.1875], "4 · 3/4 · 1/4");
        // Prior pass rates are kept away from 0 and 1, and are 1/2 if unknown.
        let beginner = SkilledLearner::new(&Corpus::new([]).unwrap(), 1.0, 0.0);
        let rates = [Some(0.0), Some(1.0), None].map(|rate| {
            let entry = CorpusEntry { pass_rate: rate.map(|rate| PassRate::new(rate).unwrap()), ..other.clone() };
            beginner.pass_rate(&entry)
        });
        assert!(rates.iter().zip([0.02, 0.98, 0.5]).all(|(found, expected)| (found - expected).abs() < 1e-12));
    }

    #[test]
    fn advantages_are_over_the_sample_deviation() {
        let key = GroupKey { step: 0, problem: ProblemId(1) };
        // Mean 1/4, deviation √(3/4 / 3) = 1/2, plus a small constant that keeps equal rewards from
        // dividing by 0.
        let advantages = outcome(key, vec![1.0, 0.0, 0.0, 0.0]).advantages;
        assert!((1.4999..1.5).contains(&advantages[0]), "{advantages:?}");
        assert!(advantages[1..].iter().all(|advantage| (-0.5..-0.4999).contains(advantage)), "{advantages:?}");
        assert_eq!(outcome(key, vec![1.0, 1.0]).advantages, [0.0, 0.0]);
        assert_eq!(outcome(key, vec![1.0]).advantages, [0.0]);
    }

    #[test]
    fn a_full_step_asks_for_no_group_again() {
        let corpus = Corpus::new([CorpusEntry::new(ProblemId(1), Capability::PERCEPTION)]).unwrap();
        let replayed = |batch: usize| {
            let simulation = Simulation { batch, max_steps: 1, ..Simulation::default() };
            let mut course = Course::new(checks::Eager, &corpus);
            simulation.run(&mut course, &corpus, &mut |_: &CorpusEntry| 0.5)[0].replayed.len()
        };
        assert_eq!([1, 2].map(replayed), [0, 1]);
    }
}
