//! Staged GRPO of a Qwen3-VL on real handwritten digits: base, perception, textual reasoning, visual reasoning.
//!
//! `cargo run --release --example staged_qwen3` needs no argument and no network.

use clap::Parser;
use experiments::job::{self, JobArgs};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Post-trains a small Qwen3-VL by staged GRPO and reports what each stage did.
#[derive(Parser)]
#[command(version)]
struct Args {
    #[command(flatten)]
    job: JobArgs,
}

fn main() -> anyhow::Result<()> {
    job::run(&Args::parse().job, &job::interrupter())?;
    Ok(())
}
