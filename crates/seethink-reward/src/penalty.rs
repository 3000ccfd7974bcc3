//! Penalties for length and repetition.

use crate::{Response, Reward, Score, Verdict};
use seethink_core::{Problem, SettingError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::f32::consts::PI;

/// Penalty for length or repetition; in `[−1, 0]` unless a variant says otherwise. Lengths are in
/// tokens; a completion whose tokens are not known has no penalty.
///
/// `CosineLength` and `DynamicLength` depend on whether the answer is right, as judged by the
/// rewards before them in a sum; an answer that no reward has judged counts as wrong.
///
/// # Examples
/// ```
/// use seethink_core::{Capability, Problem, ProblemId};
/// use seethink_reward::{Penalty, Response, Reward};
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
/// let tokens = [1, 2, 3, 1, 2, 3, 1, 2, 3];
/// let response = Response { tokens: &tokens, ..r"\boxed{2}".into() };
/// let penalty = Penalty::Repetition { ngram: 3 };
/// // Three of seven runs are distinct.
/// assert_eq!(penalty.score(&problem, response).value, 3.0 / 7.0 - 1.0);
/// assert!(Penalty::Repetition { ngram: 0 }.check().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Penalty {
    /// Soft overlong penalty: zero up to `max_tokens − buffer`, then on a straight line to −1 at
    /// `max_tokens`, and −1 beyond.
    ///
    /// # Source
    /// DAPO (arXiv 2503.14476) equation 13; EasyR1's and TRL's reward functions.
    Overlong {
        /// Length with a penalty of −1, tokens.
        max_tokens: usize,
        /// Number of tokens over which the penalty falls from 0 to −1.
        buffer: usize,
        /// True to let the penalty fall on beyond `max_tokens`, as in verl's `DAPORewardManager`.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        unbounded: bool,
    },
    /// Cosine length reward: on half a cosine from the first of two values at no tokens to the
    /// second at `target`; `beyond` from there on. The values may be any numbers.
    ///
    /// # Source
    /// *Demystifying Long Chain-of-Thought Reasoning* (arXiv 2502.03373) §4.
    CosineLength {
        /// Length at which the second value is reached, tokens.
        target: usize,
        /// Values of right answers.
        right: (f32, f32),
        /// Values of wrong answers.
        wrong: (f32, f32),
        /// Value of answers of `target` tokens or more.
        beyond: f32,
    },
    /// Dynamic length penalty: zero for right answers, `−½(1 + cos(π n / target))` for wrong ones
    /// of `n` tokens: zero at the target, −1 at no tokens and at twice the target and beyond. The
    /// target is the mean length of the group's right answers. In a group without right answers the
    /// target is `otherwise`, the penalty is half as large, zero from there to `limit`, and −½ from
    /// `limit` on.
    ///
    /// # Source
    /// PCuRL's dynamic length reward (VL-Cogito, arXiv 2507.22607): `verl/workers/reward/custom.py`
    /// and `verl/utils/reward_score/aux.py`, with the weight 0.5, `otherwise` 500 or 750 and
    /// `limit` 4096.
    DynamicLength {
        /// Target of a group without right answers.
        otherwise: usize,
        /// Length from which on the penalty is −½ in a group without right answers.
        limit: usize,
    },
    /// Repetition penalty: minus the share of the runs of `ngram` tokens that are repetitions of
    /// others.
    ///
    /// # Source
    /// arXiv 2502.03373, appendix C.2; TRL's `get_repetition_penalty_reward`.
    Repetition {
        /// Number of tokens in a run.
        ngram: usize,
    },
}

impl Penalty {
    /// Checks the settings.
    ///
    /// # Errors
    /// If a setting is out of range; the error names it.
    pub fn check(&self) -> Result<(), SettingError> {
        let error = |key, found: f64, expected: &str| SettingError::new(key, found, expected).within(self.name());
        let at_least_one = |key, value: usize| match value {
            0 => Err(error(key, 0.0, "at least 1")),
            _ => Ok(()),
        };
        match *self {
            Self::Overlong { max_tokens, buffer, .. } => {
                at_least_one("buffer", buffer)?;
                match buffer <= max_tokens {
                    true => Ok(()),
                    false => Err(error("buffer", buffer as f64, &format!("at most max_tokens, {max_tokens}"))),
                }
            }
            Self::CosineLength { target, right, wrong, beyond } => {
                at_least_one("target", target)?;
                let values = [
                    ("right", right.0),
                    ("right", right.1),
                    ("wrong", wrong.0),
                    ("wrong", wrong.1),
                    ("beyond", beyond),
                ];
                match values.into_iter().find(|(_, value)| !value.is_finite()) {
                    None => Ok(()),
                    Some((key, value)) => Err(error(key, value.into(), "finite numbers")),
                }
            }
            Self::DynamicLength { otherwise, .. } => at_least_one("otherwise", otherwise),
            Self::Repetition { ngram } => at_least_one("ngram", ngram),
        }
    }

