//! Tests of training jobs from end to end, at small size, and of the errors that refuse a job.

use experiments::base;
use experiments::program::{self, BUILT_IN, ProgramArgs};
use seethink::burn::module::{Module, ModuleVisitor, Param};
use seethink::burn::tensor::Tensor;
use seethink::core::Capability;
use seethink::data::digits_v1::{DigitsConfig, DigitsWorld};
use seethink::data::{Split, write_problems};
use seethink::models::{AnyBackbone, VisionLanguageModel, VlmProcessor, WeightDtype};
use seethink::prelude::*;
use seethink::rollout::Problems;
use seethink::run::config::{BaseFamily, ModelSource};
use seethink::train::Interrupter;
use std::path::Path;

/// Options of a built-in staged run that takes a few seconds.
fn small(out: &Path) -> ProgramArgs {
    let set = [
        "curriculum.Staged.epochs=AsNeeded(steps: 1)",
        "data.Digits.problems_per_capability=16",
        "evaluation.problems_per_capability=4",
        "grpo.rollout_batch=4",
        "grpo.mini_batch=4",
        "grpo.group_size=2",
    ];
    let train = TrainArgs { set: set.map(Into::into).into(), out: Some(out.to_owned()), ..TrainArgs::default() };
    ProgramArgs { curriculum: "staged".into(), train, ..ProgramArgs::default() }
}

/// Options of the small run with a change.
fn with(out: &Path, change: impl FnOnce(&mut TrainArgs)) -> ProgramArgs {
    let mut args = small(out);
    change(&mut args.train);
    args
}

/// Options that continue a run.
fn resumed(out: &Path) -> ProgramArgs {
    let train = TrainArgs { out: Some(out.to_owned()), resume: true, ..TrainArgs::default() };
    ProgramArgs { train, ..ProgramArgs::default() }
}

fn refused(args: &ProgramArgs) -> String {
    format!("{:#}", program::run(args, &Interrupter::new()).expect_err("this job is refused"))
}

#[test]
fn a_run_leaves_report_plots_metrics_and_a_model() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    program::run(&small(&out), &Interrupter::new()).unwrap();

    let written = ["config.ron", "metrics.jsonl", "report.html", "samples.jsonl", "summary.json", "summary.md"];
    for name in written.into_iter().chain(["plots/accuracy.png", "plots/accuracy.svg", "plots/reward.svg"]) {
        assert!(out.join(name).metadata().is_ok_and(|file| file.len() > 0), "{name}");
    }
    let summary = std::fs::read_to_string(out.join("summary.md")).unwrap();
    for stage in ["base", "perception", "textual reasoning", "visual reasoning"] {
        assert!(summary.contains(stage), "{summary}");
    }
    // The resolved configuration is that of the run.
    assert_eq!(RunConfig::load(out.join("config.ron"), &[]).unwrap().grpo.group_size, 2);
    let device = device("auto").unwrap();
    AnyBackbone::from_pretrained(&out.join("model"), &device).unwrap();
    VlmProcessor::from_pretrained(&out.join("model")).unwrap();

    // The folder is occupied now, and is left unchanged.
    let before = std::fs::read(out.join("metrics.jsonl")).unwrap();
    let error = refused(&small(&out));
    assert!(error.contains("not empty") && error.contains("--resume"), "{error}");
    assert_eq!(std::fs::read(out.join("metrics.jsonl")).unwrap(), before);
}

/// Bits of all weights, parameter by parameter.
fn weights(model: &AnyBackbone) -> Vec<Vec<u32>> {
    struct Collect(Vec<Vec<u32>>);
    impl ModuleVisitor for Collect {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.push(param.val().into_data().iter::<f32>().map(f32::to_bits).collect());
        }
    }
    let mut collect = Collect(Vec::new());
    model.visit(&mut collect);
    collect.0
}

#[test]
fn the_base_of_every_family_trains() {
    for (name, family) in BaseFamily::ALL {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join(name);
        program::run(&ProgramArgs { family, ..small(&out) }, &Interrupter::new()).unwrap();
        assert_eq!(
            RunConfig::load(out.join("config.ron"), &[]).unwrap().model,
            ModelSource::DigitsBase { family, seed: 1 }
        );
        let model = AnyBackbone::from_pretrained(&out.join("model"), &device("auto").unwrap()).unwrap();
        let expected = ["qwen2_5_vl", "qwen3_vl", "internvl", "internvl"];
        let place = BaseFamily::ALL.iter().position(|(_, one)| *one == family).unwrap();
        assert_eq!(model.model_type(), expected[place]);
        assert_eq!(model.display_name().to_lowercase().replace(['.', '-'], "_"), name);
        // Every stage trains all parameters: every tensor has changed.
        let base = AnyBackbone::from_pretrained(&out.join("base"), &device("auto").unwrap()).unwrap();
        let moved = weights(&base).into_iter().zip(weights(&model)).map(|(before, after)| before != after);
        let names = model.parameters().into_iter().zip(moved);
        let still: Vec<String> = names.filter(|(_, moved)| !moved).map(|(parameter, _)| parameter.name).collect();
        assert!(still.is_empty(), "{name}: {still:?} did not move");
    }
}

