//! Effective settings of arms: the training that a configuration results in, apart from names.

use super::{Arm, Setting};
use anyhow::Result;
use seethink::core::ProblemId;
use seethink::curriculum::{Corpus, CorpusEntry, Length, Simulation, Stage};
use seethink::data::digest;
use seethink::prelude::*;
use std::collections::BTreeMap;

/// Maximum number of steps to which a plan is followed.
const MAX_STEPS: usize = 100_000;

/// Digest of a configuration with all defaults filled in.
///
/// The digest is taken of the value and not of its file: a key that a file leaves out has a value
/// here, so that another default gives another digest.
pub(super) fn resolved(config: &RunConfig) -> String {
    digest([format!("{config:?}")])
}

/// Digest of the effective settings: equal for configurations that differ in names only.
///
/// Where the curriculum is static and the problems are generated, its plan is followed to the end:
/// the problems of each step, with the stage and its settings. `PerStage(1)` and `AsNeeded(steps:
/// 60)` are equal if the epoch has 60 steps. In other cases (adaptive policies, problems in files)
/// the settings are compared as they are.
///
/// # Errors
/// If the plan cannot be made over its problems.
fn effective(config: &RunConfig, corpora: &mut BTreeMap<String, Corpus>) -> Result<String> {
    if plan(&config.curriculum).is_none() || config.data.problems_per_capability().is_none() {
        return Ok(resolved(config));
    }
    let data = format!("{:?}", config.data);
    if !corpora.contains_key(&data) {
        corpora.insert(data.clone(), corpus(config)?);
    }
    let corpus = &corpora[&data];
    let mut course = config.curriculum.build(corpus, config.seed)?;
    let simulation = Simulation {
        batch: config.grpo.rollout_batch,
        group_size: config.grpo.group_size,
        max_steps: MAX_STEPS,
        ..Simulation::default()
    };
    let steps = simulation.run(&mut course, corpus, &mut |_: &CorpusEntry| 0.5);
    let drawn: Vec<(usize, Vec<ProblemId>)> = steps.iter().map(|step| (step.stage, step.drawn().collect())).collect();
    Ok(digest([apart_from_draws(config), format!("{drawn:?}")]))
}

/// Settings apart from the problems that are drawn, with those of the stages; configurations with equal
/// effective settings have these in common.
fn apart_from_draws(config: &RunConfig) -> String {
    let mut rest = config.clone();
    rest.curriculum = CurriculumConfig::Custom(String::new());
    format!("{rest:?} {:?}", plan(&config.curriculum))
}

/// Stages of a static plan, without their names and their selection of problems; `None` for other
/// curricula.
fn plan(curriculum: &CurriculumConfig) -> Option<Vec<Stage>> {
    if !matches!(curriculum, CurriculumConfig::Merged(_) | CurriculumConfig::Staged(_)) {
        return None;
    }
    let bare = |(i, stage): (usize, &Stage)| {
        let is_planned =
            stage.policy.is_none() && matches!(stage.length, None | Some(Length::Steps(_) | Length::Epochs(_)));
        let first = i == 0;
        is_planned.then(|| Stage {
            name: String::new(),
            capabilities: Vec::new(),
            only: Vec::new(),
            length: None,
            // The first stage always starts an optimiser and takes a reference.
            reset_optimizer: first || stage.reset_optimizer,
            snapshot_reference: first || stage.snapshot_reference,
            ..stage.clone()
        })
    };
    curriculum.stages().iter().enumerate().map(bare).collect()
}

/// Corpus of the training problems. Missing pass rates are made up, so that curricula sorted by
/// pass rate can be followed.
fn corpus(config: &RunConfig) -> Result<Corpus> {
    let mut config = config.clone();
    if let Some([_, filter]) = config.data.tables_mut() {
        // Which problems a base model answers wrongly does not tell arms apart.
        *filter = None;
    }
    let (mut entries, _) = config.training(None, None)?;
    for entry in entries.iter_mut().filter(|entry| entry.pass_rate.is_none()) {
        entry.pass_rate = PassRate::new((entry.id.0 % 1000) as f32 / 1000.0).ok();
    }
    Ok(Corpus::new(entries)?)
}

/// Aliases: arms with equal effective settings at a setting, mapped to the one that is run.
#[derive(Debug, Clone)]
pub struct Aliases(BTreeMap<&'static str, &'static str>);

