//! Sections: one policy whose steps are cut into stages. State: that of the policy. Metrics: `stage`
//! (index), and those of the policy.
//!
//! A stage brings a fresh optimiser, a fresh reference and overrides with it. This is a curriculum
//! that has them and no order: what a staged one gains over it is what the order gains.

use crate::course::ask_the_active_part;
use crate::policy_config::PolicyConfig;
use crate::{
    Batch, Corpus, Course, Curriculum, CurriculumConfig, CurriculumError, CurriculumRecord, GroupOutcome, Length,
    Metric, Progress, Stage, State,
};
use seethink_core::SettingError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Policy whose steps are cut into stages: it draws what it would draw alone.
///
/// Stages have a length in steps and settings of the trainer, and no problems of their own. The last
/// may have no length: it ends when the policy does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sections {
    /// Stages, in order.
    pub stages: Vec<Stage>,
    /// Policy that draws in all of them.
    pub policy: Box<CurriculumConfig>,
}

impl PolicyConfig for Sections {
    fn build(&self, corpus: &Corpus, seed: u64) -> Result<Box<dyn Curriculum>, CurriculumError> {
        let ends = self.ends()?;
        // Refuses stages and settings that the policy cannot have here.
        self.policy.single("Sections", corpus, seed, 0)?;
        let policy = Course::part(self.policy.build_policy(corpus, seed)?);
        Ok(Box::new(Cut { stages: self.stages.clone(), ends, policy, endless: self.policy.is_endless(), stage: 0 }))
    }

    fn is_endless(&self) -> bool {
        self.stages.last().is_none_or(|stage| stage.length.is_none()) && self.policy.is_endless()
    }

    fn stages(&self) -> &[Stage] {
        &self.stages
    }

    fn stages_mut(&mut self) -> &mut [Stage] {
        &mut self.stages
    }
}

impl Sections {
    /// Number of steps after which each stage is over, but for a last one without length.
    fn ends(&self) -> Result<Vec<u64>, CurriculumError> {
        let Some(last) = self.stages.len().checked_sub(1) else { return Err(CurriculumError::NoStages) };
        let (mut names, mut ends, mut end) = (BTreeSet::new(), Vec::new(), 0);
        for (index, stage) in self.stages.iter().enumerate() {
            if !names.insert(&stage.name) {
                return Err(CurriculumError::DuplicateStage { name: stage.name.clone() });
            }
            let wrong = |key: &str, found: String, expected: &str| {
                let key = format!("Sections.stages.{index}.{key}");
                Err(SettingError::new(key, found, expected).into())
            };
            let Stage { capabilities, only, policy, length, .. } = stage;
            if !capabilities.is_empty() || !only.is_empty() || policy.is_some() {
                let expected = "no `capabilities`, `only` and `policy`: a section has the problems of the whole";
                return wrong("capabilities", format!("{capabilities:?}"), expected);
            }
            match *length {
                Some(Length::Steps(steps)) if steps > 0 => {
                    end += u64::from(steps);
                    ends.push(end);
                }
                None if index == last => {}
                _ => return wrong("length", format!("{length:?}"), "`Steps(n)` of at least 1"),
            }
        }
        Ok(ends)
    }
}

#[derive(Debug)]
struct Cut {
    stages: Vec<Stage>,
    /// See [`Sections::ends`].
    ends: Vec<u64>,
    policy: Course,
    /// `true` if the policy never ends by itself.
    endless: bool,
    /// Stage of the last draw.
    stage: usize,
}

impl Cut {
    fn active(&self) -> &Course {
        &self.policy
    }

    fn active_mut(&mut self) -> &mut Course {
        &mut self.policy
    }
}

impl Curriculum for Cut {
    fn draw(&mut self, progress: Progress, want: usize) -> Batch {
        let stage = self.ends.partition_point(|&end| end <= progress.steps);
        if stage == self.stages.len() {
            return Batch::OVER;
        }
        self.stage = stage;
        Batch { stage, ..self.policy.draw(want) }
    }

    ask_the_active_part!();

    fn observe(&mut self, groups: &[GroupOutcome]) {
        self.policy.observe(groups);
    }

    fn watch(&mut self, groups: &[GroupOutcome]) {
        self.policy.watch(groups);
    }

    fn stages(&self) -> &[Stage] {
        &self.stages
    }

