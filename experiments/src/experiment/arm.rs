//! Arms of all tables: the differences between runs, as changes of one shared configuration.
//!
//! Controlled arms take the same steps, rollouts and updates. Arms "as released" keep the
//! inequalities of the released scripts.

use super::setting::limit_prompts;
use super::{Scale, Setting};
use crate::base::base_of;
use anyhow::Result;
use seethink::core::{Capability, Trainable};
use seethink::curriculum::{Epochs, LastBatch, Length, Merged, Order, Stage, Staged};
use seethink::prelude::*;
use seethink::reward::Rule;
use seethink::run::config::{BaseFamily, CaptionTuning, DataConfig, Imitated};
use seethink::train::{Decay, Schedule, StageOverrides};

const P: Capability = Capability::PERCEPTION;
const T: Capability = Capability::TEXTUAL_REASONING;
const V: Capability = Capability::VISUAL_REASONING;

/// Arm of an experiment: a way to train.
pub struct Arm {
    /// Id in files and folders, unique over all tables.
    pub id: &'static str,
    /// Description, as a sentence.
    pub about: &'static str,
    change: fn(Setting, &mut RunConfig),
}

impl Arm {
    /// Configuration of a run.
    ///
    /// # Errors
    /// If the configuration is out of range, which is a mistake in this file.
    pub fn config(&self, setting: Setting, seed: u64) -> Result<RunConfig> {
        let mut config = setting.shared()?;
        config.seed = seed;
        if let ModelSource::DigitsBase { family, seed: base } = &mut config.model {
            // The base model is a random effect, too.
            *base = base_of(*family, seed);
        }
        if self.is_as_released() && setting.scale == Scale::Full {
            // The grader of the scripts with its fault, which rewarded the released checkpoints;
            // the other arms use the corrected one.
            config.reward.rule = Rule::MathrulerAsReleased;
        }
        (self.change)(setting, &mut config);
        if setting.scale == Scale::Micro {
            // Training rewards the share of a list that is read rightly; a test wants all of it.
            for stage in config.curriculum.stages_mut() {
                stage.overrides.set("reward", "shares");
            }
            let problems = setting.problems_of(&config);
            if let DataConfig::Digits(data) = &mut config.data {
                data.problems_of = problems;
            }
        }
        config.check()?;
        Ok(config)
    }

    /// Returns whether the arm keeps the inequalities of the released scripts.
    pub fn is_as_released(&self) -> bool {
        self.id.ends_with("_as_released")
    }

    /// Configuration of a run with overrides `path=value`.
    ///
    /// # Errors
    /// If an override is wrong.
    pub fn config_with(&self, setting: Setting, seed: u64, set: &[String]) -> Result<RunConfig> {
        Ok(RunConfig::parse(&self.config(setting, seed)?.to_ron(), format!("{}.ron", self.id), set)?)
    }

    /// All arms.
    pub const ALL: [&'static Self; 24] = [
        &MERGED,
        &MERGED_WITH_RESETS,
        &STAGED,
        &STAGE_3,
        &STAGES_1_3,
        &STAGES_2_3,
        &TEXT_FIRST,
        &REVERSED,
        &CAPTIONS_FIRST,
        &SOLUTIONS_FIRST,
        &MERGED_FROZEN,
        &STAGED_FROZEN,
        &MERGED_WITHOUT_PERCEPTION,
        &DIFFICULTY,
        &CAPABILITY_X_DIFFICULTY,
        &MERGED_AS_RELEASED,
        &STAGED_AS_RELEASED,
        &STAGE_3_AS_RELEASED,
        &STAGES_2_3_AS_RELEASED,
        &PERCEPTION_ALONE,
        &TEXTUAL_ALONE,
        &VISUAL_ALONE,
        &TEXTUAL_CONTROL,
        &STAGE_2,
    ];
}

