//! Accuracy and format reward: the paper's and its relatives.

use crate::{Extractor, Format, Penalty, Response, Reward, Rule, Score, Unscorable, Verdict, score};
use seethink_core::{Problem, SettingError};
use serde::{Deserialize, Serialize};

/// Accuracy and format reward:
/// `value = accuracy_weight · accuracy + format_weight · format + Σ weight · penalty`, the first
/// two parts 0 or 1.
///
/// *accuracy*: the extracted answer is right by the rule.
/// *format*: the completion has the format.
/// *penalty*: deductions for length and repetition; the paper's reward has none.
///
/// # Source
/// arXiv 2605.20177, `training/reward_functions/math.py` (EasyR1's `math.py`), weights 0.9 and 0.1.
/// Differs: a completion without a box is never right (there it reads "None", which equals a ground
/// truth of "None"), and the rule is [`Rule::Light`] unless another is asked for, with which an
/// option letter may be followed by its text.
///
/// # Examples
/// ```
/// use seethink_core::{Capability, Problem, ProblemId};
/// use seethink_reward::{AnswerReward, Extractor, Format, Reward, Rule};
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
/// let reward = AnswerReward::default();
/// assert_eq!(reward.score(&problem, r"<think>1+1=2.</think> \boxed{2}".into()).value, 1.0);
/// assert_eq!(reward.score(&problem, r"It is \boxed{2}".into()).value, 0.9);
/// assert_eq!(reward.score(&problem, "2".into()).value, 0.0);
/// // EasyR1's `r1v.py`.
/// let tagged = AnswerReward {
///     accuracy_weight: 0.5,
///     format_weight: 0.5,
///     format: Format::ThinkAnswer,
///     answer: Extractor::AnswerTag,
///     rule: Rule::Mathruler,
///     ..AnswerReward::default()
/// };
/// assert_eq!(tagged.score(&problem, "<think>1+1</think> <answer>3</answer>".into()).value, 0.5);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AnswerReward {
    /// Weight of the accuracy part.
    pub accuracy_weight: f32,
    /// Weight of the format part.
    pub format_weight: f32,
    /// Format that completions should have.
    #[serde(skip_serializing_if = "is_usual")]
    pub format: Format,
    /// Extractor of the answer.
    #[serde(skip_serializing_if = "is_usual")]
    pub answer: Extractor,
    /// Fallback extractors, tried in turn if the first finds no answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub otherwise: Vec<Extractor>,
    /// Rule that judges the answer.
    #[serde(skip_serializing_if = "is_usual")]
    pub rule: Rule,
    /// Credit for an answer that lists several values.
    #[serde(skip_serializing_if = "is_usual")]
    pub lists: Lists,
    /// Penalties for length and repetition, each with its weight.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub penalties: Vec<(f32, Penalty)>,
}

/// Credit for an answer that lists several values, separated by blanks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Lists {
    /// A list is judged as any other answer: right or not.
    #[default]
    Whole,
    /// A list as long as the right one has the share of its values that are right as its accuracy; its
    /// verdict is that of the whole.
    Share,
}

impl Lists {
    /// Accuracy of an answer whose verdict is known.
    fn accuracy(self, rule: &Rule, expected: &str, answer: Option<&str>, verdict: &Verdict) -> f32 {
        let whole = f32::from(u8::from(*verdict == Verdict::Right));
        let (Self::Share, Some(answer)) = (self, answer) else { return whole };
        let (expected, answer) = (expected.split_whitespace(), answer.split_whitespace());
        let n = expected.clone().count();
        if n < 2 || answer.clone().count() != n || whole == 1.0 {
            return whole;
        }
        let right =
            expected.zip(answer).filter(|(expected, answer)| rule.judge(expected, answer).verdict == Verdict::Right);
        right.count() as f32 / n as f32
    }
}

/// Returns whether a setting has its default, and is left out when written.
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
            otherwise: Vec::new(),
            rule: Rule::default(),
            lists: Lists::default(),
            penalties: Vec::new(),
        }
    }
}

impl AnswerReward {
    /// Checks the settings.
    ///
    /// # Errors
    /// If a setting is out of range; the error names it.
    pub fn check(&self) -> Result<(), SettingError> {
        let weights = [("accuracy_weight", self.accuracy_weight), ("format_weight", self.format_weight)];
        let penalties = self.penalties.iter().map(|(weight, penalty)| (penalty.name(), *weight));
        if let Some((key, weight)) = weights.into_iter().chain(penalties).find(|(_, weight)| !weight.is_finite()) {
            return Err(SettingError::new(key, weight, "a weight that is a finite number"));
        }
        for (i, (_, penalty)) in self.penalties.iter().enumerate() {
            penalty.check()?;
            if self.penalties[..i].iter().any(|(_, earlier)| earlier.name() == penalty.name()) {
                return Err(SettingError::new("penalties", format!("`{}` twice", penalty.name()), "each kind once"));
            }
        }
        self.rule.check()
    }

