//! The paper's reward and its relatives: mostly whether the answer is right, a little whether the format is.

use crate::{Extractor, Format, Reward, Rule, Score, Unscorable, Verdict};
use seethink_core::Problem;
use serde::{Deserialize, Serialize};

/// `value = accuracy_weight · accuracy + format_weight · format`, both parts 0 or 1.
///
/// *accuracy*: the answer that is found in the completion is right by the rule.
/// *format*: the completion looks as it should.
///
/// # Source
/// arXiv 2605.20177, `training/reward_functions/math.py` (EasyR1's `math.py`), weights 0.9 and 0.1.
/// Differs: a completion without a box is never right (there it reads "None", which equals a ground truth of "None"), and the rule is
/// [`Rule::Light`] unless another is asked for, with which an option letter may be followed by its text.
///
/// # Examples
/// ```
/// use seethink_core::{Capability, Problem, ProblemId};
/// use seethink_reward::{AnswerReward, Extractor, Format, Reward, Rule};
/// # let problem = Problem {
/// #     id: ProblemId(0), capability: Capability::TEXTUAL_REASONING, prompt: "What is 1 + 1?".into(), images: vec![],
/// #     answer: "2".into(), solution: None, pass_rate: None, source: "doc".into(), tags: Default::default(),
/// # };
/// let reward = AnswerReward::default();
/// assert_eq!(reward.score(&problem, r"<think>1+1=2.</think> \boxed{2}").value, 1.0);
/// assert_eq!(reward.score(&problem, r"It is \boxed{2}").value, 0.9);
/// assert_eq!(reward.score(&problem, "2").value, 0.0);
/// // EasyR1's `r1v.py`.
/// let tagged = AnswerReward {
///     accuracy_weight: 0.5,
///     format_weight: 0.5,
///     format: Format::ThinkAnswer,
///     answer: Extractor::AnswerTag,
///     rule: Rule::Mathruler,
/// };
/// assert_eq!(tagged.score(&problem, "<think>1+1</think> <answer>3</answer>").value, 0.5);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AnswerReward {
    /// Weight of the right answer.
    pub accuracy_weight: f32,
    /// Weight of the right format.
    pub format_weight: f32,
    /// What the completion should look like.
    #[serde(skip_serializing_if = "is_usual")]
    pub format: Format,
    /// Where its answer stands.
    #[serde(skip_serializing_if = "is_usual")]
    pub answer: Extractor,
    /// When the answer is right.
    #[serde(skip_serializing_if = "is_usual")]
    pub rule: Rule,
}

/// Whether a setting is left out when it is written.
fn is_usual<T: Default + PartialEq>(setting: &T) -> bool {
    *setting == T::default()
}

impl Default for AnswerReward {
    fn default() -> Self {
        Self {
            accuracy_weight: 0.9,
            format_weight: 0.1,
            format: Format::default(),
            answer: Extractor::default(),
            rule: Rule::default(),
        }
    }
}

impl Reward for AnswerReward {
    fn name(&self) -> &'static str {
        "answer"
    }

    fn score(&self, problem: &Problem, completion: &str) -> Score {
        let verdict = match self.answer.find(completion) {
            Some(answer) => self.rule.judge(&problem.answer, answer.text).verdict,
            None => Verdict::Unscorable(Unscorable::NoAnswer),
        };
        let part = |holds: bool| f32::from(u8::from(holds));
        let (accuracy, format) = (part(verdict == Verdict::Right), part(self.format.holds(completion)));
        Score {
            value: self.accuracy_weight * accuracy + self.format_weight * format,
            parts: vec![("accuracy", accuracy), ("format", format)],
            verdict,
        }
    }
}
