//! The main job: staged GRPO of a vision-language model, from a configuration to a report.

use crate::base;
use crate::captions;
use crate::evaluation::{Benchmark, Evaluator};
use crate::live::Live;
use crate::report::{self, StepFile};
use crate::stages::StageEvaluation;
use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use seethink::burn::tensor::Device;
use seethink::config::BaseFamily;
use seethink::curriculum::{Corpus, Stage};
use seethink::data::Split;
use seethink::models::{AnyBackbone, VlmProcessor, WeightDtype};
use seethink::prelude::*;
use seethink::train::{CheckpointFolder, Interrupter, Problems};
use std::ffi::OsStr;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tracing_subscriber::EnvFilter;

/// Configurations that ship with the program, by the name that `--curriculum` takes.
const BUILT_IN: [(&str, &str); 3] = [
    ("staged", include_str!("../../configs/micro/qwen3_vl/staged.ron")),
    ("merged", include_str!("../../configs/micro/qwen3_vl/merged.ron")),
    ("reversed", include_str!("../../configs/micro/qwen3_vl/reversed.ron")),
];

/// Folder of the embedded model in a run folder.
const BASE: &str = "base";
/// What came of every test problem, in a run folder.
pub const OUTCOMES: &str = "outcomes.jsonl";

/// Options of the main job.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct JobArgs {
    /// Family of the embedded model; every program has its own.
    #[arg(skip)]
    pub family: BaseFamily,
    /// A curriculum that ships with the program: staged, merged or reversed.
    #[arg(long, default_value = "staged", conflicts_with = "config")]
    pub curriculum: String,
    /// A configuration file instead (see configs/).
    #[arg(long)]
    pub config: Option<PathBuf>,
    /// Overrides of the configuration, such as grpo.group_size=16; may be given several times.
    #[arg(long, value_name = "PATH=VALUE")]
    pub set: Vec<String>,
    /// Seed of the run.
    #[arg(long)]
    pub seed: Option<u64>,
    /// A Hugging Face folder, or a name on its hub, to start from instead of the embedded model.
    #[arg(long, value_name = "MODEL")]
    pub model: Option<String>,
    /// Number format of parameters and computation: f32 or bf16.
    #[arg(long)]
    pub dtype: Option<WeightDtype>,
    /// Run folder; a new one under runs/ if not given.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Continue the run in --out from its last checkpoint.
    #[arg(long, requires = "out", conflicts_with_all = ["curriculum", "config", "set", "seed", "model", "dtype"])]
    pub resume: bool,
    /// Where to compute, for example flex, cuda:1 or auto.
    #[arg(long, default_value = "auto")]
    pub device: String,
    /// Show burn's dashboard instead of a line of progress.
    #[arg(long)]
    pub dashboard: bool,
}

/// A program that runs the job on the embedded model of a family.
///
/// # Errors
/// As [`run`].
pub fn program(family: BaseFamily) -> Result<()> {
    run(&parse(family), &interrupter())?;
    Ok(())
}

/// Makes a curriculum over a corpus, with a seed.
pub type MakeCurriculum = dyn Fn(&Corpus, u64) -> Result<Course, CurriculumError>;

/// The same with a curriculum of one's own, which the configuration of the run records by its name.
///
/// # Errors
/// As [`run`].
pub fn custom_program(family: BaseFamily, name: &str, make: &MakeCurriculum) -> Result<()> {
    run_custom(&parse(family), &interrupter(), name, make)?;
    Ok(())
}

/// The command line of a program.
fn parse(family: BaseFamily) -> JobArgs {
    /// Post-trains a small vision-language model by GRPO and reports what each stage did.
    #[derive(clap::Parser)]
    #[command(version)]
    struct Program {
        #[command(flatten)]
        job: JobArgs,
    }
    JobArgs { family, ..Program::parse().job }
}

