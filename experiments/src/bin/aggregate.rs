//! Turns the runs of an experiment into its results.
//!
//! Reads `DIR/<arm>/seed-<number>/summary.json` and writes `results.json`, `results.md`, `arms.svg` and `arms.png` into
//! `DIR`.

use clap::Parser;
use experiments::report;
use std::path::PathBuf;

/// Mean and deviation over the seeds of each arm.
#[derive(Parser)]
struct Arguments {
    /// Folder of the experiment, which holds `<arm>/seed-<number>/summary.json`.
    folder: PathBuf,
}

fn main() -> anyhow::Result<()> {
    let results = report::write_aggregate(&Arguments::parse().folder)?;
    print!("{}", report::aggregate_markdown(&results));
    Ok(())
}
