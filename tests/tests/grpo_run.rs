//! Whole GRPO runs of a tiny random model: repeated, interrupted and resumed, damaged, refused.

// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used)]

use seethink::core::{Capability, Problem, Trainable};
use seethink::curriculum::{
    Corpus, CorpusEntry, CurriculumConfig, Epochs, Filter, LastBatch, Order, Quantity, Replay, RuleConfig, Speed,
    Stage, Staged, Weight, With,
};
use seethink::models::qwen3_vl::Qwen3Vl;
use seethink::reward::{Response, Reward, Score};
use seethink::train::{
    CheckpointFolder, Decay, Event, Grpo, GrpoConfig, Interrupter, Metrics, MetricsFile, Moment, Observer,
    OptimizerConfig, PolicyLoss, Schedule, StepRecord, TrainError, Trained, Validate,
};
use seethink_tests::tiny::{self, LetterReward};
use std::error::Error;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// Curriculum of six steps: three that train everything on pictures, then three of the language
/// model with a fresh optimiser and reference.
fn plan() -> Staged {
    let mut second = Stage::of(Capability::VISUAL_REASONING);
    second.trainable = Trainable::LANGUAGE_MODEL;
    Staged {
        stages: vec![Stage::of(Capability::PERCEPTION), second],
        order: Order::Shuffled,
        epochs: Epochs::AsNeeded { steps: 3 },
        last_batch: LastBatch::Keep,
    }
}

fn config() -> GrpoConfig {
    let (base, schedule) = (tiny::grpo_config(), Schedule { warmup: 0.0, decay: Decay::Cosine, floor: 0.1 });
    GrpoConfig {
        loss: PolicyLoss { kl_coef: 0.05, ..base.loss },
        optimizer: OptimizerConfig { learning_rate: 3e-3, weight_decay: 0.01, schedule, ..base.optimizer },
        checkpoint_every: 2,
        ..base
    }
}

/// A run and its settings.
struct Job {
    plan: Staged,
    /// Rules that wrap the curriculum.
    compose: fn(CurriculumConfig) -> CurriculumConfig,
    config: GrpoConfig,
    seed: u64,
    resume: bool,
    interrupter: Interrupter,
    validate: Option<Box<dyn Validate<Qwen3Vl>>>,
    observer: Box<Observer>,
}

impl Job {
    fn new() -> Self {
        Self {
            plan: plan(),
            compose: |plan| plan,
            config: config(),
            seed: 11,
            resume: false,
            interrupter: Interrupter::new(),
            validate: None,
            observer: Box::new(|_| {}),
        }
    }

    fn resumed() -> Self {
        Self { resume: true, ..Self::new() }
    }

