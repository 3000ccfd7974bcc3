//! Running of experiments: each arm with each seed once for all tables, several runs in parallel.

use super::effective::{Aliases, resolved};
use super::origin::Origin;
use super::result::{COMMIT, commit, registration};
use super::{Arm, Cell, CurvePoint, Experiment, RESULT, RunResult, Scale, Setting};
use crate::base;
use crate::base::DigitsBases;
use anyhow::{Context, Result, bail, ensure};
use seethink::core::{Capability, ProblemId};
use seethink::curriculum::Order;
use seethink::data::PassRateTable;
use seethink::eval::InProcess;
use seethink::eval::pass_rate::measure;
use seethink::models::AnyBackbone;
use seethink::prelude::*;
use seethink::rollout::Problems;
use seethink::run::OUTCOMES;
use seethink::run::config::{BaseFamily, ModelSource};
use seethink::run::report::{self, Outcomes, RunSummary, StepFile};
use seethink::train::{CheckpointFolder, Interrupter, MetricsFile, StepRecord};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

/// Number of attempts at each problem in a measurement of pass rates.
const ATTEMPTS: usize = 16;

/// Task: one run of an arm.
#[derive(Clone)]
pub struct Task {
    /// Scale and backbone.
    pub setting: Setting,
    /// Arm to run.
    pub arm: &'static Arm,
    /// Seed of the run.
    pub seed: u64,
    /// Overrides of the configuration, `path=value`.
    pub set: Vec<String>,
}

/// Tasks of some experiments without duplicates or aliases, sorted by seed.
///
/// # Errors
/// If two rows of a table have the same effective settings: the table would compare a run with
/// itself.
pub fn tasks(
    experiments: &[&'static Experiment],
    scale: Scale,
    only: &[BaseFamily],
    seeds: u64,
    set: &[String],
) -> Result<Vec<Task>> {
    let backbones = BaseFamily::ALL.into_iter().map(|(_, backbone)| backbone);
    let mut arms: Vec<(Setting, &'static Arm)> = Vec::new();
    for backbone in backbones.filter(|one| only.is_empty() || only.contains(one)) {
        let wanted: Vec<&Experiment> =
            experiments.iter().copied().filter(|one| one.backbones.contains(&backbone)).collect();
        if wanted.is_empty() {
            continue;
        }
        let setting = Setting::new(scale, backbone);
        let aliases = Aliases::of(setting, set)?;
        for experiment in wanted {
            check_distinct(experiment, &aliases)?;
            for arm in experiment.rows.iter().map(|row| aliases.run_of(row.arm)) {
                if !arms.iter().any(|(place, known)| *place == setting && known.id == arm.id) {
                    arms.push((setting, arm));
                }
            }
        }
    }
    let with_seed = |seed| arms.iter().map(move |&(setting, arm)| Task { setting, arm, seed, set: set.to_vec() });
    Ok((1..=seeds).flat_map(with_seed).collect())
}

/// Tasks without a result.
///
/// # Errors
/// If a result is broken, or of a run with other settings.
pub(super) fn open<'a>(tasks: impl IntoIterator<Item = &'a Task>, out: &Path) -> Result<Vec<&'a Task>> {
    let mut open = Vec::new();
    for task in tasks {
        if task.result(out)?.is_none() {
            open.push(task);
        }
    }
    Ok(open)
}

fn check_distinct(experiment: &Experiment, aliases: &Aliases) -> Result<()> {
    let runs: Vec<&str> = experiment.rows.iter().map(|row| aliases.run_of(row.arm).id).collect();
    for (i, run) in runs.iter().enumerate() {
        if let Some(other) = runs[..i].iter().position(|one| one == run) {
            bail!(
                "table {}: the rows {:?} and {:?} have the same effective settings, and would show the same run twice",
                experiment.id,
                experiment.rows[other].label,
                experiment.rows[i].label
            );
        }
    }
    Ok(())
}

