//! Training jobs: a run from its configuration to its report.

use crate::RunError;
use crate::base_models::{BaseModels, NoBaseModels};
use crate::captions;
use crate::config::{ModelSource, RunConfig};
use crate::progress::ProgressLine;
use crate::report::{self, RunSummary, StepFile};
use crate::stage_evaluation::StageEvaluation;
use burn::tensor::Device;
use seethink_core::Problem;
use seethink_curriculum::{Corpus, Course, CurriculumConfig, CurriculumError, Stage};
use seethink_data::Split;
use seethink_eval::{Benchmark, Evaluator};
use seethink_models::{AnyBackbone, VlmProcessor};
use seethink_reward::Reward;
use seethink_rollout::Problems;
use seethink_train::{CheckpointFolder, Grpo, Interrupter};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tracing_subscriber::EnvFilter;

/// Folder of the shipped base model, in a run folder.
const BASE: &str = "base";
/// File of the outcomes of every problem of test and validation, in a run folder.
pub const OUTCOMES: &str = "outcomes.jsonl";

/// Function that builds a curriculum over a corpus, with a seed.
pub type MakeCurriculum<'a> = dyn Fn(&Corpus, u64) -> Result<Course, CurriculumError> + 'a;

/// Training job: configuration, run folder, device, and customisations of the program.
pub struct Job<'a> {
    /// Configuration of the run.
    pub config: RunConfig,
    /// Run folder.
    pub folder: PathBuf,
    /// Device to compute on.
    pub device: Device,
    /// Continue from the last checkpoint of the folder.
    pub resume: bool,
    /// Base models that the configuration may name by family.
    pub base_models: &'a dyn BaseModels,
    /// Custom curriculum instead of that of the configuration, which records its name.
    pub curriculum: Option<(&'a str, &'a MakeCurriculum<'a>)>,
    /// Custom reward instead of that of the configuration.
    pub reward: Option<Arc<dyn Reward>>,
    /// Show burn's dashboard.
    pub dashboard: bool,
    /// Show a line of progress.
    pub show_progress: bool,
    /// Interrupter that stops the run with a checkpoint.
    pub interrupter: Interrupter,
}

/// Outcome of a job.
#[derive(Debug)]
pub struct Finished {
    /// Run folder.
    pub folder: PathBuf,
    /// Summary of the report; `None` if the run was interrupted and can be resumed.
    pub summary: Option<RunSummary>,
}

impl<'a> Job<'a> {
    /// Creates the job of a new run with this configuration, in this folder.
    pub fn new(config: RunConfig, folder: impl Into<PathBuf>, device: Device) -> Self {
        Self {
            config,
            folder: folder.into(),
            device,
            resume: false,
            base_models: &NoBaseModels,
            curriculum: None,
            reward: None,
            dashboard: false,
            show_progress: true,
            interrupter: Interrupter::new(),
        }
    }

    /// Creates the job that continues the run in this folder from its last checkpoint.
    ///
    /// # Errors
    /// If the folder has no configuration of a run.
    pub fn resumed(folder: impl Into<PathBuf>, device: Device) -> Result<Self, RunError> {
        let folder = folder.into();
        let config = RunConfig::load(folder.join("config.ron"), &[])
            .map_err(|source| RunError::NoRun { folder: folder.clone(), source: source.into() })?;
        Ok(Self { resume: true, ..Self::new(config, folder, device) })
    }