    /// Stops the run at the event for which `when` holds.
    fn stopped(mut self, mut when: impl FnMut(&Event<'_>) -> bool + Send + 'static) -> Self {
        let interrupter = self.interrupter.clone();
        self.observer = Box::new(move |event| {
            if when(&event) {
                interrupter.stop(None);
            }
        });
        self
    }

    /// Starts the run. A resumed run starts from other weights, so that all relevant weights come
    /// from the checkpoint.
    fn run(self, folder: &Path) -> Result<Trained<Qwen3Vl>, TrainError> {
        let model = tiny::model(if self.resume { 99 } else { 3 });
        let problems = tiny::problems(6);
        let corpus = Corpus::new(problems.iter().map(CorpusEntry::from))?;
        let grpo = Grpo {
            config: self.config,
            seed: self.seed,
            processor: Arc::new(tiny::processor()),
            reward: Arc::new(LetterReward),
            rewards: [("nothing".to_owned(), Arc::new(Nothing) as Arc<dyn Reward>)].into(),
            curriculum: (self.compose)(CurriculumConfig::Staged(self.plan)).build(&corpus, self.seed)?,
            problems: problems.into_iter().collect(),
            validate: self.validate,
            observer: self.observer,
            dashboard: false,
        };
        grpo.train(model, folder, self.resume, self.interrupter)
    }

    fn error(self, folder: &Path) -> String {
        let error = self.run(folder).expect_err("the run must be refused");
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(error) = source {
            message += &format!(": {error}");
            source = error.source();
        }
        println!("{message}");
        message
    }
}

/// Metrics of a run, without times.
fn records(folder: &Path) -> Vec<StepRecord> {
    let mut records = MetricsFile::read(&folder.join("metrics.jsonl")).unwrap();
    for record in &mut records {
        record.metrics.retain(|key, _| !key.starts_with("time/"));
    }
    records
}

fn assert_same_run(found: (&Trained<Qwen3Vl>, &Path), expected: (&Trained<Qwen3Vl>, &Path)) {
    assert_eq!((found.0.steps, found.0.interrupted), (expected.0.steps, expected.0.interrupted));
    assert_eq!(records(found.1), records(expected.1));
    assert!(tiny::weights(&found.0.model) == tiny::weights(&expected.0.model), "the weights differ");
}

/// An undisturbed run.
fn whole() -> (Trained<Qwen3Vl>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (Job::new().run(folder.path()).unwrap(), folder)
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let (first, first_folder) = whole();
    let (second, second_folder) = whole();
    assert_same_run((&second, second_folder.path()), (&first, first_folder.path()));
    assert_eq!((first.steps, first.interrupted), (6, false));
    let records = records(first_folder.path());
    let stages: Vec<&str> = records.iter().map(|record| record.stage.as_str()).collect();
    assert_eq!(
        stages,
        ["base", "perception", "perception", "perception", "visual_reasoning", "visual_reasoning", "visual_reasoning"]
    );
    assert!(records[1..].iter().all(|record| record.metrics["update/grad_norm"] > 0.0));

    let folder = tempfile::tempdir().unwrap();
    let other = Job { seed: 12, ..Job::new() }.run(folder.path()).unwrap();
    assert!(tiny::weights(&other.model) != tiny::weights(&first.model));
}

#[test]
fn a_resumed_run_is_the_run_that_was_not_interrupted() {
    let (expected, expected_folder) = whole();
    // Off a checkpoint, at the end of a stage, after it; and in the middle of sampling.
    for step in [1, 3, 4] {
        for while_sampling in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let mut done = 0;
            let job = Job::new().stopped(move |event| match event {
                Event::Step { record, .. } => {
                    done = record.step;
                    done == step && !while_sampling
                }
                Event::Generating { done: finished, .. } => while_sampling && done == step && *finished > 0,
                _ => false,
            });
            let stopped = job.run(folder.path()).unwrap();
            assert_eq!((stopped.steps, stopped.interrupted), (step, true));
            let resumed = Job::resumed().run(folder.path()).unwrap();
            assert_same_run((&resumed, folder.path()), (&expected, expected_folder.path()));
        }
    }
}

/// A reward that is always 0.
struct Nothing;

impl Reward for Nothing {
    fn name(&self) -> &'static str {
        "nothing"
    }

    fn score(&self, _: &Problem, _: Response<'_>) -> Score {
        Score { parts: vec![("accuracy", 0.0)], ..Score::default() }
    }
}

#[test]
fn a_stage_overrides_prompt_reward_and_length() {
    let mut plan = plan();
    let overrides = &mut plan.stages[1].overrides;
    overrides.set("reward", "nothing");
    overrides.set("max_tokens", 3usize);
    let run = |plan: Staged| {
        let folder = tempfile::tempdir().unwrap();
        Job { plan, ..Job::new() }.run(folder.path()).unwrap();
        records(folder.path())
    };
    let of_stages = |records: &[StepRecord], key: &str| [1, 4].map(|step| records[step].metrics[key]);
    let records = run(plan.clone());
    assert!(of_stages(&records, "rollout/length")[0] > 3.0 && of_stages(&records, "rollout/length")[1] <= 3.0);
    assert!(of_stages(&records, "reward/mean")[0] > 0.0 && of_stages(&records, "reward/mean")[1] == 0.0);

    let tokens_with_suffix = |suffix: &str| {
        let mut plan = plan.clone();
        plan.stages[1].overrides.set("prompt_suffix", suffix);
        of_stages(&run(plan), "tokens/trained")
    };
    let (short, long) = (tokens_with_suffix(""), tokens_with_suffix(" Think about it."));
    assert!(short[0] == long[0] && short[1] < long[1], "{short:?} {long:?}");

    plan.stages[0].overrides.set("reward", "everything");
    let error = Job { plan, ..Job::new() }.error(tempfile::tempdir().unwrap().path());
    assert!(error.contains("`everything`") && error.contains("[nothing]"), "{error}");
}

/// Wraps a curriculum in rules: half of a batch from the bank, groups in two portions, refused
/// groups replaced, and weights.
fn under_rules(plan: CurriculumConfig) -> CurriculumConfig {
    let filter = Filter { quantity: Quantity::Reward, low: 0.55, high: 1.0, inclusive: true };
    let weight = Weight::Focal { gamma: 0.5 };
    let rules = vec![
        RuleConfig::Speed(Speed { screen: 2, more: 2, quantity: Quantity::Accuracy }),
        RuleConfig::Filter(filter),
        RuleConfig::Weight(weight),
    ];
    let policy = Box::new(CurriculumConfig::With(With { policy: Box::new(plan), rules, steps: None }));
    CurriculumConfig::Replay(Replay { share: 0.5, alpha: 1.0, capacity: 6, policy })
}

