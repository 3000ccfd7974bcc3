//! LLM judge of wrong answers: labels each as an error of perception or of reasoning.
//!
//! # Source
//! arXiv 2605.20177 §4.4, which labels the wrong answers of three benchmarks with a language model
//! and checks forty labels by hand (82.5 % agreement). Its prompt, and whether its judge sees the
//! image, are not known; ours sees the image and has a prompt of our own.

use crate::endpoint::{Endpoint, EndpointError};
use crate::parallel::in_parallel;
use crate::statistics::{Interval, wilson};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use seethink_core::{Image, ImageSource, is_right};
use seethink_data::ImageLoader;
use seethink_files::{JsonLines, JsonLinesError, read_json_lines};
use seethink_models::{Content, Message, Role};
use seethink_rollout::Sampling;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::path::Path;

/// Cause of a wrong answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Perception error: a part of the image was misread.
    Perception,
    /// Reasoning error: all that matters in the image was read rightly, and the conclusion is
    /// wrong.
    Reasoning,
    /// The cause cannot be determined.
    Unclear,
}

impl Cause {
    /// All causes.
    pub const ALL: [Self; 3] = [Self::Perception, Self::Reasoning, Self::Unclear];

    /// Name of the cause, as the judge has to write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Perception => "perception",
            Self::Reasoning => "reasoning",
            Self::Unclear => "unclear",
        }
    }

    /// Parses the last cause that a reply names on a line of its own; characters other than letters
    /// are ignored.
    pub fn read(said: &str) -> Option<Self> {
        let bare = |line: &str| line.chars().filter(char::is_ascii_alphabetic).collect::<String>().to_lowercase();
        said.lines().rev().map(bare).find_map(|line| {
            let line = line.strip_prefix("verdict").or(line.strip_prefix("cause")).unwrap_or(&line).to_owned();
            Self::ALL.into_iter().find(|cause| cause.name() == line)
        })
    }
}

/// Wrong answer of a model: a line of a run's `samples.jsonl`, or of a file with the same keys;
/// further keys are ignored.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct WrongAnswer {
    /// Id of the problem.
    pub problem: String,
    /// Number of training steps before the answer.
    #[serde(default)]
    pub step: usize,
    /// Capability that the problem exercises.
    #[serde(default)]
    pub capability: String,
    /// Text of the question.
    pub prompt: String,
    /// Images of the problem: files in base64.
    #[serde(default)]
    pub images: Vec<String>,
    /// Ground truth.
    pub answer: String,
    /// Completion of the model, with its reasoning.
    pub completion: String,
    /// Accuracy of the completion; at least a half is a right answer.
    #[serde(default)]
    accuracy: f32,
}

/// Label of a wrong answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Label {
    /// Id of the problem.
    pub problem: String,
    /// Number of training steps before the answer.
    #[serde(default)]
    pub step: usize,
    /// Cause of the wrong answer.
    pub cause: Cause,
    /// Name of the judge.
    #[serde(default)]
    pub judge: String,
    /// Reply of the judge.
    #[serde(default)]
    pub said: String,
}

/// Errors of judging. Labels made before an error are in their file.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    /// A file of answers or labels cannot be used, or a line of it is invalid.
    #[error(transparent)]
    Lines(#[from] JsonLinesError),
    /// An image of a problem cannot be decoded.
    #[error("a picture of problem {problem}: {what}")]
    Picture {
        /// The problem.
        problem: String,
        /// Description of the fault.
        what: String,
    },
    /// The judge's endpoint failed.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
}

/// Reads the wrong answers in a file.
///
/// # Errors
/// If the file cannot be read, or a line is not an answer; an incomplete last line is skipped.
pub fn wrong_answers(path: &Path) -> Result<Vec<WrongAnswer>, JudgeError> {
    let answers: Vec<WrongAnswer> = read_json_lines(path)?;
    Ok(answers.into_iter().filter(|answer| !is_right(answer.accuracy)).collect())
}

/// Reads the labels in a file, such as human labels; none if there is no file.
///
/// # Errors
/// If the file cannot be read, or a line is not a label; an incomplete last line is skipped.
pub fn labels(path: &Path) -> Result<Vec<Label>, JudgeError> {
    if path.exists() { Ok(read_json_lines(path)?) } else { Ok(Vec::new()) }
}

