//! E2H: moves the probabilities of levels from easy to hard by a schedule, regardless of outcomes.
//!
//! State: the steps that are over and the walks within levels. Metrics: `p/LEVEL`.

use crate::policies::arms::Arms;
use crate::policy_config::PolicyConfig;
use crate::{Batch, Corpus, Curriculum, CurriculumError, GroupOutcome, Metric, Partition, Progress, State};
use seethink_core::SettingError;
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

/// Easy-to-hard schedule: draws levels with scheduled probabilities for `steps` steps, then ends.
///
/// # Source
/// arXiv 2506.06632 and divelab/E2H-Reasoning `src/trainer.py` at `ef110f0`. As there, the last
/// step is step `steps − 1`. Differs: problems of a level are walked in a new random order every
/// time, where the code repeats one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct E2h {
    /// Levels, in the order of their keys.
    pub by: Partition,
    /// `true` if the first key is the hardest, as with pass rates; otherwise it is the easiest.
    #[serde(default)]
    pub hardest_first: bool,
    /// Schedule of the probabilities.
    pub schedule: E2hSchedule,
    /// Number of steps, at least 1.
    pub steps: u32,
}

/// Schedule of the probabilities of levels. With K levels, level k from 0 (easiest), t steps done
/// of T.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum E2hSchedule {
    /// One level after the other: level `⌊t K / T⌋`.
    Classic,
    /// All levels equally likely.
    Balanced,
    /// Half-cosine transition from `K − k` to `k + 1` parts of `K (K + 1) / 2`.
    Cosine,
    /// Gaussian of deviation `sigma` around `(t / T)^mu_exp · (K − 1)`, over a floor of
    /// `2 / (K (K + 1))`.
    Gaussian {
        /// Exponent of the mean's progress, above 0; 0.5 in the code.
        mu_exp: f64,
        /// Standard deviation in levels, above 0; 0.5 in the code.
        sigma: f64,
    },
}

impl E2hSchedule {
    /// Probability of each level at step `t`, which is below `steps`.
    fn probabilities(self, t: u64, steps: u32, n_levels: usize) -> Vec<f64> {
        let (k, n) = (n_levels as f64, n_levels);
        let done = t as f64 / f64::from(steps);
        let floor = 2.0 / (k * (k + 1.0));
        match self {
            Self::Classic => {
                let level = (t * n as u64 / u64::from(steps)) as usize;
                (0..n).map(|index| f64::from(u8::from(index == level))).collect()
            }
            Self::Balanced => vec![1.0 / k; n],
            Self::Cosine => {
                let early = (1.0 + (PI * done).cos()) / 2.0;
                let at = |index: usize| floor * (early * (k - index as f64) + (1.0 - early) * (index as f64 + 1.0));
                (0..n).map(at).collect()
            }
            Self::Gaussian { mu_exp, sigma } => {
                let mu = done.powf(mu_exp) * (k - 1.0);
                let bell: Vec<f64> = (0..n).map(|i| (-(i as f64 - mu).powi(2) / (2.0 * sigma * sigma)).exp()).collect();
                let sum: f64 = bell.iter().sum();
                bell.into_iter().map(|q| floor + (1.0 - k * floor) * q / sum).collect()
            }
        }
    }
}

impl PolicyConfig for E2h {
    fn build(&self, corpus: &Corpus, seed: u64) -> Result<Box<dyn Curriculum>, CurriculumError> {
        if self.steps == 0 {
            return Err(SettingError::new("E2h.steps", 0, "at least 1").into());
        }
        if let E2hSchedule::Gaussian { mu_exp, sigma } = self.schedule
            && !(mu_exp.is_finite() && mu_exp > 0.0 && sigma.is_finite() && sigma > 0.0)
        {
            let found = format!("{:?}", self.schedule);
            return Err(SettingError::new("E2h.schedule", found, "`mu_exp` and `sigma` above 0").into());
        }
        Ok(Box::new(Scheduled { config: self.clone(), arms: Arms::new("E2h", corpus, &self.by, seed)?, steps: 0 }))
    }

    fn is_endless(&self) -> bool {
        false
    }
}

#[derive(Debug)]
struct Scheduled {
    config: E2h,
    arms: Arms,
    /// Steps that are over, for the metrics.
    steps: u64,
}

impl Scheduled {
    fn probabilities(&self, step: u64) -> Vec<f64> {
        let E2h { schedule, steps, hardest_first, .. } = self.config;
        let mut probabilities = schedule.probabilities(step, steps, self.arms.len());
        if hardest_first {
            probabilities.reverse();
        }
        probabilities
    }
}

impl Curriculum for Scheduled {
    fn draw(&mut self, progress: Progress, want: usize) -> Batch {
        if progress.steps >= u64::from(self.config.steps) {
            return Batch::OVER;
        }
        let probabilities = self.probabilities(progress.steps);
        self.arms.draw(progress, &probabilities, want).into_iter().collect()
    }

    fn observe(&mut self, _: &[GroupOutcome]) {
        self.steps += 1;
        self.arms.release();
    }

