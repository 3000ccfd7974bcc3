//! `seethink export`: a checkpoint of a run as a Hugging Face folder.

use anyhow::Result;
use seethink::prelude::*;
use std::path::PathBuf;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run folder.
    run: PathBuf,
    /// Step of the checkpoint; the last one that is kept if not given.
    #[arg(long)]
    step: Option<usize>,
    /// Folder to write, which must not exist.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Device to load the model on, for example flex, cuda:1 or auto.
    #[arg(long, default_value = "auto")]
    device: String,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let step = Job::resumed(&args.run, device(&args.device)?)?.export(args.step, &args.out)?;
    println!("step {step} of {} written to {}", args.run.display(), args.out.display());
    Ok(())
}
