//! AdaRFT: draws the problems nearest to a target difficulty, which rises with success and falls
//! with failure.
//!
//! State: the target, and the problems drawn in the epoch with [`Revisit::NextEpoch`]. Metrics:
//! `target`.

use crate::curriculum::mean;
use crate::policy_config::PolicyConfig;
use crate::{Axis, Batch, Corpus, Curriculum, CurriculumError, GroupOutcome, Metric, Progress, State};
use seethink_core::SettingError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Adaptive target difficulty: draws the problems whose difficulty is nearest to the target T,
/// nearest first; after a step
/// `T ← clip(T + step_size · tanh(sensitivity · (mean reward − target_reward)), lowest, highest)`.
///
/// Difficulty is `100 (1 − pass rate)` on the axis of pass rates and the number itself on any other
/// axis. Never ends.
///
/// # Source
/// arXiv 2504.05520, Algorithm 1, and limenlp/verl at `fe9979a`. Ties are broken by the easier
/// problem and then by id, where the code leaves them to an unstable sort. The source draws the
/// same problems again while the target does not change ([`Revisit::Always`]).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdaRft {
    /// Axis of difficulty.
    pub difficulty: Axis,
    /// Step size η of the target; 50 in the paper, for difficulties up to 100.
    #[serde(default = "step_size")]
    pub step_size: f64,
    /// Sensitivity α to the reward; 2 in the paper.
    #[serde(default = "sensitivity")]
    pub sensitivity: f64,
    /// Target reward β; 0.5 in the paper.
    #[serde(default = "target_reward")]
    pub target_reward: f64,
    /// Range of the target, lowest and highest; 0 to 100 in the paper.
    #[serde(default = "range")]
    pub range: (f64, f64),
    /// Initial target T; 0 in the paper.
    #[serde(default)]
    pub start: f64,
    /// Rule for drawing a problem again.
    pub revisit: Revisit,
}

/// Rule for drawing a problem again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Revisit {
    /// Again in every step, as in the source.
    Always,
    /// Again when all problems have been drawn.
    NextEpoch,
}

fn step_size() -> f64 {
    50.0
}

fn sensitivity() -> f64 {
    2.0
}

fn target_reward() -> f64 {
    0.5
}

fn range() -> (f64, f64) {
    (0.0, 100.0)
}

impl PolicyConfig for AdaRft {
    fn build(&self, corpus: &Corpus, _: u64) -> Result<Box<dyn Curriculum>, CurriculumError> {
        let (low, high) = self.range;
        let numbers = [self.step_size, self.sensitivity, self.target_reward, self.start, low, high];
        if numbers.iter().any(|number| !number.is_finite()) || low > high {
            let expected = "finite numbers, the range from the lowest to the highest";
            return Err(SettingError::new("AdaRft.range", format!("{numbers:?}"), expected).into());
        }
        if corpus.is_empty() {
            return Err(CurriculumError::NoProblems { policy: "AdaRft" });
        }
        let difficulty = |number: f64| if self.difficulty == Axis::PassRate { 100.0 * (1.0 - number) } else { number };
        let mut sorted = corpus
            .iter()
            .zip(0u32..)
            .map(|(entry, position)| Ok((difficulty(self.difficulty.number(entry)?), position)))
            .collect::<Result<Vec<_>, CurriculumError>>()?;
        sorted.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let (difficulties, positions): (Vec<f64>, Vec<u32>) = sorted.into_iter().unzip();
        let open = (0..positions.len() as u32).collect();
        let target = self.start.clamp(low, high);
        Ok(Box::new(Adaptive {
            config: self.clone(),
            corpus: corpus.clone(),
            difficulties,
            positions,
            open,
            taken: Vec::new(),
            held: Vec::new(),
            n_drawn: 0,
            target,
        }))
    }
}

impl AdaRft {
    /// Target after a step with this mean reward.
    fn next(&self, target: f64, mean_reward: f64) -> f64 {
        let change = self.step_size * (self.sensitivity * (mean_reward - self.target_reward)).tanh();
        (target + change).clamp(self.range.0, self.range.1)
    }
}

#[derive(Debug)]
struct Adaptive {
    config: AdaRft,
    corpus: Corpus,
    /// Difficulties, ascending.
    difficulties: Vec<f64>,
    /// Positions in the corpus, in the order of `difficulties`.
    positions: Vec<u32>,
    /// Ranks by difficulty of the problems that may be drawn.
    open: BTreeSet<u32>,
    /// Ranks drawn in this epoch, or in this step with [`Revisit::Always`].
    taken: Vec<u32>,
    /// Ranks that the current step drew before it began a new epoch; they open again when the step
    /// ends.
    held: Vec<u32>,
    /// Number of ranks drawn in the current step.
    n_drawn: usize,
    target: f64,
}

