//! Deviations from the released scripts, arm by arm: the source of a section of `docs/paper.md` and
//! of the heads of the configurations.
//!
//! At full scale an arm follows the scripts except for these deviations. Our values are read from
//! its configuration where possible.

use super::{Arm, Scale, Setting};
use anyhow::Result;
use seethink::run::config::BaseFamily::{self, InternVl3, InternVl3_5, Qwen2_5Vl, Qwen3Vl};
use seethink::run::config::{DataConfig, RunConfig};
use std::fmt::Write;

/// Deviation of full-scale runs from the released scripts.
struct Deviation {
    /// Arms with the deviation.
    arms: Arms,
    /// Backbones with the deviation.
    backbones: &'static [BaseFamily],
    /// Name of the setting.
    setting: &'static str,
    /// Value of the scripts, or of the engine that they call.
    released: &'static str,
    /// Value of our run.
    ours: fn(&RunConfig) -> String,
    /// Reason.
    why: &'static str,
}

/// Arms of a deviation.
#[derive(PartialEq)]
enum Arms {
    All,
    /// Arms that do not keep the inequalities of the scripts.
    Controlled,
    /// Arms with these ids.
    Of(&'static [&'static str]),
}

const ALL: &[BaseFamily] = &[Qwen2_5Vl, Qwen3Vl, InternVl3, InternVl3_5];
const QWEN: &[BaseFamily] = &[Qwen2_5Vl, Qwen3Vl];
const INTERNVL: &[BaseFamily] = &[InternVl3, InternVl3_5];

impl Deviation {
    /// Deviations of all runs.
    fn common() -> impl Iterator<Item = &'static Self> {
        DEVIATIONS.iter().filter(|one| one.arms == Arms::All)
    }

    /// Deviations of some runs only.
    fn special() -> impl Iterator<Item = &'static Self> {
        DEVIATIONS.iter().filter(|one| one.arms != Arms::All)
    }

    /// Returns whether a run has this deviation.
    fn is_of(&self, arm: &Arm, backbone: BaseFamily) -> bool {
        let of_arm = match self.arms {
            Arms::All => true,
            Arms::Controlled => !arm.is_as_released(),
            Arms::Of(ids) => ids.contains(&arm.id),
        };
        of_arm && self.backbones.contains(&backbone)
    }
}

/// Head of a configuration file: comment lines that list its deviations.
pub(super) fn head(arm: &Arm, setting: Setting, config: &RunConfig) -> String {
    let mut text = String::from("// Not as released is what holds of every arm (docs/paper.md)");
    let lines = Deviation::special().filter(|one| one.is_of(arm, setting.backbone)).map(|one| {
        let Deviation { setting, released, ours, why, .. } = one;
        format!("// - {setting}: released {released}; here {}. {why}\n", ours(config))
    });
    let lines: String = lines.collect();
    text += if lines.is_empty() { ".\n" } else { ", and:\n" };
    text + &lines
}

