//! Command line that runs the tables of the paper.
//!
//! `cargo run --release -p experiments -- table capability_x_difficulty --scale micro --seeds 3`

use anyhow::{Context, Result};
use clap::{Parser, Subcommand, ValueEnum};
use experiments::experiment::run::{self, Task};
use experiments::experiment::{
    Arm, Cell, Experiment, Rendered, Results, Scale, Setting, backbone, docs, render, slurm,
};
use experiments::{exploration, gates, tables};
use seethink::run::config::BaseFamily;
use seethink::run::interrupter;
use std::path::{Path, PathBuf};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs the tables of the paper.
#[derive(Parser)]
#[command(version)]
struct Program {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Lists the tables.
    List,
    /// Makes the missing runs of some tables, and renders the tables.
    Table(TableArgs),
    /// Makes a single run.
    Run {
        /// Scale: micro or full.
        #[arg(long, default_value = "micro")]
        scale: Scale,
        /// Backbone: qwen2_5_vl, qwen3_vl, internvl3 or internvl3_5.
        #[arg(long, default_value = "qwen3_vl")]
        backbone: String,
        /// Cell of the exploration: tables for none, quarter, fourfold, less_perception or more_perception.
        #[arg(long, default_value = "tables")]
        cell: Cell,
        /// Id of the arm.
        #[arg(long)]
        arm: String,
        /// Seed of the run.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Overrides of the configuration, such as grpo.group_size=16; may be given several times.
        #[arg(long, value_name = "PATH=VALUE")]
        set: Vec<String>,
        /// Folder of runs and tables.
        #[arg(long, default_value = "runs/tables", value_name = "DIR")]
        out: PathBuf,
        /// Device to compute on, for example flex, cuda:1 or auto.
        #[arg(long, default_value = "auto")]
        device: String,
    },
    /// Measures what has to hold of the digits world before arms are compared on it: makes the missing
    /// runs, of merged training and of single stages, and prints the gates.
    Gates {
        /// Backbone, instead of all; may be given several times.
        #[arg(long)]
        backbone: Vec<String>,
        /// Overrides of every configuration, such as grpo.loss.kl_coef=0.02; may be given several times.
        #[arg(long, value_name = "PATH=VALUE")]
        set: Vec<String>,
        /// Number of runs in parallel; the number of cores if not given.
        #[arg(long)]
        jobs: Option<usize>,
        /// Folder of runs and gates.
        #[arg(long, default_value = "runs/tables", value_name = "DIR")]
        out: PathBuf,
        /// Device to compute on, for example flex, cuda:1 or auto.
        #[arg(long, default_value = "auto")]
        device: String,
    },
    /// Copies the results of some tables, without their runs, and renders the tables there. Refuses
    /// runs of a tree with uncommitted changes.
    Collect {
        #[command(flatten)]
        which: Which,
        /// Folder of runs.
        #[arg(long, default_value = "runs/tables", value_name = "DIR")]
        from: PathBuf,
        /// Folder of results.
        #[arg(long, default_value = "experiments/results/tables", value_name = "DIR")]
        to: PathBuf,
    },
    /// Writes docs/paper.md, docs/findings.md, the picture of the README and configs/paper; to be run
    /// in the root of the repository.
    Docs {
        /// Folder of results.
        #[arg(long, default_value = "experiments/results/tables", value_name = "DIR")]
        results: PathBuf,
    },
}

#[derive(clap::Args)]
struct Which {
    /// Ids of tables, as shown by `list`, all, or exploration: when order matters (only by its name).
    #[arg(required = true)]
    tables: Vec<String>,
    /// Scale: micro (minutes on two cores) or full (the published backbones).
    #[arg(long, default_value = "micro")]
    scale: Scale,
    /// Backbone, instead of all of a table; may be given several times.
    #[arg(long)]
    backbone: Vec<String>,
    /// Number of seeds of every arm: 1, 2, ….
    #[arg(long, default_value_t = 3)]
    seeds: u64,
    /// Overrides of every configuration, such as grpo.group_size=16; may be given several times.
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
}

#[derive(clap::Args)]
struct TableArgs {
    #[command(flatten)]
    which: Which,
    /// Number of runs in parallel; the number of cores if not given.
    #[arg(long)]
    jobs: Option<usize>,
    /// Launcher of the runs.
    #[arg(long, default_value = "local")]
    launcher: Launcher,
    /// Further options of sbatch, such as --gres=gpu:1; may be given several times.
    #[arg(long, value_name = "OPTION", allow_hyphen_values = true)]
    sbatch: Vec<String>,
    /// Folder of runs and tables.
    #[arg(long, default_value = "runs/tables", value_name = "DIR")]
    out: PathBuf,
    /// Device to compute on, for example flex, cuda:1 or auto.
    #[arg(long, default_value = "auto")]
    device: String,
}

