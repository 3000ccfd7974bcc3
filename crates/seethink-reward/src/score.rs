//! Rewards, and sums of them.

use crate::{Extractor, Verdict};
use seethink_core::{Completion, Problem};
use std::ops::Range;
use std::sync::Arc;

/// Reward: scores completions of a problem.
pub trait Reward: Send + Sync {
    /// Name of the reward, as a metric key.
    fn name(&self) -> &'static str;

    /// Scores a completion. Total: any completion gets a score.
    fn score(&self, problem: &Problem, response: Response<'_>) -> Score;

    /// Scores each completion of a group, `[completion]`; as on its own, unless the reward compares
    /// completions with one another.
    fn score_group(&self, problem: &Problem, responses: &[Response<'_>]) -> Vec<Score> {
        responses.iter().map(|response| self.score(problem, *response)).collect()
    }
}

/// Completion as input of a reward.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Response<'a> {
    /// Text, special tokens left out.
    pub text: &'a str,
    /// Token ids; empty where only the text is known, and then there is no penalty for length.
    pub tokens: &'a [u32],
    /// Verdict of an earlier reward of a sum, if there is one.
    pub verdict: Option<Verdict>,
}

impl<'a> From<&'a str> for Response<'a> {
    fn from(text: &'a str) -> Self {
        Self { text, tokens: &[], verdict: None }
    }
}

impl<'a> From<&'a Completion> for Response<'a> {
    fn from(completion: &'a Completion) -> Self {
        Self { text: &completion.text, tokens: &completion.tokens, verdict: None }
    }
}

/// Score of a completion.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Score {
    /// Value of the reward, which training maximises.
    pub value: f32,
    /// Parts of `value`, unweighted, by metric key: rewards in `[0, 1]`, penalties below zero.
    pub parts: Vec<(&'static str, f32)>,
    /// Verdict on the answer; `None` from a reward that does not judge it.
    pub verdict: Option<Verdict>,
    /// Extractor that found the answer, and its range of bytes in the completion.
    pub found: Option<(Extractor, Range<usize>)>,
}

impl Score {
    /// Part of the score with this name.
    pub fn part(&self, name: &str) -> Option<f32> {
        self.parts.iter().find(|(part, _)| *part == name).map(|(_, value)| *value)
    }
}

/// Weighted sum of rewards: `value = Σ weight · value of each`, with the parts of all and the first
/// verdict, which later rewards receive.
///
/// # Examples
/// ```
/// use seethink_core::{Capability, Problem, ProblemId};
/// use seethink_reward::{AnswerReward, Penalty, Response, Reward, WeightedSum};
/// use std::sync::Arc;
/// # let problem = Problem {
/// #     id: ProblemId(0),
/// #     capability: Capability::TEXTUAL_REASONING,
/// #     prompt: "What is 1 + 1?".into(),
/// #     images: vec![],
/// #     answer: "2".into(),
/// #     solution: None,
/// #     pass_rate: None,
/// #     source: "doc".into(),
/// #     tags: Default::default(),
/// # };
/// let overlong = Penalty::Overlong { max_tokens: 100, buffer: 20, unbounded: false };
/// let sum =
///     WeightedSum(vec![(1.0, Arc::new(AnswerReward::default())), (0.5, Arc::new(overlong))]);
/// let response = Response { tokens: &[7; 90], ..r"<think>1+1=2.</think> \boxed{2}".into() };
/// let score = sum.score(&problem, response);
/// assert_eq!(
///     (score.value, score.part("accuracy"), score.part("overlong")),
///     (0.75, Some(1.0), Some(-0.5))
/// );
/// ```
#[derive(Clone, Default)]
pub struct WeightedSum(pub Vec<(f32, Arc<dyn Reward>)>);

impl Reward for WeightedSum {
    fn name(&self) -> &'static str {
        "sum"
    }

    fn score(&self, problem: &Problem, response: Response<'_>) -> Score {
        self.score_group(problem, &[response]).pop().unwrap_or_default()
    }

    fn score_group(&self, problem: &Problem, responses: &[Response<'_>]) -> Vec<Score> {
        let mut scores = vec![Score::default(); responses.len()];
        self.0.iter().for_each(|(weight, reward)| add(&mut scores, *weight, &**reward, problem, responses));
        scores
    }
}

/// Adds the scores of a reward, which receives the verdicts of earlier rewards.
pub(crate) fn add(
    scores: &mut [Score],
    weight: f32,
    reward: &dyn Reward,
    problem: &Problem,
    responses: &[Response<'_>],
) {
    let told = responses.iter().zip(&*scores);
    let told: Vec<_> =
        told.map(|(response, score)| Response { verdict: score.verdict.or(response.verdict), ..*response }).collect();
    for (score, more) in scores.iter_mut().zip(reward.score_group(problem, &told)) {
        score.value += weight * more.value;
        score.parts.extend(more.parts);
        score.verdict = score.verdict.or(more.verdict);
        score.found = score.found.take().or(more.found);
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use seethink_core::{Capability, Problem, ProblemId};

    /// Problem whose answer is 7.
    pub(crate) fn problem() -> Problem {
        Problem {
            id: ProblemId(0),
            capability: Capability::TEXTUAL_REASONING,
            prompt: String::new(),
            images: vec![],
            answer: "7".into(),
            solution: None,
            pass_rate: None,
            source: String::new(),
            tags: Default::default(),
        }
    }
}
