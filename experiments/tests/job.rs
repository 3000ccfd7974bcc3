//! The main job from end to end, small, and what it refuses.

use experiments::job::{self, JobArgs};
use seethink::models::qwen3_vl::{Qwen3Vl, Qwen3VlProcessor};
use seethink::prelude::*;
use seethink::train::Interrupter;
use std::path::Path;

/// A few seconds of the built-in staged run.
fn small(out: &Path) -> JobArgs {
    let set = [
        "curriculum.Staged.epochs=AsNeeded(steps: 1)",
        "data.Digits.problems_per_capability=16",
        "evaluation.problems_per_capability=4",
        "grpo.rollout_batch=4",
        "grpo.mini_batch=4",
        "grpo.group_size=2",
    ];
    JobArgs {
        curriculum: "staged".into(),
        set: set.map(Into::into).into(),
        out: Some(out.to_owned()),
        device: "auto".into(),
        ..JobArgs::default()
    }
}

fn refused(args: &JobArgs) -> String {
    format!("{:#}", job::run(args, &Interrupter::new()).expect_err("this job is refused"))
}

#[test]
fn a_run_leaves_report_plots_metrics_and_a_model() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    job::run(&small(&out), &Interrupter::new()).unwrap();

    let written = ["config.ron", "metrics.jsonl", "report.html", "samples.jsonl", "summary.json", "summary.md"];
    for name in written.into_iter().chain(["plots/accuracy.png", "plots/accuracy.svg", "plots/reward.svg"]) {
        assert!(out.join(name).metadata().is_ok_and(|file| file.len() > 0), "{name}");
    }
    let summary = std::fs::read_to_string(out.join("summary.md")).unwrap();
    for stage in ["base", "perception", "textual reasoning", "visual reasoning"] {
        assert!(summary.contains(stage), "{summary}");
    }
    // The resolved configuration says what was run.
    assert_eq!(RunConfig::load(out.join("config.ron"), &[]).unwrap().grpo.group_size, 2);
    let device = device("auto").unwrap();
    Qwen3Vl::from_pretrained(&out.join("model"), &device).unwrap();
    Qwen3VlProcessor::from_pretrained(&out.join("model")).unwrap();

    // The folder is taken now, and stays as it is.
    let before = std::fs::read(out.join("metrics.jsonl")).unwrap();
    let error = refused(&small(&out));
    assert!(error.contains("not empty") && error.contains("--resume"), "{error}");
    assert_eq!(std::fs::read(out.join("metrics.jsonl")).unwrap(), before);
}

#[test]
fn an_interrupted_run_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, halves) = (folder.path().join("whole"), folder.path().join("halves"));
    job::run(&small(&whole), &Interrupter::new()).unwrap();

    let stopped = Interrupter::new();
    stopped.stop(Some("test"));
    job::run(&small(&halves), &stopped).unwrap();
    assert!(!halves.join("summary.json").exists());
    let resume = JobArgs { resume: true, set: Vec::new(), ..small(&halves) };
    job::run(&resume, &Interrupter::new()).unwrap();
    let weights = |run: &Path| std::fs::read(run.join("model/model.safetensors")).unwrap();
    assert!(weights(&whole) == weights(&halves), "the resumed run has other weights");
}

#[test]
fn what_cannot_work_is_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let unknown = JobArgs { curriculum: "upside_down".into(), ..small(&out) };
    let error = refused(&unknown);
    assert!(error.contains("upside_down") && error.contains("staged, merged, reversed"), "{error}");

    let typo = JobArgs { set: vec!["grpo.groupsize=4".into()], ..small(&out) };
    let error = refused(&typo);
    assert!(error.contains("groupsize") && error.contains("group_size"), "{error}");

    let nowhere = JobArgs { device: "abacus".into(), ..small(&out) };
    assert!(refused(&nowhere).contains("flex"), "the devices are listed");

    let nothing_there = JobArgs { resume: true, set: Vec::new(), ..small(&out) };
    assert!(refused(&nothing_there).contains("no run to resume"));
    assert!(!out.exists());
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = refused(&small(&file.join("run")));
    assert!(error.contains("cannot create the run folder") && error.contains("file"), "{error}");
}