#[test]
fn groups_are_extended_refused_replaced_and_replayed_and_all_that_resumes() {
    let job = || Job { compose: under_rules, config: GrpoConfig { max_draws: 3, ..config() }, ..Job::new() };
    let expected_folder = tempfile::tempdir().unwrap();
    let expected = job().run(expected_folder.path()).unwrap();
    let records = records(expected_folder.path());
    let of = |key: &str| records[1..].iter().map(|record| record.metrics[key]).collect::<Vec<_>>();
    assert_eq!(expected.steps, 6);
    assert!(of("rollout/admitted").iter().any(|&share| share < 1.0), "{:?}", of("rollout/admitted"));
    // No group is banked in the first step; later two of four places are the bank's.
    assert_eq!(of("rollout/replayed")[..2], [0.0, 2.0]);
    assert!(of("curriculum/replay/bank").iter().all(|&n| n <= 6.0));
    let completions: Vec<f64> = records.iter().map(|record| record.metrics["rollout/completions"]).collect();
    assert!(completions[6] < 6.0 * 3.0 * 4.0 * 4.0 && completions[6] > 6.0 * 2.0 * 2.0, "{completions:?}");

    for step in [1, 4] {
        let folder = tempfile::tempdir().unwrap();
        let stopped = job().stopped(move |event| matches!(event, Event::Step { record, .. } if record.step == step));
        assert_eq!(stopped.run(folder.path()).unwrap().steps, step);
        let resumed = Job { resume: true, ..job() }.run(folder.path()).unwrap();
        assert_same_run((&resumed, folder.path()), (&expected, expected_folder.path()));
    }
}

#[test]
fn times_grow_and_their_parts_are_no_longer_than_the_step() {
    let folder = tempfile::tempdir().unwrap();
    let two_steps = |event: &Event<'_>| matches!(event, Event::Step { record, .. } if record.step == 2);
    Job::new().stopped(two_steps).run(folder.path()).unwrap();
    Job::resumed().run(folder.path()).unwrap();
    let records = MetricsFile::read(&folder.path().join("metrics.jsonl")).unwrap();
    let of = |record: &StepRecord, key: &str| record.metrics[&format!("time/{key}_secs")];
    for record in &records[1..] {
        let parts = ["rollout", "reference", "update"].map(|part| of(record, part));
        assert!(parts.iter().all(|&secs| secs > 0.0), "{parts:?}");
        assert!(parts.iter().sum::<f64>() <= of(record, "step"), "{parts:?} {}", of(record, "step"));
    }
    // The time before the interruption is part of the run's.
    let elapsed: Vec<f64> = records.iter().map(|record| of(record, "elapsed")).collect();
    assert!(elapsed.is_sorted_by(|before, after| before < after), "{elapsed:?}");
    let steps: f64 = records[1..].iter().map(|record| of(record, "step")).sum();
    assert!(elapsed[6] >= steps, "{elapsed:?} {steps}");
}

#[test]
fn a_resumed_run_announces_its_stage_once() {
    for (step, expected) in [(2, vec![0, 1]), (3, vec![1])] {
        let folder = tempfile::tempdir().unwrap();
        let stop = move |event: &Event<'_>| matches!(event, Event::Step { record, .. } if record.step == step);
        Job::new().stopped(stop).run(folder.path()).unwrap();
        let announced = Arc::new(Mutex::new(Vec::new()));
        let seen = announced.clone();
        let observer: Box<Observer> = Box::new(move |event| {
            if let Event::Stage { index, .. } = event {
                seen.lock().unwrap().push(index);
            }
        });
        Job { observer, ..Job::resumed() }.run(folder.path()).unwrap();
        assert_eq!(*announced.lock().unwrap(), expected, "after step {step}");
    }
}

#[test]
fn metrics_of_a_step_are_means_over_its_updates_and_no_reference_is_kept_without_a_kl_term() {
    let nll = |mini_batch| {
        let folder = tempfile::tempdir().unwrap();
        let mut job = Job::new();
        job.config.mini_batch = mini_batch;
        job.config.loss.kl_coef = 0.0;
        job.config.optimizer.learning_rate = 1e-9;
        job.run(folder.path()).unwrap();
        let files = std::fs::read_dir(folder.path().join("checkpoint")).unwrap();
        let names: Vec<String> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        assert!(names.iter().all(|name| !name.starts_with("reference")), "{names:?}");
        records(folder.path())[1].metrics["update/nll"]
    };
    let (whole, halves) = (nll(4), nll(2));
    assert!((halves / whole - 1.0).abs() < 0.2, "{halves} of two updates, {whole} of one");
}

