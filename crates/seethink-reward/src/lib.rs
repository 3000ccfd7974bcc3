//! Scores of completions: where their answers stand ([`Extractor`]), when they are right ([`Rule`]), and what they look like ([`Format`]).
//!
//! Everything here is total: whatever a policy writes, it is judged, never an error and never a panic. Extraction takes time linear in the
//! completion; what is compared as mathematics is bounded in length and depth, and the work on it is counted, so that a verdict depends
//! on no clock. Where it cannot be told that an answer is right, it is not.

mod answer;
mod answer_reward;
mod boxed;
mod choice;
mod extract;
mod format;
mod math;
mod number;
mod rule;

pub use answer::{choice_letter, is_correct};
pub use answer_reward::AnswerReward;
pub use boxed::last_boxed;
pub use choice::stated_choice;
pub use extract::{Extracted, Extractor};
pub use format::{Format, is_think_answer, is_think_boxed, is_think_tagged};
pub use rule::{Judgement, MathVerify, Rule, Unscorable, Verdict};

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
    /// Whether the answer is right, or why that cannot be told.
    pub verdict: Verdict,
}

impl Score {
    /// The part of this name.
    pub fn part(&self, name: &str) -> Option<f32> {
        self.parts.iter().find(|(part, _)| *part == name).map(|(_, value)| *value)
    }
}