impl Aliases {
    /// Compares the effective settings of all arms, with overrides of their configurations.
    ///
    /// # Errors
    /// If an override is wrong, or a plan cannot be made.
    pub fn of(setting: Setting, set: &[String]) -> Result<Self> {
        // An arm that an override does not fit (a stage that it does not have) is refused when its run is
        // requested.
        let configs = Arm::ALL.into_iter().filter_map(|arm| Some((arm.id, arm.config_with(setting, 1, set).ok()?)));
        let mut alike: BTreeMap<String, Vec<(&str, RunConfig)>> = BTreeMap::new();
        for (id, config) in configs {
            alike.entry(apart_from_draws(&config)).or_default().push((id, config));
        }
        // Plans, which take long to follow, are compared only where nothing else differs.
        let (mut aliases, mut corpora) = (BTreeMap::new(), BTreeMap::new());
        for group in alike.into_values().filter(|group| group.len() > 1) {
            let mut first = BTreeMap::new();
            for (id, config) in group {
                aliases.insert(id, *first.entry(effective(&config, &mut corpora)?).or_insert(id));
            }
        }
        Ok(Self(aliases))
    }

    /// Arm that is run for this one: itself, or the first with equal effective settings.
    pub fn run_of(&self, arm: &'static Arm) -> &'static Arm {
        let id = self.0.get(arm.id).copied().unwrap_or(arm.id);
        Arm::ALL.into_iter().find(|one| one.id == id).unwrap_or(arm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::{
        DIFFICULTY, MERGED, MERGED_AS_RELEASED, MERGED_FROZEN, STAGE_3, STAGE_3_AS_RELEASED, STAGED, Scale,
        TEXTUAL_CONTROL, VISUAL_ALONE,
    };
    use seethink::run::config::BaseFamily;

    #[test]
    fn one_run_under_two_names_is_found() {
        let micro = |backbone| Aliases::of(Setting::new(Scale::DigitsV1, backbone), &[]).unwrap();
        let qwen = micro(BaseFamily::Qwen3Vl);
        // A controlled arm has one epoch here, and the released script freezes the vision side.
        assert_eq!(qwen.run_of(&MERGED_AS_RELEASED).id, "merged_frozen");
        // One epoch of visual reasoning is its stage alone.
        assert_eq!(qwen.run_of(&VISUAL_ALONE).id, "stage_3_as_released");
        // All stages are of one length.
        assert_eq!(qwen.run_of(&TEXTUAL_CONTROL).id, "textual_alone");
        let others = [MERGED_AS_RELEASED.id, VISUAL_ALONE.id, TEXTUAL_CONTROL.id];
        for arm in Arm::ALL.into_iter().filter(|arm| !others.contains(&arm.id)) {
            assert_eq!(qwen.run_of(arm).id, arm.id);
        }
        // The scripts of InternVL do not freeze the vision side.
        assert_eq!(micro(BaseFamily::InternVl3).run_of(&MERGED_AS_RELEASED).id, "merged");
        // At full scale, and where an epoch is longer than the controlled arms, the arms differ.
        let full = Setting::new(Scale::Full, BaseFamily::Qwen3Vl);
        assert_eq!(Aliases::of(full, &[]).unwrap().run_of(&MERGED_AS_RELEASED).id, "merged_as_released");
        let longer = ["data.DigitsV1.problems_per_capability=400".to_owned()];
        let setting = Setting::new(Scale::DigitsV1, BaseFamily::Qwen3Vl);
        assert_eq!(Aliases::of(setting, &longer).unwrap().run_of(&MERGED_AS_RELEASED).id, "merged_as_released");
    }

    #[test]
    fn what_decides_a_run_is_in_its_effective_settings() {
        let setting = Setting::new(Scale::DigitsV1, BaseFamily::Qwen3Vl);
        let of = |arm: &Arm, set: &[&str]| {
            let set: Vec<String> = set.iter().map(|one| (*one).to_owned()).collect();
            effective(&arm.config_with(setting, 1, &set).unwrap(), &mut BTreeMap::new()).unwrap()
        };
        assert_eq!(of(&MERGED_AS_RELEASED, &[]), of(&MERGED_FROZEN, &[]));
        let merged = of(&MERGED, &[]);
        assert_eq!(merged, of(&MERGED, &["curriculum.Merged.stage.name=other"]));
        for other in [&STAGED, &DIFFICULTY, &MERGED_FROZEN, &STAGE_3, &STAGE_3_AS_RELEASED] {
            assert_ne!(merged, of(other, &[]), "{}", other.id);
        }
        for other in ["seed=2", "grpo.group_size=4", "curriculum.Merged.stage.overrides.kl_coef=0.5"] {
            assert_ne!(merged, of(&MERGED, &[other]), "{other}");
        }
        let staged = of(&STAGED, &[]);
        assert_eq!(staged, of(&STAGED, &["curriculum.Staged.stages.0.reset_optimizer=false"]));
        assert_ne!(staged, of(&STAGED, &["curriculum.Staged.stages.1.reset_optimizer=false"]));
    }
}