#[test]
fn a_step_that_admits_nothing_changes_nothing() {
    fn nothing(plan: CurriculumConfig) -> CurriculumConfig {
        let filter = Filter { quantity: Quantity::Reward, low: 2.0, high: 3.0, inclusive: true };
        CurriculumConfig::With(With { policy: Box::new(plan), rules: vec![RuleConfig::Filter(filter)], steps: Some(2) })
    }
    let folder = tempfile::tempdir().unwrap();
    let trained = Job { compose: nothing, ..Job::new() }.run(folder.path()).unwrap();
    assert_eq!((trained.steps, trained.interrupted), (2, false));
    assert!(tiny::weights(&trained.model) == tiny::weights(&tiny::model(3)));
}

#[test]
fn a_run_that_is_stopped_before_its_first_step_can_be_resumed() {
    let (expected, expected_folder) = whole();
    let stop_at_once: fn(&Event<'_>) -> bool = |event| matches!(event, Event::Generating { .. });
    let before = Job::new();
    before.interrupter.stop(None);
    for job in [before, Job::new().stopped(stop_at_once)] {
        let folder = tempfile::tempdir().unwrap();
        let stopped = job.run(folder.path()).unwrap();
        assert_eq!((stopped.steps, stopped.interrupted), (0, true));
        assert!(tiny::weights(&stopped.model) == tiny::weights(&tiny::model(3)));
        let resumed = Job::resumed().run(folder.path()).unwrap();
        assert_same_run((&resumed, folder.path()), (&expected, expected_folder.path()));
    }
}

#[test]
fn a_crash_costs_the_steps_since_the_last_checkpoint_and_nothing_else() {
    let (expected, expected_folder) = whole();
    // Soon after the start; and at step 4, which began with a reference of its own, while the
    // checkpoint of step 3 still has the reference before it.
    for (crash, before) in [(1, 0), (4, 3)] {
        let folder = tempfile::tempdir().unwrap();
        let at = move |event: &Event<'_>| matches!(event, Event::Step { record, .. } if record.step == crash);
        Job::new().stopped(at).run(folder.path()).unwrap();
        std::fs::remove_file(folder.path().join(format!("checkpoint/optim-{crash}.bpk"))).unwrap();
        assert_eq!(CheckpointFolder::new(folder.path()).unwrap().latest().unwrap().step, before);
        let resumed = Job::resumed().run(folder.path()).unwrap();
        assert_same_run((&resumed, folder.path()), (&expected, expected_folder.path()));
    }
}

#[test]
fn burn_keeps_its_own_log_of_every_stage() {
    let (_, folder) = whole();
    for epoch in [1, 2] {
        let log = folder.path().join(format!("burn/train/epoch-{epoch}/reward.mean.log"));
        let n_lines = std::fs::read_to_string(&log).unwrap().lines().filter(|line| !line.ends_with("final")).count();
        assert_eq!(n_lines, 3, "{}", log.display());
    }
}

#[test]
fn a_stage_applies_its_settings_and_leaves_the_stage_before_alone() {
    let (expected, expected_folder) = whole();
    let expected_records = records(expected_folder.path());
    /// A setting of a stage, and the corresponding setting of a run.
    type Change = (&'static str, fn(&mut Stage), Option<fn(&mut GrpoConfig)>);
    let changes: [Change; 8] = [
        ("reset_optimizer", |stage| stage.reset_optimizer = false, None),
        (
            "learning_rate",
            |stage| stage.overrides.set("learning_rate", 1e-3),
            Some(|config| config.optimizer.learning_rate = 1e-3),
        ),
        ("kl_coef", |stage| stage.overrides.set("kl_coef", 0.5), Some(|config| config.loss.kl_coef = 0.5)),
        ("clip_low", |stage| stage.overrides.set("clip_low", 1e-4), Some(|config| config.loss.clip_low = 1e-4)),
        ("clip_high", |stage| stage.overrides.set("clip_high", 1e-4), Some(|config| config.loss.clip_high = 1e-4)),
        ("dual_clip", |stage| stage.overrides.set("dual_clip", 1.0001), Some(|config| config.loss.dual_clip = 1.0001)),
        (
            "max_grad_norm",
            |stage| stage.overrides.set("max_grad_norm", 1e-6),
            Some(|config| config.optimizer.max_grad_norm = 1e-6),
        ),
        ("warmup", |stage| stage.overrides.set("warmup", 0.7), Some(|config| config.optimizer.schedule.warmup = 0.7)),
    ];
    let second_stage = || {
        let mut plan = plan();
        plan.stages.remove(0);
        plan
    };
    let weights_of = |plan, config| {
        let folder = tempfile::tempdir().unwrap();
        tiny::weights(&Job { plan, config, ..Job::new() }.run(folder.path()).unwrap().model)
    };
    for (setting, of_stage, of_run) in changes {
        let mut plan = plan();
        of_stage(&mut plan.stages[1]);
        let folder = tempfile::tempdir().unwrap();
        let changed = Job { plan, ..Job::new() }.run(folder.path()).unwrap();
        assert_eq!(records(folder.path())[..4], expected_records[..4], "{setting}: the first stage");
        assert!(tiny::weights(&changed.model) != tiny::weights(&expected.model), "{setting}: the second stage");
        let Some(of_run) = of_run else { continue };
        // On its own the stage equals a run with that one setting changed, to the bit.
        let (mut plan, mut changed) = (second_stage(), config());
        of_stage(&mut plan.stages[0]);
        of_run(&mut changed);
        assert!(weights_of(plan, config()) == weights_of(second_stage(), changed), "{setting} is another setting");
    }
}

#[test]
fn a_stage_can_do_without_the_dual_clip_of_the_run() {
    let tight = |dual_clip| GrpoConfig { loss: PolicyLoss { dual_clip, ..config().loss }, ..config() };
    let run = |config, off: bool| {
        let (folder, mut plan) = (tempfile::tempdir().unwrap(), plan());
        if off {
            plan.stages.iter_mut().for_each(|stage| stage.overrides.set("dual_clip", 0.0));
        }
        Job { plan, config, ..Job::new() }.run(folder.path()).unwrap();
        records(folder.path())
    };
    let held =
        |records: &[StepRecord]| records[1..].iter().map(|one| one.metrics["grpo/clip_fraction_low"]).sum::<f64>();
    let (bound, off) = (run(tight(1.0001), false), run(tight(1.0001), true));
    assert!(held(&bound) > 0.0 && held(&off) == 0.0, "{} and {}", held(&bound), held(&off));
    // No loss comes near a bound of a million.
    assert_eq!(off, run(tight(1e6), false));
}

#[test]
fn a_stage_warms_up_from_its_first_step_and_resumes_in_the_midst_of_it() {
    let peak = 2e-3;
    let job = |resume| {
        let mut plan = plan();
        plan.epochs = Epochs::AsNeeded { steps: 4 };
        plan.stages[1].overrides.set("learning_rate", peak);
        plan.stages[1].overrides.set("warmup", 0.75);
        let mut job = Job { plan, resume, ..Job::new() };
        job.config.optimizer.schedule.decay = Decay::Constant;
        job
    };
    let folder = tempfile::tempdir().unwrap();
    let expected = job(false).run(folder.path()).unwrap();
    let run_rate = config().optimizer.learning_rate;
    let rates: Vec<f64> =
        records(folder.path())[1..].iter().map(|record| record.metrics["update/learning_rate"]).collect();
    let warm = [0.0, peak / 3.0, peak * 2.0 / 3.0, peak];
    assert!(rates[..4] == [run_rate; 4], "the first stage has no warm-up: {rates:?}");
    assert!(rates[4..].iter().zip(warm).all(|(a, b)| (a - b).abs() < 1e-12), "{rates:?}");
    // Before its first step, in the midst of it, and after its last.
    for step in [4, 5, 6, 7] {
        let interrupted = tempfile::tempdir().unwrap();
        let stop = move |event: &Event<'_>| matches!(event, Event::Step { record, .. } if record.step == step);
        job(false).stopped(stop).run(interrupted.path()).unwrap();
        let resumed = job(true).run(interrupted.path()).unwrap();
        assert_same_run((&resumed, interrupted.path()), (&expected, folder.path()));
    }
}

#[test]
fn two_checkpoints_are_kept_with_all_that_they_need() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = folder.path().join("checkpoint");
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (heard, listed) = (seen.clone(), checkpoints.clone());
    let observer = Box::new(move |event: Event<'_>| {
        if let Event::Checkpoint { step } = event {
            let files: Vec<String> = std::fs::read_dir(&listed)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .filter(|name| name.starts_with("state") || name.starts_with("reference"))
                .collect();
            heard.lock().unwrap().push((step, std::collections::BTreeSet::from_iter(files)));
        }
    });
    Job { observer, ..Job::new() }.run(folder.path()).unwrap();
    let expected: [(usize, &[&str]); 5] = [
        (0, &["state-0.json"]),
        (2, &["reference-0.bpk", "state-0.json", "state-2.json"]),
        (3, &["reference-0.bpk", "state-2.json", "state-3.json"]),
        (4, &["reference-0.bpk", "reference-3.bpk", "state-3.json", "state-4.json"]),
        (6, &["reference-3.bpk", "state-4.json", "state-6.json"]),
    ];
    let expected = expected.map(|(step, files)| (step, files.iter().map(|&name| name.to_owned()).collect()));
    assert_eq!(*seen.lock().unwrap(), expected);
    assert_eq!(std::fs::read_dir(checkpoints).unwrap().count(), 3 + 2 * 3, "nothing else is left");
}

