//! Generated pages and files: `docs/paper.md`, `docs/findings.md`, the picture of the README, and
//! `configs/paper` with a file for every arm.

use super::deviations;
use super::{Arm, Experiment, Results, RunResult, Scale, Setting};
use crate::{findings, tables};
use anyhow::Result;
use seethink::eval::statistics::Spread;
use seethink::run::config::BaseFamily;
use seethink::run::report::number::{count, duration};
use seethink::run::report::{self, Meter, write_file};
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Maximum number of seeds that are looked for.
const MOST_SEEDS: u64 = 48;
/// Page that maps the paper's tables to our runs.
const PAGE: &str = "docs/paper.md";
/// Run folder of the main job, without its models.
const MAIN_JOB: &str = "experiments/results/main_job";
/// Picture of the README, made of the main job.
pub const PICTURE: &str = "docs/images/staged_qwen3.png";

/// Writes all generated files, below the working directory.
///
/// # Errors
/// If a result is broken, or a file cannot be written.
pub fn write(results: &Path) -> Result<()> {
    for (path, text) in configs()? {
        write_file(&path, text.as_bytes())?;
    }
    let found = read(results)?;
    write_file(Path::new(PICTURE), &picture(Path::new(""))?)?;
    write_file(Path::new(PAGE), page(&found, results, results)?.as_bytes())?;
    Ok(write_file(Path::new(findings::PAGE), findings::page(&found)?.as_bytes())?)
}

/// Draws the picture of the README: what the main job did, as PNG.
///
/// # Errors
/// If the run folder below `root` is broken.
pub fn picture(root: &Path) -> Result<Vec<u8>> {
    Ok(report::digest(&root.join(MAIN_JOB))?.png()?)
}

/// Reads the results of the digits world.
///
/// # Errors
/// If a result is broken.
pub fn read(results: &Path) -> Result<Results> {
    Results::read(Scale::Micro, &[], MOST_SEEDS, &[], results)
}

/// Configurations of full scale with their paths.
///
/// # Errors
/// If an arm has no configuration.
pub fn configs() -> Result<Vec<(PathBuf, String)>> {
    let mut files = Vec::new();
    for (_, backbone) in BaseFamily::ALL {
        let setting = Setting::new(Scale::Full, backbone);
        for arm in Arm::ALL {
            let config = arm.config(setting, 1)?;
            let head = format!(
                "// {}\n// Made from `configs/paper/tables.ron`, where the sources stand, by `cargo run --release -p experiments -- docs`.\n{}",
                arm.about,
                deviations::head(arm, setting, &config),
            );
            files.push((config_path(setting, arm), head + &config.to_ron()));
        }
    }
    Ok(files)
}

fn config_path(setting: Setting, arm: &Arm) -> PathBuf {
    Path::new("configs/paper").join(setting.folder()).join(format!("{}.ron", arm.id))
}

/// Formats the page: table → arm → configuration → command → paper → ours → costs. Tables are read
/// from `results`, and linked to by `shown`, a path below the root of the repository.
///
/// # Errors
/// If an arm has no configuration.
pub fn page(found: &Results, results: &Path, shown: &Path) -> Result<String> {
    let mut text = String::from(
        "# The paper's tables\n\n\
         This page is made by `cargo run --release -p experiments -- docs`; a test sees to it that it is up to date.\n\
         A table is a module of `experiments/src/tables`, its rows are arms of `experiments/src/experiment/arm.rs`.\n\
         With small models arms are run on [the digits world](digits-world.md), from `configs/micro/tables.ron`; what they show is in \
         [findings](findings.md). The tables of the first world, `--scale digits-v1`, are kept \
         [as they were](../experiments/results/tables/digits-v1/main_comparison.md), with [their findings](findings-digits-v1.md).\n\
         At full scale nothing was run: every arm has its configuration for every backbone below `configs/paper`, from \
         `configs/paper/tables.ron`.\n",
    );
    for experiment in tables::ALL {
        let _ = write!(
            text,
            "\n## {}\n\n{} of arXiv 2605.20177.\nThe paper's claim: {}\n\n```sh\ncargo run --release -p experiments -- table {} --scale micro --seeds 12\n```\n\n",
            experiment.title, experiment.paper, experiment.claim, experiment.id
        );
        let page = Path::new(Scale::Micro.name()).join(format!("{}.md", experiment.id));
        if results.join(&page).exists() {
            let page = shown.join(&page);
            let _ = writeln!(text, "Differences, intervals and confounds: [the table](../{}).\n", page.display());
        }
        text += "| backbone | row | arm | what it does | full scale | paper | small models | completions | tokens trained | TFLOP | time |\n";
        text += "|---|---|---|---|---|---|---|---:|---:|---:|---:|\n";
        for &backbone in experiment.backbones {
            for row in experiment.rows {
                let full = Setting::new(Scale::Full, backbone);
                let micro = Setting { scale: Scale::Micro, ..full };
                let paper: Vec<String> = experiment
                    .reported
                    .iter()
                    .filter(|one| one.backbone == backbone && one.row == row.label)
                    .map(|one| format!("{} {}", one.column, one.value))
                    .collect();
                let config = config_path(full, row.arm);
                let _ = writeln!(
                    text,
                    "| {} | {} | `{}` | {} | [not run](../{}) | {} | {} |",
                    micro.title(),
                    row.label,
                    row.arm.id,
                    row.arm.about,
                    config.display(),
                    if paper.is_empty() { "–".into() } else { paper.join(", ") },
                    ours(experiment, micro, row.arm, found),
                );
            }
        }
    }
    Ok(text + &deviations::section()?)
}

/// Formats the cells of our runs: values, and costs of a run.
fn ours(experiment: &Experiment, setting: Setting, arm: &Arm, results: &Results) -> String {
    let Some(runs) = results.runs(setting.backbone, arm.id) else { return "not run | – | – | – | –".into() };
    let values = experiment.columns.iter().filter_map(|column| {
        let value = results.spread(setting.backbone, arm.id, &column.read)?.mean;
        Some(format!("{} {}", column.label, column.unit.show(value)))
    });
    let values: Vec<String> = values.collect();
    let cost = |meter: Meter| {
        Spread::over(runs.values().filter_map(|run: &RunResult| run.total.get(meter))).map(|spread| spread.mean)
    };
    let flops = cost(Meter::ForwardFlops).zip(cost(Meter::BackwardFlops)).map(|(forward, backward)| forward + backward);
    let show = |value: Option<f64>, show: fn(f64) -> String| value.map_or_else(|| "–".to_owned(), show);
    format!(
        "{} ({} {}) | {} | {} | {} | {}",
        values.join(", "),
        runs.len(),
        if runs.len() == 1 { "seed" } else { "seeds" },
        show(cost(Meter::Completions), count),
        show(cost(Meter::TokensTrained), count),
        show(flops, |flops| format!("{:.2}", flops / 1e12)),
        show(cost(Meter::WallSecs), duration),
    )
}
