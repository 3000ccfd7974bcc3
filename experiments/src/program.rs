//! Programs that train a small model which comes with them.

use crate::base::DigitsBases;
use anyhow::{Context, Result};
use clap::Parser;
use seethink::prelude::*;
use seethink::run::config::{BaseFamily, ModelConfig};
use seethink::run::{Finished, MakeCurriculum, interrupter};
use seethink::train::Interrupter;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Configurations that ship with the programs, by the name that `--curriculum` takes.
pub const BUILT_IN: [(&str, &str); 3] = [
    ("staged", include_str!("../../configs/micro/qwen3_vl/staged.ron")),
    ("merged", include_str!("../../configs/micro/qwen3_vl/merged.ron")),
    ("reversed", include_str!("../../configs/micro/qwen3_vl/reversed.ron")),
];

/// Options of a program.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ProgramArgs {
    /// Family of the small model; every program has its own.
    #[arg(skip)]
    pub family: BaseFamily,
    /// A curriculum that ships with the program: staged, merged or reversed.
    #[arg(long, default_value = "staged", conflicts_with_all = ["config", "resume"])]
    pub curriculum: String,
    /// A configuration file instead (see configs/).
    #[arg(long, conflicts_with = "resume")]
    pub config: Option<PathBuf>,
    /// What `seethink train` takes as well.
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

/// Runs the same program with a curriculum of one's own, which the configuration of the run records by its name.
///
/// # Errors
/// As [`run`].
pub fn custom_program(family: BaseFamily, name: &str, make: &MakeCurriculum<'_>) -> Result<()> {
    run_with(&parse(family), &interrupter(), Some((name, make)))?;
    Ok(())
}

/// The command line of a program.
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
/// If the configuration, the model, the data or the run folder is unfit; nothing of an earlier run is touched then.
pub fn run(args: &ProgramArgs, interrupter: &Interrupter) -> Result<Finished> {
    run_with(args, interrupter, None)
}

/// Runs the same job with a curriculum of one's own.
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

/// The configuration that the options of a new run ask for.
///
/// # Errors
/// If there is no such configuration, or it is wrong.
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
        config.model = ModelConfig::DigitsBase(args.family);
    }
    Ok(config)
}
