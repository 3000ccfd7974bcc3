//! SEC: a bandit over categories whose gain is how much there is to learn from each.
//!
//! State: the value of each category and the walks within categories. Metrics: `q/CATEGORY`.

use crate::curriculum::mean;
use crate::policies::arms::Arms;
use crate::policies::weights::softmax;
use crate::policy_config::PolicyConfig;
use crate::{Batch, Corpus, Curriculum, CurriculumError, GroupOutcome, Metric, Partition, Progress, State};
use seethink_core::SettingError;
use serde::{Deserialize, Serialize};

/// Multi-armed bandit: draws categories with probability `softmax(Q / temperature)`; after a step
/// `Q[c] ← (1 − rate) · Q[c] + rate · mean |A|`, where the mean is over the completions of the
/// category.
///
/// Never ends. Categories of two axes form one bandit over the combinations that occur.
///
/// # Source
/// arXiv 2505.14970; in its code, the value of a category that a batch lacks decays as if its gain
/// were 0 ([`Absent::Decays`]). Differs: problems within a category are walked in random order, and
/// each category starts over on its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sec {
    /// Categories of the bandit.
    pub by: Partition,
    /// Weight of the newest gain (the paper's α), in `(0, 1]`; 0.5 in the paper's runs.
    pub rate: f64,
    /// Temperature of the softmax (the paper's τ), above 0; in the paper 1 (countdown), 0.4
    /// (mathematics), 0.2 (puzzles on two axes).
    pub temperature: f64,
    /// Treatment of a category that no problem was drawn from.
    #[serde(default)]
    pub absent: Absent,
}

/// Treatment of the value of a category without problems in a step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Absent {
    /// Keeps the value, as in the paper's formula.
    #[default]
    Stays,
    /// Multiplies the value by `1 − rate`, as in the paper's code.
    Decays,
}

impl PolicyConfig for Sec {
    fn build(&self, corpus: &Corpus, seed: u64) -> Result<Box<dyn Curriculum>, CurriculumError> {
        if !(self.rate > 0.0 && self.rate <= 1.0) {
            return Err(SettingError::new("Sec.rate", self.rate, "a number in (0, 1]").into());
        }
        if !(self.temperature.is_finite() && self.temperature > 0.0) {
            return Err(SettingError::new("Sec.temperature", self.temperature, "a number above 0").into());
        }
        let arms = Arms::new("Sec", corpus, &self.by, seed)?;
        let bandit = Bandit { config: self.clone(), values: vec![0.0; arms.len()] };
        Ok(Box::new(SecCourse { bandit, arms }))
    }
}

/// Values of the categories and their update.
#[derive(Debug)]
struct Bandit {
    config: Sec,
    values: Vec<f64>,
}

impl Bandit {
    fn probabilities(&self) -> Vec<f64> {
        softmax(&self.values, self.config.temperature)
    }

    /// Updates the values by `gains[category]`, the mean absolute advantage; `None` without
    /// completions.
    fn learn(&mut self, gains: &[Option<f64>]) {
        for (value, gain) in self.values.iter_mut().zip(gains) {
            let gain = gain.or(if self.config.absent == Absent::Decays { Some(0.0) } else { None });
            *value = gain.map_or(*value, |gain| (1.0 - self.config.rate) * *value + self.config.rate * gain);
        }
    }
}

#[derive(Debug)]
struct SecCourse {
    bandit: Bandit,
    arms: Arms,
}

impl Curriculum for SecCourse {
    fn draw(&mut self, progress: Progress, want: usize) -> Batch {
        self.arms.draw(progress, &self.bandit.probabilities(), want).into_iter().collect()
    }

    fn observe(&mut self, groups: &[GroupOutcome]) {
        self.watch(groups);
        self.arms.release();
    }

    fn watch(&mut self, groups: &[GroupOutcome]) {
        let mut advantages = vec![Vec::new(); self.arms.len()];
        for group in groups {
            if let Some(category) = self.arms.of(group.problem()) {
                advantages[category].extend(group.advantages.iter().map(|&advantage| f64::from(advantage).abs()));
            }
        }
        self.bandit.learn(&advantages.into_iter().map(|own| mean(own.into_iter())).collect::<Vec<_>>());
    }

    fn state(&self) -> State {
        State::new(&(&self.bandit.values, self.arms.state()))
    }

    fn load_state(&mut self, state: &State) -> Result<(), CurriculumError> {
        let (values, arms): (Vec<f64>, State) = state.read()?;
        if values.len() != self.arms.len() {
            let what = format!("{} values, expected {}", values.len(), self.arms.len());
            return Err(CurriculumError::StateOutOfRange { what });
        }
        self.arms.load_state(&arms)?;
        self.bandit.values = values;
        Ok(())
    }

    fn metrics(&self) -> Vec<Metric> {
        let named = self.arms.names().iter().zip(&self.bandit.values);
        named.map(|(name, &value)| (format!("q/{name}").into(), value)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::{cases, check_adaptive, floats, three};
    use crate::{Axis, CurriculumConfig};

    fn sec(absent: Absent) -> Sec {
        Sec { by: Partition::by(Axis::Capability), rate: 0.5, temperature: 0.2, absent }
    }

    #[test]
    fn conforms_to_the_formula() {
        for case in cases("curriculum.sec") {
            let params = &case["params"];
            let names = ["easy", "hard", "mid"];
            let config = Sec {
                rate: params["alpha"].as_f64().unwrap(),
                temperature: params["temperature"].as_f64().unwrap(),
                ..sec(Absent::Stays)
            };
            let mut bandit = Bandit { config, values: vec![params["Q0"].as_f64().unwrap(); 3] };
            let steps = case["inputs"]["mean_abs_advantage_by_category"].as_array().unwrap();
            for (step, (q, probabilities)) in
                steps.iter().zip(floats(&case["expected"]["Q"]).into_iter().zip(floats(&case["expected"]["probs"])))
            {
                bandit.learn(&names.map(|name| step[name].as_f64()));
                for (found, expected) in
                    bandit.values.iter().chain(&bandit.probabilities()).zip(q.iter().chain(&probabilities))
                {
                    assert!((found - expected).abs() < 1e-9, "{found} {expected}");
                }
            }
        }
    }

    #[test]
    fn what_is_absent_stays_or_decays() {
        for (absent, expected) in [(Absent::Stays, 0.4), (Absent::Decays, 0.2)] {
            let mut bandit = Bandit { config: sec(absent), values: vec![0.4] };
            bandit.learn(&[None]);
            assert_eq!(bandit.values, [expected]);
        }
    }

    #[test]
    fn it_learns_where_there_is_something_to_learn() {
        let config = CurriculumConfig::Sec(sec(Absent::Stays));
        // Perception is solved, and textual reasoning is out of reach.
        let shares = check_adaptive(&config, &three(400, 400, 400), |capability| [0.999, 0.001, 0.5][capability]);
        assert!(shares[2] > 0.8, "{shares:?}");
    }
}