/// What stops a job cleanly: the first Ctrl-C asks for a checkpoint, the second ends the program.
///
/// To be called once per program.
pub fn interrupter() -> Interrupter {
    let interrupter = Interrupter::new();
    let stop = interrupter.clone();
    let handler = move || {
        if stop.should_stop() {
            std::process::exit(130);
        }
        eprintln!("\nstopping with a checkpoint; press Ctrl-C again to stop at once");
        stop.stop(Some("interrupted"));
    };
    if let Err(error) = ctrlc::set_handler(handler) {
        eprintln!("Ctrl-C will not leave a checkpoint: {error}");
    }
    interrupter
}

/// Runs the job until it is done or `interrupter` stops it. Returns the run folder.
///
/// # Errors
/// If the configuration, the model, the data or the run folder is unfit; nothing of an earlier run is touched then.
pub fn run(args: &JobArgs, interrupter: &Interrupter) -> Result<PathBuf> {
    run_with(args, interrupter, None)
}

/// The same with a curriculum of one's own, which the configuration of the run records by its name.
///
/// # Errors
/// As [`run`].
pub fn run_custom(args: &JobArgs, interrupter: &Interrupter, name: &str, make: &MakeCurriculum) -> Result<PathBuf> {
    run_with(args, interrupter, Some((name, make)))
}

fn run_with(args: &JobArgs, interrupter: &Interrupter, custom: Option<(&str, &MakeCurriculum)>) -> Result<PathBuf> {
    if !args.dashboard {
        // The dashboard has burn's log file instead. Only the first job of a program can do it.
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
        let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
    }
    let device = device(&args.device)?;
    let (mut config, folder) = if args.resume { resumed(args)? } else { fresh(args)? };
    if let Some((name, _)) = custom {
        config.curriculum = CurriculumConfig::Custom(name.to_owned());
    }
    let (processor, mut model) = match &config.model {
        ModelConfig::Pretrained(dir) => load(dir, &config, &device)?,
        // The model of the program that began the run.
        ModelConfig::DigitsBase(_) if args.resume => load(&folder.join(BASE), &config, &device)?,
        ModelConfig::DigitsBase(family) => {
            let dir = tempfile::tempdir()?;
            base::unpack(*family, dir.path())?;
            load(dir.path(), &config, &device)?
        }
    };
    let reward = Arc::new(config.reward.clone());
    let (entries, problems) = config.training(None, Some(&processor))?;
    let corpus = Corpus::new(entries)?;
    let curriculum = match custom {
        Some((_, make)) => make(&corpus, config.seed)?,
        None => config.curriculum.build(&corpus, config.seed)?,
    };
    let benchmark = |name, split, n| {
        Benchmark::new(name, config.problems(split, Some(n), &processor)?, &config.grpo.prompt, &*processor)
    };
    let n_test = config.evaluation.problems_per_capability;
    let (test, validation) =
        (benchmark("test", Split::Test, n_test)?, benchmark("validation", Split::Validation, n_test.div_ceil(4))?);
    config.grpo.check_run(curriculum.curriculum(), &problems, &*processor, &model)?;
    for benchmark in [&test, &validation] {
        benchmark.check_room(&model, &config.evaluation, config.grpo.memory.decode_batch)?;
    }
    // Nothing was written so far: what cannot work leaves no folder behind.
    let resumed_step = if args.resume {
        Some(CheckpointFolder::new(&folder)?.latest()?.step)
    } else {
        create(&folder, &config)?;
        None
    };
    let evaluation = StageEvaluation {
        evaluator: Evaluator {
            processor: processor.clone(),
            reward: reward.clone(),
            sampling: config.evaluation.sampling,
            seed: config.seed,
            decode_batch: config.grpo.memory.decode_batch,
            interrupter: interrupter.clone(),
        },
        test,
        validation,
        samples: StepFile::open(&folder.join("samples.jsonl"), resumed_step)?,
        n_samples: config.evaluation.samples,
        outcomes: StepFile::open(&folder.join(OUTCOMES), resumed_step)?,
    };
    println!("{}", Live::headline(&config, corpus.len(), &folder));
    if let Some(line) = left_out(&problems) {
        println!("{line}");
    }
    if resumed_step.is_none() {
        model = captions::imitate(model, &config, processor.clone(), &folder, interrupter)?;
    }
    let title = title(&model, curriculum.curriculum().stages());
    let live = Live::new(curriculum.curriculum().planned_steps(Some(config.grpo.rollout_batch)), !args.dashboard);
    let grpo = Grpo {
        config: config.grpo.clone(),
        seed: config.seed,
        processor: processor.clone(),
        reward,
        rewards: config
            .rewards
            .iter()
            .map(|(name, reward)| (name.clone(), Arc::new(reward.clone()) as Arc<dyn Reward>))
            .collect(),
        problems,
        curriculum,
        validate: Some(Box::new(evaluation)),
        observer: live.observer(),
        dashboard: args.dashboard && std::io::stdout().is_terminal(),
    };
    let trained = grpo.train(model, &folder, args.resume, interrupter.clone())?;
    if trained.interrupted {
        println!("stopped after {} steps; continue with --resume --out {}", trained.steps, folder.display());
        return Ok(folder);
    }
    let model_folder = folder.join("model");
    processor.save_pretrained(&model_folder)?;
    trained.model.save_pretrained(&model_folder).context("cannot save the trained model")?;
    let summary = report::write(&folder, &title)?;
    println!("\n{}", report::table(&summary));
    println!("report  {}", folder.join("report.html").display());
    println!("model   {}", model_folder.display());
    Ok(folder)
}

