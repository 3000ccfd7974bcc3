//! Settings of a table: scale, backbone, and the configuration shared by all arms.

use super::Cell;
use anyhow::{Context, Result};
use seethink::core::Capability;
use seethink::curriculum::{Epochs, LastBatch, Length, Merged, Order, Sections, Stage, Staged};
use seethink::prelude::*;
use seethink::run::config::{BaseFamily, CaptionTuning, Imitated};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Scale of an experiment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scale {
    /// Models of a million parameters on the digits world: a minute on one core.
    Micro,
    /// Models of a million parameters on the first digits world, where nothing teaches them to see:
    /// the tables that came first, kept as they were.
    DigitsV1,
    /// The published backbones on the released data: days on eight accelerators.
    Full,
}

impl Scale {
    /// All scales.
    pub const ALL: [Self; 3] = [Self::Micro, Self::DigitsV1, Self::Full];

    /// Name on command lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Micro => "micro",
            Self::DigitsV1 => "digits-v1",
            Self::Full => "full",
        }
    }
}

impl FromStr for Scale {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|scale| scale.name() == name);
        found.ok_or_else(|| "expected micro, digits-v1 or full".into())
    }
}

/// Scale and backbone of an experiment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// Scale of the experiment.
    pub scale: Scale,
    /// Backbone of the experiment.
    pub backbone: BaseFamily,
    /// What differs from the tables, in an exploration at micro scale.
    pub cell: Cell,
}

impl Setting {
    /// Setting of the tables.
    pub fn new(scale: Scale, backbone: BaseFamily) -> Self {
        Self { scale, backbone, cell: Cell::Tables }
    }

    /// Configuration shared by all arms: everything but the curriculum, with seed 1 and the first
    /// base model.
    ///
    /// # Errors
    /// If the file that ships with the program is broken.
    pub fn shared(self) -> Result<RunConfig> {
        let (text, path) = match self.scale {
            Scale::Micro => (include_str!("../../../configs/micro/tables.ron"), "configs/micro/tables.ron"),
            Scale::DigitsV1 => (include_str!("../../../configs/digits_v1/tables.ron"), "configs/digits_v1/tables.ron"),
            Scale::Full => (include_str!("../../../configs/paper/tables.ron"), "configs/paper/tables.ron"),
        };
        let mut config = RunConfig::parse(text, path, &[])?;
        config.model = match self.scale {
            Scale::Micro => ModelSource::DigitsBase { family: self.backbone, seed: 1 },
            Scale::DigitsV1 => ModelSource::DigitsV1Base(self.backbone),
            Scale::Full => ModelSource::Pretrained(PathBuf::from("checkpoints").join(self.published().2)),
        };
        if self.scale == Scale::Full && self.is_internvl() {
            // As in the stages with pictures of the scripts: up to 13 tiles take 3,328 tokens.
            limit_prompts(&mut config, 4096);
            // The value of `max_patches` in the published checkpoints.
            config.images.max_tiles = Some(12);
        }
        Ok(config)
    }

    /// Returns whether the backbone cuts images into tiles.
    pub(super) fn is_internvl(self) -> bool {
        matches!(self.backbone, BaseFamily::InternVl3 | BaseFamily::InternVl3_5)
    }

    /// Title, published size and published checkpoint of the backbone.
    fn published(self) -> (&'static str, &'static str, &'static str) {
        match self.backbone {
            BaseFamily::Qwen2_5Vl => ("Qwen2.5-VL", "7B", "Qwen2.5-VL-7B-Instruct"),
            BaseFamily::Qwen3Vl => ("Qwen3-VL", "8B", "Qwen3-VL-8B-Instruct"),
            BaseFamily::InternVl3 => ("InternVL3", "8B", "InternVL3-8B-hf"),
            BaseFamily::InternVl3_5 => ("InternVL3.5", "8B", "InternVL3_5-8B-HF"),
        }
    }

    /// Name of the backbone in tables.
    pub fn title(self) -> String {
        let (title, size, _) = self.published();
        match self.scale {
            Scale::Micro | Scale::DigitsV1 => title.to_owned(),
            Scale::Full => format!("{title}-{size}"),
        }
    }

