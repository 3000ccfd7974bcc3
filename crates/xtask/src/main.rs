//! Developer tasks: `cargo xtask validate` runs every check, `cargo xtask tidy` the structural ones
//! alone.

mod book;
mod markdown;
mod tidy;
mod validate;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

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
    /// Compares every family with the reference implementation and writes the table into
    /// docs/parity.md; given options (`--fixtures DIR`, `--model DIR --reference FILE`, `--device`,
    /// `--dtype`), only prints the table.
    Parity {
        /// Options of the program `parity` of the tests.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTIONS")]
        options: Vec<String>,
    },
    /// Grades the cases of reference graders and prints how often our rules agree.
    Conformance {
        /// Suite of cases: the rules for answers.
        #[arg(value_parser = ["grader"])]
        suite: String,
        /// File of other cases in the format of the fixture
        /// (crates/seethink-reward/tests/fixtures).
        #[arg(long, value_name = "FILE")]
        cases: Option<PathBuf>,
    },
    /// Checks the structure: crate edges, publishing, file access, clocks, module docs, links, table
    /// of contents, leftovers.
    Tidy,
    /// Checks the links of the documentation and builds the book with mdBook, into target/book.
    Book,
}

fn main() -> Result<ExitCode> {
    let root = root()?;
    let passed = match Arguments::parse().task {
        Task::Validate { only, skip } => validate::run(&root, &only, &skip)?,
        Task::Parity { options } => parity(&root, options)?,
        Task::Conformance { suite: _, cases } => conformance(cases)?,
        Task::Tidy => tidy::run(&root)?,
        Task::Book => book::run(&root)?,
    };
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs the conformance suite, an example of the crate of rewards.
fn conformance(cases: Option<PathBuf>) -> Result<bool> {
    let status = Command::new("cargo")
        .args(["run", "--quiet", "--release", "--package", "seethink-reward", "--example", "conformance", "--"])
        .args(cases)
        .status()
        .context("cannot start cargo")?;
    Ok(status.success())
}

/// Runs the parity program of the tests, so that this program need not compile a model.
fn parity(root: &Path, options: Vec<String>) -> Result<bool> {
    let page = [String::from("--write"), root.join("docs/parity.md").display().to_string()];
    let options = if options.is_empty() { page.to_vec() } else { options };
    let status = Command::new("cargo")
        .args(["run", "--release", "--package", "seethink-tests", "--bin", "parity", "--"])
        .args(options)
        .status()
        .context("cannot start cargo")?;
    Ok(status.success())
}

/// Root of the repository, two folders above this crate.
fn root() -> Result<PathBuf> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.ancestors().nth(2).map(Path::to_owned).context("xtask does not lie in crates/xtask")
}
