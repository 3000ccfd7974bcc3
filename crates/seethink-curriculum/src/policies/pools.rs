//! Pools: problems that are hard, normal or easy for the current model by their latest result,
//! drawn with a weight for each pool.
//!
//! State: the latest mean reward of each problem seen. Metrics: `pool/unseen` and `pool/NAME`,
//! shares of the problems.

use crate::policies::by_weight::ByWeight;
use crate::policy_config::PolicyConfig;
use crate::{Batch, Corpus, Curriculum, CurriculumError, GroupOutcome, Metric, Progress, State};
use seethink_core::SettingError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Difficulty pools: a problem belongs to the first pool whose `up_to` is at least its latest mean
/// reward (the last pool if none is), and is drawn with the pool's weight; a problem that was never
/// seen is drawn with weight `unseen`. Never ends.
///
/// # Source
/// prime-rl `DifficultyPoolSampler` at `97299ec`. Differs: a problem is drawn at most once in a
/// step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pools {
    /// Pools by ascending `up_to`; the source's are hard (0.25, weight 0.2), normal (0.75, 1) and
    /// easy (1, 0.2).
    #[serde(default = "pools")]
    pub pools: Vec<Pool>,
    /// Weight of problems that were never seen, at least 0; 1 in the source.
    #[serde(default = "unseen")]
    pub unseen: f64,
}

/// Pool of problems.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    /// Name in metrics.
    pub name: String,
    /// Largest mean reward of its problems.
    pub up_to: f64,
    /// Weight of each of its problems, at least 0.
    pub weight: f64,
}

fn pools() -> Vec<Pool> {
    let pool = |name: &str, up_to, weight| Pool { name: name.into(), up_to, weight };
    vec![pool("hard", 0.25, 0.2), pool("normal", 0.75, 1.0), pool("easy", 1.0, 0.2)]
}

fn unseen() -> f64 {
    1.0
}

impl PolicyConfig for Pools {
    fn build(&self, corpus: &Corpus, seed: u64) -> Result<Box<dyn Curriculum>, CurriculumError> {
        let weights = self.pools.iter().map(|pool| pool.weight).chain([self.unseen]);
        let ascending = self.pools.is_sorted_by(|a, b| a.up_to < b.up_to);
        if self.pools.is_empty()
            || !ascending
            || weights.clone().any(|w| !(w.is_finite() && w >= 0.0))
            || weights.sum::<f64>() == 0.0
        {
            let found = format!("{:?} and unseen {}", self.pools, self.unseen);
            let expected = "pools of ascending `up_to`, weights that are at least 0 and not all 0";
            return Err(SettingError::new("Pools.pools", found, expected).into());
        }
        let problems = ByWeight::new("Pools", corpus, (0..corpus.len()).map(|_| self.unseen), seed)?;
        Ok(Box::new(Pooled { config: self.clone(), n_problems: corpus.len(), problems, rewards: BTreeMap::new() }))
    }
}

impl Pools {
    fn pool(&self, reward: f64) -> usize {
        self.pools.iter().position(|pool| reward <= pool.up_to).unwrap_or(self.pools.len() - 1)
    }
}

#[derive(Debug)]
struct Pooled {
    config: Pools,
    n_problems: usize,
    problems: ByWeight,
    /// Latest mean rewards, by position.
    rewards: BTreeMap<u32, f64>,
}

impl Curriculum for Pooled {
    fn draw(&mut self, progress: Progress, want: usize) -> Batch {
        self.problems.draw(progress, want).into_iter().collect()
    }

    fn observe(&mut self, groups: &[GroupOutcome]) {
        self.problems.release();
        self.watch(groups);
    }

    fn watch(&mut self, groups: &[GroupOutcome]) {
        for group in groups {
            if let (Some(position), Some(reward)) = (self.problems.position(group.problem()), group.mean_reward()) {
                self.rewards.insert(position as u32, reward);
                self.problems.set(position, self.config.pools[self.config.pool(reward)].weight);
            }
        }
    }

    fn state(&self) -> State {
        State::new(&self.rewards.iter().collect::<Vec<_>>())
    }

    fn load_state(&mut self, state: &State) -> Result<(), CurriculumError> {
        let rewards: Vec<(u32, f64)> = state.read()?;
        if let Some((position, _)) = rewards.iter().find(|(position, _)| *position as usize >= self.n_problems) {
            return Err(CurriculumError::StateOutOfRange {
                what: format!("problem {position} of {}", self.n_problems),
            });
        }
        self.problems.release();
        (0..self.n_problems).for_each(|position| self.problems.set(position, self.config.unseen));
        for &(position, reward) in &rewards {
            self.problems.set(position as usize, self.config.pools[self.config.pool(reward)].weight);
        }
        self.rewards = rewards.into_iter().collect();
        Ok(())
    }

    fn metrics(&self) -> Vec<Metric> {
        let share = |n: usize| n as f64 / self.n_problems as f64;
        let mut counts = vec![0; self.config.pools.len()];
        self.rewards.values().for_each(|&reward| counts[self.config.pool(reward)] += 1);
        let unseen = ("pool/unseen".into(), share(self.n_problems - self.rewards.len()));
        let pools =
            self.config.pools.iter().zip(counts).map(|(pool, n)| (format!("pool/{}", pool.name).into(), share(n)));
        [unseen].into_iter().chain(pools).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::{check_adaptive, outcome, three};
    use crate::{Course, CurriculumConfig};

    #[test]
    fn thresholds_are_inclusive_and_the_last_pool_takes_the_rest() {
        let config = Pools { pools: pools(), unseen: 1.0 };
        assert_eq!([0.0, 0.25, 0.26, 0.75, 1.0, 7.0].map(|reward| config.pool(reward)), [0, 0, 1, 1, 2, 2]);
    }

    #[test]
    fn normal_problems_come_more_often() {
        // Problems with a pass rate of 1/2 are in the normal pool four times out of five, and a
        // batch holds each problem once: about three in five.
        let config = CurriculumConfig::Pools(Pools { pools: pools(), unseen: 1.0 });
        let shares = check_adaptive(&config, &three(60, 60, 60), |capability| [0.0, 0.5, 1.0][capability]);
        assert!((shares[1] - 0.6).abs() < 0.08 && (shares[0] - shares[2]).abs() < 0.08, "{shares:?}");
    }

    #[test]
    fn metrics_tell_the_shares() {
        let corpus = three(2, 1, 1);
        let mut course: Course =
            CurriculumConfig::Pools(Pools { pools: pools(), unseen: 1.0 }).build(&corpus, 1).unwrap();
        let ids: Vec<u64> = corpus.iter().map(|entry| entry.id.0).collect();
        course.draw(4);
        course.observe(&[outcome(ids[0], &[1.0, 1.0]), outcome(ids[1], &[1.0, 0.0])]);
        let metrics: Vec<f64> = course.curriculum().metrics().into_iter().map(|(_, value)| value).collect();
        assert_eq!(metrics, [0.5, 0.0, 0.25, 0.25]);
    }
}
