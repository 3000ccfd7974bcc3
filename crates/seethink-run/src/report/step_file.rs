//! JSONL files that a run appends to between its steps: samples and outcomes.

use super::ReportError;
use seethink_core::is_right;
use seethink_files::{JsonLines, read_json_lines};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::path::Path;

/// Line of a step file.
pub trait StepLine: Serialize + DeserializeOwned {
    /// Number of steps done; 0 is the base model.
    fn step(&self) -> usize;
    /// Subject of the line; subject and step identify a line.
    fn subject(&self) -> &str;
}

/// Sample: one completion of one problem, with everything needed to judge it by eye.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// Number of steps done; 0 is the base model.
    pub step: usize,
    /// Name of the stage that had just ended, `base` before the first.
    pub stage: String,
    /// Capability that the problem tests.
    pub capability: String,
    /// Id of the problem.
    pub problem: String,
    /// Text of the prompt, as a human reader sees it.
    pub prompt: String,
    /// Images of the problem, each a PNG in base64 (standard alphabet, no `data:` prefix).
    pub images: Vec<String>,
    /// Ground truth.
    pub answer: String,
    /// Completion of the model.
    pub completion: String,
    /// Accuracy part of the score, in `[0, 1]`.
    pub accuracy: f32,
    /// Format part of the score, in `[0, 1]`.
    pub format: f32,
}

impl Sample {
    /// Returns whether the answer counts as right.
    pub fn is_right(&self) -> bool {
        is_right(self.accuracy)
    }
}

impl StepLine for Sample {
    fn step(&self) -> usize {
        self.step
    }

    fn subject(&self) -> &str {
        &self.problem
    }
}

/// Outcomes of all problems of a capability, for comparisons of runs problem by problem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcomes {
    /// Number of steps done; 0 is the base model.
    pub step: usize,
    /// Name of the stage that had just ended, `base` before the first.
    pub stage: String,
    /// Name of the benchmark: `test`, or `validation` for one that is measured more often.
    #[serde(default = "test")]
    pub benchmark: String,
    /// Capability that the problems test.
    pub capability: String,
    /// Digest of the problems: a hash of their ids, in order. Outcomes of equal problems can be
    /// compared one by one.
    pub problems: String,
    /// Outcomes, a letter per problem, see [`Outcome`](seethink_eval::Outcome).
    pub outcomes: String,
}

fn test() -> String {
    "test".into()
}

impl StepLine for Outcomes {
    fn step(&self) -> usize {
        self.step
    }

    fn subject(&self) -> &str {
        &self.capability
    }
}

/// JSONL file to which lines are appended.
#[derive(Debug)]
pub struct StepFile<T> {
    lines: JsonLines,
    line: PhantomData<T>,
}

impl<T: StepLine> StepFile<T> {
    /// Opens the file for appending. Lines up to `resumed_step` are kept, later ones are removed as
    /// they will be repeated; a new run keeps no lines.
    ///
    /// # Errors
    /// If the file cannot be read or written, or a complete line cannot be parsed (the message
    /// names the line).
    pub fn open(path: &Path, resumed_step: Option<usize>) -> Result<Self, ReportError> {
        let lines = JsonLines::open(path, |line| match resumed_step {
            Some(step) => Ok(line.parse::<T>()?.step() <= step),
            None => Ok(false),
        })?;
        Ok(Self { lines, line: PhantomData })
    }

    /// Appends lines and flushes them to the disk.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn push(&mut self, lines: &[T]) -> Result<(), ReportError> {
        Ok(self.lines.push(lines)?)
    }

    /// Reads all lines of a file. An incomplete last line is left out, and so are repetitions: a
    /// run that was killed between an evaluation and the next checkpoint evaluates again, with the
    /// same result.
    ///
    /// # Errors
    /// If the file cannot be read or a complete line cannot be parsed.
    pub fn read(path: &Path) -> Result<Vec<T>, ReportError> {
        let mut lines: Vec<T> = read_json_lines(path)?;
        let mut seen = BTreeSet::new();
        lines.retain(|line| seen.insert((line.step(), line.subject().to_owned())));
        Ok(lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::samples;

    #[test]
    fn a_resumed_file_continues_where_the_checkpoint_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("samples.jsonl");
        let all = samples();
        let mut file = StepFile::open(&path, None).unwrap();
        file.push(&all).unwrap();
        drop(file);
        assert_eq!(StepFile::<Sample>::read(&path).unwrap(), all);

        let mut file = StepFile::open(&path, Some(usize::MAX)).unwrap();
        file.push(&all[..1]).unwrap();
        assert_eq!(StepFile::<Sample>::read(&path).unwrap(), all, "a repeated evaluation counts once");

        drop(StepFile::<Sample>::open(&path, Some(0)).unwrap());
        let kept = StepFile::<Sample>::read(&path).unwrap();
        assert!(!kept.is_empty() && kept.len() < all.len());
        assert!(kept.iter().all(|sample| sample.step == 0));

        drop(StepFile::<Sample>::open(&path, None).unwrap());
        assert!(StepFile::<Sample>::read(&path).unwrap().is_empty());
    }
}
