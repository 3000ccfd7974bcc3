//! Completions: answers sampled from a policy, and their groups.

use crate::ProblemId;
use serde::{Deserialize, Serialize};

/// Finish reason of a completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// An end-of-sequence token was sampled; it is the last token of the completion.
    Stop,
    /// The completion reached the maximum length.
    Length,
}

/// Completion: a sampled answer to a prompt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Completion {
    /// Token ids, the end-of-sequence token included when there was one.
    pub tokens: Vec<u32>,
    /// Log-probability of each token under the policy that sampled it, at the sampling temperature
    /// and with forbidden tokens removed, before top-k and top-p. As long as `tokens`. Nats.
    pub log_probs: Vec<f32>,
    /// The tokens as text, special tokens left out.
    pub text: String,
    /// Finish reason.
    pub finish: FinishReason,
}

/// Returns whether a completion counts as right: its accuracy, in `[0, 1]`, is at least a half.
pub fn is_right(accuracy: f32) -> bool {
    accuracy >= 0.5
}

/// Completions sampled for one problem in one step (a GRPO group).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// Problem that the completions answer.
    pub problem: ProblemId,
    /// Completions in the order of their index.
    pub completions: Vec<Completion>,
}
