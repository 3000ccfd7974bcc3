//! Scores of completions: where their answers stand ([`Extractor`]), when they are right ([`Rule`]), what they look like ([`Format`]), and
//! what is taken off for length and repetition ([`Penalty`]). Whatever scores is a [`Reward`], and a [`WeightedSum`] of rewards is one.
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
mod penalty;
mod rule;
mod score;

pub use answer::{choice_letter, is_correct};
pub use answer_reward::AnswerReward;
pub use boxed::last_boxed;
pub use choice::stated_choice;
pub use extract::{Extracted, Extractor};
pub use format::{Format, is_think_answer, is_think_boxed, is_think_tagged};
pub use penalty::Penalty;
pub use rule::{Judgement, MathVerify, Rule, Unscorable, Verdict};
pub use score::{Response, Reward, Score, WeightedSum};
