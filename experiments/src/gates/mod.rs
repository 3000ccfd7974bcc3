//! Levels of models in the digits world: what has to be known of a base model before arms are
//! compared on it.

mod levels;

pub use levels::{Levels, Tests};

use seethink::prelude::PromptFormat;

/// Prompts of the digits world: the bare question. Base models have one way of answering, which
/// needs no instruction.
pub const PROMPT: PromptFormat = PromptFormat { system: None, suffix: String::new() };
