//! FG-ExPO: draws problems with a Gaussian weight around the pass rate at which most is learnt.
//!
//! State: the running pass rate of each problem seen. Metrics: `mean_pass_rate`, the mean of these.

use crate::policies::by_weight::ByWeight;
use crate::policy_config::PolicyConfig;
use crate::{Batch, Corpus, Curriculum, CurriculumError, GroupOutcome, Metric, Progress, State};
use seethink_core::SettingError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Gaussian weights by pass rate: draws with weight `exp(−(q − target)² / 2 sigma²)`, where q is
/// the running pass rate of a problem: 0.5 at first, and
/// `q ← memory · q + (1 − memory) · pass rate` when the problem is seen. Never ends.
///
/// # Source
/// arXiv 2605.11403. Differs: a problem is drawn at most once in a step. The method's other part, a
/// KL weight by the batch's accuracy, belongs to the loss.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FgExpo {
    /// Pass rate of the greatest weight; 0.5 in the paper.
    #[serde(default = "target")]
    pub target: f64,
    /// Standard deviation of the Gaussian, above 0; 0.35 in the paper.
    #[serde(default = "sigma")]
    pub sigma: f64,
    /// Weight of the past in the running pass rate, in `[0, 1)`; 0.9 in the paper.
    #[serde(default = "memory")]
    pub memory: f64,
}

fn target() -> f64 {
    0.5
}

fn sigma() -> f64 {
    0.35
}

fn memory() -> f64 {
    0.9
}

impl PolicyConfig for FgExpo {
    fn build(&self, corpus: &Corpus, seed: u64) -> Result<Box<dyn Curriculum>, CurriculumError> {
        let Self { target, sigma, memory } = *self;
        if !(target.is_finite() && sigma.is_finite() && sigma > 0.0 && (0.0..1.0).contains(&memory)) {
            let expected = "a finite target, sigma above 0, memory in [0, 1)";
            return Err(SettingError::new("FgExpo.sigma", format!("{self:?}"), expected).into());
        }
        let problems = ByWeight::new("FgExpo", corpus, (0..corpus.len()).map(|_| self.weight(0.5)), seed)?;
        Ok(Box::new(Bell { config: self.clone(), n_problems: corpus.len(), problems, rates: BTreeMap::new() }))
    }
}

impl FgExpo {
    fn weight(&self, rate: f64) -> f64 {
        (-(rate - self.target).powi(2) / (2.0 * self.sigma * self.sigma)).exp()
    }
}

#[derive(Debug)]
struct Bell {
    config: FgExpo,
    n_problems: usize,
    problems: ByWeight,
    /// Running pass rates, by position.
    rates: BTreeMap<u32, f64>,
}

impl Curriculum for Bell {
    fn draw(&mut self, progress: Progress, want: usize) -> Batch {
        self.problems.draw(progress, want).into_iter().collect()
    }

    fn observe(&mut self, groups: &[GroupOutcome]) {
        self.problems.release();
        self.watch(groups);
    }

    fn watch(&mut self, groups: &[GroupOutcome]) {
        for group in groups {
            if let (Some(position), Some(rate)) = (self.problems.position(group.problem()), group.pass_rate()) {
                let running = self.rates.entry(position as u32).or_insert(0.5);
                *running = self.config.memory * *running + (1.0 - self.config.memory) * rate;
                self.problems.set(position, self.config.weight(*running));
            }
        }
    }

    fn state(&self) -> State {
        State::new(&self.rates.iter().collect::<Vec<_>>())
    }

    fn load_state(&mut self, state: &State) -> Result<(), CurriculumError> {
        let rates: Vec<(u32, f64)> = state.read()?;
        if let Some((position, _)) = rates.iter().find(|(position, _)| *position as usize >= self.n_problems) {
            return Err(CurriculumError::StateOutOfRange {
                what: format!("problem {position} of {}", self.n_problems),
            });
        }
        self.problems.release();
        (0..self.n_problems).for_each(|position| self.problems.set(position, self.config.weight(0.5)));
        rates.iter().for_each(|&(position, rate)| self.problems.set(position as usize, self.config.weight(rate)));
        self.rates = rates.into_iter().collect();
        Ok(())
    }

    fn metrics(&self) -> Vec<Metric> {
        let mean = self.rates.values().sum::<f64>() / self.rates.len().max(1) as f64;
        vec![("mean_pass_rate".into(), mean)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CurriculumConfig;
    use crate::checks::{check_adaptive, outcome, three};

    #[test]
    fn weights_are_the_papers() {
        let config = FgExpo { target: target(), sigma: sigma(), memory: memory() };
        assert_eq!(config.weight(0.5), 1.0);
        assert!((config.weight(1.0) - 0.360).abs() < 1e-3);
        assert_eq!(config.weight(0.0), config.weight(1.0));
    }

    #[test]
    fn it_prefers_the_middle_and_starves_nothing() {
        let config = CurriculumConfig::FgExpo(FgExpo { target: 0.5, sigma: 0.35, memory: 0.0 });
        let shares = check_adaptive(&config, &three(100, 100, 100), |capability| [0.0, 0.5, 1.0][capability]);
        assert!(shares[1] > shares[0] + 0.1 && shares[0] > 0.1 && shares[2] > 0.1, "{shares:?}");
    }

    #[test]
    fn a_running_pass_rate_starts_from_a_half_and_is_averaged_over_what_was_seen() {
        let corpus = three(9, 0, 0);
        let config: CurriculumConfig = ron::from_str("FgExpo((memory: 0.75))").unwrap();
        let mut course = config.build(&corpus, 1).unwrap();
        let mut seen = |groups: &[(usize, f32)]| {
            let groups: Vec<_> = groups.iter().map(|&(at, rate)| outcome(corpus.entry(at).id.0, &[rate])).collect();
            course.observe(&groups);
            course.curriculum().metrics()[0].1
        };
        // 0.75 · 0.5 + 0.25 = 0.625 and 0.75 · 0.5 = 0.375; then 0.75 · 0.625 + 0.25 = 0.71875.
        assert_eq!(seen(&[]), 0.0);
        assert_eq!(seen(&[(2, 1.0)]), 0.625);
        assert_eq!(seen(&[(5, 0.0)]), 0.5);
        assert_eq!(seen(&[(2, 1.0)]), (0.71875 + 0.375) / 2.0);
    }
}