/// Section on deviations in `docs/paper.md`.
///
/// # Errors
/// If an arm has no configuration.
pub(super) fn section() -> Result<String> {
    let mut text = String::from(
        "\n## What is not as released\n\n\
         At full scale, the scripts of VLM-CapCurriculum at `ccde3ff` and EasyR1, the engine that they call, are followed but for what \
         stands here.\n\
         The list is `experiments/src/experiment/deviations.rs`; values of ours are read off the configurations.\n\
         Arms named \"as released\" keep what the scripts do, and with it the inequalities between them; the others are made equal to be \
         compared.\n\
         \n### In every arm\n\n",
    );
    let setting = |backbone| Setting::new(Scale::Full, backbone);
    let shared = super::MERGED.config(setting(Qwen3Vl), 1)?;
    text += "| what | released | ours | why |\n|---|---|---|---|\n";
    for one in Deviation::common() {
        let _ = writeln!(text, "| {} | {} | {} | {} |", one.setting, one.released, (one.ours)(&shared), one.why);
    }
    for arm in Arm::ALL {
        let mut rows = String::new();
        for one in Deviation::special() {
            // Backbones with the same text are merged into one line.
            let mut lines: Vec<(String, Vec<String>)> = Vec::new();
            for (_, backbone) in BaseFamily::ALL.into_iter().filter(|(_, backbone)| one.is_of(arm, *backbone)) {
                let ours = (one.ours)(&arm.config(setting(backbone), 1)?);
                let title = Setting::new(Scale::Micro, backbone).title();
                match lines.iter_mut().find(|(same, _)| *same == ours) {
                    Some((_, titles)) => titles.push(title),
                    None => lines.push((ours, vec![title])),
                }
            }
            for (ours, titles) in lines {
                let titles = if titles.len() == ALL.len() { "all".to_owned() } else { titles.join(", ") };
                let _ = writeln!(rows, "| {titles} | {} | {} | {ours} | {} |", one.setting, one.released, one.why);
            }
        }
        let _ = write!(text, "\n### `{}`\n\n{}\n", arm.id, arm.about);
        text += &match rows.as_str() {
            "" => "Nothing beside that.\n".to_owned(),
            rows => format!("\n| backbones | what | released | ours | why |\n|---|---|---|---|---|\n{rows}"),
        };
    }
    Ok(text)
}

/// Formats the steps or epochs of each stage.
fn lengths(config: &RunConfig) -> String {
    super::Confounds::of(config).epochs
}

/// Formats the stages in which the vision side is trained.
fn vision(config: &RunConfig) -> String {
    super::Confounds::of(config).vision
}

/// Formats the maximum number of prompt tokens.
fn longest_prompt(config: &RunConfig) -> String {
    match &config.data {
        DataConfig::Folder { overlong: Some(overlong), .. } => format!("{} tokens", overlong.max_tokens),
        _ => "any".to_owned(),
    }
}

fn most_pixels(config: &RunConfig) -> String {
    config.images.max_pixels.map_or_else(|| "any".to_owned(), |n| n.to_string())
}

fn rule(config: &RunConfig) -> String {
    format!("`{}`", config.reward.rule)
}

fn captions(config: &RunConfig) -> String {
    config.captions.as_ref().map_or_else(
        || "none".to_owned(),
        |captions| {
            let (n, epochs, batch, rate) =
                (captions.pictures, captions.epochs, captions.batch, captions.optimizer.learning_rate);
            format!("{n} pictures, {epochs} epochs, batches of {batch}, learning rate {rate:e}")
        },
    )
}

const EQUAL_STEPS: &str = "Arms are compared at equal numbers of steps and rollouts.";
const EVERYWHERE: &str = "Every arm is made for every backbone.";
const EQUAL_VISION: &str = "Whether vision learns is an axis of its own.";

