//! Report of a run: the effect of each stage on each capability, as a table, as plots and as an
//! HTML page.
//!
//! Input is a run folder: `metrics.jsonl` (one [`StepRecord`](seethink_train::StepRecord) per
//! line), `samples.jsonl` ([`Sample`]) and `config.ron`; the last two may be missing. Output goes
//! into the same folder: `summary.json`, `summary.md`, `plots/{reward,accuracy,length}.{svg,png}`
//! and `report.html`. Every file is written atomically, so a report can be rewritten while the old
//! one is being read.
//!
//! A report must never make a finished run fail: unknown keys are ignored, missing ones leave a
//! gap, and an incomplete last line is dropped.

mod error;
mod files;
mod html;
mod ledger;
pub mod number;
mod plot;
mod records;
mod step_file;
mod summary;
mod table;
#[cfg(test)]
mod testing;

pub use error::ReportError;
pub use files::{read_json, write as write_file, write_json};
pub use ledger::{Meter, RunCosts};
pub use plot::{
    Arms, Band, Effect, arms as draw_arms, bands as draw_bands, curves as draw_curves, effects as draw_effects,
    write as write_drawing,
};
pub use step_file::{Outcomes, Sample, StepFile, StepLine};
pub use summary::{Checkpoint, Measurement, RunSummary};
pub use table::{markdown, table};

use crate::config::RunConfig;
use seethink_plot::Drawing;
use std::path::Path;

/// File of the costs of caption fine-tuning before the first step, in a run folder.
pub const CAPTIONS: &str = "captions.json";

/// Writes the report of a run folder into it, with `title` as its heading.
///
/// Returns the summary for [`table`], which a program prints at its end.
///
/// # Errors
/// If `metrics.jsonl` is missing, empty or broken, if `samples.jsonl` or `config.ron` exist but
/// cannot be read, or if an output cannot be written.
pub fn write(run: &Path, title: &str) -> Result<RunSummary, ReportError> {
    let records = records::read(&run.join("metrics.jsonl"))?;
    let samples = StepFile::read(&run.join("samples.jsonl")).or_else(ReportError::missing_is(Vec::new()))?;
    let config = files::read(&run.join("config.ron")).or_else(ReportError::missing_is(Vec::new()))?;
    let mut summary = RunSummary::new(title, &records);
    if let Some(spent) = files::read_json(&run.join(CAPTIONS)).map(Some).or_else(ReportError::missing_is(None))? {
        summary.precede("captions", &spent);
    }

    files::write_json(&run.join("summary.json"), &summary)?;
    files::write(&run.join("summary.md"), markdown(&summary).as_bytes())?;
    let figures = plot::figures(&summary, &records);
    for figure in &figures {
        plot::write(&figure.drawing, &run.join("plots").join(figure.name))?;
    }
    let page = html::Page {
        summary: &summary,
        records: &records,
        figures: &figures,
        samples: &samples,
        config: &String::from_utf8_lossy(&config),
    };
    files::write(&run.join("report.html"), page.render()?.as_bytes())?;
    Ok(summary)
}

/// Digest of a run folder as one picture: its accuracy curves, and a problem that it learnt to
/// solve, with the completions before and after.
///
/// # Errors
/// If `metrics.jsonl` or `samples.jsonl` is missing or broken, or no sampled problem is wrong before
/// training and right at the end.
pub fn digest(run: &Path) -> Result<Drawing, ReportError> {
    let records = records::read(&run.join("metrics.jsonl"))?;
    let samples = StepFile::read(&run.join("samples.jsonl"))?;
    let figures = plot::figures(&RunSummary::new("", &records), &records);
    plot::digest(&figures, &samples).ok_or_else(|| ReportError::NothingLearnt { path: run.join("samples.jsonl") })
}

/// Title of a run folder's report: that of its last report, or else the stages of its
/// configuration.
pub fn title_of(run: &Path) -> String {
    let last: Result<RunSummary, _> = files::read_json(&run.join("summary.json"));
    if let Ok(last) = last {
        return last.title;
    }
    let stages = RunConfig::load(run.join("config.ron"), &[]).map(|config| {
        let names = config.curriculum.stages().iter().map(|stage| stage.name.replace('_', " "));
        names.collect::<Vec<_>>().join(" → ")
    });
    match stages {
        Ok(stages) if !stages.is_empty() => format!("GRPO: {stages}"),
        _ => "GRPO".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn write_metrics(run: &Path) {
        let lines: Vec<_> = testing::records().iter().map(|record| serde_json::to_string(record).unwrap()).collect();
        std::fs::write(run.join("metrics.jsonl"), lines.join("\n")).unwrap();
    }

    #[test]
    fn a_finished_run_gets_a_whole_report() {
        let run = tempfile::tempdir().unwrap();
        write_metrics(run.path());
        let mut samples = StepFile::open(&run.path().join("samples.jsonl"), None).unwrap();
        samples.push(&testing::samples()).unwrap();
        std::fs::write(run.path().join("config.ron"), "(seed: 7)").unwrap();

        let summary = write(run.path(), "staged").unwrap();
        assert_eq!(summary.steps, 60);
        let read: RunSummary = files::read_json(&run.path().join("summary.json")).unwrap();
        assert_eq!(read.checkpoints.len(), 4);
        let page = std::fs::read_to_string(run.path().join("report.html")).unwrap();
        assert!(page.contains("<pre>(seed: 7)</pre>") && page.contains("<article"));
        let plots: BTreeSet<_> =
            std::fs::read_dir(run.path().join("plots")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        let expected = ["accuracy.png", "accuracy.svg", "length.png", "length.svg", "reward.png", "reward.svg"];
        assert_eq!(plots, expected.map(Into::into).into());
    }

    #[test]
    fn a_crashed_run_with_nothing_but_cut_off_metrics_gets_a_report() {
        let run = tempfile::tempdir().unwrap();
        write_metrics(run.path());
        let metrics = std::fs::read(run.path().join("metrics.jsonl")).unwrap();
        // Inside the last record, that of step 60, whose stage thereby ends at 59 without a test.
        std::fs::write(run.path().join("metrics.jsonl"), &metrics[..metrics.len() - 40]).unwrap();
        let summary = write(run.path(), "crashed").unwrap();
        assert_eq!(summary.steps, 59);
        assert!(table(&summary).contains("visual reasoning (unfinished)"));
    }

    #[test]
    fn a_folder_without_metrics_is_an_error() {
        let run = tempfile::tempdir().unwrap();
        let error = write(run.path(), "").unwrap_err().to_string();
        assert!(error.contains("metrics.jsonl"), "{error}");
    }
}
