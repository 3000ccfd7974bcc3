//! Example programs that train a shipped small model.

use crate::base::DigitsBases;
use anyhow::{Context, Result};
use clap::Parser;
use seethink::prelude::*;
use seethink::run::config::{BaseFamily, ModelSource};
use seethink::run::{Finished, MakeCurriculum, interrupter};
use seethink::train::Interrupter;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Built-in configurations, by their name for `--curriculum`.
pub const BUILT_IN: [(&str, &str); 3] = [
    ("staged", include_str!("../../configs/micro/staged.ron")),
    ("merged", include_str!("../../configs/micro/merged.ron")),
    ("reversed", include_str!("../../configs/micro/reversed.ron")),
];

/// Command-line options of an example program.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ProgramArgs {
    /// Family of the small model; every program has its own.
    #[arg(skip)]
    pub family: BaseFamily,
    /// Built-in curriculum: staged, merged or reversed.
    #[arg(long, default_value = "staged", conflicts_with_all = ["config", "resume"])]
    pub curriculum: String,
    /// Configuration file (see configs/), instead of a built-in curriculum.
    #[arg(long, conflicts_with = "resume")]
    pub config: Option<PathBuf>,
    /// Options shared with `seethink train`.
    #[command(flatten)]
    pub train: TrainArgs,
}

/// Runs the program that trains the small model of a family.
///
/// # Errors
/// As [`run`].
pub fn program(family: BaseFamily) -> Result<()> {
    run(&parse(family), &interrupter())?;
    Ok(())
}

/// Runs the program with a custom curriculum, which the configuration of the run records by its
/// name.
///
/// # Errors
/// As [`run`].
pub fn custom_program(family: BaseFamily, name: &str, make: &MakeCurriculum<'_>) -> Result<()> {
    run_with(&parse(family), &interrupter(), Some((name, make)))?;
    Ok(())
}

/// Parses the command line of a program.
fn parse(family: BaseFamily) -> ProgramArgs {
    /// Post-trains a small vision-language model by GRPO and reports what each stage did.
    #[derive(clap::Parser)]
    #[command(version)]
    struct Program {
        #[command(flatten)]
        args: ProgramArgs,
    }
    ProgramArgs { family, ..Program::parse().args }
}

/// Runs the job of these options until it is done or `interrupter` stops it.
///
/// # Errors
/// If the configuration, the model, the data or the run folder is unfit; nothing of an earlier run
/// is touched then.
pub fn run(args: &ProgramArgs, interrupter: &Interrupter) -> Result<Finished> {
    run_with(args, interrupter, None)
}

/// Runs the job of these options with a custom curriculum.
///
/// # Errors
/// As [`run`].
pub fn run_with(
    args: &ProgramArgs,
    interrupter: &Interrupter,
    curriculum: Option<(&str, &MakeCurriculum<'_>)>,
) -> Result<Finished> {
    let job = if args.train.resume {
        args.train.resumed()?
    } else {
        let name = args.config.as_deref().and_then(Path::file_stem).and_then(OsStr::to_str);
        args.train.job(configuration(args)?, name.unwrap_or(&args.curriculum))?
    };
    Ok(Job { base_models: &DigitsBases, curriculum, interrupter: interrupter.clone(), ..job }.run()?)
}

/// Builds the configuration of a new run from its options.
///
/// # Errors
/// If there is no such configuration, or it has an error.
pub fn configuration(args: &ProgramArgs) -> Result<RunConfig> {
    if let Some(path) = &args.config {
        return Ok(args.train.configure(|set| RunConfig::load(path, set))?);
    }
    let names = || BUILT_IN.map(|(name, _)| name).join(", ");
    let (name, text) = BUILT_IN.iter().find(|(name, _)| *name == args.curriculum).with_context(|| {
        format!("no curriculum {:?} ships with the program; there are {}", args.curriculum, names())
    })?;
    let mut config = args.train.configure(|set| RunConfig::parse(text, format!("{name}.ron"), set))?;
    if args.train.model.is_none() {
        config.model = ModelSource::DigitsBase { family: args.family, seed: 1 };
    }
    Ok(config)
}
