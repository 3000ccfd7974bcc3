//! DUMP: draws categories by an upper confidence bound on how much there is to learn from each.
//!
//! State: recent advantages and counts of each category, and the walks within categories. Metrics:
//! `score/CATEGORY`.

use crate::policies::arms::Arms;
use crate::policies::weights::softmax;
use crate::policy_config::PolicyConfig;
use crate::{Batch, Corpus, Curriculum, CurriculumError, GroupOutcome, Metric, Partition, Progress, State};
use seethink_core::SettingError;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Upper confidence bound (UCB) bandit: draws categories with probability
/// `softmax(score / temperature)`,
/// `score[c] = mean |A| + exploration · √(2 ln(N + 1) / (n[c] + 1))`, where the mean is over the
/// last `window` completions of the category, `n` counts its completions so far, and `N` is the sum
/// of `n`, at least 1.
///
/// Never ends.
///
/// # Source
/// arXiv 2504.09710 and ZhentingWang/DUMP at `235e85d`, which counts completions where the paper's
/// Algorithm 1 counts prompts. Differs: validation adds nothing (the code adds raw rewards there),
/// and problems within a category are walked in random order where the code draws them with
/// replacement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dump {
    /// Categories; the paper's are datasets.
    pub by: Partition,
    /// Number of latest completions of a category that the mean covers, at least 1; 300 in the
    /// paper.
    #[serde(default = "window")]
    pub window: usize,
    /// Weight of the exploration term, at least 0; 1 in the paper.
    #[serde(default = "exploration")]
    pub exploration: f64,
    /// Temperature of the softmax, above 0; 0.1 in the paper.
    #[serde(default = "temperature")]
    pub temperature: f64,
}

fn window() -> usize {
    300
}

fn exploration() -> f64 {
    1.0
}

fn temperature() -> f64 {
    0.1
}

impl PolicyConfig for Dump {
    fn build(&self, corpus: &Corpus, seed: u64) -> Result<Box<dyn Curriculum>, CurriculumError> {
        if self.window == 0 {
            return Err(SettingError::new("Dump.window", 0, "at least 1").into());
        }
        if !(self.exploration.is_finite() && self.exploration >= 0.0) {
            return Err(SettingError::new("Dump.exploration", self.exploration, "a number that is at least 0").into());
        }
        if !(self.temperature.is_finite() && self.temperature > 0.0) {
            return Err(SettingError::new("Dump.temperature", self.temperature, "a number above 0").into());
        }
        let arms = Arms::new("Dump", corpus, &self.by, seed)?;
        let seen = vec![Seen::default(); arms.len()];
        Ok(Box::new(DumpCourse { bounds: Bounds { config: self.clone(), seen }, arms }))
    }
}

/// Statistics of a category.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seen {
    /// Absolute advantages of the latest completions, oldest first.
    recent: VecDeque<f64>,
    /// Number of completions so far.
    n: u64,
}

/// Scores of the categories and their update.
#[derive(Debug)]
struct Bounds {
    config: Dump,
    seen: Vec<Seen>,
}

impl Bounds {
    fn learn(&mut self, category: usize, advantages: impl Iterator<Item = f64>) {
        let Seen { recent, n } = &mut self.seen[category];
        for advantage in advantages {
            recent.push_back(advantage.abs());
            *n += 1;
        }
        recent.drain(..recent.len().saturating_sub(self.config.window));
    }

    fn scores(&self) -> Vec<f64> {
        let total = self.seen.iter().map(|seen| seen.n).sum::<u64>().max(1) as f64;
        let score = |Seen { recent, n }: &Seen| {
            let mean = recent.iter().sum::<f64>() / recent.len().max(1) as f64;
            mean + self.config.exploration * (2.0 * (total + 1.0).ln() / (*n as f64 + 1.0)).sqrt()
        };
        self.seen.iter().map(score).collect()
    }

    fn probabilities(&self) -> Vec<f64> {
        softmax(&self.scores(), self.config.temperature)
    }
}

#[derive(Debug)]
struct DumpCourse {
    bounds: Bounds,
    arms: Arms,
}