/// Validation that counts its calls, and gives up at one of them because the run is to stop.
struct Measure {
    stop_at: Option<usize>,
    interrupter: Interrupter,
}

impl Validate<Qwen3Vl> for Measure {
    fn validate(&mut self, model: &Qwen3Vl, moment: Moment<'_>) -> Result<Metrics, Box<dyn Error + Send + Sync>> {
        if self.stop_at == Some(moment.step) {
            self.interrupter.stop(None);
            return Err("interrupted".into());
        }
        let weight = f32::from_bits(tiny::weights(&model.text.norm)[0][0]);
        Ok(Metrics::from([
            ("test/weight".into(), f64::from(weight)),
            ("test/end".into(), f64::from(moment.end_of_stage)),
        ]))
    }
}

#[test]
fn an_interrupted_validation_is_made_up_for() {
    let job = |resume, stop_at| {
        let mut job = Job { resume, ..Job::new() };
        job.validate = Some(Box::new(Measure { stop_at, interrupter: job.interrupter.clone() }));
        job.config.validate_every = 2;
        job
    };
    let folder = tempfile::tempdir().unwrap();
    let expected = job(false, None).run(folder.path()).unwrap();
    let measured: Vec<usize> = records(folder.path())
        .iter()
        .filter(|record| record.metrics.contains_key("test/weight"))
        .map(|record| record.step)
        .collect();
    assert_eq!(measured, [0, 2, 3, 5, 6], "the base model, every second step of a stage, and its end");
    for step in [0, 2, 3] {
        let interrupted = tempfile::tempdir().unwrap();
        let stopped = job(false, Some(step)).run(interrupted.path()).unwrap();
        assert_eq!((stopped.steps, stopped.interrupted), (step, true));
        let resumed = job(true, None).run(interrupted.path()).unwrap();
        assert_same_run((&resumed, interrupted.path()), (&expected, folder.path()));
    }
}