/// Judges all answers that this judge has not labelled yet, several in parallel, and appends the
/// labels to a file as they arrive. A reply without a cause is labelled as unclear. `progress`
/// receives the numbers of answers done and of all answers.
///
/// # Errors
/// If an image is broken, the judge does not answer, or the file cannot be written. Labels made
/// before are in the file.
pub fn judge(
    endpoint: &Endpoint,
    answers: &[WrongAnswer],
    out: &Path,
    parallel: usize,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Vec<Label>, JudgeError> {
    let name = &endpoint.options().model;
    let mut all: Vec<Label> = Vec::new();
    let mut file = JsonLines::open_exclusive(out, |line| {
        all.push(line.parse()?);
        Ok(true)
    })?;
    let done: BTreeSet<(String, usize)> =
        all.iter().filter(|label| label.judge == *name).map(|label| (label.problem.clone(), label.step)).collect();
    let open: Vec<&WrongAnswer> =
        answers.iter().filter(|one| !done.contains(&(one.problem.clone(), one.step))).collect();
    let mut n_done = answers.len() - open.len();
    for batch in open.chunks(parallel.max(1)) {
        progress(n_done, answers.len());
        let ask = |answer: &WrongAnswer| -> Result<Label, JudgeError> {
            let images = answer.images.iter().map(|one| decode(answer, one)).collect::<Result<Vec<_>, _>>()?;
            let mut said =
                endpoint.complete(&question(answer, images.len()), &images, &Sampling::greedy(1024), 1, 0)?;
            let said = said.pop().unwrap_or_default();
            let cause = Cause::read(&said).unwrap_or(Cause::Unclear);
            Ok(Label { problem: answer.problem.clone(), step: answer.step, cause, judge: name.clone(), said })
        };
        let results = in_parallel(batch, |answer| ask(answer));
        let mut first_error = Ok(());
        for result in results {
            match result {
                Ok(label) => {
                    file.push(std::slice::from_ref(&label))?;
                    all.push(label);
                    n_done += 1;
                }
                Err(error) => first_error = first_error.and(Err(error)),
            }
        }
        first_error?;
    }
    progress(n_done, answers.len());
    let asked: BTreeSet<(&str, usize)> = answers.iter().map(|one| (one.problem.as_str(), one.step)).collect();
    all.retain(|label| label.judge == *name && asked.contains(&(label.problem.as_str(), label.step)));
    Ok(all)
}

/// Prompt of the judge.
fn question(answer: &WrongAnswer, n_images: usize) -> Vec<Message> {
    let text = |text: String| Content::Text { text };
    let question = answer.prompt.replace(seethink_core::Problem::IMAGE_PLACEHOLDER, "");
    let mut content: Vec<Content> = (0..n_images).map(|_| Content::Image).collect();
    content.push(text(format!(
        "Somebody was asked about what you see, and the answer is wrong. Say why.\n\nQuestion:\n{}\n\nRight answer: {}\n\nWhat was \
         answered:\n{}\n\nLook at the picture yourself, and find the first step that goes wrong. If it states something about the \
         picture that is not so, or overlooks something that it shows and that matters, the cause is perception. If everything that \
         matters was seen rightly and the mistake is in what was made of it (arithmetic, logic, a rule misapplied, the question \
         misunderstood), the cause is reasoning. If it cannot be told, it is unclear.\n\nGive your reason in two sentences at most. \
         Then write one of these three words alone on the last line: perception, reasoning, unclear.",
        question.trim(),
        answer.answer,
        answer.completion.trim(),
    )));
    vec![Message { role: Role::User, content }]
}

fn decode(answer: &WrongAnswer, base64: &str) -> Result<Image, JudgeError> {
    let wrong = |what: &dyn Display| JudgeError::Picture { problem: answer.problem.clone(), what: what.to_string() };
    let bytes = BASE64.decode(base64).map_err(|error| wrong(&error))?;
    ImageLoader::default().load(&ImageSource::Encoded(bytes.into())).map_err(|error| wrong(&error))
}

/// Share of a cause among labelled answers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share {
    /// Number of answers with the cause.
    pub n: usize,
    /// Number of all answers.
    pub of: usize,
    /// 95 % Wilson interval of the share.
    pub interval: Option<Interval>,
}

