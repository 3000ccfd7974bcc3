//! Scores of completions: answer extraction, equivalence and the format check.
//!
//! Everything here is total and takes time linear in the completion: whatever a policy writes, it is scored, never an error.
//! This is the light verifier: option letters, rational numbers with units, and normalised strings.
//! It does no symbolic mathematics, and where it cannot tell it says wrong.

mod answer;
mod boxed;
mod choice;
mod format;
mod number;
mod think_boxed;

pub use answer::{choice_letter, is_correct};
pub use boxed::last_boxed;
pub use choice::stated_choice;
pub use format::{is_think_boxed, is_think_tagged};
pub use think_boxed::ThinkBoxedReward;

use seethink_core::Problem;

/// Judges a completion against the ground truth of its problem.
pub trait Reward: Send + Sync {
    /// Metric key.
    fn name(&self) -> &'static str;

    /// The score of `completion`. Total: any string gets one.
    fn score(&self, problem: &Problem, completion: &str) -> Score;
}

/// What a completion earns.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    /// What training maximises.
    pub value: f32,
    /// What `value` is made of, unweighted, each in `[0, 1]`, by metric key.
    pub parts: Vec<(&'static str, f32)>,
}

impl Score {
    /// The part of this name.
    pub fn part(&self, name: &str) -> Option<f32> {
        self.parts.iter().find(|(part, _)| *part == name).map(|(_, value)| *value)
    }
}