#[test]
fn a_failed_validation_costs_no_step() {
    let job = |resume, fail_at| {
        let mut job = Job { resume, ..Job::new() };
        // No interruption was requested: the validation fails.
        job.validate = Some(Box::new(Measure { stop_at: fail_at, interrupter: Interrupter::new() }));
        job
    };
    let folder = tempfile::tempdir().unwrap();
    let expected = job(false, None).run(folder.path()).unwrap();
    let failed = tempfile::tempdir().unwrap();
    assert!(job(false, Some(3)).error(failed.path()).contains("interrupted"));
    assert_eq!(CheckpointFolder::new(failed.path()).unwrap().latest().unwrap().step, 3);
    let resumed = job(true, None).run(failed.path()).unwrap();
    assert_same_run((&resumed, failed.path()), (&expected, folder.path()));
}

#[test]
fn a_frozen_vision_encoder_does_not_move_by_a_bit() {
    let mut plan = plan();
    plan.stages.remove(0);
    let folder = tempfile::tempdir().unwrap();
    let trained = Job { plan, ..Job::new() }.run(folder.path()).unwrap().model;
    let start = tiny::model(3);
    assert!(tiny::weights(&trained.vision.encoder) == tiny::weights(&start.vision.encoder));
    assert!(tiny::weights(&trained.vision.projector) == tiny::weights(&start.vision.projector));
    let moved = tiny::weights(&trained.text).iter().zip(tiny::weights(&start.text)).filter(|(a, b)| *a != b).count();
    assert_eq!(moved, tiny::weights(&start.text).len(), "every parameter of the language model learns");

    let (trained, _folder) = whole();
    assert!(tiny::weights(&trained.model.vision) != tiny::weights(&start.vision));
}

/// The vision side learns, then is frozen: the reference must not use image features of the changed
/// vision side.
#[test]
fn the_reference_sees_with_its_own_eyes() {
    let mut plan = plan();
    plan.stages[0].trainable = Trainable { vision_encoder: true, projector: true, language_model: false };
    plan.stages[1].snapshot_reference = false;
    plan.stages[1].overrides.set("learning_rate", 0.0);
    let folder = tempfile::tempdir().unwrap();
    let mut job = Job { plan, ..Job::new() };
    job.config.mini_batch = 4;
    job.run(folder.path()).unwrap();
    let records = records(folder.path());
    assert!(records[1].metrics["grpo/kl"] < 1e-8, "at first the policy is the reference");
    assert!(records[4].metrics["grpo/kl"] > 1e-6, "{:?}", records[4]);
}

