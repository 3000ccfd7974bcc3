//! The report of a run: what each stage did to each capability, as a table, as plots and as a page to browse.
//!
//! Input is a run folder: `metrics.jsonl` (one [`StepRecord`](seethink_train::StepRecord) per line), `samples.jsonl`
//! ([`Sample`]) and `config.ron`; the last two may be missing.
//! Output goes into the same folder: `summary.json`, `summary.md`, `plots/{reward,accuracy,length}.{svg,png}` and
//! `report.html`. Every file appears whole or not at all, so a report can be rewritten while somebody reads the old one.
//!
//! [`aggregate`] turns the `summary.json` of several seeds and arms into means and sample deviations.
//!
//! A report must never be the reason that a finished run is lost: unknown keys are ignored, missing ones leave a gap, and
//! a last line that was cut off by a crash is dropped.

mod aggregate;
mod error;
mod files;
mod html;
mod number;
mod plot;
mod records;
mod sample;
mod summary;
mod table;
#[cfg(test)]
mod testing;
mod wilson;

pub use aggregate::{Aggregate, Arm, ArmCheckpoint, SeedValue, Spread, aggregate, aggregate_markdown, find_summaries, write_aggregate};
pub use error::ReportError;
pub use sample::{Sample, SampleFile};
pub use summary::{Checkpoint, Ledger, Measurement, RunSummary};
pub use table::{markdown, table};
pub use wilson::{Interval, wilson};

use std::path::Path;

/// Reads the run folder `run` and writes its report there, under the heading `title`.
///
/// The summary is returned for [`table`], which a program prints at its end.
///
/// # Errors
/// If `metrics.jsonl` is missing, empty or broken, if `samples.jsonl` or `config.ron` exist but cannot be read, or if an
/// output cannot be written.
pub fn write(run: &Path, title: &str) -> Result<RunSummary, ReportError> {
    let records = records::read(&run.join("metrics.jsonl"))?;
    let samples = SampleFile::read(&run.join("samples.jsonl")).or_else(ReportError::missing_is(Vec::new()))?;
    let config = files::read(&run.join("config.ron")).or_else(ReportError::missing_is(Vec::new()))?;
    let summary = RunSummary::new(title, &records);

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
