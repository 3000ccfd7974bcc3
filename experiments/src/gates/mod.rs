//! Gates: what has to hold of a world and a base model before arms are compared on it.
//!
//! A comparison of curricula says something about the paper's claim only where sight is the
//! bottleneck, rewards teach it, and nothing collapses. That is measured here on base models, on
//! merged training and on single stages, with seeds of their own; arms are not compared.

mod levels;
mod measured;

pub use levels::{Levels, Tests};

use crate::experiment::{
    Arm, MERGED, PERCEPTION_ALONE, STAGE_2, Scale, Setting, TEXTUAL_ALONE, TEXTUAL_CONTROL, VISUAL_ALONE,
};
use anyhow::{Result, bail};
use seethink::data::digits::DigitsConfig;
use seethink::eval::statistics::Estimate;
use seethink::prelude::PromptFormat;
use seethink::run::config::{BaseFamily, DataConfig};

pub use measured::measure;

/// Prompts of the digits world: the bare question. Base models have one way of answering, which
/// needs no instruction.
pub const PROMPT: PromptFormat = PromptFormat { system: None, suffix: String::new() };

/// Settings of the digits world of the tables.
///
/// # Errors
/// If the file that ships with the program is broken.
pub fn world() -> Result<DigitsConfig> {
    match Setting::new(Scale::Micro, BaseFamily::default()).shared()?.data {
        DataConfig::Digits(of) => Ok(of.world),
        _ => bail!("configs/micro/tables.ron is not of the digits world"),
    }
}

/// Seeds of the runs of gates, which no arm is compared with.
pub const SEEDS: std::ops::RangeInclusive<u64> = 101..=106;

/// The first of them, for arms of which fewer runs do: no family has more base models.
const FEW: std::ops::RangeInclusive<u64> = 101..=103;

/// Arms that are run for the gates, with their seeds.
pub const ARMS: [(&Arm, std::ops::RangeInclusive<u64>); 6] = [
    (&MERGED, SEEDS),
    (&PERCEPTION_ALONE, SEEDS),
    (&TEXTUAL_ALONE, SEEDS),
    (&VISUAL_ALONE, SEEDS),
    (&TEXTUAL_CONTROL, FEW),
    (&STAGE_2, FEW),
];

/// Mean over seeds with Student's interval.
fn over_seeds(values: &[f64]) -> (f64, (f64, f64)) {
    Estimate::over(values).map_or((f64::NAN, (f64::NAN, f64::NAN)), |one| (one.value, one.interval))
}