#[test]
fn a_stage_that_is_visited_again_goes_on_where_it_was() {
    let mut plan = plan();
    plan.epochs = Epochs::OverWholePlan(2);
    let folder = tempfile::tempdir().unwrap();
    let job = |resume| {
        let mut job = Job { plan: plan.clone(), resume, ..Job::new() };
        // One update a step, so that the divergence of a step is that before its update.
        (job.config.mini_batch, job.config.checkpoint_every) = (4, 1);
        job
    };
    let expected = job(false).run(folder.path()).unwrap();
    // Six problems in batches of four: two steps a visit, two visits to each of two stages.
    let all = records(folder.path());
    let peak = config().optimizer.learning_rate;
    let rate = |step| peak * config().optimizer.schedule.factor(step, 4);
    let rates: Vec<f64> = all[1..].iter().map(|record| record.metrics["update/learning_rate"]).collect();
    let expected_rates = [0, 1, 0, 1, 2, 3, 2, 3].map(rate);
    assert!(rates.iter().zip(expected_rates).all(|(a, b)| (a - b).abs() < 1e-12), "{rates:?}");
    let state = CheckpointFolder::new(folder.path()).unwrap().latest().unwrap();
    assert_eq!((state.step, state.stage_steps), (8, vec![4, 4]));
    assert_eq!(state.reference_step, 2, "the reference is of the first visit to the second stage");
    // The first update of a first visit starts at the reference, that of a later one does not.
    for (step, fresh) in [(1, true), (3, true), (5, false), (7, false)] {
        assert_eq!(all[step].metrics["grpo/kl"] < 1e-8, fresh, "step {step}: {:?}", all[step]);
    }

    let interrupted = tempfile::tempdir().unwrap();
    job(false)
        .stopped(|event| matches!(event, Event::Step { record, .. } if record.step == 4))
        .run(interrupted.path())
        .unwrap();
    let resumed = job(true).run(interrupted.path()).unwrap();
    assert_same_run((&resumed, interrupted.path()), (&expected, folder.path()));
}

#[test]
fn a_folder_with_a_run_is_not_overwritten_and_another_run_is_not_continued() {
    let empty = tempfile::tempdir().unwrap();
    assert!(Job::resumed().error(empty.path()).contains("no complete checkpoint"));

    let folder = tempfile::tempdir().unwrap();
    let two_steps = |event: &Event<'_>| matches!(event, Event::Step { record, .. } if record.step == 2);
    Job::new().stopped(two_steps).run(folder.path()).unwrap();
    let before = std::fs::read(folder.path().join("metrics.jsonl")).unwrap();
    assert!(Job::new().error(folder.path()).contains("already holds a run"));
    assert!(Job { seed: 12, ..Job::resumed() }.error(folder.path()).contains("seed 11, not 12"));
    let mut job = Job::resumed();
    job.config.group_size = 4;
    assert!(job.error(folder.path()).contains("grpo.group_size 3, not 4"));
    let mut job = Job::resumed();
    job.plan.stages.reverse();
    assert!(job.error(folder.path()).contains("settings"));
    assert_eq!(std::fs::read(folder.path().join("metrics.jsonl")).unwrap(), before, "nothing was touched");

    // Either of the two says that there is a run.
    for (left, removed) in [("metrics.jsonl", "checkpoint"), ("checkpoint", "metrics.jsonl")] {
        let half = tempfile::tempdir().unwrap();
        Job::new().stopped(two_steps).run(half.path()).unwrap();
        let removed = half.path().join(removed);
        if removed.is_dir() { std::fs::remove_dir_all(removed) } else { std::fs::remove_file(removed) }.unwrap();
        assert!(Job::new().error(half.path()).contains("already holds a run"), "{left} is left");
    }

    // Settings that change no result may differ.
    let mut job = Job::resumed();
    job.config.memory.decode_batch = 5;
    job.config.checkpoint_every = 100;
    let (expected, _folder) = whole();
    assert_eq!(job.run(folder.path()).unwrap().steps, expected.steps);
}