    /// Name of the backbone on command lines.
    pub fn backbone_name(self) -> &'static str {
        BaseFamily::ALL.into_iter().find(|(_, family)| *family == self.backbone).map_or("", |(name, _)| name)
    }

    /// Name of the backbone in folders.
    pub fn folder(self) -> String {
        let (_, size, _) = self.published();
        match self.scale {
            Scale::Micro | Scale::DigitsV1 => self.backbone_name().to_owned(),
            Scale::Full => format!("{}_{}", self.backbone_name(), size.to_lowercase()),
        }
    }

    /// Folder of the runs below a folder.
    pub fn folder_below(self, out: &Path) -> PathBuf {
        let folder = out.join(self.scale.name()).join(self.folder());
        if self.cell == Cell::Tables { folder } else { folder.join(self.cell.name()) }
    }

    /// Number of steps of a capability's stage where all three are trained: as frozen by the gates
    /// with small models, or as a cell has it; the paper's at full scale.
    pub fn steps(self, capability: &Capability) -> u32 {
        match self.scale {
            Scale::Micro => self.cell.steps(capability),
            Scale::DigitsV1 => 20,
            Scale::Full if *capability == Capability::PERCEPTION => 90,
            Scale::Full if *capability == Capability::TEXTUAL_REASONING => 375,
            Scale::Full => 465,
        }
    }

    /// Total number of steps of an arm.
    pub fn total_steps(self) -> u32 {
        Capability::ALL.iter().map(|capability| self.steps(capability)).sum()
    }

    /// Merged curriculum: one stage over some capabilities, with all steps.
    pub fn merged(self, capabilities: &[Capability], order: Order) -> CurriculumConfig {
        let stage = Stage::new("merged", capabilities);
        let epochs = Epochs::AsNeeded { steps: self.total_steps() };
        CurriculumConfig::Merged(Merged { stage, order, epochs, last_batch: LastBatch::Drop })
    }

    /// Merged curriculum with a fresh optimiser and reference where the stages of the staged one
    /// begin: what staging does beside its order.
    pub fn merged_with_resets(self) -> CurriculumConfig {
        let lengths = Capability::ALL.iter().map(|capability| self.steps(capability));
        let stage =
            |(i, steps)| Stage { length: Some(Length::Steps(steps)), ..Stage::new(format!("part {}", i + 1), []) };
        let stages = (0..).zip(lengths).map(stage).collect();
        CurriculumConfig::Sections(Sections { stages, policy: Box::new(self.merged(&[], Order::Shuffled)) })
    }

    /// Staged curriculum: a stage per capability, in this order; the stages share all steps in
    /// proportion to their steps in the whole plan.
    pub fn staged(self, capabilities: &[Capability], order: Order) -> CurriculumConfig {
        let lengths = self.shares(capabilities);
        plan(
            capabilities.iter().zip(lengths).map(|(capability, steps)| with_length(capability, steps)).collect(),
            order,
        )
    }

    /// Parts of all steps, in proportion to the steps of some capabilities in the whole plan.
    fn shares(self, capabilities: &[Capability]) -> Vec<u32> {
        let weights: Vec<u32> = capabilities.iter().map(|capability| self.steps(capability)).collect();
        let sum: u32 = weights.iter().sum();
        let mut before = 0;
        let share = |weight| {
            let begun = before * self.total_steps() / sum;
            before += weight;
            before * self.total_steps() / sum - begun
        };
        weights.into_iter().map(share).collect()
    }

    /// Numbers of training problems of an arm, with which it sees each once.
    pub(super) fn problems_of(self, config: &RunConfig) -> BTreeMap<Capability, usize> {
        let mut steps = Capability::ALL.map(|capability| (capability, 0)).into_iter().collect::<BTreeMap<_, _>>();
        for stage in config.curriculum.stages() {
            match (stage.capabilities.as_slice(), &stage.length) {
                ([one], Some(Length::Steps(n))) => *steps.entry(one.clone()).or_default() += n,
                ([one], _) => *steps.entry(one.clone()).or_default() += self.steps(one),
                (some, _) => {
                    let some = if some.is_empty() { &Capability::ALL } else { some };
                    steps.extend(some.iter().cloned().zip(self.shares(some)));
                }
            }
        }
        let batch = config.grpo.rollout_batch;
        let mut problems: BTreeMap<_, _> = steps.into_iter().map(|(one, n)| (one, n as usize * batch)).collect();
        if let Some(CaptionTuning { of: Imitated::Perception, pictures, .. }) = config.captions {
            problems.insert(Capability::PERCEPTION, pictures);
        }
        problems
    }

    /// Staged curriculum without compensation: each stage as long as in the whole plan, even if
    /// others are left out.
    pub fn staged_without_compensation(self, capabilities: &[Capability]) -> CurriculumConfig {
        let stages = capabilities.iter().map(|capability| with_length(capability, self.steps(capability)));
        plan(stages.collect(), Order::Shuffled)
    }
}

/// Sets the maximum number of prompt tokens; longer prompts are left out.
pub(super) fn limit_prompts(config: &mut RunConfig, most: usize) {
    if let DataConfig::Folder { overlong: Some(overlong), .. } = &mut config.data {
        overlong.max_tokens = most;
    }
}

fn with_length(capability: &Capability, steps: u32) -> Stage {
    Stage { length: Some(Length::Steps(steps)), ..Stage::of(capability.clone()) }
}

fn plan(stages: Vec<Stage>, order: Order) -> CurriculumConfig {
    CurriculumConfig::Staged(Staged { stages, order, epochs: Epochs::PerStage(1), last_batch: LastBatch::Drop })
}

/// Parses the name of a backbone on a command line.
///
/// # Errors
/// If there is no backbone of this name; the error lists the names.
pub fn backbone(name: &str) -> Result<BaseFamily> {
    name.parse().map_err(anyhow::Error::msg).with_context(|| format!("no backbone {name:?}"))
}