#[test]
fn captions_come_before_the_first_step_and_are_paid_for() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let mut args = small(&out);
    let optimizer = "(learning_rate: 1e-3, betas: (0.9, 0.999), epsilon: 1e-8, weight_decay: 0.0, max_grad_norm: 1.0, \
                     schedule: (warmup: 0.0, decay: Constant, floor: 0.0))";
    args.train.set.push(format!("captions=(pictures: 6, epochs: 2, batch: 4, optimizer: {optimizer})"));
    program::run(&args, &Interrupter::new()).unwrap();
    let summary: serde_json::Value = serde_json::from_slice(&std::fs::read(out.join("summary.json")).unwrap()).unwrap();
    let first = &summary["checkpoints"][0];
    assert_eq!((&first["stage"], &first["step"]), (&"captions".into(), &0.into()));
    // Two batches an epoch, two epochs, and three steps of reinforcement learning.
    assert_eq!((first["spent"]["updates"].as_f64(), summary["total"]["updates"].as_f64()), (Some(4.0), Some(7.0)));
    assert!(first["spent"]["tokens_trained"].as_f64().unwrap() > 100.0 && first["spent"]["completions"] == 0.0);
    // Reinforcement learning begins with another model than the base.
    let plain = folder.path().join("plain");
    program::run(&small(&plain), &Interrupter::new()).unwrap();
    let weights = |run: &Path| std::fs::read(run.join("model/model.safetensors")).unwrap();
    assert!(weights(&out) != weights(&plain));
}

#[test]
fn an_interrupted_run_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let mut sizes = Vec::new();
    for dtype in [WeightDtype::F32, WeightDtype::Bf16] {
        let small = |out: &Path| with(out, |train| train.dtype = Some(dtype));
        let (whole, halves) =
            (folder.path().join(format!("whole {dtype:?}")), folder.path().join(format!("{dtype:?}")));
        program::run(&small(&whole), &Interrupter::new()).unwrap();

        let stopped = Interrupter::new();
        stopped.stop(Some("test"));
        program::run(&small(&halves), &stopped).unwrap();
        assert!(!halves.join("summary.json").exists());
        let resume = resumed(&halves);
        program::run(&resume, &Interrupter::new()).unwrap();
        let weights = |run: &Path| std::fs::read(run.join("model/model.safetensors")).unwrap();
        assert!(weights(&whole) == weights(&halves), "the resumed run in {dtype:?} has other weights");
        sizes.push(weights(&whole).len());
    }
    assert!(sizes[1] < sizes[0] * 6 / 10, "f32 takes {} bytes, bf16 {}", sizes[0], sizes[1]);
}

#[test]
fn what_cannot_work_is_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let unknown = ProgramArgs { curriculum: "upside_down".into(), ..small(&out) };
    let error = refused(&unknown);
    assert!(error.contains("upside_down") && error.contains("staged, merged, reversed"), "{error}");

    let typo = with(&out, |train| train.set = vec!["grpo.groupsize=4".into()]);
    let error = refused(&typo);
    assert!(error.contains("groupsize") && error.contains("group_size"), "{error}");

    let nowhere = with(&out, |train| train.device = "abacus".into());
    assert!(refused(&nowhere).contains("flex"), "the devices are listed");

    let narrow = with(&out, |train| train.dtype = Some(WeightDtype::F16));
    assert!(refused(&narrow).contains("expected F32 or Bf16"));

    let missing = with(&out, |train| train.model = Some(folder.path().join("nowhere").display().to_string()));
    assert!(refused(&missing).contains("nowhere"));

    for (setting, expected) in [
        ("grpo.sampling.max_tokens=100000000", "completions of up to 100000000"),
        ("evaluation.sampling.max_tokens=100000000", "no room for the test problems (evaluation.sampling.max_tokens)"),
        ("curriculum.Staged.stages[2].overrides.max_tokens=100000000", "stage `visual_reasoning`: prompts of up to"),
    ] {
        let mut endless = small(&out);
        endless.train.set.push(setting.into());
        let error = refused(&endless);
        assert!(error.contains(expected) && error.contains("positions (max_position_embeddings)"), "{error}");
    }

    // The digits world has no pass rates to sort by.
    let mut unsorted = small(&out);
    unsorted.train.set.push("curriculum.Staged.order=EasyToHard".into());
    assert!(refused(&unsorted).contains("pass rate"));

    let nothing_there = resumed(&out);
    assert!(refused(&nothing_there).contains("holds no run"));
    assert!(!out.exists());
}

