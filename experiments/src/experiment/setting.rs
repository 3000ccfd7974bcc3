//! At which scale and on which backbone a table is run, and what all its arms share there.

use anyhow::{Context, Result};
use seethink::core::Capability;
use seethink::curriculum::{Epochs, LastBatch, Length, Merged, Order, Stage, Staged};
use seethink::prelude::*;
use seethink::run::config::BaseFamily;
use std::path::PathBuf;
use std::str::FromStr;

/// How large an experiment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scale {
    /// Models of a million parameters on the digits world: minutes on two cores.
    Micro,
    /// The published backbones on the released data: days on eight accelerators.
    Full,
}

impl Scale {
    /// What command lines call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Micro => "micro",
            Self::Full => "full",
        }
    }
}

impl FromStr for Scale {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = [Self::Micro, Self::Full].into_iter().find(|scale| scale.name() == name);
        found.ok_or_else(|| "expected micro or full".into())
    }
}

/// A scale and a backbone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// How large.
    pub scale: Scale,
    /// Which backbone.
    pub backbone: BaseFamily,
}

impl Setting {
    /// What all arms share: everything but the curriculum, with seed 1.
    ///
    /// # Errors
    /// If the file that ships with the program is broken.
    pub fn shared(self) -> Result<RunConfig> {
        let (text, path) = match self.scale {
            Scale::Micro => (include_str!("../../../configs/micro/tables.ron"), "configs/micro/tables.ron"),
            Scale::Full => (include_str!("../../../configs/paper/tables.ron"), "configs/paper/tables.ron"),
        };
        let mut config = RunConfig::parse(text, path, &[])?;
        config.model = match self.scale {
            Scale::Micro => ModelConfig::DigitsBase(self.backbone),
            Scale::Full => ModelConfig::Pretrained(PathBuf::from("checkpoints").join(self.published().2)),
        };
        if self.scale == Scale::Full && self.is_internvl() {
            // Its stages with pictures, in the scripts: up to 13 tiles take 3,328 tokens.
            limit_prompts(&mut config, 4096);
            // `max_patches` of the published checkpoints.
            config.images.max_tiles = Some(12);
        }
        Ok(config)
    }

    /// Whether pictures are cut into tiles.
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

    /// The name of the backbone, as in tables.
    pub fn title(self) -> String {
        let (title, size, _) = self.published();
        match self.scale {
            Scale::Micro => title.to_owned(),
            Scale::Full => format!("{title}-{size}"),
        }
    }

    /// The name of the backbone, as command lines have it.
    pub fn backbone_name(self) -> &'static str {
        BaseFamily::ALL.into_iter().find(|(_, family)| *family == self.backbone).map_or("", |(name, _)| name)
    }

    /// The name of the backbone, as in folders.
    pub fn folder(self) -> String {
        let (_, size, _) = self.published();
        match self.scale {
            Scale::Micro => self.backbone_name().to_owned(),
            Scale::Full => format!("{}_{}", self.backbone_name(), size.to_lowercase()),
        }
    }

    /// Steps of a capability's stage where all three are trained: the same for each at micro scale, the paper's at full scale.
    pub fn steps(self, capability: &Capability) -> u32 {
        match self.scale {
            Scale::Micro => 20,
            Scale::Full if *capability == Capability::PERCEPTION => 90,
            Scale::Full if *capability == Capability::TEXTUAL_REASONING => 375,
            Scale::Full => 465,
        }
    }

    /// Steps of every arm.
    pub fn total_steps(self) -> u32 {
        Capability::ALL.iter().map(|capability| self.steps(capability)).sum()
    }

    /// One stage over some capabilities, all steps long.
    pub fn merged(self, capabilities: &[Capability], order: Order) -> CurriculumConfig {
        let stage = Stage::new("merged", capabilities);
        let epochs = Epochs::AsNeeded { steps: self.total_steps() };
        CurriculumConfig::Merged(Merged { stage, order, epochs, last_batch: LastBatch::Drop })
    }

    /// A stage per capability, in this order, which share all steps in proportion to what they have in the whole plan.
    pub fn staged(self, capabilities: &[Capability], order: Order) -> CurriculumConfig {
        let weights: Vec<u32> = capabilities.iter().map(|capability| self.steps(capability)).collect();
        let sum: u32 = weights.iter().sum();
        let mut before = 0;
        let lengths = weights.iter().map(|weight| {
            let begun = before * self.total_steps() / sum;
            before += weight;
            before * self.total_steps() / sum - begun
        });
        let stages = capabilities.iter().zip(lengths).map(|(capability, steps)| with_length(capability, steps));
        plan(stages.collect(), order)
    }

    /// A stage per capability, each as long as in the whole plan, whatever is left out.
    pub fn staged_without_compensation(self, capabilities: &[Capability]) -> CurriculumConfig {
        let stages = capabilities.iter().map(|capability| with_length(capability, self.steps(capability)));
        plan(stages.collect(), Order::Shuffled)
    }
}

/// Leaves prompts of more tokens out.
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

/// The backbone that a command line names.
///
/// # Errors
/// If there is none of this name; the error lists them.
pub fn backbone(name: &str) -> Result<BaseFamily> {
    name.parse().map_err(anyhow::Error::msg).with_context(|| format!("no backbone {name:?}"))
}
