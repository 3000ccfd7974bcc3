//! The paper's reward: mostly whether the boxed answer is right, a little whether the format is.

use crate::{Reward, Score, is_correct, is_think_boxed, last_boxed};
use seethink_core::Problem;
use serde::{Deserialize, Serialize};

/// `value = accuracy_weight · accuracy + format_weight · format`, both parts 0 or 1.
///
/// *accuracy*: the last `\boxed{…}` of the completion equals the ground truth ([`is_correct`]).
/// *format*: the completion reads `<think>…</think>…\boxed{…}…` ([`is_think_boxed`]).
///
/// # Source
/// arXiv 2605.20177, `training/reward_functions/math.py` (EasyR1's `math.py`), weights 0.9 and 0.1.
/// Differs: a completion without a box is never right (there it reads "None", which equals a ground truth of "None"),
/// blanks in the answer are not deleted before grading, and an option letter may be followed by its text.
///
/// # Examples
/// ```
/// use seethink_core::{Capability, Problem, ProblemId};
/// use seethink_reward::{Reward, ThinkBoxedReward};
/// # let problem = Problem {
/// #     id: ProblemId(0), capability: Capability::TEXTUAL_REASONING, prompt: "What is 1 + 1?".into(), images: vec![],
/// #     answer: "2".into(), solution: None, pass_rate: None, source: "doc".into(), tags: Default::default(),
/// # };
/// let reward = ThinkBoxedReward::default();
/// assert_eq!(reward.score(&problem, r"<think>1+1=2.</think> \boxed{2}").value, 1.0);
/// assert_eq!(reward.score(&problem, r"It is \boxed{2}").value, 0.9);
/// assert_eq!(reward.score(&problem, "2").value, 0.0);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ThinkBoxedReward {
    /// Weight of the right answer.
    pub accuracy_weight: f32,
    /// Weight of the right format.
    pub format_weight: f32,
}

impl Default for ThinkBoxedReward {
    fn default() -> Self {
        Self { accuracy_weight: 0.9, format_weight: 0.1 }
    }
}

impl Reward for ThinkBoxedReward {
    fn name(&self) -> &'static str {
        "think_boxed"
    }

    fn score(&self, problem: &Problem, completion: &str) -> Score {
        let right = last_boxed(completion).is_some_and(|answer| is_correct(answer, &problem.answer));
        let accuracy = f32::from(u8::from(right));
        let format = f32::from(u8::from(is_think_boxed(completion)));
        Score {
            value: self.accuracy_weight * accuracy + self.format_weight * format,
            parts: vec![("accuracy", accuracy), ("format", format)],
        }
    }
}