    fn value(&self, response: &Response<'_>, mean_right: Option<f32>) -> f32 {
        let n = response.tokens.len();
        let is_right = response.verdict == Some(Verdict::Right);
        match *self {
            _ if n == 0 => 0.0,
            Self::Overlong { max_tokens, buffer, unbounded } => {
                let over = n.saturating_sub(max_tokens.saturating_sub(buffer)) as f32 / buffer.max(1) as f32;
                if unbounded { -over } else { -over.min(1.0) }
            }
            Self::CosineLength { target, beyond, .. } if n >= target => beyond,
            Self::CosineLength { target, right, wrong, .. } => {
                let (start, end) = if is_right { right } else { wrong };
                end + (start - end) * falling(n as f32 / target as f32)
            }
            Self::DynamicLength { .. } if is_right => 0.0,
            Self::DynamicLength { otherwise, limit } => match mean_right {
                Some(mean) => -falling((n as f32 / mean.max(1.0)).min(2.0)),
                None if n >= limit => -0.5,
                None if n >= otherwise => 0.0,
                None => -0.5 * falling(n as f32 / otherwise as f32),
            },
            Self::Repetition { ngram } => {
                let runs = response.tokens.windows(ngram.max(1));
                match runs.len() {
                    0 => 0.0,
                    n_runs => runs.collect::<BTreeSet<_>>().len() as f32 / n_runs as f32 - 1.0,
                }
            }
        }
    }
}

impl Reward for Penalty {
    fn name(&self) -> &'static str {
        match self {
            Self::Overlong { .. } => "overlong",
            Self::CosineLength { .. } | Self::DynamicLength { .. } => "length",
            Self::Repetition { .. } => "repetition",
        }
    }

    fn score(&self, problem: &Problem, response: Response<'_>) -> Score {
        self.score_group(problem, &[response]).pop().unwrap_or_default()
    }

    fn score_group(&self, _: &Problem, responses: &[Response<'_>]) -> Vec<Score> {
        let right = responses.iter().filter(|response| response.verdict == Some(Verdict::Right));
        let (n, sum) = right.fold((0, 0), |(n, sum), response| (n + 1, sum + response.tokens.len()));
        let mean_right = (n > 0).then(|| sum as f32 / n as f32);
        let values = responses.iter().map(|response| self.value(response, mean_right));
        values.map(|value| Score { value, parts: vec![(self.name(), value)], ..Score::default() }).collect()
    }
}

