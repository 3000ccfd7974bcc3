//! `seethink report`: the report of a run folder, for a finished, running or interrupted run.

use anyhow::Result;
use seethink::run::report::{table, title_of, write};
use std::path::PathBuf;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run folder.
    run: PathBuf,
    /// Heading; if not given, that of the last report, or else the stages of the configuration.
    #[arg(long)]
    title: Option<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let title = args.title.clone().unwrap_or_else(|| title_of(&args.run));
    println!("{}", table(&write(&args.run, &title)?));
    println!("report  {}", args.run.join("report.html").display());
    Ok(())
}