impl Adaptive {
    /// Open rank nearest to the target.
    fn nearest(&self) -> Option<u32> {
        let split = self.difficulties.partition_point(|&difficulty| difficulty <= self.target) as u32;
        let distance = |rank: u32| (self.difficulties[rank as usize] - self.target).abs();
        let easier = self.open.range(..split).next_back().copied();
        // Of equal difficulties, take the one with the smallest id.
        let easier = easier.map(|rank| {
            let difficulty = self.difficulties[rank as usize];
            let first = self.difficulties.partition_point(|&other| other < difficulty) as u32;
            self.open.range(first..).next().copied().unwrap_or(rank)
        });
        let harder = self.open.range(split..).next().copied();
        match (easier, harder) {
            (Some(easier), Some(harder)) => Some(if distance(easier) <= distance(harder) { easier } else { harder }),
            (one, other) => one.or(other),
        }
    }

    /// Opens the ranks taken except the last `n_held`, which are held until the end of the step.
    fn reopen(&mut self, n_held: usize) {
        let mut taken = std::mem::take(&mut self.taken);
        self.held.extend(taken.drain(taken.len() - n_held..));
        self.open.extend(taken);
    }
}

impl Curriculum for Adaptive {
    fn draw(&mut self, _: Progress, want: usize) -> Batch {
        // A step begins at most one epoch: if it also ends that epoch, it has drawn every problem.
        if self.open.is_empty() && self.config.revisit == Revisit::NextEpoch && self.held.is_empty() {
            self.reopen(self.n_drawn);
        }
        let mut ranks = Vec::with_capacity(want);
        while ranks.len() < want {
            let Some(rank) = self.nearest() else { break };
            self.open.remove(&rank);
            ranks.push(rank);
        }
        self.taken.extend(&ranks);
        self.n_drawn += ranks.len();
        ranks.iter().map(|&rank| self.corpus.entry(self.positions[rank as usize] as usize).id).collect()
    }

    fn observe(&mut self, groups: &[GroupOutcome]) {
        self.n_drawn = 0;
        self.open.extend(self.held.drain(..));
        if self.config.revisit == Revisit::Always {
            self.reopen(0);
        }
        if let Some(reward) = mean(groups.iter().flat_map(|group| &group.rewards).map(|&reward| f64::from(reward))) {
            self.target = self.config.next(self.target, reward);
        }
    }

    fn state(&self) -> State {
        State::new(&(self.target, &self.taken))
    }

    fn load_state(&mut self, state: &State) -> Result<(), CurriculumError> {
        let (target, taken): (f64, Vec<u32>) = state.read()?;
        if let Some(rank) = taken.iter().find(|&&rank| rank as usize >= self.positions.len()) {
            return Err(CurriculumError::StateOutOfRange {
                what: format!("problem {rank} of {}", self.positions.len()),
            });
        }
        self.open = (0..self.positions.len() as u32).collect();
        for rank in &taken {
            self.open.remove(rank);
        }
        (self.target, self.taken) = (target, taken);
        self.held.clear();
        self.n_drawn = 0;
        Ok(())
    }

