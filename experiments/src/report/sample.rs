//! Completions kept for people to read.

use super::{ReportError, files};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// One completion of one problem, with everything that is needed to judge it by eye.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// Steps done when it was written; 0 is the base model.
    pub step: usize,
    /// Name of the stage that had just ended, `base` before the first.
    pub stage: String,
    /// Capability that the problem tests.
    pub capability: String,
    /// Id of the problem.
    pub problem: String,
    /// Text of the prompt, as a person would read it.
    pub prompt: String,
    /// The pictures, each a PNG in base64 (standard alphabet, no `data:` prefix).
    pub images: Vec<String>,
    /// The right answer.
    pub answer: String,
    /// What the model wrote.
    pub completion: String,
    /// Accuracy part of the score, in `[0, 1]`.
    pub accuracy: f32,
    /// Format part of the score, in `[0, 1]`.
    pub format: f32,
}

impl Sample {
    /// Whether the answer counts as right.
    pub fn is_right(&self) -> bool {
        self.accuracy > 0.5
    }
}

/// Appends samples to a JSONL file.
#[derive(Debug)]
pub struct SampleFile {
    path: PathBuf,
    file: File,
}

impl SampleFile {
    /// Opens the file for appending. Up to `resumed_step` its samples are kept, the later ones will be repeated; a new
    /// run keeps nothing.
    ///
    /// # Errors
    /// If the file cannot be read or written, or a line before the last is no sample (the message names the line).
    pub fn open(path: &Path, resumed_step: Option<usize>) -> Result<Self, ReportError> {
        let mut kept = Vec::new();
        if let Some(step) = resumed_step {
            let samples = Self::read(path).or_else(ReportError::missing_is(Vec::new()))?;
            for sample in samples.iter().filter(|sample| sample.step <= step) {
                kept.extend(Self::line(path, sample)?);
            }
        }
        files::write(path, &kept)?;
        let file = OpenOptions::new().append(true).open(path).map_err(ReportError::write(path))?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Appends a sample.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn push(&mut self, sample: &Sample) -> Result<(), ReportError> {
        self.file.write_all(&Self::line(&self.path, sample)?).map_err(ReportError::write(&self.path))
    }

    /// All samples of a file. A last line that was cut off by a crash is left out, and so are repetitions: a run that was killed
    /// between an evaluation and the next checkpoint evaluates again, with the same result.
    ///
    /// # Errors
    /// If the file cannot be read or a line before the last is no sample.
    pub fn read(path: &Path) -> Result<Vec<Sample>, ReportError> {
        let mut samples: Vec<Sample> = files::read_jsonl(path)?;
        let mut seen = BTreeSet::new();
        samples.retain(|sample| seen.insert((sample.step, sample.problem.clone())));
        Ok(samples)
    }

    fn line(path: &Path, sample: &Sample) -> Result<Vec<u8>, ReportError> {
        let encode = |source| ReportError::Encode { path: path.to_owned(), source };
        let mut line = serde_json::to_vec(sample).map_err(encode)?;
        line.push(b'\n');
        Ok(line)
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
        let mut file = SampleFile::open(&path, None).unwrap();
        all.iter().for_each(|sample| file.push(sample).unwrap());
        drop(file);
        assert_eq!(SampleFile::read(&path).unwrap(), all);

        let mut file = SampleFile::open(&path, Some(usize::MAX)).unwrap();
        file.push(&all[0]).unwrap();
        assert_eq!(SampleFile::read(&path).unwrap(), all, "a repeated evaluation counts once");

        drop(SampleFile::open(&path, Some(0)).unwrap());
        let kept = SampleFile::read(&path).unwrap();
        assert!(!kept.is_empty() && kept.len() < all.len());
        assert!(kept.iter().all(|sample| sample.step == 0));

        drop(SampleFile::open(&path, None).unwrap());
        assert!(SampleFile::read(&path).unwrap().is_empty());
    }
}
