//! Parity, performance and the main job in one program, which a machine with a GPU and no network
//! is given (`cargo xtask gpu-kit`, docs/gpu.md).

use clap::Parser;
use experiments::base;
use experiments::program::{self, ProgramArgs};
use seethink::models::WeightDtype;
use seethink::run::config::{BaseFamily, ModelSource};
use seethink::run::{device, interrupter};
use seethink_tests::{kit, parity, perf};
use std::path::PathBuf;

/// The allocator of the programs, so that the figures are theirs.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(name = "kit")]
enum Program {
    /// Compares models with the results of the reference implementation.
    Parity(parity::Options),
    /// Does the pieces of work that standard input asks for and says how long each took.
    Perf {
        /// W1, W2, W3, 2B, 8B or tiny (see docs/gpu.md).
        work: String,
        /// Folder that receives the model and its prompts.
        folder: PathBuf,
        /// Device to compute on.
        #[arg(long, default_value = "auto")]
        device: String,
        /// Number format of weights and computation: f32, f16 or bf16.
        #[arg(long, default_value = "f32")]
        dtype: WeightDtype,
    },
    /// Runs the main job, as the example `staged_qwen3` does.
    Staged(ProgramArgs),
    /// Prints the table of the results that `tests/gpu/run.sh` left in a folder; fails if a part has
    /// no figure.
    Table {
        /// The folder.
        results: PathBuf,
    },
}

fn main() -> anyhow::Result<()> {
    match Program::parse() {
        Program::Parity(options) => parity::run(&options),
        Program::Perf { work, folder, device: name, dtype } => {
            let device = device(&name)?;
            base::unpack(&ModelSource::DigitsV1Base(BaseFamily::Qwen3Vl), &folder)?;
            perf::serve(&work, &folder, device, dtype);
            Ok(())
        }
        Program::Staged(args) => {
            let family = BaseFamily::Qwen3Vl;
            program::run(&ProgramArgs { family, ..args }, &interrupter())?;
            Ok(())
        }
        Program::Table { results } => kit::print_table(&results),
    }
}
