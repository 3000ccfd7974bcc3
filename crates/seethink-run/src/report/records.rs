//! Metrics records of a run, and the borders of its stages.

use super::ReportError;
use seethink_files::read_json_lines;
use seethink_train::StepRecord;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Line of the metrics file: JSON has no NaN, so a number that is not finite is read as `null`.
#[derive(Deserialize)]
struct Line {
    step: usize,
    stage: String,
    metrics: BTreeMap<String, Option<f64>>,
}

/// Reads all records of a metrics file, without the values that are not finite.
pub(super) fn read(path: &Path) -> Result<Vec<StepRecord>, ReportError> {
    let lines = read_json_lines::<Line>(path)?;
    if lines.is_empty() {
        return Err(ReportError::Empty { path: path.to_owned() });
    }
    let record = |line: Line| StepRecord {
        step: line.step,
        stage: line.stage,
        metrics: line.metrics.into_iter().filter_map(|(key, value)| Some((key, value?))).collect(),
    };
    Ok(lines.into_iter().map(record).collect())
}

/// Groups consecutive records by stage. The base model, step 0, is a stage of its own.
pub(super) fn stages(records: &[StepRecord]) -> impl Iterator<Item = &[StepRecord]> {
    records.chunk_by(|a, b| a.stage == b.stage && (a.step == 0) == (b.step == 0))
}

/// Values of one metric with their steps.
pub(super) fn series(records: &[StepRecord], key: &str) -> Vec<(f64, f64)> {
    records.iter().filter_map(|record| Some((record.step as f64, *record.metrics.get(key)?))).collect()
}

/// Capabilities that were tested or validated, in alphabetical order, which is the paper's.
pub(super) fn capabilities(records: &[StepRecord]) -> Vec<String> {
    let keys = records.iter().flat_map(|record| record.metrics.keys());
    let names = keys.filter_map(|key| {
        let (split, rest) = key.split_once('/')?;
        let (capability, quantity) = rest.split_once('/')?;
        (matches!(split, "test" | "validation") && quantity == "accuracy").then(|| capability.to_owned())
    });
    names.collect::<BTreeSet<_>>().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_is_not_finite_is_a_missing_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let line = r#"{"step":1,"stage":"visual","metrics":{"grpo/kl":null,"reward/mean":0.5}}"#;
        std::fs::write(&path, line).unwrap();
        let records = read(&path).unwrap();
        assert_eq!(records[0].metrics, BTreeMap::from([("reward/mean".to_owned(), 0.5)]));
    }

    #[test]
    fn a_file_without_records_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        assert!(matches!(read(&path), Err(ReportError::Lines(error)) if error.is_missing()));
        std::fs::write(&path, "{\"step\": 1, \"sta").unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("metrics.jsonl holds no record"));
    }

    #[test]
    fn a_record_of_the_training_loop_reads_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let records = crate::report::testing::records();
        let lines: Vec<_> = records.iter().map(|record| serde_json::to_string(record).unwrap()).collect();
        std::fs::write(&path, lines.join("\n")).unwrap();
        // serde_json may miss the last bit of a number.
        assert_eq!(format!("{:.12?}", read(&path).unwrap()), format!("{records:.12?}"));
    }
}
