//! Tables of the paper, and some of our own, one module each.

mod as_released;
mod capability_x_difficulty;
mod completion_length;
mod course;
mod main_comparison;
mod merged_with_perception;
mod perception_errors;
mod sft_against_rl;
mod single_stages;
mod stage_combinations;
mod stage_order;
mod vision_freezing;

use crate::experiment::Experiment;
use anyhow::{Context, Result};

/// All tables, in the paper's order.
pub const ALL: [&Experiment; 12] = [
    &main_comparison::EXPERIMENT,
    &course::EXPERIMENT,
    &stage_combinations::EXPERIMENT,
    &merged_with_perception::EXPERIMENT,
    &stage_order::EXPERIMENT,
    &single_stages::EXPERIMENT,
    &sft_against_rl::EXPERIMENT,
    &capability_x_difficulty::EXPERIMENT,
    &perception_errors::EXPERIMENT,
    &completion_length::EXPERIMENT,
    &vision_freezing::EXPERIMENT,
    &as_released::EXPERIMENT,
];

/// Table of this name.
///
/// # Errors
/// If there is no such table; the error lists the names.
pub fn find(id: &str) -> Result<&'static Experiment> {
    let names = || ALL.map(|experiment| experiment.id).join(", ");
    ALL.into_iter().find(|one| one.id == id).with_context(|| format!("no table {id:?}; there are {}", names()))
}
