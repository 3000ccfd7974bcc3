//! `seethink curriculum`: what a curriculum trains when.

use anyhow::Result;
use clap::Subcommand;
use seethink::curriculum::{Axis, Corpus, Simulation, SkilledLearner};
use seethink::run::RunConfig;
use seethink::run::plan::Plan;
use std::path::PathBuf;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Draws which cell of capability × difficulty is trained when: exactly for static curricula, by simulation for those that adapt.
    Show(Show),
}

#[derive(clap::Args)]
pub(crate) struct Show {
    /// A configuration file of a run.
    config: PathBuf,
    /// Overrides of the configuration, such as curriculum.Staged.order=EasyToHard; may be given several times.
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// Write the plan as a figure: a name that ends in .svg or .png.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// What difficulty goes by, such as PassRate or Score("operations"); the pass rate where all problems have one.
    #[arg(long, value_name = "AXIS", value_parser = axis)]
    difficulty: Option<Axis>,
    /// Levels of difficulty.
    #[arg(long, default_value_t = 4)]
    bins: u32,
    /// Steps to show, at most: not every curriculum ends.
    #[arg(long, default_value_t = 1000)]
    steps: usize,
    /// What the simulated learner gains from a group at a pass rate of a half: logits of its capability.
    #[arg(long, default_value_t = 0.005)]
    learning_rate: f64,
    /// Share of a gain that other capabilities get.
    #[arg(long, default_value_t = 0.3)]
    transfer: f64,
    /// Characters of time in the terminal.
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