    fn metrics(&self) -> Vec<Metric> {
        vec![("target".into(), self.target)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::{cases, check_resume, float_list, step, three};
    use crate::{CorpusEntry, Course, CurriculumConfig, SimulatedStep, Simulation, SkilledLearner};
    use seethink_core::{Capability, ProblemId};

    fn adarft(revisit: Revisit) -> AdaRft {
        let (step_size, sensitivity, target_reward, range) = (step_size(), sensitivity(), target_reward(), range());
        AdaRft { difficulty: Axis::PassRate, step_size, sensitivity, target_reward, range, start: 0.0, revisit }
    }

    /// Corpus of problems with these difficulties in the tag `level`, numbered from 0.
    fn levels(difficulties: &[f64]) -> Corpus {
        let entry = |(id, difficulty): (u64, &f64)| CorpusEntry {
            tags: [("level".to_owned(), difficulty.to_string())].into(),
            ..CorpusEntry::new(ProblemId(id), Capability::PERCEPTION)
        };
        Corpus::new((0..).zip(difficulties).map(entry)).unwrap()
    }

    #[test]
    fn the_target_conforms_to_the_code() {
        let mut n = 0;
        for case in cases("curriculum.adarft").iter().filter(|case| case["inputs"].get("mean_rewards").is_some()) {
            let number = |key: &str| case["params"][key].as_f64().unwrap();
            let config = AdaRft {
                step_size: number("eta"),
                sensitivity: number("alpha"),
                target_reward: number("beta"),
                range: (number("d_min"), number("d_max")),
                ..adarft(Revisit::Always)
            };
            let mut target = number("initial");
            let expected = float_list(&case["expected"]["target_after_each"]);
            for (reward, expected) in float_list(&case["inputs"]["mean_rewards"]).into_iter().zip(expected) {
                target = config.next(target, reward);
                assert!((target - expected).abs() < 1e-7, "{target} {expected}");
                n += 1;
            }
        }
        assert_eq!(n, 11);
    }

    #[test]
    fn the_nearest_conform_to_the_code() {
        for case in cases("curriculum.adarft").iter().filter(|case| case["inputs"].get("difficulties").is_some()) {
            let difficulties = float_list(&case["inputs"]["difficulties"]);
            let corpus = levels(&difficulties);
            let config = AdaRft {
                difficulty: Axis::Score("level".into()),
                start: case["params"]["target_difficulty"].as_f64().unwrap(),
                ..adarft(Revisit::Always)
            };
            let want = case["params"]["batch_size"].as_u64().unwrap() as usize;
            let batch = CurriculumConfig::AdaRft(config).build(&corpus, 0).unwrap().draw(want);
            let mut found: Vec<f64> = batch.problems.iter().map(|id| difficulties[id.0 as usize]).collect();
            found.sort_by(f64::total_cmp);
            assert_eq!(found, float_list(&case["expected"]["selected_difficulties"]));
        }
    }

    fn run(revisit: Revisit) -> (Vec<SimulatedStep>, Course) {
        let corpus = three(300, 300, 300);
        let mut course = CurriculumConfig::AdaRft(adarft(revisit)).build(&corpus, 1).unwrap();
        let simulation = Simulation { max_steps: 60, ..Simulation::default() };
        (simulation.run(&mut course, &corpus, &mut SkilledLearner::new(&corpus, 0.005, 0.5)), course)
    }

    #[test]
    fn rewards_are_kept_near_a_half() {
        for revisit in [Revisit::Always, Revisit::NextEpoch] {
            let (steps, _) = run(revisit);
            // The easiest problems come first; in the end about half of the completions are right.
            let rate =
                |step: &SimulatedStep| mean(step.sampled.iter().filter_map(|(group, _)| group.pass_rate())).unwrap();
            assert!(rate(&steps[0]) > 0.9, "{}", rate(&steps[0]));
            let late = mean(steps[10..25].iter().map(rate)).unwrap();
            assert!((late - 0.5).abs() < 0.15, "{revisit:?}: {late}");
        }
    }

    #[test]
    fn an_epoch_draws_everything_once() {
        let (steps, _) = run(Revisit::NextEpoch);
        let mut drawn: Vec<ProblemId> = steps[..29].iter().flat_map(SimulatedStep::drawn).take(900).collect();
        drawn.sort_unstable();
        drawn.dedup();
        assert_eq!(drawn.len(), 900);
        for revisit in [Revisit::Always, Revisit::NextEpoch] {
            check_resume(&CurriculumConfig::AdaRft(adarft(revisit)), &three(40, 40, 40));
        }
    }

    #[test]
    fn of_equally_near_problems_the_easier_comes_first_and_then_the_smaller_id() {
        let config = AdaRft { difficulty: Axis::Score("level".into()), start: 45.0, ..adarft(Revisit::Always) };
        let corpus = levels(&[90.0, 40.0, 50.0, 40.0, 10.0, 50.0]);
        let batch = CurriculumConfig::AdaRft(config).build(&corpus, 0).unwrap().draw(6);
        assert_eq!(batch.problems, [1, 3, 2, 5, 4, 0].map(ProblemId));
    }

    #[test]
    fn problems_come_again_in_every_step_or_when_all_have_been_drawn() {
        let corpus = levels(&[10.0, 20.0, 30.0, 40.0, 50.0]);
        let steps = |revisit: Revisit| {
            let config = AdaRft { difficulty: Axis::Score("level".into()), ..adarft(revisit) };
            let mut course = CurriculumConfig::AdaRft(config).build(&corpus, 0).unwrap();
            let ids = |_| step(&mut course, 3).unwrap().problems.iter().map(|id| id.0).collect::<Vec<_>>();
            [0; 4].map(ids)
        };
        // Nothing is observed, so the target stays at 0.
        assert_eq!(steps(Revisit::Always), [0; 4].map(|_| vec![0, 1, 2]));
        assert_eq!(steps(Revisit::NextEpoch), [vec![0, 1, 2], vec![3, 4], vec![0, 1, 2], vec![3, 4]]);
    }
}
