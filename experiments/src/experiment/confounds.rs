//! Confounds of arms: further differences, derived from the configurations, so that no table can
//! omit them.

use seethink::curriculum::{Length, Overrides, Stage};
use seethink::prelude::*;

/// Confounds of a run: differences beside the compared one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confounds {
    /// Stages in which the vision side is trained.
    pub vision: String,
    /// Number of optimiser (re)starts.
    pub optimizer_starts: usize,
    /// Number of snapshots of the KL reference.
    pub references: usize,
    /// Stage lengths, and order of the loops over stages and epochs.
    pub epochs: String,
    /// Overrides of hyper-parameters, and training before the first stage.
    pub other: String,
}

impl Confounds {
    /// Derives the confounds of a configuration.
    pub fn of(config: &RunConfig) -> Self {
        let stages = config.curriculum.stages();
        let learns = |stage: &Stage| stage.trainable.sees_gradients_in_vision();
        let frozen: Vec<&str> = stages.iter().filter(|stage| !learns(stage)).map(|stage| stage.name.as_str()).collect();
        let vision = match frozen.len() {
            0 => "learns".to_owned(),
            n if n == stages.len() => "frozen".to_owned(),
            _ => format!("frozen in {}", frozen.join(", ").replace('_', " ")),
        };
        // The first stage always starts an optimiser and takes a reference.
        let count = |flag: fn(&Stage) -> bool| 1 + stages.iter().skip(1).filter(|stage| flag(stage)).count();
        let overridden = stages.iter().filter(|stage| stage.overrides != Overrides::default());
        let mut other: Vec<String> =
            overridden.map(|stage| format!("other settings in {}", stage.name.replace('_', " "))).collect();
        if let Some(captions) = &config.captions {
            other.push(format!("{} × {} captions first", captions.epochs, captions.pictures));
        }
        if stages.iter().any(|stage| stage.trainable.vision_encoder != stage.trainable.projector) {
            other.push("encoder and projector apart".into());
        }
        Self {
            vision,
            optimizer_starts: count(|stage| stage.reset_optimizer),
            references: count(|stage| stage.snapshot_reference),
            epochs: epochs(&config.curriculum),
            other: other.join("; "),
        }
    }
}

fn epochs(curriculum: &CurriculumConfig) -> String {
    let (plan, stages): (Epochs, &[Stage]) = match curriculum {
        CurriculumConfig::Merged(merged) => (merged.epochs, std::slice::from_ref(&merged.stage)),
        CurriculumConfig::Staged(staged) => (staged.epochs, &staged.stages),
        _ => return "by policy".into(),
    };
    let one = |stage: &Stage| match (stage.length, plan) {
        (Some(Length::Steps(n)), _) | (None, Epochs::AsNeeded { steps: n }) => format!("{n} steps"),
        (Some(Length::Epochs(n)), _) | (None, Epochs::PerStage(n)) => format!("{n} epochs"),
        (None, Epochs::OverWholePlan(n)) => format!("{n} epochs in turn"),
        (Some(_), _) => "until a condition".into(),
    };
    let lengths: Vec<String> = stages.iter().map(one).collect();
    let mut text = lengths.join(" + ");
    if let [first, .., last] = &lengths[..]
        && lengths.iter().all(|length| length == first)
    {
        text = format!("{} × {last}", lengths.len());
    }
    text.replace("1 epochs", "1 epoch")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::{MERGED, STAGED_AS_RELEASED, STAGES_1_3, Scale, Setting};
    use seethink::run::config::BaseFamily;

    #[test]
    fn what_differs_is_read_off_the_configuration() {
        let of = |arm: &crate::experiment::Arm, scale| {
            let setting = Setting::new(scale, BaseFamily::InternVl3);
            Confounds::of(&arm.config(setting, 1).unwrap())
        };
        let merged = of(&MERGED, Scale::DigitsV1);
        assert_eq!((merged.vision.as_str(), merged.optimizer_starts, merged.references), ("learns", 1, 1));
        assert_eq!((merged.epochs.as_str(), merged.other.as_str()), ("60 steps", ""));
        assert_eq!(of(&STAGES_1_3, Scale::DigitsV1).epochs, "2 × 30 steps");
        let released = of(&STAGED_AS_RELEASED, Scale::Full);
        assert_eq!(released.vision, "frozen in textual reasoning");
        assert_eq!((released.optimizer_starts, released.references), (3, 3));
        assert_eq!(released.epochs, "16 epochs + 15 epochs + 15 epochs");
        assert_eq!(released.other, "other settings in textual reasoning");
    }
}
