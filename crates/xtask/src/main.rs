//! Developer tasks: `cargo xtask validate` runs every check, `cargo xtask tidy` the structural ones
//! alone.

mod book;
mod gpu_kit;
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
        /// Options of `kit parity` of the tests.
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
    /// Times the same work in seethink and in PyTorch, transformers and TRL, in turns, and prints the
    /// tables; without options writes them into docs/performance.md. Needs an idle machine and 8 GB
    /// for the libraries, which go into target/compare.
    Compare {
        /// Python that has the libraries of tests/perf/requirements.txt already.
        #[arg(long, value_name = "FILE")]
        python: Option<PathBuf>,
        /// Options of tests/perf/compare.py: `--work W1 W2 W3`, `--rounds N`, `--skip NAME …`; `--ablate W1 W2`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTIONS")]
        options: Vec<String>,
    },
    /// Builds what a machine with a GPU and no network is given: the program on CUDA and Vulkan, the
    /// script that measures, and what they read (docs/gpu.md). Takes half an hour the first time.
    GpuKit {
        /// Folder of the kit, which is replaced.
        #[arg(long, value_name = "DIR", default_value = "target/gpu-kit")]
        out: PathBuf,
        /// Links the main job with CUDA, Vulkan and wgpu instead, unoptimised, as a check.
        #[arg(long, conflicts_with = "out")]
        link: bool,
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
        Task::Compare { python, options } => compare(&root, python, options)?,
        Task::GpuKit { link: true, .. } => gpu_kit::link(&root)?,
        Task::GpuKit { out, link: false } => gpu_kit::kit(&root, &out)?,
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
        .args(["run", "--release", "--package", "seethink-tests", "--example", "kit", "--", "parity"])
        .args(options)
        .status()
        .context("cannot start cargo")?;
    Ok(status.success())
}

/// Builds the worker and runs the comparison, in a virtual environment of its own unless `python` has
/// the libraries.
fn compare(root: &Path, python: Option<PathBuf>, options: Vec<String>) -> Result<bool> {
    let run = |program: &Path, arguments: &[&str]| -> Result<bool> {
        let status = Command::new(program).args(arguments).current_dir(root).status();
        Ok(status.with_context(|| format!("cannot start {}", program.display()))?.success())
    };
    if !run(Path::new("cargo"), &["build", "--release", "--package", "seethink-tests", "--example", "kit"])? {
        return Ok(false);
    }
    let python = match python {
        Some(python) => python,
        None => {
            let python = root.join("target/compare/bin/python");
            let made = run(Path::new("python3"), &["-m", "venv", "target/compare"])?
                && run(&python, &["-m", "pip", "install", "--quiet", "-r", "tests/perf/requirements.txt"])?;
            if !made {
                return Ok(false);
            }
            python
        }
    };
    let page = ["--out".to_owned(), "docs/performance.md".to_owned()];
    let options = if options.is_empty() { page.to_vec() } else { options };
    let script: Vec<&str> =
        std::iter::once("tests/perf/compare.py").chain(options.iter().map(String::as_str)).collect();
    run(&python, &script)
}

/// Root of the repository, two folders above this crate.
fn root() -> Result<PathBuf> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.ancestors().nth(2).map(Path::to_owned).context("xtask does not lie in crates/xtask")
}