impl Share {
    fn new(n: usize, of: usize) -> Self {
        Self { n, of, interval: wilson(n as f64 / of.max(1) as f64, of as u64) }
    }
}

/// Shares of all causes.
pub fn shares(labels: &[Label]) -> [(Cause, Share); 3] {
    Cause::ALL.map(|cause| {
        let n = labels.iter().filter(|label| label.cause == cause).count();
        (cause, Share::new(n, labels.len()))
    })
}

/// Agreement of two judges.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Agreement {
    /// Answers that both judges label alike, of those that both label.
    pub alike: Share,
    /// Cohen's kappa: agreement beyond chance; `None` where chance alone would agree everywhere.
    pub kappa: Option<f64>,
}

/// Computes the agreement of two sets of labels, such as a judge's and human ones; `None` if they
/// have no answer in common.
///
/// # Source
/// J. Cohen, *A coefficient of agreement for nominal scales*, Educational and Psychological
/// Measurement 20 (1960).
pub fn agreement(labels: &[Label], others: &[Label]) -> Option<Agreement> {
    let others: BTreeMap<(&str, usize), Cause> =
        others.iter().map(|label| ((label.problem.as_str(), label.step), label.cause)).collect();
    let pairs: Vec<(Cause, Cause)> = labels
        .iter()
        .filter_map(|label| Some((label.cause, *others.get(&(label.problem.as_str(), label.step))?)))
        .collect();
    let n = pairs.len();
    if n == 0 {
        return None;
    }
    let alike = pairs.iter().filter(|(one, other)| one == other).count();
    let share = |of: &dyn Fn(&(Cause, Cause)) -> bool| pairs.iter().filter(|pair| of(pair)).count() as f64 / n as f64;
    let chance: f64 =
        Cause::ALL.iter().map(|cause| share(&|pair| pair.0 == *cause) * share(&|pair| pair.1 == *cause)).sum();
    let kappa = (chance < 1.0).then(|| (alike as f64 / n as f64 - chance) / (1.0 - chance));
    Some(Agreement { alike: Share::new(alike, n), kappa })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_counts() {
        for (said, expected) in [
            ("It says 7, but the picture shows 1.\nperception", Some(Cause::Perception)),
            ("It could be perception.\n\n**Reasoning**.\n", Some(Cause::Reasoning)),
            ("Verdict: unclear", Some(Cause::Unclear)),
            ("perception\nreasoning", Some(Cause::Reasoning)),
            ("The cause is perception because of the 7.", None),
            ("", None),
        ] {
            assert_eq!(Cause::read(said), expected, "{said}");
        }
    }

    fn label(problem: &str, cause: Cause) -> Label {
        Label { problem: problem.into(), step: 0, cause, judge: String::new(), said: String::new() }
    }

    #[test]
    fn agreement_is_corrected_for_chance() {
        use Cause::{Perception as P, Reasoning as R};
        let of = |causes: &[Cause]| {
            causes.iter().enumerate().map(|(i, cause)| label(&i.to_string(), *cause)).collect::<Vec<_>>()
        };
        // Cohen's kappa by hand: 7 of 10 alike, chance 0.7 · 0.6 + 0.3 · 0.4 = 0.54.
        let (one, other) = (of(&[P, P, P, P, P, P, P, R, R, R]), of(&[P, P, P, P, P, R, R, R, R, P]));
        let found = agreement(&one, &other).unwrap();
        assert_eq!((found.alike.n, found.alike.of), (7, 10));
        assert!((found.kappa.unwrap() - (0.7 - 0.54) / 0.46).abs() < 1e-12);
        assert_eq!(agreement(&of(&[P, P]), &of(&[P, P])).unwrap().kappa, None);
        assert_eq!(agreement(&one, &[label("elsewhere", P)]), None);
        let [(_, perception), ..] = shares(&one);
        assert_eq!((perception.n, perception.of), (7, 10));
    }
}