/// What was run, by its stages: the same for a run that was resumed.
fn title(model: &AnyBackbone, stages: &[Stage]) -> String {
    let names: Vec<_> = stages.iter().map(|stage| stage.name.replace('_', " ")).collect();
    format!("GRPO of {}: {}", model.display_name(), names.join(" → "))
}

/// Number of prompts left out by a limit on their length, where there is one.
fn left_out(problems: &Problems) -> Option<String> {
    let Problems::Files(dataset) = problems else { return None };
    let report = dataset.report();
    let is_limited = report.longest.is_some() && report.dropped_overlong;
    is_limited.then(|| format!("{} of {} prompts left out as too long", report.n_overlong, report.n_rows))
}

fn load(dir: &Path, config: &RunConfig, device: &Device) -> Result<(Arc<VlmProcessor>, AnyBackbone)> {
    let processor = config.processor(dir).with_context(|| format!("cannot use {}", dir.display()))?;
    Ok((Arc::new(processor), AnyBackbone::from_pretrained_as(dir, config.dtype, device)?))
}

/// The configuration that the options of a new run ask for.
///
/// # Errors
/// If there is no such configuration, or it is wrong.
pub fn configuration(args: &JobArgs) -> Result<RunConfig> {
    let mut set = args.set.clone();
    set.extend(args.seed.map(|seed| format!("seed={seed}")));
    let mut config = match &args.config {
        Some(path) => RunConfig::load(path, &set)?,
        None => {
            let names = || BUILT_IN.map(|(name, _)| name).join(", ");
            let built_in = BUILT_IN.iter().find(|(name, _)| *name == args.curriculum);
            let (name, text) = built_in.with_context(|| {
                format!("no curriculum {:?} ships with the program; there are {}", args.curriculum, names())
            })?;
            RunConfig::parse(text, format!("{name}.ron"), &set)?
        }
    };
    if let Some(model) = &args.model {
        config.model = ModelConfig::Pretrained(seethink::hub::fetch(model)?);
    } else if args.config.is_none() {
        config.model = ModelConfig::DigitsBase(args.family);
    }
    if let Some(dtype) = args.dtype {
        config.dtype = dtype;
        config.check()?;
    }
    Ok(config)
}

