//! VAS: draws half of a batch where rewards vary, half from all problems.
//!
//! State: the latest pass rate of each problem seen, and the walk of the uniform half. Metrics:
//! `learnability`, the mean of p (1 − p).

use crate::order::Order;
use crate::policies::by_weight::ByWeight;
use crate::policies::walk::Walk;
use crate::policy_config::PolicyConfig;
use crate::{Batch, Corpus, Curriculum, CurriculumError, GroupOutcome, LastBatch, Metric, Progress, State};
use seethink_core::{ProblemId, SettingError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Variance-aware sampling: draws `⌊share · batch⌋` problems with weight `p (1 − p)`, the others by
/// a walk over all problems; p is the pass rate of the problem's latest group, before that its
/// prior pass rate, or 0.5 if it has none. Never ends.
///
/// # Source
/// arXiv 2509.21268 and LengSicong/MMR1 at `d8161a0`. Differs: scores come from the groups sampled
/// in training, where the source rolls out the whole dataset again every few steps; they are not
/// scaled to `[0, 1]`; the weighted half has no problem twice; and the diversity of trajectories is
/// left out (the code adds self-BLEU with the sign opposite to the paper's).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vas {
    /// Share of the weighted half, in `[0, 1]`; 0.5 in the source.
    #[serde(default = "half")]
    pub share: f64,
}

fn half() -> f64 {
    0.5
}

impl PolicyConfig for Vas {
    fn build(&self, corpus: &Corpus, seed: u64) -> Result<Box<dyn Curriculum>, CurriculumError> {
        if !(0.0..=1.0).contains(&self.share) {
            return Err(SettingError::new("Vas.share", self.share, "a number in [0, 1]").into());
        }
        let rates: Vec<f64> =
            corpus.iter().map(|entry| entry.pass_rate.map_or(0.5, |rate| f64::from(rate.fraction()))).collect();
        let weighted = ByWeight::new("Vas", corpus, rates.iter().map(|p| p * (1.0 - p)), seed)?;
        let levels = Arc::new(Order::Shuffled.levels(corpus)?);
        let uniform = Walk::new(corpus.clone(), levels, LastBatch::Keep, None, seed, [0, u64::MAX]);
        let changed = BTreeSet::new();
        Ok(Box::new(Sampling { share: self.share, rates, changed, weighted, uniform, taken: BTreeSet::new() }))
    }
}

#[derive(Debug)]
struct Sampling {
    share: f64,
    /// Pass rates, by position.
    rates: Vec<f64>,
    /// Positions whose pass rate is no longer the prior.
    changed: BTreeSet<u32>,
    weighted: ByWeight,
    uniform: Walk,
    /// Problems drawn in the current step.
    taken: BTreeSet<ProblemId>,
}

impl Curriculum for Sampling {
    fn draw(&mut self, progress: Progress, want: usize) -> Batch {
        let mut problems = self.weighted.draw(progress, (self.share * want as f64) as usize);
        self.taken.extend(&problems);
        let all = self.rates.len();
        while problems.len() < want && self.taken.len() < all {
            let problem = self.uniform.draw(progress, 1).problems[0];
            if self.taken.insert(problem) {
                if let Some(position) = self.weighted.position(problem) {
                    self.weighted.take(position);
                }
                problems.push(problem);
            }
        }
        problems.into_iter().collect()
    }

    fn observe(&mut self, groups: &[GroupOutcome]) {
        self.weighted.release();
        self.uniform.observe(&[]);
        self.taken.clear();
        self.watch(groups);
    }

    fn watch(&mut self, groups: &[GroupOutcome]) {
        for group in groups {
            if let (Some(position), Some(rate)) = (self.weighted.position(group.problem()), group.pass_rate()) {
                self.rates[position] = rate;
                self.changed.insert(position as u32);
                self.weighted.set(position, rate * (1.0 - rate));
            }
        }
    }

    fn state(&self) -> State {
        let changed: Vec<(u32, f64)> = self.changed.iter().map(|&p| (p, self.rates[p as usize])).collect();
        State::new(&(changed, self.uniform.state()))
    }

    fn load_state(&mut self, state: &State) -> Result<(), CurriculumError> {
        let (changed, uniform): (Vec<(u32, f64)>, State) = state.read()?;
        if let Some((position, _)) = changed.iter().find(|(position, _)| *position as usize >= self.rates.len()) {
            return Err(CurriculumError::StateOutOfRange {
                what: format!("problem {position} of {}", self.rates.len()),
            });
        }
        self.uniform.load_state(&uniform)?;
        self.weighted.release();
        self.taken.clear();
        for &(position, rate) in &changed {
            self.rates[position as usize] = rate;
            self.weighted.set(position as usize, rate * (1.0 - rate));
        }
        self.changed = changed.into_iter().map(|(position, _)| position).collect();
        Ok(())
    }

    fn metrics(&self) -> Vec<Metric> {
        let sum: f64 = self.rates.iter().map(|p| p * (1.0 - p)).sum();
        vec![("learnability".into(), sum / self.rates.len() as f64)]
    }
}

#[cfg(test)]
mod tests {
    use crate::checks::{check_adaptive, three};
    use crate::{Corpus, CorpusEntry, CurriculumConfig};
    use seethink_core::{Capability, PassRate, ProblemId};

    #[test]
    fn half_goes_where_rewards_vary_and_half_everywhere() {
        let config: CurriculumConfig = ron::from_str("Vas(())").unwrap();
        // One capability in three has variance: it gets the weighted half, and a little less than a
        // third of the other half.
        let shares = check_adaptive(&config, &three(60, 60, 60), |capability| [0.0, 0.5, 1.0][capability]);
        assert!((shares[1] - 0.63).abs() < 0.06, "{shares:?}");
    }

    #[test]
    fn before_a_problem_is_seen_its_prior_pass_rate_counts_or_a_half() {
        let entry = |(id, rate): (u64, &Option<f32>)| CorpusEntry {
            pass_rate: rate.map(|rate| PassRate::new(rate).unwrap()),
            ..CorpusEntry::new(ProblemId(id), Capability::PERCEPTION)
        };
        let rates = [Some(1.0), Some(0.5), Some(0.0), Some(0.25), Some(1.0), None];
        let corpus = Corpus::new((0..).zip(&rates).map(entry)).unwrap();
        let config: CurriculumConfig = ron::from_str("Vas((share: 1.0))").unwrap();
        let mut problems = config.build(&corpus, 1).unwrap().draw(3).problems;
        problems.sort_unstable();
        assert_eq!(problems, [1, 3, 5].map(ProblemId), "what is always or never solved has no weight");
    }
}
