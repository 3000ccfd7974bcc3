//! `seethink data`: preparation of problems before training.

use crate::perception;
use anyhow::{Context, Result, bail};
use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use seethink::core::{Capability, Problem, ProblemId};
use seethink::data::{
    DataSource, Dataset, DatasetConfig, Ordering, Overlong, OverlongAction, PassRateTable, TokenCounter,
    try_write_problems,
};
use seethink::eval::pass_rate::{histogram, measure};
use seethink::eval::{Endpoint, EndpointOptions, InProcess, Remote, Solver};
use seethink::models::{AnyBackbone, VlmProcessor};
use seethink::plot::pass_rates;
use seethink::rollout::{Generator, Problems, Sampling};
use seethink::run::RunConfig;
use seethink::run::config::{ModelSource, count_prompts, counter_name};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::num::NonZero;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Checks every row of a data set and reports its statistics; a file that was checked before is
    /// read only if it changed.
    Check(Check),
    /// Measures the pass rate of a model on each training problem. An interrupted measurement is
    /// resumed; more attempts can be added later.
    PassRate(PassRate),
    /// Writes problem files in training order: by difficulty for each stage, for all stages
    /// together, and for capability × difficulty.
    Order(Order),
    /// Makes perception problems from captions: one question for each, kept where models answer it
    /// wrongly from the picture and rightly from the caption. An interrupted run is resumed.
    Perception(Box<perception::Args>),
}

#[derive(clap::Args)]
pub(crate) struct Check {
    /// Configuration file of a run (.ron); or JSON-lines and parquet files, folders of them, or
    /// patterns in quotes.
    #[arg(required = true)]
    data: Vec<PathBuf>,
    /// Overrides of the configuration; may be given several times.
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// Capability of rows that do not state it, where files are given.
    #[arg(long)]
    capability: Option<String>,
    /// Folder or name of a checkpoint whose tokenizer counts the prompts, instead of the
    /// configuration's.
    #[arg(long)]
    model: Option<String>,
    /// Maximum number of tokens of a prompt, instead of the configuration's; longer prompts are
    /// counted only.
    #[arg(long, requires = "model")]
    max_tokens: Option<usize>,
}

#[derive(clap::Args)]
pub(crate) struct Order {
    /// JSON-lines files with a `pass_rate` in every row, one for each capability, in the order of
    /// stages.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Folder to write to.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Sort the hardest problems first.
    #[arg(long)]
    hard_to_easy: bool,
    /// Seed of the order of problems with equal pass rates.
    #[arg(long, default_value_t = 42)]
    seed: u64,
}

#[derive(clap::Args)]
pub(crate) struct PassRate {
    /// Configuration file of a run: its problems, prompt and reward.
    config: PathBuf,
    /// Overrides of the configuration; may be given several times.
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// Folder or name of the checkpoint, instead of the configuration's; with --endpoint the
    /// server's name for the model.
    #[arg(long)]
    model: Option<String>,
    /// Base URL of an OpenAI-compatible server, such as http://localhost:8000/v1, instead of a
    /// model in process. OPENAI_API_KEY is used as the key.
    #[arg(long, value_name = "URL", requires = "model")]
    endpoint: Option<String>,
    /// Number of parallel requests to the server.
    #[arg(long, default_value_t = 8)]
    parallel: usize,
    /// Timeout of a request, seconds.
    #[arg(long, default_value_t = 600)]
    timeout: u64,
    /// Table of attempts: JSON lines, added to as attempts are made.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// New folder for the problems with their pass rates and numbers of attempts as columns.
    #[arg(long, value_name = "DIR")]
    write: Option<PathBuf>,
    /// Figure of the histograms: a file name that ends in .svg or .png.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Number of attempts at each problem.
    #[arg(long, default_value_t = NonZero::new(16).expect("not zero"))]
    attempts: NonZero<usize>,
    /// Sampling temperature.
    #[arg(long, default_value_t = 1.0)]
    temperature: f32,
    /// Maximum number of problems of each capability.
    #[arg(long)]
    limit: Option<usize>,
    /// Seed of the attempts.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Device to compute on, for example flex, cuda:1 or auto.
    #[arg(long, default_value = "auto")]
    device: String,
}

pub(crate) fn run(command: &Command) -> Result<()> {
    match command {
        Command::Check(args) => check(args),
        Command::PassRate(args) => pass_rate(args),
        Command::Order(args) => order(args),
        Command::Perception(args) => perception::run(args),
    }
}

fn check(args: &Check) -> Result<()> {
    let run = match args.data.as_slice() {
        [file] if file.extension().is_some_and(|ending| ending == "ron") => Some(RunConfig::load(file, &args.set)?),
        _ => None,
    };
    let capability = args.capability.clone().map(Capability::new);
    let source = |path: &PathBuf| DataSource { capability: capability.clone(), ..DataSource::new(path) };
    let mut config = match &run {
        None => DatasetConfig::new(args.data.iter().map(source).collect::<Vec<_>>()),
        Some(run) => match run.data.files(None) {
            Some(files) => files,
            None => bail!("the digits world is made, not read: there are no files to check"),
        },
    };
    let model = match (&args.model, run.as_ref().map(|run| &run.model)) {
        (Some(model), _) => Some(model.clone()),
        (None, Some(ModelSource::Pretrained(dir))) => Some(dir.display().to_string()),
        (None, _) => None,
    };
    let (prompt, images) = run.map(|run| (run.grpo.prompt, run.images)).unwrap_or_default();
    let dataset = if let Some(model) = model {
        let none = Overlong { max_tokens: usize::MAX, action: OverlongAction::Keep };
        let limit = args.max_tokens.map(|max_tokens| Overlong { max_tokens, ..none });
        config.overlong = limit.or(config.overlong).or(Some(none));
        let processor = VlmProcessor::from_pretrained(&seethink::hub::fetch(&model)?)?.with_image_limits(&images)?;
        let name = counter_name(&ModelSource::Pretrained(model.into()), &prompt, &images);
        Dataset::open(&config, Some(&TokenCounter { name: &name, count: &count_prompts(&processor, &prompt) }))?
    } else {
        Dataset::open(&config, None)?
    };
    println!("{}", dataset.report());
    Ok(())
}

