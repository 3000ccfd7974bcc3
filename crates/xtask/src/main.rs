//! Developer tasks: `cargo xtask validate` runs every check, `cargo xtask tidy` the structural ones alone.

mod tidy;
mod validate;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Developer tasks of seethink")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Runs every check, cheapest first, and stops at the first that fails.
    Validate {
        /// Runs these steps only.
        #[arg(long, value_name = "STEP", value_delimiter = ',', value_parser = validate::step_names())]
        only: Vec<String>,
        /// Leaves these steps out.
        #[arg(long, value_name = "STEP", value_delimiter = ',', value_parser = validate::step_names())]
        skip: Vec<String>,
    },
    /// Checks what the compiler does not: crate edges, file access, clocks, module docs, links, leftovers.
    Tidy,
}

fn main() -> Result<ExitCode> {
    let root = root()?;
    let passed = match Arguments::parse().task {
        Task::Validate { only, skip } => validate::run(&root, &only, &skip)?,
        Task::Tidy => tidy::run(&root)?,
    };
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The repository's root, two folders above this crate.
fn root() -> Result<PathBuf> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.ancestors().nth(2).map(Path::to_owned).context("xtask does not lie in crates/xtask")
}