/// Half a cosine: 1 at 0, 0 at 1, and up again to 1 at 2.
fn falling(progress: f32) -> f32 {
    0.5 * (1.0 + (PI * progress).cos())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score::testing::problem;
    use crate::{AnswerReward, WeightedSum};
    use std::sync::Arc;

    /// Penalties of answers of these lengths, each with a verdict.
    fn values(penalty: Penalty, answers: &[(usize, Verdict)]) -> Vec<f32> {
        let tokens: Vec<u32> = (0..100_000).collect();
        let responses: Vec<_> = answers
            .iter()
            .map(|&(n, verdict)| Response { text: "", tokens: &tokens[..n], verdict: Some(verdict) })
            .collect();
        penalty.score_group(&problem(), &responses).into_iter().map(|score| score.value).collect()
    }

    #[track_caller]
    fn assert_near(found: &[f32], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!((f64::from(*found) - expected).abs() < 2e-6, "{found} {expected}");
        }
    }

    /// Lengths and values by EasyR1's `dapo.py` at `b44b311`, TRL at `f2cd577` and verl's reward
    /// manager at `b178a3c`.
    #[test]
    fn overlong_answers_lose_what_they_lose_elsewhere() {
        let lost = |max_tokens, buffer, unbounded, lengths: &[usize]| {
            let answers: Vec<_> = lengths.iter().map(|&n| (n, Verdict::Right)).collect();
            values(Penalty::Overlong { max_tokens, buffer, unbounded }, &answers)
        };
        assert_near(
            &lost(20480, 4096, false, &[0, 100, 200, 15360, 16384, 16385, 18000, 20479, 20480, 20481, 30000]),
            &[0.0, 0.0, 0.0, 0.0, 0.0, -0.000244140625, -0.39453125, -0.999755859375, -1.0, -1.0, -1.0],
        );
        assert_near(&lost(100, 20, false, &[70, 80, 81, 90, 100, 101]), &[0.0, 0.0, -0.05, -0.5, -1.0, -1.0]);
        assert_near(
            &lost(1024, 512, true, &[0, 511, 512, 513, 700, 1023, 1024, 1025]),
            &[0.0, 0.0, 0.0, -0.001953125, -0.3671875, -0.998046875, -1.0, -1.001953125],
        );
    }

    /// Values by TRL at `f2cd577`.
    #[test]
    fn repetition_is_a_share_of_runs() {
        let cases: [(&[u32], f64); 4] = [
            (&[1, 2, 3, 4], 0.0),
            (&[5, 5, 5, 5, 5], -0.666_666_666_666_666_7),
            (&[1, 2], 0.0),
            (&[1, 2, 3, 1, 2, 3, 1, 2, 3], -0.571_428_571_428_571_4),
        ];
        for (tokens, expected) in cases {
            let response = Response { tokens, ..Response::from("") };
            assert_near(&[Penalty::Repetition { ngram: 3 }.score(&problem(), response).value], &[expected]);
        }
    }

    #[test]
    fn length_counts_by_whether_the_answer_is_right() {
        use Verdict::{Right, Wrong};
        let cosine = Penalty::CosineLength { target: 100, right: (0.0, -0.5), wrong: (-1.0, -0.5), beyond: -2.0 };
        let answers = [(50, Right), (50, Wrong), (99, Right), (99, Wrong), (100, Right), (101, Wrong)];
        assert_near(&values(cosine, &answers)[..2], &[-0.25, -0.75]);
        assert!(values(cosine, &answers)[2..4].iter().all(|value| (value + 0.5).abs() < 1e-3));
        assert_eq!(values(cosine, &answers)[4..], [-2.0, -2.0]);

        let dynamic = Penalty::DynamicLength { otherwise: 500, limit: 4096 };
        let answers = [(80, Right), (120, Right), (100, Wrong), (50, Wrong), (150, Wrong), (200, Wrong), (900, Wrong)];
        assert_near(&values(dynamic, &answers), &[0.0, 0.0, 0.0, -0.5, -0.5, -1.0, -1.0]);
        let answers = [(250, Wrong), (500, Wrong), (4095, Verdict::OutOfFuel), (4096, Wrong)];
        assert_near(&values(dynamic, &answers), &[-0.25, 0.0, 0.0, -0.5]);
    }

    #[test]
    fn penalties_join_a_reward() {
        let penalties = vec![
            (0.5, Penalty::Overlong { max_tokens: 10, buffer: 10, unbounded: false }),
            (0.2, Penalty::DynamicLength { otherwise: 5, limit: 100 }),
        ];
        let tokens = [1; 8];
        let responses = [r"<think></think>\boxed{7}", r"<think></think>\boxed{8}"];
        let responses = responses.map(|text| Response { tokens: &tokens, ..text.into() });
        let with = AnswerReward { penalties: penalties.clone(), ..AnswerReward::default() };
        let scores = with.score_group(&problem(), &responses);
        // Both answers are as long as the mean of the right ones.
        assert_near(&[scores[0].value, scores[1].value], &[1.0 - 0.4, 0.1 - 0.4]);
        let parts = |score: &Score| ["accuracy", "format", "overlong", "length"].map(|part| score.part(part).is_some());
        assert!(scores.iter().all(|score| parts(score) == [true; 4]));

        // Equal to a sum of rewards that are not coupled.
        let mut sum: Vec<(f32, Arc<dyn Reward>)> = vec![(1.0, Arc::new(AnswerReward::default()))];
        sum.extend(penalties.into_iter().map(|(weight, penalty)| (weight, Arc::new(penalty) as _)));
        assert_eq!(WeightedSum(sum).score_group(&problem(), &responses), scores);

        // On its own, the wrong answer is in a group without right ones; where only the text is
        // known, there is no penalty.
        assert_near(&[with.score(&problem(), responses[1]).value], &[0.1 - 0.4]);
        assert_near(&[with.score(&problem(), responses[1].text.into()).value], &[0.1]);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let cases = [
            (Penalty::Overlong { max_tokens: 5, buffer: 0, unbounded: false }, "`overlong.buffer` is 0"),
            (
                Penalty::Overlong { max_tokens: 5, buffer: 6, unbounded: true },
                "`overlong.buffer` is 6, expected at most max_tokens, 5",
            ),
            (
                Penalty::CosineLength { target: 0, right: (0.0, 0.0), wrong: (0.0, 0.0), beyond: 0.0 },
                "`length.target` is 0",
            ),
            (
                Penalty::CosineLength { target: 1, right: (0.0, f32::NAN), wrong: (0.0, 0.0), beyond: 0.0 },
                "`length.right` is NaN",
            ),
            (Penalty::DynamicLength { otherwise: 0, limit: 1 }, "`length.otherwise` is 0"),
            (Penalty::Repetition { ngram: 0 }, "`repetition.ngram` is 0"),
        ];
        for (penalty, expected) in cases {
            let error = penalty.check().unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            // Settings that were not checked do no harm.
            assert!(!values(penalty, &[(3, Verdict::Wrong)])[0].is_infinite());
        }
        assert_eq!(Penalty::Repetition { ngram: 20 }.check(), Ok(()));
    }
}