impl Task {
    /// Collects the result from the folder of a finished run.
    ///
    /// # Errors
    /// If a file is missing or broken, or the test has no outcomes.
    fn collect(&self, run: &Path, commit: String) -> Result<RunResult> {
        let summary: RunSummary = report::read_json(&run.join("summary.json"))?;
        let outcomes = StepFile::<Outcomes>::read(&run.join(OUTCOMES))?;
        let of = |benchmark| outcomes.iter().filter(move |line: &&Outcomes| line.benchmark == benchmark);
        let at = |step: usize| of("test").filter(move |line| line.step == step);
        let letters = |step: usize| at(step).map(|line| (line.capability.clone(), line.outcomes.clone())).collect();
        let problems: BTreeMap<_, _> =
            at(summary.steps).map(|line| (line.capability.clone(), line.problems.clone())).collect();
        ensure!(!problems.is_empty(), "{} has no outcomes of step {}", run.join(OUTCOMES).display(), summary.steps);
        let mut curve: BTreeMap<usize, CurvePoint> = BTreeMap::new();
        for line in of("validation") {
            let point =
                curve.entry(line.step).or_insert_with(|| CurvePoint { step: line.step, ..CurvePoint::default() });
            let mut counts: BTreeMap<char, usize> = BTreeMap::new();
            line.outcomes.chars().for_each(|letter| *counts.entry(letter).or_default() += 1);
            point.outcomes.insert(line.capability.clone(), counts);
        }
        let metrics = run.join("metrics.jsonl");
        let records = MetricsFile::read(&metrics).with_context(|| format!("cannot read {}", metrics.display()))?;
        let length = |record: &StepRecord| Some(*record.metrics.get("rollout/length")? as f32);
        Ok(RunResult {
            arm: self.arm.id.into(),
            backbone: self.setting.folder(),
            seed: self.seed,
            config: self.digest()?,
            origin: Some(Origin::of(&self.config()?)?),
            commit,
            registration: registration(self.setting.scale),
            problems,
            before: letters(0),
            after: letters(summary.steps),
            checkpoints: summary.checkpoints,
            curve: curve.into_values().collect(),
            length: records.iter().filter_map(length).collect(),
            total: summary.total,
        })
    }

    /// Configuration of the task.
    ///
    /// # Errors
    /// If an override is wrong.
    pub fn config(&self) -> Result<RunConfig> {
        self.arm.config_with(self.setting, self.seed, &self.set)
    }

    /// Digest of the configuration with all defaults filled in.
    ///
    /// # Errors
    /// As [`config`](Self::config).
    pub fn digest(&self) -> Result<String> {
        Ok(resolved(&self.config()?))
    }

    /// Run folder below `out`.
    pub fn folder(&self, out: &Path) -> PathBuf {
        let Self { setting, arm, seed, .. } = self;
        setting.folder_below(out).join(arm.id).join(format!("seed-{seed}"))
    }

    /// Result of the task, if it is done.
    ///
    /// # Errors
    /// If the file is broken, or of a run with other settings, another base model or other code.
    pub fn result(&self, out: &Path) -> Result<Option<RunResult>> {
        let path = self.folder(out).join(RESULT);
        let Some(result) = RunResult::read(&path)? else { return Ok(None) };
        let differs = self.differs(&result)?;
        ensure!(
            differs.is_empty(),
            "{} is of a run with {}: choose another folder, or remove it",
            path.display(),
            differs.join(" and ")
        );
        Ok(Some(result))
    }