/// Configuration and folder of a new run.
fn fresh(args: &JobArgs) -> Result<(RunConfig, PathBuf)> {
    let config = configuration(args)?;
    let folder = match &args.out {
        Some(folder) => {
            let occupied = std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some());
            ensure!(
                !occupied,
                "{} is not empty: resume the run in it with --resume, or choose another folder (nothing was overwritten)",
                folder.display()
            );
            folder.clone()
        }
        None => {
            let name = args.config.as_deref().and_then(Path::file_stem).and_then(OsStr::to_str);
            free_folder(&format!("runs/{}-seed{}", name.unwrap_or(&args.curriculum), config.seed))
        }
    };
    Ok((config, folder))
}

/// Makes the folder of a new run, and writes the resolved configuration and the embedded model into it.
fn create(folder: &Path, config: &RunConfig) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create the run folder {}", folder.display()))?;
    report::write_file(&folder.join("config.ron"), config.to_ron().as_bytes())?;
    match config.model {
        ModelConfig::DigitsBase(family) => base::unpack(family, &folder.join(BASE)),
        ModelConfig::Pretrained(_) => Ok(()),
    }
}

/// `name`, or `name-2`, `name-3`, … where a run is there already.
fn free_folder(name: &str) -> PathBuf {
    let candidates = std::iter::once(PathBuf::from(name)).chain((2..).map(|n| PathBuf::from(format!("{name}-{n}"))));
    candidates.into_iter().find(|path| !path.exists()).unwrap_or_else(|| PathBuf::from(name))
}

/// Configuration and folder of a run to be continued.
fn resumed(args: &JobArgs) -> Result<(RunConfig, PathBuf)> {
    let Some(folder) = &args.out else { bail!("--resume needs --out") };
    let config = RunConfig::load(folder.join("config.ron"), &[])
        .with_context(|| format!("{} holds no run to resume", folder.display()))?;
    Ok((config, folder.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use seethink::data::digits::{DigitsConfig, DigitsWorld};
    use seethink::data::write_problems;

    /// A folder of problems, read with the limit of a file: the prompts that a processor counts to be longer are left out.
    #[test]
    fn long_prompts_are_left_out_of_a_folder_and_counted() {
        let dir = tempfile::tempdir().unwrap();
        let world = DigitsWorld::new(DigitsConfig::default()).unwrap();
        let problems: Vec<_> =
            Capability::ALL.iter().flat_map(|one| world.problems(Split::Train, one, 1).take(12)).collect();
        write_problems(dir.path().join("train"), &problems).unwrap();
        let base = dir.path().join("base");
        base::unpack(BaseFamily::Qwen3Vl, &base).unwrap();
        let folder = dir.path().display();
        let config = |set: &[String]| RunConfig::parse(BUILT_IN[0].1, "staged.ron", set).unwrap();
        let usual = config(&[]);
        let processor = usual.processor(&base).unwrap();
        let lengths: Vec<usize> = problems
            .iter()
            .map(|problem| usual.grpo.prompt.encode(&processor, problem).unwrap().tokens.len())
            .collect();
        let limit = (lengths.iter().min().unwrap() + lengths.iter().max().unwrap()) / 2;
        let n_long = lengths.iter().filter(|length| **length > limit).count();
        assert!(n_long > 0 && n_long < lengths.len());

        let limited = config(&[format!("data=Folder(path: {folder}, overlong: (max_tokens: {limit}))")]);
        let (entries, left) = limited.training(None, Some(&processor)).unwrap();
        assert_eq!(entries.len(), lengths.len() - n_long);
        assert_eq!(left_out(&left), Some(format!("{n_long} of {} prompts left out as too long", lengths.len())));
        let (entries, all) =
            config(&[format!("data=Folder(path: {folder})")]).training(None, Some(&processor)).unwrap();
        assert_eq!((entries.len(), left_out(&all)), (lengths.len(), None));
        // Smaller pictures are fewer tokens, and what was counted with larger ones is not taken for theirs.
        let smaller = config(&[
            format!("data=Folder(path: {folder}, overlong: (max_tokens: {limit}))"),
            "images.max_pixels=256".into(),
        ]);
        let small = smaller.processor(&base).unwrap();
        assert!(smaller.training(None, Some(&small)).unwrap().0.len() > lengths.len() - n_long);
    }
}
