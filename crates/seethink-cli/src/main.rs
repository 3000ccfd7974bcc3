//! Command line of seethink: training, inspection of checkpoints, generation, curricula, and
//! preparation of problems.

mod completions;
mod curriculum;
mod data;
mod export;
mod generate;
mod grade;
mod init;
mod inspect;
mod judge;
mod limits;
mod perception;
mod report;
mod train;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use seethink::files;
use seethink::models::VlmProcessor;
use seethink::plot::Drawing;
use seethink::run::config::{ModelSource, RunConfig};
use std::path::Path;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Post-training of vision-language models by reinforcement learning with a curriculum.
///
/// MODEL is a folder, or a name on the Hugging Face hub such as Qwen/Qwen3-VL-2B-Instruct (with
/// @revision, if need be), which is downloaded into the hub's usual cache. HF_ENDPOINT, HF_HOME,
/// HF_TOKEN and HF_HUB_OFFLINE are respected.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Writes a commented configuration file to begin with.
    Init(init::Args),
    /// Post-trains a model by reinforcement learning from a configuration, and reports the effect
    /// of each stage.
    Train(train::Args),
    /// Writes the report of a run: finished, running or interrupted.
    Report(report::Args),
    /// Writes a checkpoint of a run as a Hugging Face folder.
    Export(export::Args),
    /// Shows family, parameters, image rules and memory needs of a checkpoint.
    Inspect(inspect::Args),
    /// Answers a prompt about images, token by token.
    Generate(generate::Args),
    /// Makes problems from captions, and measures and orders problems before training.
    #[command(subcommand)]
    Data(data::Command),
    /// Grades an answer, or a file of answers, by a rule, with the reasons.
    Grade(grade::Args),
    /// Labels the causes of wrong answers, perception or reasoning, with a model behind an
    /// endpoint.
    Judge(judge::Args),
    /// Shows the plan of a curriculum.
    #[command(subcommand)]
    Curriculum(curriculum::Command),
    /// Prints a script that completes command lines in a shell.
    Completions(completions::Args),
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Init(args) => init::run(&args),
        Command::Train(args) => train::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Generate(args) => generate::run(&args),
        Command::Data(command) => data::run(&command),
        Command::Grade(args) => grade::run(&args),
        Command::Judge(args) => judge::run(&args),
        Command::Curriculum(command) => curriculum::run(&command),
        Command::Completions(args) => completions::run(&args),
    }
}

/// Loads the processor that counts the tokens of prompts, if the configuration limits them and
/// names a checkpoint.
fn counting_processor(config: &RunConfig) -> Result<Option<VlmProcessor>> {
    match &config.model {
        ModelSource::Pretrained(dir) if config.data.limits_prompts() => {
            Ok(Some(config.processor(&seethink::hub::fetch(&dir.display().to_string())?)?))
        }
        _ => Ok(None),
    }
}

/// Writes a figure in the format of the file extension.
fn write_figure(drawing: &Drawing, path: &Path) -> Result<()> {
    check_figure(path)?;
    let is_svg = path.extension().is_some_and(|extension| extension == "svg");
    let bytes = if is_svg { drawing.svg()?.into_bytes() } else { drawing.png()? };
    files::write(path, &bytes).with_context(|| format!("cannot write {}", path.display()))
}

/// Checks that the file extension of a figure is .svg or .png.
fn check_figure(path: &Path) -> Result<()> {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("svg" | "png") => Ok(()),
        _ => bail!("{} is to end in .svg or .png", path.display()),
    }
}

#[cfg(test)]
mod testing {
    use clap::{Args, Command, error::Error};

    /// Parses the options of a command from the words of a command line.
    pub(crate) fn parse<A: Args>(words: impl IntoIterator<Item = impl ToString>) -> Result<A, Error> {
        let words = words.into_iter().map(|word| word.to_string());
        A::from_arg_matches(&A::augment_args(Command::new("seethink")).try_get_matches_from(words)?)
    }
}
