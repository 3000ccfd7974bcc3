//! Verifiable rewards of completions: extraction of the answer ([`Extractor`]), judging it
//! ([`Rule`]), the format ([`Format`]), and penalties for length and repetition ([`Penalty`]). A
//! [`Reward`] scores completions, and a [`WeightedSum`] of rewards is a reward.
//!
//! Every function here is total: any completion is judged, never with an error or a panic.
//! Extraction takes time linear in the completion; formulas that are compared are bounded in length
//! and depth, and the work on them is counted, so that a verdict does not depend on a clock. An
//! answer that cannot be shown to be right is not right.

mod answer;
mod answer_reward;
mod boxed;
mod choice;
mod extract;
mod format;
mod number;
mod penalty;
mod rule;
mod score;

pub use answer::{choice_letter, is_correct};
pub use answer_reward::{AnswerReward, Lists};
pub use boxed::last_boxed;
pub use choice::stated_choice;
pub use extract::{Extracted, Extractor};
pub use format::{Format, is_think_answer, is_think_boxed, is_think_tagged};
pub use penalty::Penalty;
pub use rule::{Judgement, MathVerify, Rule, Unscorable, Verdict};
pub use score::{Response, Reward, Score, WeightedSum};
