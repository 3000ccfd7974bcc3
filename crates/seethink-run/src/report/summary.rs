//! Summary of a run: accuracies and costs after each stage.

use super::RunCosts;
use super::records::{capabilities, stages};
use seethink_eval::statistics::{Interval, wilson};
use seethink_train::StepRecord;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Summary of a run: the content of `summary.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunSummary {
    /// Heading of the run.
    pub title: String,
    /// Number of steps done.
    pub steps: usize,
    /// Capabilities that were tested or validated, in alphabetical order.
    pub capabilities: Vec<String>,
    /// Checkpoints: the base model, then the model after each stage.
    pub checkpoints: Vec<Checkpoint>,
    /// Costs of the whole run.
    pub total: RunCosts,
}

/// Model at the end of a stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Name of the stage; `base` for the model that the run started from.
    pub stage: String,
    /// Steps done since the start of the run.
    pub step: usize,
    /// Test results by capability. Empty if the stage was interrupted before its test.
    pub test: BTreeMap<String, Measurement>,
    /// Mean length of the test completions in tokens, over all problems of all capabilities.
    pub mean_length: Option<f64>,
    /// Costs of this stage alone.
    pub spent: RunCosts,
}

/// Test results of one capability.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// Fraction of problems answered correctly.
    pub accuracy: f64,
    /// Number of problems tested.
    pub n: Option<u64>,
    /// 95 % Wilson interval of the accuracy.
    pub interval: Option<Interval>,
    /// Mean length of the completions in tokens.
    pub length: Option<f64>,
    /// Fraction of completions in the right format.
    pub format: Option<f64>,
}

impl RunSummary {
    /// Summarises the records of a run, in the order of the file.
    pub fn new(title: &str, records: &[StepRecord]) -> Self {
        let capabilities = capabilities(records);
        let mut spent_before = RunCosts::default();
        let mut n_read = 0;
        let checkpoint = |stage: &[StepRecord]| {
            n_read += stage.len();
            let spent_so_far = RunCosts::until(&records[..n_read]);
            let spent = spent_so_far.since(&spent_before);
            spent_before = spent_so_far;
            Checkpoint::new(stage, &capabilities, spent)
        };
        let checkpoints: Vec<_> = stages(records).map(checkpoint).collect();
        let steps = records.iter().map(|record| record.step).max().unwrap_or(0);
        Self { title: title.to_owned(), steps, capabilities, checkpoints, total: spent_before }
    }

    /// Adds a stage before step 0, such as caption fine-tuning, with its costs.
    pub(super) fn precede(&mut self, stage: &str, spent: &RunCosts) {
        if let Some(first) = self.checkpoints.first_mut() {
            first.stage = stage.to_owned();
            first.spent = first.spent.plus(spent);
        }
        self.total = self.total.plus(spent);
    }
}

impl Checkpoint {
    fn new(stage: &[StepRecord], capabilities: &[String], spent: RunCosts) -> Self {
        let test: BTreeMap<_, _> = capabilities
            .iter()
            .filter_map(|capability| Some((capability.clone(), Measurement::last(stage, "test", capability)?)))
            .collect();
        let last = stage.last();
        Self {
            stage: last.map(|record| record.stage.clone()).unwrap_or_default(),
            step: last.map_or(0, |record| record.step),
            mean_length: mean_length(&test),
            test,
            spent,
        }
    }

    /// Returns whether this is the model that the run started from.
    pub fn is_base(&self) -> bool {
        self.step == 0 && self.stage == "base"
    }
}

impl Measurement {
    /// Measurement in one record, for `split` either `test` or `validation`.
    pub(super) fn of(record: &StepRecord, split: &str, capability: &str) -> Option<Self> {
        let get = |quantity| record.metrics.get(&format!("{split}/{capability}/{quantity}")).copied();
        let accuracy = get("accuracy")?;
        let n = get("n").filter(|&n| n >= 1.0).map(|n| n.round() as u64);
        let interval = n.and_then(|n| wilson(accuracy, n));
        Some(Self { accuracy, n, interval, length: get("length"), format: get("format") })
    }

    fn last(records: &[StepRecord], split: &str, capability: &str) -> Option<Self> {
        records.iter().rev().find_map(|record| Self::of(record, split, capability))
    }
}

/// Mean completion length over the capabilities, weighted by the number of problems if known for
/// all, else unweighted.
fn mean_length(test: &BTreeMap<String, Measurement>) -> Option<f64> {
    let weighted = test.values().all(|measurement| measurement.n.is_some());
    let terms = test.values().filter_map(|measurement| {
        let weight = if weighted { measurement.n? as f64 } else { 1.0 };
        Some((measurement.length? * weight, weight))
    });
    let (sum, weight) = terms.fold((0.0, 0.0), |(sum, total), (term, weight)| (sum + term, total + weight));
    (weight > 0.0).then(|| sum / weight)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Meter;
    use crate::report::testing::{record, records};

    #[test]
    fn a_stage_is_measured_at_its_end_and_pays_for_itself() {
        let summary = RunSummary::new("staged", &records());
        let stages: Vec<_> =
            summary.checkpoints.iter().map(|checkpoint| (checkpoint.stage.as_str(), checkpoint.step)).collect();
        assert_eq!(stages, [("base", 0), ("perception", 20), ("textual_reasoning", 40), ("visual_reasoning", 60)]);
        let spent: f64 =
            summary.checkpoints.iter().filter_map(|checkpoint| checkpoint.spent.get(Meter::TokensTrained)).sum();
        assert_eq!(Some(spent), summary.total.get(Meter::TokensTrained));
        assert_eq!(summary.checkpoints[1].spent.get(Meter::WallSecs), Some(160.0));
        assert_eq!(summary.steps, 60);
    }

    #[test]
    fn lengths_are_weighted_by_the_number_of_problems() {
        let of = |n, length| Measurement { accuracy: 0.5, n, interval: None, length: Some(length), format: None };
        let mean = |a, b| mean_length(&BTreeMap::from([("a".to_owned(), a), ("b".to_owned(), b)]));
        assert_eq!(mean(of(Some(30), 10.0), of(Some(10), 50.0)), Some(20.0));
        assert_eq!(mean(of(None, 10.0), of(Some(10), 50.0)), Some(30.0));
        assert_eq!(mean_length(&BTreeMap::new()), None);
    }

    #[test]
    fn missing_keys_leave_gaps() {
        let summary =
            RunSummary::new("", &[record(0, "base", &[]), record(1, "all", &[("test/perception/accuracy", 0.5)])]);
        assert_eq!(summary.total, RunCosts::default());
        assert_eq!(summary.capabilities, ["perception"]);
        assert!(summary.checkpoints[0].test.is_empty());
        assert_eq!(summary.checkpoints[1].test["perception"].interval, None);
    }

    #[test]
    fn the_file_reads_back_as_written() {
        let summary = RunSummary::new("staged", &records());
        let read: RunSummary = serde_json::from_str(&serde_json::to_string(&summary).unwrap()).unwrap();
        // serde_json may miss the last bit of a number.
        assert_eq!(format!("{read:.12?}"), format!("{summary:.12?}"));
    }
}
