//! Metrics of a step: as burn's metrics, and as lines of a JSONL file.

use burn::tensor::{ExecutionError, TensorReadError};
use burn::train::ItemLazy;
use burn::train::metric::state::{FormatOptions, NumericMetricState};
use burn::train::metric::{
    Adaptor, Metric, MetricAttributes, MetricMetadata, MetricName, Numeric, NumericAttributes, NumericEntry,
    SerializedEntry,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Metric values by key, `owner/quantity`.
pub type Metrics = BTreeMap<String, f64>;

/// Output of a training step, reported to burn.
#[derive(Debug, Clone, Default)]
pub struct StepOutput {
    /// Metric values by key.
    pub metrics: Metrics,
}

impl ItemLazy for StepOutput {
    fn sync(self) -> Result<Self, ExecutionError> {
        Ok(self)
    }
}

impl Adaptor<Metrics> for StepOutput {
    fn adapt(&self) -> Metrics {
        self.metrics.clone()
    }
}

/// One key of [`Metrics`] as a burn metric, for its dashboard and file logger.
#[derive(Clone)]
pub(crate) struct KeyMetric {
    key: &'static str,
    higher_is_better: bool,
    state: NumericMetricState,
}

impl KeyMetric {
    /// Creates the metric that reads `key`.
    pub(crate) fn new(key: &'static str, higher_is_better: bool) -> Self {
        Self { key, higher_is_better, state: NumericMetricState::default() }
    }

    fn format(&self) -> FormatOptions {
        FormatOptions::new(self.name()).precision(3)
    }
}

impl Metric for KeyMetric {
    type Input = Metrics;

    /// Metric name: the key with a dot for the slash, because burn's file logger makes a file of
    /// this name.
    fn name(&self) -> MetricName {
        Arc::new(self.key.replace('/', "."))
    }

    fn attributes(&self) -> MetricAttributes {
        NumericAttributes { unit: None, higher_is_better: self.higher_is_better }.into()
    }

    fn update(&mut self, metrics: &Metrics, _: &MetricMetadata) -> Result<SerializedEntry, TensorReadError> {
        if let Some(&value) = metrics.get(self.key) {
            self.state.update(value, 1);
        }
        Ok(self.state.compute_update(self.format()))
    }

    fn compute(&mut self) -> Result<SerializedEntry, TensorReadError> {
        Ok(self.state.compute_final(self.format()))
    }

    fn clear(&mut self) {
        self.state.reset();
    }
}

impl Numeric for KeyMetric {
    fn value(&self) -> Option<NumericEntry> {
        Some(self.state.current_value())
    }

    fn running_value(&self) -> Option<NumericEntry> {
        Some(self.state.running_value())
    }

    fn final_value(&self) -> NumericEntry {
        self.state.final_value()
    }
}

/// Record of a step: a line of the metrics file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepRecord {
    /// Steps done, this one included.
    pub step: usize,
    /// Name of the stage.
    pub stage: String,
    /// Metric values by key.
    pub metrics: Metrics,
}

/// Appends one JSON object per step to a file.
#[derive(Debug)]
pub struct MetricsFile {
    path: PathBuf,
    file: File,
}

impl MetricsFile {
    /// Opens the file for appending, keeping the lines of steps before `first_step`: it and the
    /// later ones will be written (again).
    ///
    /// # Errors
    /// If the file cannot be read or written, or a line is no record (the message names the line).
    pub fn open(path: &Path, first_step: usize) -> std::io::Result<Self> {
        let lines = if path.exists() { Self::lines(path)? } else { Vec::new() };
        let kept = lines.iter().filter(|(record, _)| record.step < first_step);
        let text: String = kept.flat_map(|(_, line)| [line.as_str(), "\n"]).collect();
        seethink_files::write(path, text.as_bytes())?;
        Ok(Self { path: path.to_owned(), file: OpenOptions::new().append(true).open(path)? })
    }

    /// Appends a record. Values that are not finite are left out: JSON cannot represent them.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn push(&mut self, record: &StepRecord) -> std::io::Result<()> {
        let mut record = record.clone();
        record.metrics.retain(|_, value| value.is_finite());
        writeln!(self.file, "{}", serde_json::to_string(&record)?)
    }

    /// Path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads all records of a file. A last line that was cut off by a crash is left out.
    ///
    /// # Errors
    /// If the file cannot be read or a line is no record.
    pub fn read(path: &Path) -> std::io::Result<Vec<StepRecord>> {
        Ok(Self::lines(path)?.into_iter().map(|(record, _)| record).collect())
    }

    /// All records with the text of their lines: written again, a number could lose its last bit.
    fn lines(path: &Path) -> std::io::Result<Vec<(StepRecord, String)>> {
        let lines: Vec<String> = BufReader::new(File::open(path)?).lines().collect::<Result<_, _>>()?;
        let n_lines = lines.len();
        let mut records = Vec::with_capacity(n_lines);
        for (i, line) in lines.into_iter().enumerate() {
            match serde_json::from_str(&line) {
                Ok(record) => records.push((record, line)),
                Err(_) if i + 1 == n_lines => {}
                Err(error) => {
                    let message = format!("{}, line {}: {error}", path.display(), i + 1);
                    return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, message));
                }
            }
        }
        Ok(records)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(step: usize) -> StepRecord {
        StepRecord {
            step,
            stage: "perception".into(),
            metrics: Metrics::from([("reward/mean".into(), 0.1 * step as f64)]),
        }
    }

    #[test]
    fn a_resumed_file_continues_where_the_checkpoint_was() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("metrics.jsonl");
        let mut file = MetricsFile::open(&path, 0).expect("open");
        (1..=5).for_each(|step| file.push(&record(step)).expect("push"));
        let mut file = MetricsFile::open(&path, 4).expect("reopen");
        file.push(&record(4)).expect("push");
        assert_eq!(MetricsFile::read(&path).expect("read"), (1..=4).map(record).collect::<Vec<_>>());
    }

    #[test]
    fn a_number_that_json_lacks_does_not_break_the_file() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("metrics.jsonl");
        let mut broken = record(1);
        broken.metrics.insert("update/grad_norm".into(), f64::NAN);
        MetricsFile::open(&path, 0).and_then(|mut file| file.push(&broken)).expect("write");
        assert_eq!(MetricsFile::read(&path).expect("read"), [record(1)]);
    }

    #[test]
    fn a_line_cut_off_by_a_crash_is_dropped_and_a_broken_one_is_named() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("metrics.jsonl");
        let line = serde_json::to_string(&record(1)).expect("json");
        std::fs::write(&path, format!("{line}\n{{\"step\": 2, ")).expect("write");
        assert_eq!(MetricsFile::read(&path).expect("read"), [record(1)]);
        std::fs::write(&path, format!("nonsense\n{line}\n")).expect("write");
        assert!(MetricsFile::read(&path).expect_err("broken").to_string().contains("line 1"));
    }
}