/// Baseline: all capabilities merged.
pub const MERGED: Arm = Arm {
    id: "merged",
    about: "All capabilities at once.",
    change: |setting, config| config.curriculum = setting.merged(&[], Order::Shuffled),
};
/// Merged training with the fresh optimisers and references of the staged one.
pub const MERGED_WITH_RESETS: Arm = Arm {
    id: "merged_with_resets",
    about: "All capabilities at once, with a fresh optimiser and reference where the staged arm has one.",
    change: |setting, config| config.curriculum = setting.merged_with_resets(),
};
/// Method: one stage per capability.
pub const STAGED: Arm = Arm {
    id: "staged",
    about: "Perception, then textual reasoning, then visual reasoning.",
    change: |setting, config| config.curriculum = setting.staged(&[P, T, V], Order::Shuffled),
};
/// Visual reasoning alone.
pub const STAGE_3: Arm = Arm {
    id: "stage_3",
    about: "Visual reasoning alone, for all steps.",
    change: |setting, config| config.curriculum = setting.staged(&[V], Order::Shuffled),
};
/// Stages 1 and 3, without textual reasoning.
pub const STAGES_1_3: Arm = Arm {
    id: "stages_1_3",
    about: "Perception, then visual reasoning; the steps of the stage left out go to both.",
    change: |setting, config| config.curriculum = setting.staged(&[P, V], Order::Shuffled),
};
/// Stages 2 and 3, without perception.
pub const STAGES_2_3: Arm = Arm {
    id: "stages_2_3",
    about: "Textual reasoning, then visual reasoning; the steps of the stage left out go to both.",
    change: |setting, config| config.curriculum = setting.staged(&[T, V], Order::Shuffled),
};
/// Stage order 2→1→3.
pub const TEXT_FIRST: Arm = Arm {
    id: "text_first",
    about: "Textual reasoning, then perception, then visual reasoning.",
    change: |setting, config| config.curriculum = setting.staged(&[T, P, V], Order::Shuffled),
};
/// Stage order 3→2→1.
pub const REVERSED: Arm = Arm {
    id: "reversed",
    about: "Visual reasoning, then textual reasoning, then perception.",
    change: |setting, config| config.curriculum = setting.staged(&[V, T, P], Order::Shuffled),
};
/// Perception stage alone.
pub const PERCEPTION_ALONE: Arm = Arm {
    id: "perception_alone",
    about: "The stage of perception alone.",
    change: |setting, config| config.curriculum = setting.staged_without_compensation(&[P]),
};
/// Stage of textual reasoning alone.
pub const TEXTUAL_ALONE: Arm = Arm {
    id: "textual_alone",
    about: "The stage of textual reasoning alone.",
    change: |setting, config| config.curriculum = setting.staged_without_compensation(&[T]),
};
/// Stage of visual reasoning alone.
pub const VISUAL_ALONE: Arm = Arm {
    id: "visual_alone",
    about: "The stage of visual reasoning alone.",
    change: |setting, config| config.curriculum = setting.staged_without_compensation(&[V]),
};
/// Textual reasoning alone for the length of the perception stage: what that one is measured against.
pub const TEXTUAL_CONTROL: Arm = Arm {
    id: "textual_control",
    about: "Textual reasoning alone, for as many steps as the stage of perception has.",
    change: |setting, config| {
        config.curriculum = setting.staged_without_compensation(&[T]);
        for stage in config.curriculum.stages_mut() {
            stage.length = Some(Length::Steps(setting.steps(&P)));
        }
    },
};
/// Textual reasoning alone.
pub const STAGE_2: Arm = Arm {
    id: "stage_2",
    about: "Textual reasoning alone, for all steps.",
    change: |setting, config| config.curriculum = setting.staged(&[T], Order::Shuffled),
};
/// Supervised fine-tuning on solutions instead of the first stage.
pub const SOLUTIONS_FIRST: Arm = Arm {
    id: "solutions_first",
    about: "Supervised fine-tuning on the solutions of the perception stage's problems in its place, then the other two \
            stages.",
    change: |setting, config| {
        (CAPTIONS_FIRST.change)(setting, config);
        if let Some(tuning) = &mut config.captions {
            tuning.of = Imitated::Perception;
            if setting.scale == Scale::Micro {
                tuning.optimizer.learning_rate = 5e-5;
            }
        }
    },
};
/// Supervised fine-tuning on captions instead of the first stage.
pub const CAPTIONS_FIRST: Arm = Arm {
    id: "captions_first",
    about: "Supervised fine-tuning on captions in the place of the perception stage, then the other two stages.",
    change: |setting, config| {
        config.curriculum = setting.staged_without_compensation(&[T, V]);
        let (pictures, epochs, batch) = match setting.scale {
            // As many pictures, and updates, as the stage has problems and updates.
            Scale::Micro => (setting.steps(&P) as usize * config.grpo.rollout_batch, 1, config.grpo.mini_batch),
            Scale::DigitsV1 => (320, 3, 16),
            // The number of DOCCI's training pictures; the scripts give no setting.
            Scale::Full => (9_647, 3, 16),
        };
        let mut optimizer = config.grpo.optimizer;
        optimizer.schedule = Schedule { warmup: 0.05, decay: Decay::Cosine, floor: 0.1 };
        match setting.scale {
            Scale::Micro => optimizer.learning_rate = 2e-5,
            Scale::DigitsV1 => {}
            Scale::Full => optimizer.learning_rate = 1e-5,
        }
        config.captions = Some(CaptionTuning { pictures, epochs, batch, optimizer, of: Imitated::Captions });
    },
};
/// Baseline with frozen vision encoder and projector.
pub const MERGED_FROZEN: Arm = Arm {
    id: "merged_frozen",
    about: "All capabilities at once; vision encoder and projector frozen.",
    change: |setting, config| {
        (MERGED.change)(setting, config);
        freeze(config);
    },
};
/// Method with frozen vision encoder and projector.
pub const STAGED_FROZEN: Arm = Arm {
    id: "staged_frozen",
    about: "Perception, then textual, then visual reasoning; vision encoder and projector frozen throughout.",
    change: |setting, config| {
        (STAGED.change)(setting, config);
        freeze(config);
    },
};
/// Baseline without perception problems.
pub const MERGED_WITHOUT_PERCEPTION: Arm = Arm {
    id: "merged_without_perception",
    about: "Textual and visual reasoning at once, without problems of perception.",
    change: |setting, config| config.curriculum = setting.merged(&[T, V], Order::Shuffled),
};
/// Easy-to-hard order, all capabilities merged.
pub const DIFFICULTY: Arm = Arm {
    id: "difficulty",
    about: "All capabilities at once, from high to low pass rates of the base model.",
    change: |setting, config| config.curriculum = setting.merged(&[], Order::EasyToHard),
};
/// Easy-to-hard order within each stage.
pub const CAPABILITY_X_DIFFICULTY: Arm = Arm {
    id: "capability_x_difficulty",
    about: "Perception, then textual, then visual reasoning, each from high to low pass rates of the base model.",
    change: |setting, config| config.curriculum = setting.staged(&[P, T, V], Order::EasyToHard),
};
/// Baseline of the released scripts.
pub const MERGED_AS_RELEASED: Arm = Arm {
    id: "merged_as_released",
    about: "All capabilities at once, 15 epochs; the vision side frozen in the Qwen families and open in InternVL.",
    change: |setting, config| {
        let epochs = match setting.scale {
            // One epoch, since a stage sees its problems once.
            Scale::Micro | Scale::DigitsV1 => Epochs::PerStage(1),
            Scale::Full => Epochs::PerStage(15),
        };
        let stage = Stage::new("merged", []);
        let last_batch = LastBatch::Drop;
        config.curriculum = CurriculumConfig::Merged(Merged { stage, order: Order::Shuffled, epochs, last_batch });
        if !setting.is_internvl() {
            freeze(config);
        } else if setting.scale == Scale::Full {
            // The value of `internvl3*_8b/merged_baseline.sh`, to fit memory.
            config.images.max_pixels = Some(500_000);
            limit_prompts(config, 2048);
        }
    },
};
/// Method of the released scripts.
pub const STAGED_AS_RELEASED: Arm = Arm {
    id: "staged_as_released",
    about: "Perception for 16 epochs, then textual and visual reasoning for 15; the vision side frozen in the second stage, which \
            is damped for InternVL3.",
    change: |setting, config| {
        let perception = Stage { length: Some(longer_first_stage(setting)), ..Stage::of(P) };
        config.curriculum = as_released(setting, vec![perception, second_stage(setting), Stage::of(V)]);
    },
};
/// Third stage of the released scripts alone.
pub const STAGE_3_AS_RELEASED: Arm = Arm {
    id: "stage_3_as_released",
    about: "Visual reasoning alone, for as many epochs as in the whole plan.",
    change: |setting, config| config.curriculum = as_released(setting, vec![Stage::of(V)]),
};
/// Last two stages of the released scripts.
pub const STAGES_2_3_AS_RELEASED: Arm = Arm {
    id: "stages_2_3_as_released",
    about: "Textual and visual reasoning, for as many epochs as in the whole plan; the vision side frozen in the first of them.",
    change: |setting, config| {
        config.curriculum = as_released(setting, vec![second_stage(setting), Stage::of(V)]);
    },
};