    fn planned_steps(&self, want: Option<usize>) -> Option<Vec<usize>> {
        let of_policy = self.policy.curriculum().planned_steps(want).map(|steps| steps.iter().sum::<usize>());
        // A policy without a plan that is not endless may end sooner than its sections.
        let total = match of_policy {
            Some(steps) => steps,
            None if self.endless && self.ends.len() == self.stages.len() => usize::MAX,
            None => return None,
        };
        let mut begun = 0;
        let ends = self.ends.iter().map(|&end| end as usize).chain([total]).take(self.stages.len());
        let lengths = ends.map(|end| {
            let end = end.min(total);
            end - std::mem::replace(&mut begun, end)
        });
        Some(lengths.collect())
    }

    fn state(&self) -> State {
        State::new(&(self.stage, self.policy.to_record()))
    }

    fn load_state(&mut self, state: &State) -> Result<(), CurriculumError> {
        let (stage, record): (usize, CurriculumRecord) = state.read()?;
        self.policy.load_record(&record)?;
        self.stage = stage;
        Ok(())
    }

    fn metrics(&self) -> Vec<Metric> {
        let mut metrics = vec![("stage".into(), self.stage as f64)];
        metrics.extend(self.policy.curriculum().metrics());
        metrics
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::{check_resume, drain, three};

    const MERGED: &str = "Merged(order: Shuffled, epochs: PerStage(2), last_batch: Keep)";

    fn read(stages: &str, policy: &str) -> CurriculumConfig {
        let text = format!("Sections(stages: [{stages}], policy: {policy})");
        ron::from_str(&format!("#![enable(unwrap_variant_newtypes, implicit_some)] {text}")).unwrap()
    }

    fn stages(lengths: &[&str]) -> String {
        let stage = |(i, length): (usize, &&str)| format!("(name: \"part {i}\", length: {length}), ");
        lengths.iter().enumerate().map(stage).collect()
    }

    #[test]
    fn it_draws_what_the_policy_draws_and_cuts_it_into_stages() {
        let corpus = three(40, 40, 40);
        let alone: CurriculumConfig = ron::from_str(&format!("#![enable(unwrap_variant_newtypes)] {MERGED}")).unwrap();
        let expected = drain(&mut alone.build(&corpus, 1).unwrap(), 8);
        assert_eq!(expected.len(), 30);
        for (lengths, n_steps) in [
            (["Steps(4)", "Steps(16)", "None"], vec![4, 16, 10]),
            (["Steps(4)", "Steps(16)", "Steps(3)"], vec![4, 16, 3]),
            (["Steps(4)", "Steps(16)", "Steps(50)"], vec![4, 16, 10]),
            (["Steps(40)", "Steps(1)", "None"], vec![30, 0, 0]),
        ] {
            let mut course = read(&stages(&lengths), MERGED).build(&corpus, 1).unwrap();
            assert_eq!(course.curriculum().planned_steps(Some(8)), Some(n_steps.clone()));
            let found = drain(&mut course, 8);
            assert_eq!(found.len(), n_steps.iter().sum::<usize>());
            for (found, expected) in found.iter().zip(&expected) {
                assert_eq!(found.problems, expected.problems);
            }
            let of_stage = |stage: usize| found.iter().filter(|batch| batch.stage == stage).count();
            assert_eq!((0..3).map(of_stage).collect::<Vec<_>>(), n_steps);
        }
    }

    #[test]
    fn it_resumes_within_and_between_stages() {
        check_resume(&read(&stages(&["Steps(4)", "Steps(6)", "None"]), MERGED), &three(40, 40, 40));
    }

    #[test]
    fn settings_that_sections_cannot_have_are_refused() {
        let corpus = three(4, 4, 4);
        let staged = "Staged(order: Shuffled, epochs: PerStage(1), last_batch: Keep)";
        for (stages, policy, expected) in [
            (stages(&["None", "Steps(3)"]), MERGED, "Sections.stages.0.length"),
            (stages(&["Steps(0)", "None"]), MERGED, "Sections.stages.0.length"),
            (stages(&["Steps(1)", "Epochs(1)"]), MERGED, "Sections.stages.1.length"),
            ("(name: \"a\", capabilities: [\"perception\"])".into(), MERGED, "Sections.stages.0.capabilities"),
            ("(name: \"a\", length: Steps(1)), (name: \"a\")".into(), MERGED, "`a`"),
            (String::new(), MERGED, "at least one stage"),
            (stages(&["None"]), staged, "several stages"),
        ] {
            let error = read(&stages, policy).build(&corpus, 1).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let endless = |stages: &str| read(stages, "Vas()").is_endless();
        assert_eq!((endless(&stages(&["None"])), endless(&stages(&["Steps(3)"]))), (true, false));
    }
}