const DEVIATIONS: &[Deviation] = &[
    Deviation {
        arms: Arms::All,
        backbones: ALL,
        setting: "instruction after the question",
        released: "asks for `<think>`, and shows `<thinking>` as the example",
        ours: |config| format!("`{}`", config.grpo.prompt.suffix.trim()),
        why: "The reward takes `<think>` alone; in an independent run of the released prompt the part for the format stayed at zero.",
    },
    Deviation {
        arms: Arms::All,
        backbones: ALL,
        setting: "text that is graded",
        released: "blanks around `<`, `>` and `/` are deleted from the whole completion first",
        ours: |_| "the completion as it is; blanks inside the tags are forgiven".into(),
        why: "The answer in the box is changed too, there.",
    },
    Deviation {
        arms: Arms::All,
        backbones: ALL,
        setting: "completion without a box",
        released: "its answer is read as `None`, which is right where the truth is `None`",
        ours: |_| "never right".into(),
        why: "A fault of the grader that rewards saying nothing.",
    },
    Deviation {
        arms: Arms::All,
        backbones: ALL,
        setting: "answers that are not looked at",
        released: "over 200 characters, 10 powers, 40 brackets of a kind, or 50 digits in a row: wrong",
        ours: |_| "those that take more work than is allowed: not told, and counted".into(),
        why: "The bound there is on the answer alone, and a truth can still keep the grader busy without end.",
    },
    Deviation {
        arms: Arms::All,
        backbones: ALL,
        setting: "number format",
        released: "weights and moments in bf16, with the rounding errors of updates carried along in bf16 (`adamw_bf16`)",
        ours: |config| format!("{:?} for all", config.dtype),
        why: "Our optimiser carries no rounding errors along, and updates at these learning rates are below what bf16 resolves.",
    },
    Deviation {
        arms: Arms::All,
        backbones: ALL,
        setting: "random draws",
        released: "order of problems by a generator of torch, tokens by vLLM",
        ours: |_| "functions of seed, step, problem, completion and position".into(),
        why: "The distributions are the same, the numbers cannot be.",
    },
    Deviation {
        arms: Arms::All,
        backbones: ALL,
        setting: "engine of rollouts",
        released: "vLLM on a copy of the weights; log-probabilities taken again by the trainer",
        ours: |_| "the modules that are trained; log-probabilities kept as tokens are sampled".into(),
        why: "There is one engine here; what is left between decoding and training is rounding.",
    },
    Deviation {
        arms: Arms::All,
        backbones: ALL,
        setting: "micro-batches",
        released: "2 to 16 rows on each of 8 devices",
        ours: |config| format!("{} tokens", config.grpo.memory.micro_batch_tokens),
        why: "A matter of memory: the loss does not depend on how a batch is cut.",
    },
    Deviation {
        arms: Arms::All,
        backbones: ALL,
        setting: "pictures with a palette or with transparency",
        released: "resized in the mode that they are stored in; then transparency is dropped",
        ours: |_| "laid on white, then resized as RGB".into(),
        why: "Colours under transparency are no part of a picture. Opaque RGB and grey pictures are resized bit for bit as there.",
    },
    Deviation {
        arms: Arms::All,
        backbones: ALL,
        setting: "validation",
        released: "geometry3k's test split, before training and every 6 to 45 steps",
        ours: |config| {
            format!("problems of the data's own validation split, every {} steps", config.grpo.validate_every)
        },
        why: "It has no effect on training; all arms have one interval, so that curves can be laid over each other.",
    },
    Deviation {
        arms: Arms::All,
        backbones: ALL,
        setting: "checkpoints",
        released: "every 12 to 45 steps",
        ours: |config| format!("every {} steps", config.grpo.checkpoint_every),
        why: "No effect on training: a resumed run goes on bit for bit.",
    },
    Deviation {
        arms: Arms::Controlled,
        backbones: ALL,
        setting: "grader",
        released: "`mathruler_as_released`, which loses the brackets of fractions",
        ours: rule,
        why: "A comparison of curricula is not to hang on answers that are right by a fault.",
    },
    Deviation {
        arms: Arms::Of(&["staged_as_released", "stages_2_3_as_released"]),
        backbones: INTERNVL,
        setting: "longest prompt of the second stage",
        released: "2048 tokens, the other stages 4096",
        ours: longest_prompt,
        why: "The limit is of the data and not of a stage.",
    },
    Deviation {
        arms: Arms::Of(&["staged_as_released", "stages_2_3_as_released"]),
        backbones: INTERNVL,
        setting: "vision side in the second stage",
        released: "asked to be frozen, and left open: the engine looks for a `visual`, which these checkpoints do not have",
        ours: vision,
        why: "As asked. The problems of this stage have no pictures, so that no gradient reaches it in any case.",
    },
    Deviation {
        arms: Arms::Of(&["stage_3", "stage_3_as_released", "text_first", "reversed", "merged_frozen"]),
        backbones: INTERNVL,
        setting: "script",
        released: "none for this backbone",
        ours: |_| "this family's own stages, put together as for the Qwen families".into(),
        why: EVERYWHERE,
    },
    Deviation {
        arms: Arms::Of(&[
            "stages_1_3",
            "stages_2_3",
            "stages_2_3_as_released",
            "captions_first",
            "difficulty",
            "capability_x_difficulty",
        ]),
        backbones: &[Qwen2_5Vl, InternVl3, InternVl3_5],
        setting: "script",
        released: "none for this backbone",
        ours: |_| "this family's own stages, put together as for Qwen3-VL".into(),
        why: EVERYWHERE,
    },
    Deviation {
        arms: Arms::Of(&["merged"]),
        backbones: ALL,
        setting: "length",
        released: "15 epochs, 945 steps of the 32,736 rows (the paper: 930)",
        ours: lengths,
        why: EQUAL_STEPS,
    },
    Deviation {
        arms: Arms::Of(&["merged", "difficulty"]),
        backbones: QWEN,
        setting: "vision side",
        released: "frozen",
        ours: vision,
        why: EQUAL_VISION,
    },
    Deviation {
        arms: Arms::Of(&["merged"]),
        backbones: INTERNVL,
        setting: "most pixels of a picture",
        released: "500000; 4194304 in the stages",
        ours: most_pixels,
        why: "Arms of a comparison see the same pictures.",
    },
    Deviation {
        arms: Arms::Of(&["merged"]),
        backbones: INTERNVL,
        setting: "longest prompt",
        released: "2048 tokens; 4096 in the stages with pictures",
        ours: longest_prompt,
        why: "Arms of a comparison have the same problems.",
    },
    Deviation {
        arms: Arms::Of(&["staged"]),
        backbones: ALL,
        setting: "length",
        released: "16 + 15 + 15 epochs, 96 + 375 + 465 steps (the paper: 90 + 375 + 465)",
        ours: lengths,
        why: EQUAL_STEPS,
    },
    Deviation {
        arms: Arms::Of(&["staged", "text_first", "reversed", "stages_2_3"]),
        backbones: ALL,
        setting: "vision side",
        released: "asked to be frozen in textual reasoning",
        ours: vision,
        why: EQUAL_VISION,
    },
    Deviation {
        arms: Arms::Of(&[
            "staged",
            "text_first",
            "reversed",
            "stages_2_3",
            "captions_first",
            "capability_x_difficulty",
        ]),
        backbones: &[InternVl3],
        setting: "textual reasoning",
        released: "damped: learning rate 3e-7 with a warm-up of 0.05, KL weight 0.05, clipping at 0.15, gradient norm 0.5",
        ours: |_| "as the other stages".into(),
        why: "Stages of a comparison have the same settings, whatever their order.",
    },
    Deviation {
        arms: Arms::Of(&["stage_3", "stages_1_3", "stages_2_3"]),
        backbones: ALL,
        setting: "length",
        released: "each stage as long as in the whole plan, so that fewer stages are fewer steps",
        ours: lengths,
        why: EQUAL_STEPS,
    },
    Deviation {
        arms: Arms::Of(&["text_first", "reversed"]),
        backbones: QWEN,
        setting: "script",
        released: "of the last stage alone, on a checkpoint that the user is to have made",
        ours: |config| format!("the whole run: {}", lengths(config)),
        why: EQUAL_STEPS,
    },
    Deviation {
        arms: Arms::Of(&["captions_first"]),
        backbones: ALL,
        setting: "fine-tuning on captions",
        released: "a text that names full-parameter tuning with LLaMA-Factory; no learning rate, epochs or batch",
        ours: captions,
        why: "What is not stated cannot be kept; these are usual values.",
    },
    Deviation {
        arms: Arms::Of(&["captions_first"]),
        backbones: ALL,
        setting: "vision side",
        released: "asked to be frozen in textual reasoning",
        ours: vision,
        why: EQUAL_VISION,
    },
    Deviation {
        arms: Arms::Of(&["merged_frozen"]),
        backbones: QWEN,
        setting: "script",
        released: "the merged one under another name",
        ours: |config| format!("{}, vision side {}", lengths(config), vision(config)),
        why: "The released table of frozen vision has no arm in which merged training of Qwen learns to see.",
    },
    Deviation {
        arms: Arms::Of(&["staged_frozen"]),
        backbones: ALL,
        setting: "script",
        released: "none",
        ours: |config| format!("{}, vision side {}", lengths(config), vision(config)),
        why: "The other half of the comparison.",
    },
    Deviation {
        arms: Arms::Of(&["merged_without_perception"]),
        backbones: ALL,
        setting: "script",
        released: "none, though the paper has a column for it",
        ours: |config| format!("{} of textual and visual reasoning", lengths(config)),
        why: "The paper's column needs it.",
    },
    Deviation {
        arms: Arms::Of(&["difficulty"]),
        backbones: ALL,
        setting: "order",
        released: "a file sorted once and gone through 15 times: ties always in one order, the last rows always left out; which file, \
                   and with or without the problems that are always solved, is not stated",
        ours: |config| format!("sorted anew in each epoch, all problems, {}", lengths(config)),
        why: EQUAL_STEPS,
    },
    Deviation {
        arms: Arms::Of(&["capability_x_difficulty"]),
        backbones: ALL,
        setting: "order",
        released: "a file of the three capabilities one after the other gone through 15 times, so that perception comes back in every \
                   epoch; vision frozen",
        ours: |config| format!("each capability once, {}; vision side {}", lengths(config), vision(config)),
        why: "The table is about capability and difficulty, not about coming back.",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    fn configs() -> impl Iterator<Item = (&'static Arm, Setting, RunConfig)> {
        let settings = BaseFamily::ALL.map(|(_, backbone)| Setting::new(Scale::Full, backbone));
        settings
            .into_iter()
            .flat_map(|setting| Arm::ALL.into_iter().map(move |arm| (arm, setting, arm.config(setting, 1).unwrap())))
    }

    #[test]
    fn every_deviation_is_of_some_run_and_stands_in_its_head() {
        let mut seen = vec![false; DEVIATIONS.len()];
        for (arm, setting, config) in configs() {
            let head = head(arm, setting, &config);
            let mut n_lines = 0;
            for (seen, one) in seen.iter_mut().zip(DEVIATIONS) {
                let applies = one.is_of(arm, setting.backbone);
                *seen |= applies;
                if applies && one.arms != Arms::All {
                    n_lines += 1;
                    let line =
                        format!("// - {}: released {}; here {}. ", one.setting, one.released, (one.ours)(&config));
                    assert!(head.contains(&line), "{} {line}", arm.id);
                }
            }
            assert_eq!(head.matches("\n// - ").count(), n_lines, "{}", arm.id);
        }
        assert!(seen.iter().all(|seen| *seen));
        for id in
            DEVIATIONS.iter().filter_map(|one| if let Arms::Of(ids) = one.arms { Some(ids) } else { None }).flatten()
        {
            assert!(Arm::ALL.iter().any(|arm| arm.id == *id), "no arm is called {id}");
        }
    }

    #[test]
    fn cells_of_the_table_stay_cells() {
        for (_, _, config) in configs() {
            for one in DEVIATIONS {
                let ours = (one.ours)(&config);
                let cells = [one.setting, one.released, ours.as_str(), one.why];
                assert!(cells.iter().all(|cell| !cell.is_empty() && !cell.contains(['|', '\n'])), "{cells:?}");
            }
        }
    }

    /// A setting without a deviation has the value of the scripts.
    #[test]
    fn arms_as_released_have_the_values_of_the_scripts() {
        for (arm, setting, config) in configs() {
            let name = format!("{} {}", arm.id, setting.title());
            let (images, merged) = (config.images, arm.id == "merged_as_released");
            let intern = INTERNVL.contains(&setting.backbone);
            let small = merged && intern;
            assert_eq!(images.min_pixels, Some(262_144), "{name}");
            assert_eq!(images.max_pixels, Some(if small { 500_000 } else { 4_194_304 }), "{name}");
            assert_eq!(images.max_tiles, intern.then_some(12), "{name}");
            let longest = if intern && !small { 4096 } else { 2048 };
            assert_eq!(longest_prompt(&config), format!("{longest} tokens"), "{name}");
            let expected = if arm.is_as_released() { "`mathruler_as_released`" } else { "`mathruler`" };
            assert_eq!(rule(&config), expected, "{name}");
        }
    }
}