    /// Differences between the origin of a result and that of this task.
    fn differs(&self, result: &RunResult) -> Result<Vec<&'static str>> {
        let config = self.config()?;
        let Some(origin) = &result.origin else { return Ok(vec!["no record of its base model and code"]) };
        let now = Origin::of(&config)?;
        let differs = [
            ("other settings", result.config != resolved(&config)),
            ("another base model", origin.model != now.model),
            ("other code", origin.code != now.code),
        ];
        Ok(differs.into_iter().filter_map(|(what, differs)| differs.then_some(what)).collect())
    }

    /// Name of the task for human readers.
    pub fn name(&self) -> String {
        let Self { setting, arm, seed, .. } = self;
        let cell = if setting.cell == Cell::Tables { String::new() } else { format!(" {}", setting.cell.name()) };
        format!("{}{cell} {} seed {seed}", setting.title(), arm.id)
    }

    /// Makes the run, or resumes it, and writes its result.
    ///
    /// # Errors
    /// If the folder holds another run, or the run fails.
    pub fn run(&self, out: &Path, device: &str, interrupter: &Interrupter) -> Result<()> {
        // A program that starts many runs has seen to it that they differ.
        if std::env::var_os(COMMIT).is_none() {
            let same = Aliases::of(self.setting, &self.set)?.run_of(self.arm);
            ensure!(
                same.id == self.arm.id,
                "{} and {} have the same effective settings here: run {}, which every table takes for both",
                self.arm.id,
                same.id,
                same.id
            );
        }
        if self.result(out)?.is_some() {
            return Ok(());
        }
        let (folder, commit) = (self.folder(out), commit());
        let tables = Tables::of(self, out)?;
        if tables.needed().iter().any(|(path, _)| !path.exists()) {
            prepare(std::slice::from_ref(self), out, device, interrupter)?;
        }
        let config = tables.applied()?;
        let begun = folder.join("config.ron");
        let mut resume = false;
        if begun.exists() {
            let same = RunConfig::load(&begun, &[])? == config;
            ensure!(same, "{} holds a run with other settings: choose another folder", folder.display());
            resume = CheckpointFolder::new(&folder)?.latest().is_ok();
            if !resume {
                // The run was stopped before its first checkpoint.
                fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
            }
        }
        let device = seethink::run::device(device)?;
        let job = if resume { Job::resumed(&folder, device)? } else { Job::new(config, &folder, device) };
        Job { base_models: &DigitsBases, interrupter: interrupter.clone(), ..job }.run()?;
        if folder.join("summary.json").exists() {
            self.collect(&folder, commit)?.write(&folder.join(RESULT))?;
        }
        Ok(())
    }
}

/// Makes all missing runs, `jobs` at a time, each in a process of its own with its share of the
/// cores. If a run fails, the others continue.
///
/// # Errors
/// If a run cannot be started or failed; the results of the others are kept.
pub fn local(tasks: &[Task], out: &Path, jobs: usize, device: &str, interrupter: &Interrupter) -> Result<()> {
    prepare(tasks, out, device, interrupter)?;
    let open = open(tasks, out)?;
    let (total, mut next) = (open.len(), open.into_iter());
    let commit = commit();
    let threads = (std::thread::available_parallelism()?.get() / jobs.max(1)).max(1).to_string();
    let mut running: Vec<(&Task, Child)> = Vec::new();
    let (mut n_done, mut failed) = (0, Vec::new());
    loop {
        while running.len() < jobs.max(1) && !interrupter.should_stop() {
            let Some(task) = next.next() else { break };
            let child = start(task, out, device, &threads, &commit)?;
            running.push((task, child));
        }
        if running.is_empty() {
            break;
        }
        std::thread::sleep(Duration::from_millis(200));
        let mut still = Vec::new();
        for (task, mut child) in running {
            match child.try_wait()? {
                None => still.push((task, child)),
                Some(status) if status.success() && matches!(task.result(out), Ok(Some(_))) => {
                    n_done += 1;
                    println!("{n_done}/{total}  {}", task.name());
                }
                Some(_) if interrupter.should_stop() => {}
                Some(_) => failed.push(format!("{} (see {})", task.name(), log(task, out).display())),
            }
        }
        running = still;
    }
    ensure!(failed.is_empty(), "{} of {total} runs failed: {}", failed.len(), failed.join(", "));
    Ok(())
}

/// Starts a run as a process of its own, which writes to a log beside its folder.
fn start(task: &Task, out: &Path, device: &str, threads: &str, commit: &str) -> Result<Child> {
    let path = log(task, out);
    fs::create_dir_all(path.parent().unwrap_or(out))?;
    let log = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    let program = std::env::current_exe()?;
    let child = Command::new(&program)
        .args(arguments(task, out, device))
        .env("RAYON_NUM_THREADS", threads)
        .env(COMMIT, commit)
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn();
    child.with_context(|| format!("cannot start {}", program.display()))
}