fn order(args: &Order) -> Result<()> {
    let ordering = Ordering { files: args.files.clone(), hard_to_easy: args.hard_to_easy, seed: args.seed };
    for (path, n) in ordering.write(&args.out)? {
        println!("{n:>8} rows  {}", path.display());
    }
    Ok(())
}

fn pass_rate(args: &PassRate) -> Result<()> {
    args.plot.iter().try_for_each(|path| super::check_figure(path))?;
    let config = RunConfig::load(&args.config, &args.set)?;
    let model = match (&args.model, &config.model) {
        (Some(model), _) => model.clone(),
        (None, ModelSource::Pretrained(dir)) => dir.display().to_string(),
        (None, _) => {
            bail!(
                "the small base model is in the programs that train it: give --model, such as the folder `base` of a run"
            )
        }
    };
    let (entries, problems) = config.training(args.limit, super::counting_processor(&config)?.as_ref())?;
    let ids: Vec<ProblemId> = entries.iter().map(|entry| entry.id).collect();
    let sampling = Sampling { temperature: args.temperature, ..config.grpo.sampling };
    let made_with = [
        ("model", json!(model)),
        ("prompt", json!(config.grpo.prompt)),
        ("sampling", json!(sampling)),
        ("reward", json!(config.reward)),
        ("seed", json!(args.seed)),
    ];
    let mut origin: Map<String, Value> = made_with.map(|(name, value)| (name.to_owned(), value)).into_iter().collect();
    if !config.images.is_none() {
        origin.insert("images".into(), json!(config.images));
    }
    let prompt = &config.grpo.prompt;
    let table = if let Some(url) = &args.endpoint {
        let endpoint = Endpoint::new(EndpointOptions {
            url: url.clone(),
            model,
            key: std::env::var("OPENAI_API_KEY").ok(),
            timeout: Duration::from_secs(args.timeout),
            tries: 8,
            pause: Duration::from_secs(1),
        });
        let (images, seed, parallel) = (config.images, args.seed, args.parallel);
        let solver = Remote { endpoint: &endpoint, prompt, images, sampling, seed, parallel };
        measured(args, &config, &problems, &ids, &solver, &origin)?
    } else {
        let device = seethink::run::device(&args.device)?;
        let dir = seethink::hub::fetch(&model)?;
        let processor = config.processor(&dir)?;
        let model = AnyBackbone::from_pretrained_as(&dir, config.dtype, &device)
            .with_context(|| format!("cannot load {}", dir.display()))?;
        let max_batch = config.grpo.memory.decode_batch;
        let generator = Generator { model: &model, processor: &processor, sampling, max_batch };
        origin.insert("dtype".into(), json!(config.dtype));
        measured(args, &config, &problems, &ids, &InProcess { generator, prompt, seed: args.seed }, &origin)?
    };
    let mut by_capability: BTreeMap<&Capability, Vec<_>> = BTreeMap::new();
    for entry in &entries {
        by_capability.entry(&entry.capability).or_default().push(entry.id);
    }
    let mut histograms = Vec::new();
    for (capability, ids) in by_capability {
        let counts = histogram(&table, ids.iter().copied(), args.attempts.get());
        let right: usize = counts.iter().enumerate().map(|(right, n)| right * n).sum();
        let mean = 100.0 * right as f64 / (args.attempts.get() * ids.len()) as f64;
        println!("{capability}: {} problems, {mean:.1} % right", ids.len());
        let most = counts.iter().copied().max().unwrap_or(0).max(1);
        for (right, n) in counts.iter().enumerate() {
            println!("  {right:>3} of {}  {n:>6}  {}", args.attempts, "█".repeat((40 * n).div_ceil(most)));
        }
        histograms.push((capability.to_string(), counts));
    }
    println!("written to {}", args.out.display());
    if let Some(path) = &args.plot {
        super::write_figure(&pass_rates(&histograms), path)?;
    }
    if let Some(dir) = &args.write {
        let rated = ids.iter().map(|&id| -> Result<Problem> {
            let mut problem = problems.get(&[id])?;
            table.apply(&mut problem);
            Ok(problem.remove(0))
        });
        println!("{} problems written to {}", try_write_problems(dir, rated)?, dir.display());
    }
    Ok(())
}

/// Measures the missing attempts and returns the complete table.
fn measured(
    args: &PassRate,
    config: &RunConfig,
    problems: &Problems,
    ids: &[ProblemId],
    solver: &dyn Solver,
    origin: &Map<String, Value>,
) -> Result<PassRateTable> {
    let mut table = PassRateTable::open(&args.out, origin)?;
    let bar = ProgressBar::new(ids.len() as u64);
    bar.set_style(ProgressStyle::with_template("{wide_bar} {pos}/{len} problems, {eta} left")?);
    let measured = measure(solver, &config.reward, problems, ids, args.attempts.get(), &mut table, &mut |done, _| {
        bar.set_position(done as u64);
        true
    });
    bar.finish_and_clear();
    measured?;
    Ok(table)
}
