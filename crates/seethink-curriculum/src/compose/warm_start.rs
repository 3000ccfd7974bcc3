//! Warm start: one policy for the first steps, another from then on. State: that of both. Metrics:
//! those of the policy that draws.

use crate::compose::mix::load_all;
use crate::course::ask_the_active_part;
use crate::policy_config::{PolicyConfig, keep_stages_of};
use crate::{
    Batch, Corpus, Course, Curriculum, CurriculumConfig, CurriculumError, CurriculumRecord, GroupOutcome, Metric,
    Progress, Stage, State,
};
use serde::{Deserialize, Serialize};

/// Warm start: draws by `first` for `steps` steps (fewer if it ends sooner) and by `then`
/// afterwards, which [watches](Curriculum::watch) the first steps, so that it knows their outcomes;
/// its own steps are counted from its own first one. The first steps belong to the first stage of
/// `then`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WarmStart {
    /// Maximum number of steps of the first policy.
    pub steps: u32,
    /// Policy of the first steps.
    pub first: Box<CurriculumConfig>,
    /// Policy of the later steps, which also defines the stages.
    pub then: Box<CurriculumConfig>,
}

impl PolicyConfig for WarmStart {
    fn build(&self, corpus: &Corpus, seed: u64) -> Result<Box<dyn Curriculum>, CurriculumError> {
        let first = Course::part(self.first.single("WarmStart", corpus, seed, 0)?);
        let then = Course::part(self.then.build_policy(corpus, seed)?);
        Ok(Box::new(Warming {
            courses: [first, then],
            steps: self.steps,
            endless: self.first.is_endless(),
            at: At::default(),
        }))
    }

    fn is_endless(&self) -> bool {
        self.then.is_endless()
    }

    keep_stages_of!(then);
}

#[derive(Debug)]
struct Warming {
    courses: [Course; 2],
    steps: u32,
    /// `true` if the first policy never ends by itself.
    endless: bool,
    at: At,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct At {
    /// `true` if the second policy draws.
    warm: bool,
    /// `true` if the current step has drawn.
    open: bool,
}

impl Warming {
    fn active(&self) -> &Course {
        &self.courses[usize::from(self.at.warm)]
    }

    fn active_mut(&mut self) -> &mut Course {
        &mut self.courses[usize::from(self.at.warm)]
    }
}

impl Curriculum for Warming {
    fn draw(&mut self, progress: Progress, want: usize) -> Batch {
        self.at.warm |= !self.at.open && progress.steps >= u64::from(self.steps);
        let mut batch = self.active_mut().draw(want);
        if batch.is_empty() && !self.at.open && !self.at.warm {
            self.at.warm = true;
            batch = self.active_mut().draw(want);
        }
        self.at.open = true;
        batch
    }

    ask_the_active_part!();

    fn observe(&mut self, groups: &[GroupOutcome]) {
        self.at.open = false;
        self.active_mut().observe(groups);
        if !self.at.warm {
            self.courses[1].watch(groups);
        }
    }

    fn watch(&mut self, groups: &[GroupOutcome]) {
        self.courses.iter_mut().for_each(|course| course.watch(groups));
    }

    fn stages(&self) -> &[Stage] {
        self.courses[1].curriculum().stages()
    }

    fn planned_steps(&self, want: Option<usize>) -> Option<Vec<usize>> {
        let [first, then] = &self.courses;
        let ends = first.curriculum().planned_steps(want).map(|steps| steps.iter().sum::<usize>());
        let most = self.steps as usize;
        // Without a plan, only an endless policy is known not to end sooner.
        let warm = ends.map(|ends| ends.min(most)).or(self.endless.then_some(most))?;
        let mut planned = then.curriculum().planned_steps(want)?;
        *planned.first_mut()? += warm;
        Some(planned)
    }

    fn state(&self) -> State {
        State::new(&(self.at, self.courses.each_ref().map(Course::to_record)))
    }

    fn load_state(&mut self, state: &State) -> Result<(), CurriculumError> {
        let (at, records): (At, [CurriculumRecord; 2]) = state.read()?;
        load_all(&mut self.courses, &records)?;
        self.at = at;
        Ok(())
    }

    fn metrics(&self) -> Vec<Metric> {
        self.active().curriculum().metrics()
    }
}

#[cfg(test)]
mod tests {
    use crate::checks::{check_resume, drain, three};
    use crate::{Batch, CurriculumConfig};

    fn warm(steps: u32, first: &str) -> CurriculumConfig {
        let first = format!("Merged(order: HardToEasy, epochs: {first}, last_batch: Keep)");
        let then = "Staged(order: EasyToHard, epochs: PerStage(1), last_batch: Keep)";
        let text = format!("WarmStart(steps: {steps}, first: {first}, then: {then})");
        ron::from_str(&format!("#![enable(unwrap_variant_newtypes)] {text}")).unwrap()
    }

    #[test]
    fn it_changes_over_after_its_steps_or_when_the_first_is_over() {
        let corpus = three(40, 40, 40);
        for (config, n_first) in [(warm(5, "PerStage(9)"), 5), (warm(50, "PerStage(1)"), 15)] {
            let batches = drain(&mut config.build(&corpus, 1).unwrap(), 8);
            assert_eq!(batches.len(), n_first + 15);
            let rate = |batch: &Batch| corpus.get(batch.problems[0]).unwrap().pass_rate.unwrap().fraction();
            assert!(rate(&batches[0]) < 0.2 && rate(&batches[n_first]) > 0.8);
            let stages: Vec<usize> = batches[n_first..].iter().map(|batch| batch.stage).collect();
            assert_eq!(stages, [[0; 5], [1; 5], [2; 5]].concat());
            check_resume(&config, &corpus);
        }
    }
}
