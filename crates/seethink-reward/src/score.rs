//! Rewards, and sums of them.

use crate::{Extractor, Verdict};
use seethink_core::{Completion, Problem};
use std::ops::Range;
use std::sync::Arc;

/// Scores completions of a problem.
pub trait Reward: Send + Sync {
    /// Metric key.
    fn name(&self) -> &'static str;

    /// What a completion earns. Total: any gets a score.
    fn score(&self, problem: &Problem, response: Response<'_>) -> Score;

    /// What each completion of a group earns, `[completion]`; the same as on its own, unless the reward compares them with one another.
    fn score_group(&self, problem: &Problem, responses: &[Response<'_>]) -> Vec<Score> {
        responses.iter().map(|response| self.score(problem, *response)).collect()
    }
}

/// A completion, as rewards see it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Response<'a> {
    /// The text, special tokens left out.
    pub text: &'a str,
    /// Its tokens; none where only the text is known, and then nothing is taken off for length.
    pub tokens: &'a [u32],
    /// Whether its answer is right, where an earlier reward of a sum has told.
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

/// What a completion earns.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Score {
    /// What training maximises.
    pub value: f32,
    /// What `value` is made of, unweighted, by metric key: what is earned in `[0, 1]`, what is taken off below zero.
    pub parts: Vec<(&'static str, f32)>,
    /// Whether the answer is right, or why that cannot be told; `None` from a reward that does not ask.
    pub verdict: Option<Verdict>,
    /// What found the answer, and which bytes of the completion it is.
    pub found: Option<(Extractor, Range<usize>)>,
}

impl Score {
    /// The part of this name.
    pub fn part(&self, name: &str) -> Option<f32> {
        self.parts.iter().find(|(part, _)| *part == name).map(|(_, value)| *value)
    }
}

/// `value = Σ weight · value of each`, with the parts of all and the first verdict, which later rewards are told.
///
/// # Examples
/// ```
/// use seethink_core::{Capability, Problem, ProblemId};
/// use seethink_reward::{AnswerReward, Penalty, Response, Reward, WeightedSum};
/// use std::sync::Arc;
/// # let problem = Problem {
/// #     id: ProblemId(0), capability: Capability::TEXTUAL_REASONING, prompt: "What is 1 + 1?".into(), images: vec![],
/// #     answer: "2".into(), solution: None, pass_rate: None, source: "doc".into(), tags: Default::default(),
/// # };
/// let overlong = Penalty::Overlong { max_tokens: 100, buffer: 20, unbounded: false };
/// let sum = WeightedSum(vec![(1.0, Arc::new(AnswerReward::default())), (0.5, Arc::new(overlong))]);
/// let response = Response { tokens: &[7; 90], ..r"<think>1+1=2.</think> \boxed{2}".into() };
/// let score = sum.score(&problem, response);
/// assert_eq!((score.value, score.part("accuracy"), score.part("overlong")), (0.75, Some(1.0), Some(-0.5)));
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

/// Adds what a reward says, told what earlier ones said of the answers.
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

    /// A problem whose answer is 7.
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