fn as_released(setting: Setting, stages: Vec<Stage>) -> CurriculumConfig {
    let epochs = match setting.scale {
        Scale::Micro | Scale::DigitsV1 => 1,
        Scale::Full => 15,
    };
    let (order, epochs, last_batch) = (Order::Shuffled, Epochs::PerStage(epochs), LastBatch::Drop);
    CurriculumConfig::Staged(Staged { stages, order, epochs, last_batch })
}

/// Length of the first stage: 16 epochs where the others have 15.
fn longer_first_stage(setting: Setting) -> Length {
    match setting.scale {
        Scale::Micro | Scale::DigitsV1 => Length::Steps(setting.steps(&P) * 16 / 15),
        Scale::Full => Length::Epochs(16),
    }
}

/// Second stage with a frozen vision side, and for InternVL3 at full scale smaller updates
/// (learning rate, KL, clipping, gradient norm, warm-up), as in `internvl3_8b/stage2_*.sh`.
fn second_stage(setting: Setting) -> Stage {
    let mut stage = Stage { trainable: Trainable::LANGUAGE_MODEL, ..Stage::of(T) };
    if setting.backbone == BaseFamily::InternVl3 && setting.scale == Scale::Full {
        stage.overrides = StageOverrides {
            learning_rate: Some(3e-7),
            kl_coef: Some(5e-2),
            clip_low: Some(0.15),
            clip_high: Some(0.15),
            max_grad_norm: Some(0.5),
            warmup: Some(0.05),
            ..StageOverrides::default()
        }
        .into();
    }
    stage
}

/// Freezes vision encoder and projector in all stages.
fn freeze(config: &mut RunConfig) {
    for stage in config.curriculum.stages_mut() {
        stage.trainable = Trainable::LANGUAGE_MODEL;
    }
}