fn log(task: &Task, out: &Path) -> PathBuf {
    task.folder(out).with_extension("log")
}

/// Command-line arguments of this program for one run.
pub(super) fn arguments(task: &Task, out: &Path, device: &str) -> Vec<String> {
    let mut arguments = [
        "run",
        "--scale",
        task.setting.scale.name(),
        "--backbone",
        task.setting.backbone_name(),
        "--cell",
        task.setting.cell.name(),
        "--arm",
        task.arm.id,
        "--seed",
        &task.seed.to_string(),
        "--out",
        &out.display().to_string(),
        "--device",
        device,
    ]
    .map(str::to_owned)
    .to_vec();
    arguments.extend(task.set.iter().flat_map(|assignment| ["--set".to_owned(), assignment.clone()]));
    arguments
}

/// Prepares shared inputs of the runs: what the base models answered.
///
/// # Errors
/// If an answer cannot be made or written.
pub fn prepare(tasks: &[Task], out: &Path, device: &str, interrupter: &Interrupter) -> Result<()> {
    let mut done = BTreeSet::new();
    for task in open(tasks, out)? {
        let tables = Tables::of(task, out)?;
        for (path, measure) in tables.needed() {
            if done.insert(path.clone()) {
                measure(&tables, path, device, interrupter)?;
            }
        }
    }
    Ok(())
}

/// Tables of attempts of the base model that a run takes.
struct Tables {
    config: RunConfig,
    /// Pass rates that problems are sorted by.
    pass_rates: Option<PathBuf>,
    /// Greedy answers of another model to perception problems: those that were wrong are trained.
    perception: Option<PathBuf>,
    /// Number of perception problems that the other model answers: four times as many as all steps
    /// of an arm of the tables take. A cell of the exploration that has more problems has three times
    /// as many as those, and a table of its own.
    pool: usize,
}

/// Function that makes a table.
type Measure = fn(&Tables, &Path, &str, &Interrupter) -> Result<()>;

impl Tables {
    fn of(task: &Task, out: &Path) -> Result<Self> {
        let mut config = task.config()?;
        let base = match config.model {
            ModelSource::DigitsBase { seed, .. } => format!("base-{seed}"),
            _ => "base".into(),
        };
        let folder = task.setting.folder_below(out).join(base);
        let sorts = sorts(&config.curriculum);
        let batch = config.grpo.rollout_batch;
        let of_tables = 4 * batch * Setting::new(task.setting.scale, task.setting.backbone).total_steps() as usize;
        let pool = of_tables.max(3 * batch * task.setting.steps(&Capability::PERCEPTION) as usize);
        let Some([_, filter]) = config.data.tables_mut() else {
            return Ok(Self { config, pass_rates: None, perception: None, pool });
        };
        // The setting says that there is a filter; its table is of another model, for all alike.
        let common = out.join(task.setting.scale.name());
        let own = if pool > of_tables { task.setting.folder_below(out) } else { common };
        let perception = filter.take().map(|name| own.join(name));
        Ok(Self { config, pass_rates: sorts.then(|| folder.join("pass_rates.jsonl")), perception, pool })
    }

    /// Tables with the functions that make them, in order.
    fn needed(&self) -> Vec<(&PathBuf, Measure)> {
        let perception = self.perception.iter().map(|path| (path, Self::attempt_perception as Measure));
        perception.chain(self.pass_rates.iter().map(|path| (path, Self::attempt_all as Measure))).collect()
    }

    /// Configuration with the tables.
    fn applied(&self) -> Result<RunConfig> {
        let mut config = self.config.clone();
        let made = |path: &PathBuf| {
            fs::canonicalize(path).with_context(|| format!("no attempts of the base model yet: {}", path.display()))
        };
        if let Some([pass_rates, perception]) = config.data.tables_mut() {
            *pass_rates = self.pass_rates.as_ref().map(made).transpose()?;
            *perception = self.perception.as_ref().map(made).transpose()?;
        }
        Ok(config)
    }

