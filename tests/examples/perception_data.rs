//! The perception pipeline from captions to problems, every hop, on the stamps of Tux Paint. See
//! docs/perception-data.md.
//!
//! A script replaces the models (`seethink_tests::stamps`): it shows the pipeline at work, and its
//! problems are not meant for training.

use anyhow::{Result, bail};
use clap::Parser;
use seethink::data::perception::KeepRule;
use seethink_tests::stamps::Job;
use std::path::PathBuf;

#[derive(Parser)]
struct Args {
    /// The folder of stamps, such as usr/share/tuxpaint/stamps.
    #[arg(long, value_name = "DIR")]
    stamps: Option<PathBuf>,
    /// Folder of journals, report and problems; a run that was stopped continues there.
    #[arg(long, value_name = "DIR", default_value = "runs/perception-stamps")]
    out: PathBuf,
    /// Maximum number of captions.
    #[arg(long)]
    limit: Option<usize>,
    /// Number of answers of each model from the picture, all of which must be wrong.
    #[arg(long, default_value_t = 4)]
    image_attempts: usize,
    /// Number of answers of each model from the caption, all of which must be right.
    #[arg(long, default_value_t = 2)]
    caption_attempts: usize,
    /// Seed of all random draws.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

fn main() -> Result<()> {
    let Args { stamps, out, limit, image_attempts, caption_attempts, seed } = Args::parse();
    let Some(stamps) = stamps else {
        bail!(
            "expected --stamps DIR; on Debian the stamps are had without installing anything:\n  \
             apt-get download tuxpaint-stamps-default && dpkg-deb -x tuxpaint-stamps-default_*.deb stamps\n  \
             and DIR is then stamps/usr/share/tuxpaint/stamps"
        );
    };
    let job = Job { stamps, out, limit, rule: KeepRule { image_attempts, caption_attempts }, seed };
    let report = job.run()?;
    print!("{}", report.to_markdown());
    println!("\nA script answered where models would. Journals, report and problems are in {}.", job.out.display());
    Ok(())
}
