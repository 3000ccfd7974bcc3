//! `seethink data`: what can be done with problems before training.

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use seethink::RunConfig;
use seethink::config::ModelConfig;
use seethink::core::Capability;
use seethink::data::{PassRateTable, Split};
use seethink::models::{AnyBackbone, VlmProcessor};
use seethink::pass_rate::{Attempts, histogram};
use seethink::rollout::{Generator, Sampling};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Measures how often a model solves each training problem. A measurement that was stopped goes on where it was; more attempts can be
    /// asked for later.
    PassRate(PassRate),
}

#[derive(clap::Args)]
pub(crate) struct PassRate {
    /// A configuration file of a run: its problems, prompt and reward.
    config: PathBuf,
    /// Overrides of the configuration; may be given several times.
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// Folder or name of the checkpoint, instead of the configuration's.
    #[arg(long)]
    model: Option<String>,
    /// The table: JSON lines, added to as attempts are made.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Attempts at each problem.
    #[arg(long, default_value_t = 16)]
    attempts: usize,
    /// Sampling temperature.
    #[arg(long, default_value_t = 1.0)]
    temperature: f32,
    /// Problems of each capability, at most.
    #[arg(long)]
    limit: Option<usize>,
    /// Seed of the attempts.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Where to compute, for example flex, cuda:1 or auto.
    #[arg(long, default_value = "auto")]
    device: String,
}

pub(crate) fn run(command: &Command) -> Result<()> {
    let Command::PassRate(args) = command;
    let config = RunConfig::load(&args.config, &args.set)?;
    let model = match (&args.model, &config.model) {
        (Some(model), _) => model.clone(),
        (None, ModelConfig::Pretrained(dir)) => dir.display().to_string(),
        (None, ModelConfig::DigitsBase(_)) => {
            bail!(
                "the small base model is in the programs that train it: give --model, such as the folder `base` of a run"
            )
        }
    };
    let problems = config.data.problems(Split::Train, args.limit)?;
    let device = seethink::device(&args.device)?;
    let dir = seethink::hub::fetch(&model)?;
    let processor = VlmProcessor::from_pretrained(&dir)?;
    let backbone = AnyBackbone::from_pretrained_as(&dir, config.dtype, &device)
        .with_context(|| format!("cannot load {}", dir.display()))?;
    let sampling = Sampling { temperature: args.temperature, ..config.grpo.sampling };
    let origin = json!({
        "model": model, "dtype": config.dtype, "prompt": config.grpo.prompt, "sampling": sampling, "reward": config.reward,
        "seed": args.seed,
    });
    let mut table = PassRateTable::open(&args.out, &origin)?;
    let attempts = Attempts {
        generator: Generator {
            model: &backbone,
            processor: &processor,
            sampling,
            max_batch: config.grpo.memory.decode_batch,
        },
        prompt: &config.grpo.prompt,
        reward: &config.reward,
        seed: args.seed,
        per_problem: args.attempts,
    };
    let bar = ProgressBar::new(problems.len() as u64);
    bar.set_style(ProgressStyle::with_template("{wide_bar} {pos}/{len} problems, {eta} left")?);
    let measured = attempts.measure(&problems, &mut table, &mut |done, _| {
        bar.set_position(done as u64);
        true
    });
    bar.finish_and_clear();
    measured?;
    let mut by_capability: BTreeMap<&Capability, Vec<_>> = BTreeMap::new();
    for problem in &problems {
        by_capability.entry(&problem.capability).or_default().push(problem.id);
    }
    for (capability, ids) in by_capability {
        let counts = histogram(&table, ids.iter().copied(), args.attempts);
        let right: usize = counts.iter().enumerate().map(|(right, n)| right * n).sum();
        let mean = 100.0 * right as f64 / (args.attempts * ids.len()) as f64;
        println!("{capability}: {} problems, {mean:.1} % right", ids.len());
        let most = counts.iter().copied().max().unwrap_or(0).max(1);
        for (right, n) in counts.iter().enumerate() {
            println!("  {right:>3} of {}  {n:>6}  {}", args.attempts, "█".repeat((40 * n).div_ceil(most)));
        }
    }
    println!("written to {}", args.out.display());
    Ok(())
}
