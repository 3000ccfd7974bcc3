//! Effective settings of arms: what a run does, whatever its configuration calls it.

use super::{Arm, Setting};
use anyhow::Result;
use seethink::core::ProblemId;
use seethink::curriculum::{Corpus, CorpusEntry, Length, Simulation, Stage};
use seethink::data::digest;
use seethink::prelude::*;
use std::collections::BTreeMap;

/// Steps beyond which a plan is not followed.
const MAX_STEPS: usize = 100_000;

/// Digest of a configuration with every default written out.
///
/// It is taken of the value and not of its file: a key that a file leaves out has a value here, so that another default is another
/// digest.
pub(super) fn resolved(config: &RunConfig) -> String {
    digest([format!("{config:?}")])
}

/// Digest of what a configuration makes a run do: equal for configurations that differ in names only.
///
/// Where the curriculum is a plan and the problems are made here, it is followed to its end: which problems each step draws, in which
/// stage and with which settings of the stage. `PerStage(1)` and `AsNeeded(steps: 60)` are the same if the epoch has 60 steps.
/// Elsewhere (policies that adapt, problems in files) the settings are compared as they are.
///
/// # Errors
/// If the plan cannot be made over its problems.
fn effective(config: &RunConfig, corpora: &mut BTreeMap<String, Corpus>) -> Result<String> {
    let (Some(stages), DataConfig::Digits { .. }) = (plan(&config.curriculum), &config.data) else {
        return Ok(resolved(config));
    };
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
    let mut rest = config.clone();
    rest.curriculum = CurriculumConfig::Custom(String::new());
    Ok(digest([format!("{rest:?}"), format!("{stages:?}"), format!("{drawn:?}")]))
}

/// The stages of a plan without what only names them or decides what they draw; `None` unless nothing but a plan draws.
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
            // The first stage finds a new optimiser and takes the reference in any case.
            reset_optimizer: first || stage.reset_optimizer,
            snapshot_reference: first || stage.snapshot_reference,
            ..stage.clone()
        })
    };
    curriculum.stages().iter().enumerate().map(bare).collect()
}

/// The training problems. Pass rates that are still to be measured are made up, so that what sorts by them can be followed.
fn corpus(config: &RunConfig) -> Result<Corpus> {
    let (mut entries, _) = config.training(None, None)?;
    for entry in entries.iter_mut().filter(|entry| entry.pass_rate.is_none()) {
        entry.pass_rate = PassRate::new((entry.id.0 % 1000) as f32 / 1000.0).ok();
    }
    Ok(Corpus::new(entries)?)
}

/// Arms that come to the same run at a setting, and the one of them that is run.
#[derive(Debug, Clone)]
pub struct Aliases(BTreeMap<&'static str, &'static str>);

impl Aliases {
    /// Compares the effective settings of all arms, with overrides of their configurations.
    ///
    /// # Errors
    /// If an override is wrong, or a plan cannot be made.
    pub fn of(setting: Setting, set: &[String]) -> Result<Self> {
        let (mut corpora, mut first) = (BTreeMap::new(), BTreeMap::new());
        let mut aliases = BTreeMap::new();
        for arm in Arm::ALL {
            // Arms that an override does not fit (a stage that they do not have) are refused when they are asked for.
            let Ok(config) = arm.config_with(setting, 1, set) else { continue };
            let run = *first.entry(effective(&config, &mut corpora)?).or_insert(arm.id);
            aliases.insert(arm.id, run);
        }
        Ok(Self(aliases))
    }

    /// The arm that is run for this one: itself, or the first that comes to the same run.
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
    };
    use seethink::run::config::BaseFamily;

    #[test]
    fn one_run_under_two_names_is_found() {
        let micro = |backbone| Aliases::of(Setting { scale: Scale::Micro, backbone }, &[]).unwrap();
        let qwen = micro(BaseFamily::Qwen3Vl);
        // An epoch is what a controlled arm has, and the released script freezes the vision side.
        assert_eq!(qwen.run_of(&MERGED_AS_RELEASED).id, "merged_frozen");
        for arm in Arm::ALL.into_iter().filter(|arm| arm.id != MERGED_AS_RELEASED.id) {
            assert_eq!(qwen.run_of(arm).id, arm.id);
        }
        // The scripts of InternVL leave it open.
        assert_eq!(micro(BaseFamily::InternVl3).run_of(&MERGED_AS_RELEASED).id, "merged");
        // At full scale, and with an epoch that is longer than the controlled arms, they are apart.
        let full = Setting { scale: Scale::Full, backbone: BaseFamily::Qwen3Vl };
        assert_eq!(Aliases::of(full, &[]).unwrap().run_of(&MERGED_AS_RELEASED).id, "merged_as_released");
        let longer = ["data.Digits.problems_per_capability=400".to_owned()];
        let setting = Setting { scale: Scale::Micro, backbone: BaseFamily::Qwen3Vl };
        assert_eq!(Aliases::of(setting, &longer).unwrap().run_of(&MERGED_AS_RELEASED).id, "merged_as_released");
    }

    #[test]
    fn what_decides_a_run_is_in_its_effective_settings() {
        let setting = Setting { scale: Scale::Micro, backbone: BaseFamily::Qwen3Vl };
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