impl Curriculum for DumpCourse {
    fn draw(&mut self, progress: Progress, want: usize) -> Batch {
        self.arms.draw(progress, &self.bounds.probabilities(), want).into_iter().collect()
    }

    fn observe(&mut self, groups: &[GroupOutcome]) {
        self.watch(groups);
        self.arms.release();
    }

    fn watch(&mut self, groups: &[GroupOutcome]) {
        for group in groups {
            if let Some(category) = self.arms.of(group.problem()) {
                self.bounds.learn(category, group.advantages.iter().map(|&advantage| f64::from(advantage)));
            }
        }
    }

    fn state(&self) -> State {
        State::new(&(&self.bounds.seen, self.arms.state()))
    }

    fn load_state(&mut self, state: &State) -> Result<(), CurriculumError> {
        let (seen, arms): (Vec<Seen>, State) = state.read()?;
        if seen.len() != self.arms.len() {
            let what = format!("{} categories, expected {}", seen.len(), self.arms.len());
            return Err(CurriculumError::StateOutOfRange { what });
        }
        self.arms.load_state(&arms)?;
        self.bounds.seen = seen;
        Ok(())
    }

    fn metrics(&self) -> Vec<Metric> {
        let named = self.arms.names().iter().zip(self.bounds.scores());
        named.map(|(name, score)| (format!("score/{name}").into(), score)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::{cases, check_adaptive, outcome, three};
    use crate::{Axis, CurriculumConfig};
    use seethink_core::Capability;

    fn dump() -> Dump {
        let by = Partition::by(Axis::Capability);
        Dump { by, window: window(), exploration: exploration(), temperature: temperature() }
    }

    #[test]
    fn conforms_to_the_code() {
        for case in cases("curriculum.dump") {
            let params = &case["params"];
            let config = Dump {
                window: params["window"].as_u64().unwrap() as usize,
                exploration: params["exploration"].as_f64().unwrap(),
                temperature: params["temperature"].as_f64().unwrap(),
                ..dump()
            };
            let advantages = case["inputs"]["advantages"].as_object().unwrap();
            let mut bounds = Bounds { config, seen: vec![Seen::default(); advantages.len()] };
            for (category, (name, advantages)) in advantages.iter().enumerate() {
                bounds.learn(category, advantages.as_array().unwrap().iter().map(|a| a.as_f64().unwrap()));
                bounds.seen[category].n = case["inputs"]["n_samples"][name].as_u64().unwrap();
            }
            for (name, found) in advantages.keys().zip(bounds.probabilities()) {
                let expected = case["expected"]["weights"][name].as_f64().unwrap();
                assert!((found - expected).abs() < 1e-9, "{name}: {found} {expected}");
            }
        }
    }

    #[test]
    fn it_learns_where_there_is_something_to_learn() {
        let config = CurriculumConfig::Dump(dump());
        let shares = check_adaptive(&config, &three(400, 400, 400), |capability| [0.999, 0.001, 0.5][capability]);
        assert!(shares[2] > 0.8, "{shares:?}");
    }

    #[test]
    fn a_score_counts_all_completions_and_averages_the_latest() {
        let corpus = three(1, 1, 1);
        let mut course = CurriculumConfig::Dump(Dump { window: 4, ..dump() }).build(&corpus, 1).unwrap();
        let id = corpus.iter().find(|entry| entry.capability == Capability::PERCEPTION).unwrap().id.0;
        // Four advantages of ±1/2 and then two of 0: the mean over the last four is 1/4, and all
        // six count.
        course.observe(&[outcome(id, &[1.0, 0.0, 1.0, 0.0])]);
        course.observe(&[outcome(id, &[1.0, 1.0])]);
        let bound = |n: f64| (2.0 * 7f64.ln() / (n + 1.0)).sqrt();
        for ((name, found), expected) in
            course.curriculum().metrics().iter().zip([0.25 + bound(6.0), bound(0.0), bound(0.0)])
        {
            assert!((found - expected).abs() < 1e-12, "{name}: {found} {expected}");
        }
    }
}
