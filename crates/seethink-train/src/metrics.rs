//! Metrics of a step: as burn's metrics, and as lines of a JSONL file.

use burn::tensor::{ExecutionError, TensorReadError};
use burn::train::ItemLazy;
use burn::train::metric::state::{FormatOptions, NumericMetricState};
use burn::train::metric::{
    Adaptor, Metric, MetricAttributes, MetricMetadata, MetricName, Numeric, NumericAttributes, NumericEntry,
    SerializedEntry,
};
use seethink_files::{JsonLines, JsonLinesError, read_json_lines};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
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

/// Metrics file, to which one JSON object is appended per step.
#[derive(Debug)]
pub struct MetricsFile(JsonLines);

impl MetricsFile {
    /// Opens the file for appending, keeping the lines of steps before `first_step`: it and the
    /// later ones will be written (again).
    ///
    /// # Errors
    /// If the file cannot be read or written, or a line is no record (the message names the line).
    pub fn open(path: &Path, first_step: usize) -> Result<Self, JsonLinesError> {
        JsonLines::open(path, |line| Ok(line.parse::<StepRecord>()?.step < first_step)).map(Self)
    }

    /// Appends a record. Values that are not finite are left out: JSON cannot represent them.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn push(&mut self, record: &StepRecord) -> Result<(), JsonLinesError> {
        let mut record = record.clone();
        record.metrics.retain(|_, value| value.is_finite());
        self.0.push(&[record])
    }

    /// Reads all records of a file. A last line that was cut off by a crash is left out.
    ///
    /// # Errors
    /// If the file cannot be read or a line is no record.
    pub fn read(path: &Path) -> Result<Vec<StepRecord>, JsonLinesError> {
        read_json_lines(path)
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
}