#[test]
fn damage_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let two_steps = |event: &Event<'_>| matches!(event, Event::Step { record, .. } if record.step == 2);
    Job::new().stopped(two_steps).run(folder.path()).unwrap();
    for (name, expected) in [
        ("checkpoint/state-2.json", "state-2.json cannot be read"),
        ("checkpoint/model-2.bpk", "`model` of the checkpoint at step 2"),
        ("checkpoint/optim-2.bpk", "`optim` of the checkpoint at step 2"),
        ("checkpoint/reference-0.bpk", "`reference` of the checkpoint at step 0"),
    ] {
        let path = folder.path().join(name);
        let whole = std::fs::read(&path).unwrap();
        for damaged in [&whole[..whole.len() / 2], &[], b"nonsense"] {
            std::fs::write(&path, damaged).unwrap();
            assert!(Job::resumed().error(folder.path()).contains(expected), "{name}");
        }
        std::fs::write(&path, whole).unwrap();
    }
    let state = folder.path().join("checkpoint/state-2.json");
    let text = std::fs::read_to_string(&state).unwrap();
    std::fs::write(&state, text.replace("\"version\": 5", "\"version\": 1")).unwrap();
    assert!(Job::resumed().error(folder.path()).contains("is of version 1, expected 5"));
    let mut beyond: serde_json::Value = serde_json::from_str(&text).unwrap();
    let key = serde_json::json!({ "step": 0, "problem": 1 });
    let outcome = serde_json::json!({
        "key": key, "rewards": [], "accuracies": [], "advantages": [], "lengths": [], "n_truncated": 0
    });
    let group = serde_json::json!({ "problem": 1, "completions": [] });
    beyond["bank"] = serde_json::json!([{ "group": group, "outcome": outcome, "stage": 2 }]);
    std::fs::write(&state, beyond.to_string()).unwrap();
    assert!(Job::resumed().error(folder.path()).contains("banks a group of a stage that there is not: there are 2"));
    let mut shorter: serde_json::Value = serde_json::from_str(&text).unwrap();
    shorter["stage_steps"] = serde_json::json!([2]);
    std::fs::write(&state, shorter.to_string()).unwrap();
    assert!(Job::resumed().error(folder.path()).contains("is of a run with 1 stages, not 2"));
    std::fs::write(&state, text).unwrap();

    let metrics = folder.path().join("metrics.jsonl");
    let text = std::fs::read_to_string(&metrics).unwrap();
    std::fs::write(&metrics, format!("nonsense\n{text}")).unwrap();
    assert!(Job::resumed().error(folder.path()).contains("metrics.jsonl:1: "));
    std::fs::write(&metrics, text).unwrap();
    assert_eq!(Job::resumed().run(folder.path()).unwrap().steps, 6, "repaired, it goes on");
}

#[test]
fn settings_that_cannot_work_are_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let mut job = Job::new();
    job.config.mini_batch = 5;
    assert!(job.error(&run).contains("`grpo.mini_batch` is 5"));
    let mut job = Job::new();
    job.plan.stages[1].trainable = Trainable { vision_encoder: false, projector: false, language_model: false };
    assert!(job.error(&run).contains("`visual_reasoning` trains no part"));
    let mut job = Job::new();
    job.config.optimizer.betas.0 = 1.0;
    assert!(job.error(&run).contains("betas in [0, 1)"));
    let mut job = Job::new();
    job.config.loss.dual_clip = f64::INFINITY;
    assert!(job.error(&run).contains("dual_clip above 1"));
    let mut job = Job::new();
    job.plan.stages[1].overrides.set("clip_high", -0.5);
    assert!(job.error(&run).contains("clip_high and kl_coef at least 0"));
    let mut job = Job::new();
    job.plan.stages[1].overrides.set("dual_clip", 0.5);
    assert!(job.error(&run).contains("dual_clip above 1, or 0 for none"));
    let mut job = Job::new();
    job.plan.stages[1].overrides.set("warmup", 1.5);
    let error = job.error(&run);
    assert!(error.contains("stage `visual_reasoning`") && error.contains("warmup and floor in [0, 1]"), "{error}");
    assert!(!run.exists());
}

#[test]
fn what_is_rewarded_becomes_more_frequent() {
    let mut job = Job::new();
    job.plan.stages.truncate(1);
    job.plan.epochs = Epochs::AsNeeded { steps: 48 };
    job.config.group_size = 8;
    job.config.optimizer.learning_rate = 5e-3;
    let folder = tempfile::tempdir().unwrap();
    job.run(folder.path()).unwrap();
    let rewards: Vec<f64> = records(folder.path())[1..].iter().map(|record| record.metrics["reward/mean"]).collect();
    let mean = |rewards: &[f64]| rewards.iter().sum::<f64>() / rewards.len() as f64;
    let (first, last) = (mean(&rewards[..4]), mean(&rewards[40..]));
    println!("reward {first:.3}, later {last:.3}");
    assert!(last > first + 0.15, "{rewards:?}");
}
