//! Repeat: a curriculum several times over. State: the round, and the state of the curriculum.
//! Metrics: `round`, and those of the curriculum.

use crate::course::ask_the_active_part;
use crate::policy_config::{PolicyConfig, keep_stages_of};
use crate::{
    Batch, Corpus, Course, Curriculum, CurriculumConfig, CurriculumError, CurriculumRecord, GroupOutcome, Metric,
    Progress, Stage, State,
};
use seethink_core::SettingError;
use serde::{Deserialize, Serialize};

/// Curriculum that starts over whenever it ends, each time with other draws and without memory of
/// earlier rounds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repeat {
    /// Number of rounds, at least 1.
    pub times: u32,
    /// Curriculum of each round.
    pub policy: Box<CurriculumConfig>,
}

impl PolicyConfig for Repeat {
    fn build(&self, corpus: &Corpus, seed: u64) -> Result<Box<dyn Curriculum>, CurriculumError> {
        if self.times == 0 {
            return Err(SettingError::new("Repeat.times", 0, "at least 1").into());
        }
        let course = Course::part(self.policy.build_part(corpus, seed, 0)?);
        let (config, corpus) = (self.clone(), corpus.clone());
        Ok(Box::new(Repeating { config, corpus, seed, course, at: At::default() }))
    }

    fn is_endless(&self) -> bool {
        self.policy.is_endless()
    }

    keep_stages_of!(policy);
}

#[derive(Debug)]
struct Repeating {
    config: Repeat,
    corpus: Corpus,
    seed: u64,
    course: Course,
    at: At,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct At {
    round: u32,
    /// `true` if the current step has drawn problems.
    open: bool,
}

impl Repeating {
    fn begin(&self, round: u32) -> Result<Course, CurriculumError> {
        Ok(Course::part(self.config.policy.build_part(&self.corpus, self.seed, round as usize)?))
    }

    fn active(&self) -> &Course {
        &self.course
    }

    fn active_mut(&mut self) -> &mut Course {
        &mut self.course
    }
}

impl Curriculum for Repeating {
    fn draw(&mut self, _: Progress, want: usize) -> Batch {
        let mut batch = self.course.draw(want);
        while batch.is_empty() && !self.at.open && self.at.round + 1 < self.config.times {
            // Beginning a round cannot fail, as it did not fail before.
            let Ok(course) = self.begin(self.at.round + 1) else { break };
            self.course = course;
            self.at.round += 1;
            batch = self.course.draw(want);
        }
        self.at.open |= !batch.is_empty();
        batch
    }

    ask_the_active_part!();

    fn observe(&mut self, groups: &[GroupOutcome]) {
        self.at.open = false;
        self.course.observe(groups);
    }

    fn watch(&mut self, groups: &[GroupOutcome]) {
        self.course.watch(groups);
    }

    fn stages(&self) -> &[Stage] {
        self.course.curriculum().stages()
    }

    fn planned_steps(&self, want: Option<usize>) -> Option<Vec<usize>> {
        let once = self.course.curriculum().planned_steps(want)?;
        Some(once.into_iter().map(|steps| steps * self.config.times as usize).collect())
    }

    fn state(&self) -> State {
        State::new(&(self.at, self.course.to_record()))
    }

    fn load_state(&mut self, state: &State) -> Result<(), CurriculumError> {
        let (at, record): (At, CurriculumRecord) = state.read()?;
        if at.round >= self.config.times {
            let what = format!("round {} of {}, counted from 0", at.round, self.config.times);
            return Err(CurriculumError::StateOutOfRange { what });
        }
        let mut course = self.begin(at.round)?;
        course.load_record(&record)?;
        (self.at, self.course) = (at, course);
        Ok(())
    }

    fn metrics(&self) -> Vec<Metric> {
        let mut metrics: Vec<Metric> = vec![("round".into(), f64::from(self.at.round))];
        metrics.extend(self.course.curriculum().metrics());
        metrics
    }
}

#[cfg(test)]
mod tests {
    use crate::CurriculumConfig;
    use crate::checks::{check_resume, drain, three};

    #[test]
    fn every_round_is_a_whole_one_with_other_draws() {
        let corpus = three(16, 16, 16);
        let text = "Repeat(times: 3, policy: Staged(order: Shuffled, epochs: PerStage(1), last_batch: Keep))";
        let config: CurriculumConfig = ron::from_str(&format!("#![enable(unwrap_variant_newtypes)] {text}")).unwrap();
        let mut course = config.build(&corpus, 1).unwrap();
        assert_eq!(course.curriculum().planned_steps(Some(8)), Some(vec![6, 6, 6]));
        let batches = drain(&mut course, 8);
        let stages: Vec<usize> = batches.iter().map(|batch| batch.stage).collect();
        assert_eq!(stages, [0, 0, 1, 1, 2, 2].repeat(3));
        assert_ne!(batches[0], batches[6]);
        check_resume(&config, &corpus);
    }
}
