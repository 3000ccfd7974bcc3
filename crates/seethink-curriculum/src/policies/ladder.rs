//! Ladder: moves one level harder after enough success, one level easier after enough failure.
//!
//! State: the level, the scores since the last move, and the walks within levels. Metrics: `level`.

use crate::policies::arms::Arms;
use crate::policy_config::PolicyConfig;
use crate::{Batch, Corpus, Curriculum, CurriculumError, GroupOutcome, Metric, Partition, Progress, State};
use seethink_core::SettingError;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Ladder of levels: draws from one level. When `window` completions have been scored since the
/// last move, the mean accuracy of the last `window` moves it: above `up` to the next harder level,
/// below `down` to the next easier. Never ends.
///
/// For a ladder of each capability, use a stage or a part of a [`Mix`](crate::Mix) for each.
///
/// # Source
/// open-thought/reasoning-gym `training/trainers/ray_grpo_trainer.py`; its configurations have 0.7
/// and 0.3 or 0.1, windows of 20 to 5120. As there, a move discards the scores, even where there is
/// no further level. Differs: levels are categories of given problems, where the source generates
/// problems.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ladder {
    /// Levels, in the order of their keys.
    pub by: Partition,
    /// `true` if the first key is the hardest, as with pass rates; otherwise it is the easiest.
    #[serde(default)]
    pub hardest_first: bool,
    /// Mean accuracy above which the level becomes harder.
    pub up: f64,
    /// Mean accuracy below which the level becomes easier, at most `up`.
    pub down: f64,
    /// Number of completions averaged, at least 1.
    pub window: usize,
    /// Easier levels that are drawn from besides the current one.
    #[serde(default)]
    pub below: Below,
}

/// Easier levels that are drawn from besides the current one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Below {
    /// Current level alone.
    #[default]
    Nothing,
    /// Current level and all easier ones, each equally likely.
    Everything,
}

impl PolicyConfig for Ladder {
    fn build(&self, corpus: &Corpus, seed: u64) -> Result<Box<dyn Curriculum>, CurriculumError> {
        if !(self.up.is_finite() && self.down.is_finite() && self.down <= self.up && self.window > 0) {
            let found = format!("up {}, down {}, window {}", self.up, self.down, self.window);
            let expected = "down at most up, and a window of at least 1";
            return Err(SettingError::new("Ladder.up", found, expected).into());
        }
        let arms = Arms::new("Ladder", corpus, &self.by, seed)?;
        Ok(Box::new(Climbing { config: self.clone(), arms, at: At::default() }))
    }
}

#[derive(Debug)]
struct Climbing {
    config: Ladder,
    arms: Arms,
    at: At,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct At {
    /// Level from 0, the easiest.
    level: usize,
    /// Accuracies since the last move, oldest first, at most `window`.
    scores: VecDeque<f32>,
}

impl Curriculum for Climbing {
    fn draw(&mut self, progress: Progress, want: usize) -> Batch {
        let n = self.arms.len();
        let lowest = if self.config.below == Below::Everything { 0 } else { self.at.level };
        let mut weights = vec![0.0; n];
        for level in lowest..=self.at.level {
            weights[if self.config.hardest_first { n - 1 - level } else { level }] = 1.0;
        }
        self.arms.draw(progress, &weights, want).into_iter().collect()
    }

    fn observe(&mut self, groups: &[GroupOutcome]) {
        self.arms.release();
        let Self { config: Ladder { up, down, window, .. }, at: At { level, scores }, .. } = self;
        scores
            .extend(groups.iter().filter(|group| self.arms.of(group.problem()).is_some()).flat_map(|g| &g.accuracies));
        scores.drain(..scores.len().saturating_sub(*window));
        if scores.len() < *window {
            return;
        }
        let mean = scores.iter().map(|&score| f64::from(score)).sum::<f64>() / *window as f64;
        if mean > *up {
            *level = (*level + 1).min(self.arms.len() - 1);
            scores.clear();
        } else if mean < *down {
            *level = level.saturating_sub(1);
            scores.clear();
        }
    }