    /// Runs the job until it is done or interrupted.
    ///
    /// # Errors
    /// If the configuration, the model, the data or the run folder is unfit, or the model cannot be
    /// downloaded; nothing of an earlier run is touched then.
    pub fn run(mut self) -> Result<Finished, RunError> {
        if self.show_progress {
            // Where the terminal shows a dashboard, burn writes to a log file instead. A program
            // can initialise logging only once.
            let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
            let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
        }
        if !self.resume && std::fs::read_dir(&self.folder).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(RunError::Occupied(self.folder));
        }
        if let Some((name, _)) = self.curriculum {
            self.config.curriculum = CurriculumConfig::Custom(name.to_owned());
        }
        if let ModelSource::Pretrained(model) = &mut self.config.model {
            *model = seethink_hub::fetch(&model.display().to_string())?;
        }
        let (processor, mut model) = self.load()?;
        let config = &self.config;
        let reward = self.reward.clone().unwrap_or_else(|| Arc::new(config.reward.clone()));
        let (entries, problems) = config.training(None, Some(&processor))?;
        let corpus = Corpus::new(entries)?;
        let curriculum = match self.curriculum {
            Some((_, make)) => make(&corpus, config.seed)?,
            None => config.curriculum.build(&corpus, config.seed)?,
        };
        let (test, validation) = self.benchmarks(&processor)?;
        config.grpo.check_run(curriculum.curriculum(), &problems, &*processor, &model)?;
        for benchmark in [&test, &validation] {
            let max_tokens = config.evaluation.sampling.max_tokens;
            benchmark.check_room(&model, max_tokens, config.grpo.memory.decode_batch)?;
        }
        // Nothing was written so far: a run that cannot work leaves no folder behind.
        let resumed_step = if self.resume {
            Some(CheckpointFolder::new(&self.folder)?.latest()?.step)
        } else {
            self.create_folder()?;
            None
        };
        let evaluation = StageEvaluation {
            evaluator: Evaluator {
                processor: processor.clone(),
                reward: reward.clone(),
                sampling: config.evaluation.sampling,
                seed: config.seed,
                decode_batch: config.grpo.memory.decode_batch,
            },
            interrupter: self.interrupter.clone(),
            test,
            validation,
            samples: StepFile::open(&self.folder.join("samples.jsonl"), resumed_step)?,
            n_samples: config.evaluation.samples,
            draws_curve: config.grpo.validate_every > 0,
            outcomes: StepFile::open(&self.folder.join(OUTCOMES), resumed_step)?,
        };
        println!("{}", ProgressLine::headline(config, corpus.len(), &self.folder));
        if let Some(line) = left_out(&problems) {
            println!("{line}");
        }
        if resumed_step.is_none() {
            model = captions::imitate(model, config, processor.clone(), &self.folder, &self.interrupter)?;
        }
        let title = title(&model, curriculum.curriculum().stages());
        let planned = curriculum.curriculum().planned_steps(Some(config.grpo.rollout_batch));
        let named = |(name, reward): (&String, &_)| (name.clone(), Arc::new(Clone::clone(reward)) as Arc<dyn Reward>);
        let grpo = Grpo {
            config: config.grpo.clone(),
            seed: config.seed,
            processor: processor.clone(),
            reward,
            rewards: config.rewards.iter().map(named).collect(),
            problems,
            curriculum,
            validate: Some(Box::new(evaluation)),
            observer: ProgressLine::new(planned, self.show_progress).observer(),
            dashboard: self.dashboard,
        };
        let trained = grpo.train(model, &self.folder, self.resume, self.interrupter.clone())?;
        if trained.interrupted {
            println!("stopped after {} steps; continue with --resume --out {}", trained.steps, self.folder.display());
            return Ok(Finished { folder: self.folder, summary: None });
        }
        let folder = self.folder.join("model");
        save(&processor, &trained.model, &folder)?;
        let summary = report::write(&self.folder, &title)?;
        println!("\n{}", report::table(&summary));
        println!("report  {}", self.folder.join("report.html").display());
        println!("model   {}", folder.display());
        Ok(Finished { folder: self.folder, summary: Some(summary) })
    }

    /// Exports a checkpoint of the run, that of `step` or the last, as a Hugging Face folder like the
    /// trained model of a finished run. Returns its step.
    ///
    /// # Errors
    /// If `out` exists, there is no such checkpoint, or the model cannot be loaded or saved.
    pub fn export(&self, step: Option<usize>, out: &Path) -> Result<usize, RunError> {
        if out.exists() {
            return Err(RunError::Exists(out.to_owned()));
        }
        let checkpoints = CheckpointFolder::of(&self.folder);
        let step = checkpoints.find(step)?;
        let (processor, model) = self.load()?;
        let partial = out.with_added_extension(seethink_files::PARTIAL);
        save(&processor, &checkpoints.load_model(model, step)?, &partial)?;
        let renamed = std::fs::rename(&partial, out);
        let kept = renamed.and_then(|()| seethink_files::sync_folder(out.parent().unwrap_or(Path::new(""))));
        kept.map_err(RunError::io("write", out))?;
        Ok(step)
    }

    /// Loads the base model of the run.
    fn load(&self) -> Result<(Arc<VlmProcessor>, AnyBackbone), RunError> {
        let temporary;
        let folder = match &self.config.model {
            ModelSource::Pretrained(folder) => folder,
            // The copy in the run folder, made by the program that began the run.
            _ if self.resume => &self.folder.join(BASE),
            shipped => {
                temporary = tempfile::tempdir().map_err(RunError::io("create a folder in", std::env::temp_dir()))?;
                self.base_models.unpack(shipped, temporary.path())?;
                temporary.path()
            }
        };
        let unusable = |source| RunError::Processor { folder: folder.to_owned(), source: Box::new(source) };
        let processor = self.config.processor(folder).map_err(unusable)?;
        Ok((Arc::new(processor), AnyBackbone::from_pretrained_as(folder, self.config.dtype, &self.device)?))
    }

    /// Creates the test and validation benchmarks.
    fn benchmarks(&self, processor: &VlmProcessor) -> Result<(Benchmark, Benchmark), RunError> {
        let config = &self.config;
        let benchmark = |name, split, n| {
            let problems: Vec<Problem> = config.problems(split, Some(n), processor)?;
            Ok::<_, RunError>(Benchmark::new(name, problems, &config.grpo.prompt, processor)?)
        };
        let n_test = config.evaluation.problems_per_capability;
        let n_validation = config.evaluation.validation_problems.unwrap_or(n_test.div_ceil(4));
        Ok((benchmark("test", Split::Test, n_test)?, benchmark("validation", Split::Validation, n_validation)?))
    }

    /// Creates the folder of a new run, and writes the resolved configuration and the shipped base
    /// model into it.
    fn create_folder(&self) -> Result<(), RunError> {
        std::fs::create_dir_all(&self.folder).map_err(RunError::io("create the run folder", &self.folder))?;
        let config = self.folder.join("config.ron");
        seethink_files::write(&config, self.config.to_ron().as_bytes()).map_err(RunError::io("write", &config))?;
        match &self.config.model {
            ModelSource::Pretrained(_) => Ok(()),
            shipped => self.base_models.unpack(shipped, &self.folder.join(BASE)),
        }
    }
}

/// Saves a model and its processor as a Hugging Face folder.
fn save(processor: &VlmProcessor, model: &AnyBackbone, folder: &Path) -> Result<(), RunError> {
    let unusable = |source| RunError::Processor { folder: folder.to_owned(), source: Box::new(source) };
    processor.save_pretrained(folder).map_err(unusable)?;
    model
        .save_pretrained(folder)
        .map_err(|source| RunError::Save { folder: folder.to_owned(), source: Box::new(source) })
}

/// Heading of the report: model and stages, identical for a resumed run.
fn title(model: &AnyBackbone, stages: &[Stage]) -> String {
    let names: Vec<_> = stages.iter().map(|stage| stage.name.replace('_', " ")).collect();
    format!("GRPO of {}: {}", model.display_name(), names.join(" → "))
}

/// Message on the number of overlong prompts left out, where their length is limited.
fn left_out(problems: &Problems) -> Option<String> {
    let Problems::Files(dataset) = problems else { return None };
    let report = dataset.report();
    let is_limited = report.longest.is_some() && report.dropped_overlong;
    is_limited.then(|| format!("{} of {} prompts left out as too long", report.n_overlong, report.n_rows))
}
