//! The command line: train, look at checkpoints, talk to them, look at curricula, make and measure problems.

mod curriculum;
mod data;
mod generate;
mod grade;
mod inspect;
mod judge;
mod limits;
mod perception;
mod report;
mod train;

use anyhow::{Result, bail};
use clap::{Parser, Subcommand};
use seethink::data::write_atomic;
use seethink::models::VlmProcessor;
use seethink::run::config::{ModelConfig, RunConfig};
use seethink::run::drawing::Drawing;
use std::path::Path;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Post-training of vision-language models by reinforcement learning with a curriculum.
///
/// MODEL is a folder, or a name on the Hugging Face hub such as Qwen/Qwen3-VL-2B-Instruct (with @revision, if need be), which is
/// downloaded into the hub's usual cache. HF_ENDPOINT, HF_HOME, HF_TOKEN and HF_HUB_OFFLINE are heeded.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Post-trains a model by reinforcement learning, as a configuration says, and reports what each stage did.
    Train(train::Args),
    /// Makes the report of a run: a finished one, one that is going on, or an interrupted one.
    Report(report::Args),
    /// Tells what a checkpoint is: family, parameters, image rules, and the memory that it takes.
    Inspect(inspect::Args),
    /// Answers a prompt about images, token by token.
    Generate(generate::Args),
    /// Makes problems from captions, measures and orders problems before training.
    #[command(subcommand)]
    Data(data::Command),
    /// Tells whether answers are right by a rule, and why: one, or a file of them.
    Grade(grade::Args),
    /// Has a model behind an endpoint say why answers are wrong: perception or reasoning.
    Judge(judge::Args),
    /// Shows what a curriculum trains when.
    #[command(subcommand)]
    Curriculum(curriculum::Command),
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Train(args) => train::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Generate(args) => generate::run(&args),
        Command::Data(command) => data::run(&command),
        Command::Grade(args) => grade::run(&args),
        Command::Judge(args) => judge::run(&args),
        Command::Curriculum(command) => curriculum::run(&command),
    }
}

/// What counts the tokens of prompts, where a configuration limits them and names a checkpoint.
fn counting_processor(config: &RunConfig) -> Result<Option<VlmProcessor>> {
    match &config.model {
        ModelConfig::Pretrained(dir) if config.data.limits_prompts() => {
            Ok(Some(config.processor(&seethink::hub::fetch(&dir.display().to_string())?)?))
        }
        _ => Ok(None),
    }
}

/// Writes a figure in the format that the name of its file ends in.
fn write_figure(drawing: &Drawing, path: &Path) -> Result<()> {
    check_figure(path)?;
    let is_svg = path.extension().is_some_and(|extension| extension == "svg");
    let bytes = if is_svg { drawing.svg()?.into_bytes() } else { drawing.png()? };
    Ok(write_atomic(path, &bytes)?)
}

/// Refuses a name that a figure cannot have.
fn check_figure(path: &Path) -> Result<()> {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("svg" | "png") => Ok(()),
        _ => bail!("{} is to end in .svg or .png", path.display()),
    }
}

#[cfg(test)]
mod testing {
    use clap::{Args, Command, error::Error};

    /// Reads the options of a command from the words of its line.
    pub(crate) fn parse<A: Args>(words: impl IntoIterator<Item = impl ToString>) -> Result<A, Error> {
        let words = words.into_iter().map(|word| word.to_string());
        A::from_arg_matches(&A::augment_args(Command::new("seethink")).try_get_matches_from(words)?)
    }
}
