//! `seethink curriculum`: the plan of a curriculum.

use anyhow::Result;
use clap::Subcommand;
use seethink::curriculum::{Axis, Corpus, Simulation, SkilledLearner};
use seethink::plot::Plan;
use seethink::run::RunConfig;
use std::path::PathBuf;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Draws the plan of a curriculum as shares of capability × difficulty cells over the steps:
    /// exactly for static curricula, by simulation for adaptive ones.
    Show(Show),
}

#[derive(clap::Args)]
pub(crate) struct Show {
    /// Configuration file of a run.
    config: PathBuf,
    /// Overrides of the configuration, such as curriculum.Staged.order=EasyToHard; may be given
    /// several times.
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// Write the plan as a figure: a file name that ends in .svg or .png.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Axis of difficulty, such as PassRate or Score("operations"); the pass rate where all
    /// problems have one.
    #[arg(long, value_name = "AXIS", value_parser = axis)]
    difficulty: Option<Axis>,
    /// Number of difficulty levels.
    #[arg(long, default_value_t = 4)]
    bins: u32,
    /// Maximum number of steps to show: not every curriculum ends.
    #[arg(long, default_value_t = 1000)]
    steps: usize,
    /// Learning rate of the simulated learner: gain in logits of a capability from a group at a
    /// pass rate of a half.
    #[arg(long, default_value_t = 0.005)]
    learning_rate: f64,
    /// Share of a gain that transfers to the other capabilities.
    #[arg(long, default_value_t = 0.3)]
    transfer: f64,
    /// Width of the plan in the terminal, characters.
    #[arg(long, default_value_t = 72)]
    columns: usize,
}

fn axis(text: &str) -> Result<Axis, String> {
    ron::from_str(text).map_err(|error| error.to_string())
}

pub(crate) fn run(command: &Command) -> Result<()> {
    let Command::Show(args) = command;
    let config = RunConfig::load(&args.config, &args.set)?;
    let (entries, _) = config.training(None, super::counting_processor(&config)?.as_ref())?;
    let corpus = Corpus::new(entries)?;
    let mut course = config.curriculum.build(&corpus, config.seed)?;
    let simulation = Simulation {
        batch: config.grpo.rollout_batch,
        group_size: config.grpo.group_size,
        max_draws: config.grpo.max_draws,
        max_steps: args.steps,
        seed: config.seed,
    };
    let mut learner = SkilledLearner::new(&corpus, args.learning_rate, args.transfer);
    let cells = Plan::cells(&corpus, args.difficulty.clone(), args.bins);
    let plan = Plan::simulate(&mut course, &corpus, &cells, &simulation, &mut learner)?;
    print!("{}", plan.to_text(args.columns));
    if let Some(path) = &args.out {
        super::write_figure(&plan.drawing(), path)?;
        println!("written to {}", path.display());
    }
    Ok(())
}