    fn planned_steps(&self, _: Option<usize>) -> Option<Vec<usize>> {
        Some(vec![self.config.steps as usize])
    }

    fn state(&self) -> State {
        State::new(&(self.steps, self.arms.state()))
    }

    fn load_state(&mut self, state: &State) -> Result<(), CurriculumError> {
        let (steps, arms): (u64, State) = state.read()?;
        self.arms.load_state(&arms)?;
        self.steps = steps;
        Ok(())
    }

    fn metrics(&self) -> Vec<Metric> {
        let step = self.steps.min(u64::from(self.config.steps) - 1);
        let named = self.arms.names().iter().zip(self.probabilities(step));
        named.map(|(name, p)| (format!("p/{name}").into(), p)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::{cases, check_resume, drain, floats, three};
    use crate::{Axis, Course, CurriculumConfig};
    use seethink_core::Capability;

    #[test]
    fn conforms_to_the_code() {
        let cases = cases("curriculum.e2h");
        assert_eq!(cases.len(), 3);
        for case in cases {
            let params = &case["params"];
            let schedule = match case["fn"].as_str().unwrap() {
                "step_schedule" => E2hSchedule::Classic,
                "cosine_schedule" => E2hSchedule::Cosine,
                _ => E2hSchedule::Gaussian {
                    mu_exp: params["mu_exp"].as_f64().unwrap(),
                    sigma: params["sigma"].as_f64().unwrap(),
                },
            };
            let (steps, n) = (params["T"].as_u64().unwrap() as u32, params["num_tasks"].as_u64().unwrap() as usize);
            let times = case["inputs"]["t"].as_array().unwrap();
            for (t, expected) in times.iter().zip(floats(&case["expected"]["probs_by_t"])) {
                let found = schedule.probabilities(t.as_u64().unwrap(), steps, n);
                for (found, expected) in found.iter().zip(&expected) {
                    assert!((found - expected).abs() < 1e-9, "{schedule:?} at {t}: {found} {expected}");
                }
            }
        }
    }

    #[test]
    fn classic_levels_are_equally_long() {
        // In floating point 29 / 100 · 100 is less than 29.
        for t in 0..100 {
            assert_eq!(E2hSchedule::Classic.probabilities(t, 100, 100)[t as usize], 1.0, "{t}");
        }
    }

    #[test]
    fn every_schedule_is_a_distribution() {
        let gaussian = E2hSchedule::Gaussian { mu_exp: 0.5, sigma: 0.5 };
        for schedule in [E2hSchedule::Classic, E2hSchedule::Balanced, E2hSchedule::Cosine, gaussian] {
            for n in [1, 2, 7] {
                for t in 0..10 {
                    let sum: f64 = schedule.probabilities(t, 10, n).iter().sum();
                    assert!((sum - 1.0).abs() < 1e-12, "{schedule:?}");
                }
            }
        }
    }

    #[test]
    fn it_moves_from_easy_to_hard() {
        let corpus = three(300, 300, 300);
        let config = CurriculumConfig::E2h(E2h {
            by: Partition { axes: vec![Axis::PassRate], bins: Some(4) },
            hardest_first: true,
            schedule: E2hSchedule::Cosine,
            steps: 30,
        });
        let batches = drain(&mut config.build(&corpus, 1).unwrap(), 16);
        assert_eq!(batches.len(), 30);
        let mean_rate = |batches: &[Batch]| {
            let rates: Vec<f32> = batches
                .iter()
                .flat_map(|batch| &batch.problems)
                .map(|&id| corpus.get(id).unwrap().pass_rate.unwrap().fraction())
                .collect();
            rates.iter().sum::<f32>() / rates.len() as f32
        };
        let (early, late) = (mean_rate(&batches[..10]), mean_rate(&batches[20..]));
        assert!(early > late + 0.15, "{early} {late}");
        check_resume(&config, &corpus);
    }

    #[test]
    fn a_level_gives_all_its_problems_in_every_step_of_its_own() {
        let corpus = three(2, 2, 2);
        let by = Partition::by(Axis::Capability);
        let config = E2h { by, hardest_first: false, schedule: E2hSchedule::Classic, steps: 6 };
        let mut course = CurriculumConfig::E2h(config).build(&corpus, 1).unwrap();
        let figures = |course: &Course| course.curriculum().metrics().into_iter().map(|(_, p)| p).collect::<Vec<_>>();
        for level in [0, 0, 1, 1, 2, 2] {
            let expected = [0, 1, 2].map(|one| f64::from(u8::from(one == level)));
            assert_eq!(figures(&course), expected, "those of the step to come");
            let problems = course.draw(3).problems;
            assert_eq!(problems.len(), 2);
            let capability = |id: &_| &corpus.get(*id).unwrap().capability;
            assert!(problems.iter().all(|id| *capability(id) == Capability::ALL[level]));
            course.observe(&[]);
        }
        assert_eq!(figures(&course), [0.0, 0.0, 1.0], "those of the last step");
        assert!(course.draw(3).is_empty());
    }
}