#[derive(Clone, Copy, ValueEnum)]
enum Launcher {
    /// Local processes.
    Local,
    /// Slurm array job.
    Slurm,
}

impl Which {
    fn experiments(&self) -> Result<Vec<&'static Experiment>> {
        if self.tables == ["all"] {
            return Ok(tables::ALL.to_vec());
        }
        self.tables.iter().filter(|id| *id != exploration::ID).map(|id| tables::find(id)).collect()
    }

    fn explores(&self) -> bool {
        self.tables.iter().any(|id| id == exploration::ID)
    }

    fn tasks(&self) -> Result<Vec<Task>> {
        let mut tasks = run::tasks(&self.experiments()?, self.scale, &self.backbones()?, self.seeds, &self.set)?;
        if self.explores() {
            tasks.extend(exploration::tasks(self.seeds, &self.set));
        }
        Ok(tasks)
    }

    fn backbones(&self) -> Result<Vec<BaseFamily>> {
        self.backbone.iter().map(|name| backbone(name)).collect()
    }

    /// Renders the pages of the results below `out`.
    fn pages(&self, out: &Path) -> Result<Vec<Rendered>> {
        let results = Results::read(self.scale, &self.backbones()?, self.seeds, &self.set, out)?;
        let mut pages: Vec<Rendered> =
            self.experiments()?.into_iter().map(|one| render(one, &results)).collect::<Result<_>>()?;
        if self.explores() {
            pages.push(exploration::page(out, self.seeds)?);
        }
        pages.iter().try_for_each(|page| page.write(out))?;
        Ok(pages)
    }
}

fn main() -> Result<()> {
    match Program::parse().command {
        Command::List => {
            for Experiment { id, title, paper, .. } in tables::ALL {
                println!("{id:<24} {title} ({paper})");
            }
            Ok(())
        }
        Command::Table(args) => table(&args),
        Command::Run { scale, backbone: name, cell, arm, seed, set, out, device } => {
            let names = || Arm::ALL.map(|arm| arm.id).join(", ");
            let found = Arm::ALL.into_iter().find(|one| one.id == arm);
            let arm = found.with_context(|| format!("no arm {arm:?}; there are {}", names()))?;
            let setting = Setting { cell, ..Setting::new(scale, backbone(&name)?) };
            Task { setting, arm, seed, set }.run(&out, &device, &interrupter())
        }
        Command::Gates { backbone: names, set, jobs, out, device } => {
            let named: Vec<BaseFamily> = names.iter().map(|name| backbone(name)).collect::<Result<_>>()?;
            let chosen = BaseFamily::ALL.into_iter().map(|(_, one)| one);
            for backbone in chosen.filter(|one| named.is_empty() || named.contains(one)) {
                let setting = Setting::new(Scale::Micro, backbone);
                let gates = gates::measure(setting, &set, &out, n_jobs(jobs)?, &device, &interrupter())?;
                println!("## {}\n\n{gates}", setting.title());
            }
            Ok(())
        }
        Command::Collect { which, from, to } => {
            let tasks = which.tasks()?;
            println!("{} of {} results", run::collect(&tasks, &from, &to)?, tasks.len());
            which.pages(&to)?;
            Ok(())
        }
        Command::Docs { results } => docs::write(&results),
    }
}

/// Number of runs in parallel: as asked for, or that of the cores.
fn n_jobs(asked: Option<usize>) -> Result<usize> {
    Ok(asked.map_or_else(|| std::thread::available_parallelism().map(Into::into), Ok)?)
}

fn table(args: &TableArgs) -> Result<()> {
    let tasks = args.which.tasks()?;
    let interrupter = interrupter();
    match args.launcher {
        Launcher::Local => {
            run::local(&tasks, &args.out, n_jobs(args.jobs)?, &args.device, &interrupter)?;
        }
        Launcher::Slurm => {
            run::prepare(&tasks, &args.out, &args.device, &interrupter)?;
            slurm::submit(&tasks, &args.out, &args.device, &args.sbatch)?;
        }
    }
    for page in args.which.pages(&args.out)? {
        println!("{}", page.markdown);
    }
    Ok(())
}