    fn state(&self) -> State {
        State::new(&(&self.at, self.arms.state()))
    }

    fn load_state(&mut self, state: &State) -> Result<(), CurriculumError> {
        let (at, arms): (At, State) = state.read()?;
        if at.level >= self.arms.len() {
            return Err(CurriculumError::StateOutOfRange {
                what: format!("level {} of {}", at.level, self.arms.len()),
            });
        }
        self.arms.load_state(&arms)?;
        self.at = at;
        Ok(())
    }

    fn metrics(&self) -> Vec<Metric> {
        vec![("level".into(), self.at.level as f64)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::{check_resume, outcome, three};
    use crate::{Axis, Course, CurriculumConfig, Simulation, SkilledLearner};

    fn ladder() -> Ladder {
        let by = Partition { axes: vec![Axis::PassRate], bins: Some(4) };
        Ladder { by, hardest_first: true, up: 0.7, down: 0.3, window: 512, below: Below::Nothing }
    }

    #[test]
    fn it_climbs_as_the_learner_learns() {
        let corpus = three(200, 200, 200);
        let mut course = CurriculumConfig::Ladder(ladder()).build(&corpus, 1).unwrap();
        let simulation = Simulation { max_steps: 60, ..Simulation::default() };
        let mut learner = SkilledLearner::new(&corpus, 0.02, 1.0);
        let steps = simulation.run(&mut course, &corpus, &mut learner);
        let rate = |step: usize| {
            let rates = steps[step].drawn().map(|id| corpus.get(id).unwrap().pass_rate.unwrap().fraction());
            rates.sum::<f32>() / 32.0
        };
        assert!(rate(0) > 0.8 && rate(59) < 0.2, "{} {}", rate(0), rate(59));
        check_resume(&CurriculumConfig::Ladder(ladder()), &corpus);
    }

    #[test]
    fn thresholds_are_strict_and_a_move_forgets() {
        let corpus = three(20, 20, 20);
        let config = Ladder { window: 10, up: 0.5, down: 0.5, ..ladder() };
        let mut course: Course = CurriculumConfig::Ladder(config).build(&corpus, 1).unwrap();
        let id = corpus.entry(0).id.0;
        let mut level_after = |right: usize| {
            let rewards: Vec<f32> = (0..10).map(|i| f32::from(u8::from(i < right))).collect();
            course.observe(&[outcome(id, &rewards)]);
            course.curriculum().metrics()[0].1
        };
        assert_eq!([5, 6, 5, 4, 5, 6, 6, 6, 6].map(&mut level_after), [0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 2.0, 3.0, 3.0]);
    }

    #[test]
    fn a_move_waits_for_a_whole_window_of_scores() {
        let corpus = three(20, 20, 20);
        let config = Ladder { window: 4, up: 0.4, down: 0.2, ..ladder() };
        let mut course: Course = CurriculumConfig::Ladder(config).build(&corpus, 1).unwrap();
        let id = corpus.entry(0).id.0;
        let mut level_after = |rewards: &[f32]| {
            course.observe(&[outcome(id, rewards), outcome(id ^ 1, &[0.0; 9])]);
            course.curriculum().metrics()[0].1
        };
        assert_eq!(level_after(&[1.0, 1.0]), 0.0, "two of four are not enough, though both are right");
        assert_eq!(level_after(&[1.0, 1.0]), 1.0, "and the scores of a problem of another corpus do not count");
        assert_eq!(level_after(&[0.0, 0.0]), 1.0);
        assert_eq!(level_after(&[1.0]), 1.0);
        assert_eq!(level_after(&[0.0, 0.0]), 1.0, "one of the last four is between the thresholds");
        assert_eq!(level_after(&[0.0]), 1.0, "still one of four");
        assert_eq!(level_after(&[0.0]), 0.0, "none of four");
    }
}