    /// Lets the filter's model answer perception problems greedily: enough for any arm.
    fn attempt_perception(&self, path: &Path, device: &str, interrupter: &Interrupter) -> Result<()> {
        let mut config = self.config.clone();
        if let DataConfig::Digits(data) = &mut config.data {
            data.problems_of.insert(Capability::PERCEPTION, self.pool);
        }
        let (entries, problems) = config.training(None, None)?;
        let ids: Vec<ProblemId> =
            entries.iter().filter(|entry| entry.capability == Capability::PERCEPTION).map(|entry| entry.id).collect();
        let sampling = Sampling::greedy(config.grpo.sampling.max_tokens);
        self.attempt(path, &base::FILTER, &ids, &problems, sampling, 1, device, interrupter)
    }

    /// Attempts all training problems several times, with the sampling of training.
    fn attempt_all(&self, path: &Path, device: &str, interrupter: &Interrupter) -> Result<()> {
        let (config, perception) = (self.config.clone(), self.perception.clone());
        let unsorted = Self { config, pass_rates: None, perception, pool: self.pool };
        let config = unsorted.applied()?;
        let (entries, problems) = config.training(None, None)?;
        let ids: Vec<ProblemId> = entries.iter().map(|entry| entry.id).collect();
        let sampling = config.grpo.sampling;
        self.attempt(path, &config.model, &ids, &problems, sampling, ATTEMPTS, device, interrupter)
    }

    #[allow(clippy::too_many_arguments)]
    fn attempt(
        &self,
        path: &Path,
        model: &ModelSource,
        ids: &[ProblemId],
        problems: &Problems,
        sampling: Sampling,
        attempts: usize,
        device_name: &str,
        interrupter: &Interrupter,
    ) -> Result<()> {
        let config = &self.config;
        fs::create_dir_all(path.parent().unwrap_or(path))?;
        let made_with = [
            ("model", json!(model)),
            ("prompt", json!(config.grpo.prompt)),
            ("sampling", json!(sampling)),
            ("reward", json!(config.reward)),
        ];
        let origin = made_with.map(|(name, value)| (name.to_owned(), value)).into_iter().collect();
        let mut table = PassRateTable::open(path, &origin)?;
        let dir = tempfile::tempdir()?;
        base::unpack(model, dir.path())?;
        println!("{}: attempts of {model:?} at {} problems, {attempts} of each", path.display(), ids.len());
        let (processor, model) = (
            config.processor(dir.path())?,
            AnyBackbone::from_pretrained_as(dir.path(), config.dtype, &device(device_name)?)?,
        );
        let generator =
            Generator { model: &model, processor: &processor, sampling, max_batch: config.grpo.memory.decode_batch };
        let solver = InProcess { generator, prompt: &config.grpo.prompt, seed: 0 };
        measure(&solver, &config.reward, problems, ids, attempts, &mut table, &mut |_, _| !interrupter.should_stop())?;
        Ok(())
    }
}

/// Returns whether a curriculum depends on pass rates.
fn sorts(curriculum: &CurriculumConfig) -> bool {
    let order = match curriculum {
        CurriculumConfig::Merged(merged) => &merged.order,
        CurriculumConfig::Staged(staged) => &staged.order,
        _ => return false,
    };
    matches!(order, Order::EasyToHard | Order::HardToEasy)
}

/// Copies the results below `out`, without their runs, into another folder of the same layout;
/// returns their number.
///
/// # Errors
/// If a file cannot be read or written, or a result is of a tree with uncommitted changes, which
/// cannot be reproduced.
pub fn collect(tasks: &[Task], out: &Path, to: &Path) -> Result<usize> {
    let results = tasks.iter().filter_map(|task| task.result(out).transpose().map(|result| Ok((task, result?))));
    let results: Vec<(&Task, RunResult)> = results.collect::<Result<_>>()?;
    for (task, result) in &results {
        ensure!(
            result.is_of_clean_tree(),
            "{}: made at commit {:?}, which is not that of a tree without changes: commit, and make the run again",
            task.name(),
            result.commit
        );
    }
    let mut n = 0;
    for (task, result) in results {
        result.write(&task.folder(to).join(RESULT))?;
        n += 1;
    }
    Ok(n)
}
