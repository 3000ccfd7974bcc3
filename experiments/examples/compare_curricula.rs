//! Staged, merged and reversed curricula at the same number of rollouts, over several seeds, as one table.
//!
//! `cargo run --release --example compare_curricula` writes what `experiments/results/digits` holds. A comparison that was
//! stopped goes on where it was.

use anyhow::{Result, ensure};
use clap::Parser;
use experiments::job::{self, JobArgs};
use experiments::report;
use seethink::prelude::*;
use std::path::PathBuf;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs every curriculum with every seed and compares them.
#[derive(Parser)]
struct Args {
    /// Curricula that ship with the program.
    #[arg(long, value_delimiter = ',', default_value = "staged,merged,reversed")]
    curricula: Vec<String>,
    /// Seeds of the runs.
    #[arg(long, value_delimiter = ',', default_value = "1,2,3")]
    seeds: Vec<u64>,
    /// Overrides of every configuration, such as grpo.group_size=16; may be given several times.
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// Folder of the runs, as CURRICULUM/seed-N, and of the comparison.
    #[arg(long, default_value = "runs/compare_curricula")]
    out: PathBuf,
    /// Where to compute, for example flex, cuda:1 or auto.
    #[arg(long, default_value = "auto")]
    device: String,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let interrupter = job::interrupter();
    for seed in &args.seeds {
        for curriculum in &args.curricula {
            let folder = args.out.join(curriculum).join(format!("seed-{seed}"));
            let job = JobArgs {
                curriculum: curriculum.clone(),
                set: args.set.clone(),
                seed: Some(*seed),
                out: Some(folder.clone()),
                device: args.device.clone(),
                ..JobArgs::default()
            };
            let resume = folder.join("config.ron").exists();
            if resume {
                ensure!(
                    RunConfig::load(folder.join("config.ron"), &[])? == job::configuration(&job)?,
                    "{} holds a run with other settings: choose another --out",
                    folder.display()
                );
            }
            if folder.join("summary.json").exists() {
                continue;
            }
            println!("== {curriculum}, seed {seed}");
            job::run(&JobArgs { resume, ..job }, &interrupter)?;
            if interrupter.should_stop() {
                return Ok(());
            }
        }
    }
    println!("{}", report::aggregate_markdown(&report::write_aggregate(&args.out)?));
    Ok(())
}