#[test]
fn a_file_a_folder_of_problems_and_a_trained_model_make_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let world = DigitsWorld::new(DigitsConfig::default()).unwrap();
    for split in [Split::Train, Split::Validation, Split::Test] {
        let problems: Vec<_> =
            Capability::ALL.iter().flat_map(|capability| world.problems(split, capability, 1).take(4)).collect();
        write_problems(folder.path().join("data").join(split.as_str()), &problems).unwrap();
    }
    let first = folder.path().join("first");
    program::run(&small(&first), &Interrupter::new()).unwrap();

    // The configuration of the first run, with other data and another model.
    let second = folder.path().join("second");
    let args = with(&second, |train| {
        train.model = Some(first.join("model").display().to_string());
        train.set = vec![format!("data=Folder(path: {})", folder.path().join("data").display())];
    });
    let job = ProgramArgs { config: Some(first.join("config.ron")), ..args };
    program::run(&job, &Interrupter::new()).unwrap();
    let config = RunConfig::load(second.join("config.ron"), &[]).unwrap();
    assert_eq!(config.data, DataConfig::folder(folder.path().join("data")));
    assert_eq!(config.model, ModelSource::Pretrained(first.join("model")));
    let summary = std::fs::read_to_string(second.join("summary.md")).unwrap();
    assert!(summary.contains("visual reasoning"), "{summary}");
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = refused(&small(&file.join("run")));
    assert!(error.contains("cannot create the run folder") && error.contains("file"), "{error}");
}

#[test]
fn the_guide_to_curricula_shows_a_program_that_runs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = std::fs::read_to_string(root.join("examples/custom_curriculum.rs")).unwrap();
    let guide = std::fs::read_to_string(root.join("../docs/writing-a-curriculum.md")).unwrap();
    assert!(guide.contains(&format!("```rust\n{program}```\n")), "the guide shows another program");
    assert!(program.lines().count() < 50);

    // Examples are built beside the tests.
    let executable = std::env::current_exe().unwrap();
    let built = executable.parent().unwrap().parent().unwrap().join("examples/custom_curriculum");
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let settings = ["grpo.rollout_batch=2", "grpo.mini_batch=2", "grpo.group_size=2", "grpo.sampling.max_tokens=8"];
    let sizes = ["data.Digits.problems_per_capability=200", "evaluation.problems_per_capability=2"];
    let set = settings.iter().chain(&sizes).flat_map(|setting| ["--set", setting]);
    let status = std::process::Command::new(built).args(set).arg("--out").arg(&out).status().unwrap();
    assert!(status.success());
    assert_eq!(
        RunConfig::load(out.join("config.ron"), &[]).unwrap().curriculum,
        CurriculumConfig::Custom("mastery".into())
    );
    let metrics = std::fs::read_to_string(out.join("metrics.jsonl")).unwrap();
    assert_eq!(metrics.lines().count(), 121);
}

/// Prompts above a length limit are left out of a folder of problems, as counted by a processor.
#[test]
fn long_prompts_are_left_out_of_a_folder_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let world = DigitsWorld::new(DigitsConfig::default()).unwrap();
    let problems: Vec<_> =
        Capability::ALL.iter().flat_map(|one| world.problems(Split::Train, one, 1).take(12)).collect();
    write_problems(dir.path().join("train"), &problems).unwrap();
    let base = dir.path().join("base");
    base::unpack(&ModelSource::DigitsV1Base(BaseFamily::Qwen3Vl), &base).unwrap();
    let folder = dir.path().display();
    let config = |set: &[String]| RunConfig::parse(BUILT_IN[0].1, "staged.ron", set).unwrap();
    let usual = config(&[]);
    let processor = usual.processor(&base).unwrap();
    let lengths: Vec<usize> =
        problems.iter().map(|problem| usual.grpo.prompt.encode(&processor, problem).unwrap().tokens.len()).collect();
    let limit = (lengths.iter().min().unwrap() + lengths.iter().max().unwrap()) / 2;
    let n_long = lengths.iter().filter(|length| **length > limit).count();
    assert!(n_long > 0 && n_long < lengths.len());

    let limited = config(&[format!("data=Folder(path: {folder}, overlong: (max_tokens: {limit}))")]);
    let (entries, left) = limited.training(None, Some(&processor)).unwrap();
    assert_eq!(entries.len(), lengths.len() - n_long);
    let Problems::Files(dataset) = left else { panic!("the problems are in files") };
    assert_eq!(dataset.report().n_overlong, n_long);
    let (entries, _) = config(&[format!("data=Folder(path: {folder})")]).training(None, Some(&processor)).unwrap();
    assert_eq!(entries.len(), lengths.len());
    // Smaller images have fewer tokens, and counts cached for larger images are not reused.
    let smaller = config(&[
        format!("data=Folder(path: {folder}, overlong: (max_tokens: {limit}))"),
        "images.max_pixels=256".into(),
    ]);
    let small = smaller.processor(&base).unwrap();
    assert!(smaller.training(None, Some(&small)).unwrap().0.len() > lengths.len() - n_long);
}