    fn of_answer(&self, problem: &Problem, response: &Response<'_>) -> Score {
        let found = Extractor::first(std::iter::once(&self.answer).chain(&self.otherwise), response.text);
        let verdict = match found {
            Some(answer) => self.rule.judge(&problem.answer, answer.text).verdict,
            None => Verdict::Unscorable(Unscorable::NoAnswer),
        };
        let accuracy = self.lists.accuracy(&self.rule, &problem.answer, found.map(|answer| answer.text), &verdict);
        let format = f32::from(u8::from(self.format.holds(response.text)));
        Score {
            value: self.accuracy_weight * accuracy + self.format_weight * format,
            parts: vec![("accuracy", accuracy), ("format", format)],
            verdict: Some(verdict),
            found: found.map(|answer| (answer.by, answer.at..answer.at + answer.text.len())),
        }
    }
}

impl Reward for AnswerReward {
    fn name(&self) -> &'static str {
        "answer"
    }

    fn score(&self, problem: &Problem, response: Response<'_>) -> Score {
        self.score_group(problem, &[response]).pop().unwrap_or_default()
    }

    fn score_group(&self, problem: &Problem, responses: &[Response<'_>]) -> Vec<Score> {
        let mut scores: Vec<_> = responses.iter().map(|response| self.of_answer(problem, response)).collect();
        let penalties = self.penalties.iter();
        penalties.for_each(|(weight, penalty)| score::add(&mut scores, *weight, penalty, problem, responses));
        scores
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score::testing::problem;

    #[test]
    fn answers_are_looked_for_in_turn() {
        let reward = AnswerReward {
            answer: Extractor::Boxed,
            otherwise: vec![Extractor::Phrase, Extractor::FinalNumber],
            ..AnswerReward::default()
        };
        let cases = [
            (r"\boxed{7}, not 8", Some((Extractor::Boxed, 7..8)), Verdict::Right),
            ("The answer is 7.", Some((Extractor::Phrase, 14..15)), Verdict::Right),
            ("7 or 8", Some((Extractor::FinalNumber, 5..6)), Verdict::Wrong),
            ("seven", None, Verdict::Unscorable(Unscorable::NoAnswer)),
        ];
        for (text, found, verdict) in cases {
            let score = reward.score(&problem(), text.into());
            assert_eq!((score.found, score.verdict), (found, Some(verdict)), "{text}");
        }
    }

    #[test]
    fn a_list_earns_the_share_of_its_values_where_that_is_asked_for() {
        let list = Problem { answer: "3 5 9".into(), ..problem() };
        let accuracy = |lists, problem: &Problem, answer: &str| {
            let reward = AnswerReward { lists, ..AnswerReward::default() };
            let score = reward.score(problem, format!("<think>.</think> \\boxed{{{answer}}}").as_str().into());
            assert_eq!(score.verdict == Some(Verdict::Right), score.part("accuracy") == Some(1.0));
            score.part("accuracy").unwrap()
        };
        for (answer, whole, share) in
            [("3 5 9", 1.0, 1.0), ("3 4 9", 0.0, 2.0 / 3.0), ("1 1 1", 0.0, 0.0), ("3 5", 0.0, 0.0), ("", 0.0, 0.0)]
        {
            assert_eq!((accuracy(Lists::Whole, &list, answer), accuracy(Lists::Share, &list, answer)), (whole, share));
        }
        assert_eq!(accuracy(Lists::Share, &problem(), "7"), 1.0);
        assert_eq!(accuracy(Lists::Share, &problem(), "8"), 0.0);
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let overlong = (0.5, Penalty::Overlong { max_tokens: 8, buffer: 4, unbounded: false });
        let numeric = |absolute, relative| Rule::Numeric { absolute, relative };
        let usual = AnswerReward::default;
        let cases = [
            (AnswerReward { accuracy_weight: f32::NAN, ..usual() }, "`accuracy_weight` is NaN"),
            (AnswerReward { penalties: vec![overlong; 2], ..usual() }, "`penalties` is `overlong` twice"),
            (AnswerReward { penalties: vec![(f32::INFINITY, overlong.1)], ..usual() }, "`overlong` is inf"),
            (
                AnswerReward { penalties: vec![(1.0, Penalty::Repetition { ngram: 0 })], ..usual() },
                "`repetition.ngram` is 0",
            ),
            (AnswerReward { rule: numeric(f64::NAN, 0.0), ..usual() }, "`rule.absolute` is NaN"),
            (AnswerReward { rule: numeric(0.0, -1.0), ..usual() }, "`rule.relative` is -1"),
        ];
        for (reward, expected) in cases {
            let error = reward.check().unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        assert_eq!(AnswerReward { penalties: vec![overlong], rule: numeric(0.0, 0.1), ..usual() }.check(), Ok(()));
    }
}
