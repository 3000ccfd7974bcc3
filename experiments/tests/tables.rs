//! The tables: what they promise of themselves, and a small one from runs to page.

#![allow(clippy::unwrap_used)]

mod common;

use common::SMALL;
use experiments::experiment::run::{self, Task};
use experiments::experiment::{
    Arm, BASE, Experiment, MERGED, RESULT, Row, RunResult, STAGED, Scale, Setting, docs, render,
};
use experiments::tables;
use seethink::config::BaseFamily;
use seethink::prelude::*;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};

fn settings() -> impl Iterator<Item = Setting> {
    let of = |scale| BaseFamily::ALL.into_iter().map(move |(_, backbone)| Setting { scale, backbone });
    [Scale::Micro, Scale::Full].into_iter().flat_map(of)
}

fn all_tasks(scale: Scale) -> Vec<Task> {
    run::tasks(&tables::ALL, scale, &[], 3, &[]).unwrap()
}

#[test]
fn every_arm_has_a_configuration_of_its_own_everywhere() {
    for setting in settings() {
        let mut seen = BTreeSet::new();
        for arm in Arm::ALL {
            let config = arm.config(setting, 1).unwrap_or_else(|error| panic!("{}: {error:#}", arm.id));
            // As released and frozen come to the same where an epoch is what a controlled stage has, but for the name of a length.
            assert!(seen.insert(config.to_ron()), "{} is another arm in {}", arm.id, setting.folder());
        }
    }
}

#[test]
fn tables_speak_of_their_own_rows() {
    let mut ids = BTreeSet::new();
    for experiment in tables::ALL {
        assert!(ids.insert(experiment.id), "{} twice", experiment.id);
        for contrast in experiment.contrasts {
            let sum: f64 = contrast.terms.iter().map(|(weight, _)| weight).sum();
            assert_eq!(sum, 0.0, "{}: {} is no difference", experiment.id, contrast.label);
            for (_, arm) in contrast.terms {
                assert!(*arm == BASE || experiment.row(arm).is_some(), "{}: {arm}", experiment.id);
            }
        }
        for one in experiment.reported {
            let is_row = one.row == BASE || experiment.rows.iter().any(|row| row.label == one.row);
            assert!(is_row && one.value.is_finite(), "{}: {}", experiment.id, one.row);
        }
    }
    let used: BTreeSet<&str> =
        tables::ALL.iter().flat_map(|experiment| experiment.rows.iter().map(|row| row.arm.id)).collect();
    assert_eq!(used.len(), Arm::ALL.len(), "an arm that no table has");
    assert!(tables::find("table_7").err().unwrap().to_string().contains("capability_x_difficulty"));
}

#[test]
fn controlled_arms_take_equally_many_steps() {
    for setting in settings() {
        let corpus = Corpus::new(Capability::ALL.into_iter().zip(0u64..).flat_map(|(capability, i)| {
            (0..1000).map(move |n| CorpusEntry {
                pass_rate: PassRate::new(0.5).ok(),
                ..CorpusEntry::new(ProblemId((i << 32) | n), capability.clone())
            })
        }))
        .unwrap();
        for arm in Arm::ALL.into_iter().filter(|arm| !arm.id.ends_with("as_released") && arm.id != "captions_first") {
            let config = arm.config(setting, 1).unwrap();
            let course = config.curriculum.build(&corpus, 1).unwrap();
            let steps = course.curriculum().planned_steps(Some(config.grpo.rollout_batch)).unwrap();
            assert_eq!(steps.iter().sum::<usize>(), setting.total_steps() as usize, "{} {steps:?}", arm.id);
        }
    }
}

#[test]
fn runs_are_shared_by_tables_and_seeds_go_first() {
    let tasks = all_tasks(Scale::Micro);
    let names: BTreeSet<String> = tasks.iter().map(Task::name).collect();
    assert_eq!(names.len(), tasks.len());
    // Seventeen arms on one backbone, two on the three others.
    assert_eq!(tasks.len(), 3 * (17 + 2 * 3));
    assert!(tasks.windows(2).all(|pair| pair[0].seed <= pair[1].seed));
}

#[test]
fn a_table_does_not_compare_a_run_with_itself() {
    static TWICE: Experiment = Experiment {
        rows: &[Row { label: "one", arm: &STAGED }, Row { label: "other", arm: &STAGED }],
        contrasts: &[],
        ..*tables::ALL[0]
    };
    let error = run::tasks(&[&TWICE], Scale::Micro, &[], 1, &[]).err().unwrap().to_string();
    assert!(
        error.contains("\"one\"") && error.contains("\"other\"") && error.contains("same configuration"),
        "{error}"
    );
}

#[test]
fn files_made_of_the_tables_are_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let again = "run `cargo run --release -p experiments -- docs`";
    for (path, text) in docs::configs().unwrap() {
        let found = std::fs::read_to_string(root.join(&path)).unwrap_or_default();
        assert!(found == text, "{}: {again}", path.display());
    }
    let results = Path::new("experiments/results/tables");
    let page = docs::page(&root.join(results), results).unwrap();
    assert!(std::fs::read_to_string(root.join("docs/paper.md")).unwrap_or_default() == page, "docs/paper.md: {again}");
}

#[test]
fn committed_tables_are_what_the_committed_results_say() {
    let results = Path::new(env!("CARGO_MANIFEST_DIR")).join("results/tables");
    let tasks = all_tasks(Scale::Micro);
    for experiment in tables::ALL {
        let path = results.join("micro").join(format!("{}.md", experiment.id));
        let Ok(found) = std::fs::read_to_string(&path) else { continue };
        let made = render(experiment, Scale::Micro, &tasks, &results).unwrap().markdown;
        assert!(found == made, "{}: run `cargo run --release -p experiments -- collect all`", path.display());
    }
}

/// The program with these arguments.
fn program(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_experiments")).args(arguments).output().unwrap()
}

#[test]
fn a_table_is_made_from_runs_and_made_again_from_results() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().display().to_string();
    let arguments = |out: &str| -> Vec<String> {
        let table = ["table", "perception_errors", "--seeds", "1", "--out", out, "--jobs", "2"];
        table.into_iter().chain(SMALL).map(str::to_owned).collect()
    };
    let run = |out: &str| program(&arguments(out).iter().map(String::as_str).collect::<Vec<_>>());
    let first = run(&out);
    let text = String::from_utf8_lossy(&first.stdout).into_owned();
    assert!(first.status.success(), "{text}\n{}", String::from_utf8_lossy(&first.stderr));
    for expected in
        ["# Errors of perception", "| base |", "| staged |", "### What it cost", "2/2", "Rows are to be equal"]
    {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let micro = folder.path().join("micro");
    for name in ["perception_errors.md", "perception_errors-qwen3_vl.svg", "perception_errors-qwen3_vl.png"] {
        assert!(micro.join(name).exists(), "{name}");
    }
    let result = RunResult::read(&micro.join("qwen3_vl/merged/seed-1").join(RESULT)).unwrap().unwrap();
    assert_eq!((result.arm.as_str(), result.seed, result.length.len()), (MERGED.id, 1, 60));
    assert_eq!(result.after["visual_reasoning"].len(), 4);
    assert!(result.total.get(experiments::report::Meter::ForwardFlops).unwrap() > 1e6);

    // Nothing is run again.
    let metrics = micro.join("qwen3_vl/merged/seed-1/metrics.jsonl");
    let before = std::fs::metadata(&metrics).unwrap().modified().unwrap();
    let second = String::from_utf8_lossy(&run(&out).stdout).into_owned();
    assert!(second.contains("# Errors of perception") && !second.contains("1/"), "{second}");
    assert_eq!(std::fs::metadata(&metrics).unwrap().modified().unwrap(), before);

    // Other settings are another experiment.
    let other = program(&["table", "perception_errors", "--seeds", "1", "--out", &out]);
    let error = String::from_utf8_lossy(&other.stderr).into_owned();
    assert!(!other.status.success() && error.contains("run with other settings"), "{error}");
}

#[test]
fn what_does_not_exist_is_named_with_what_does() {
    let refused = |arguments: &[&str], expected: &[&str]| {
        let output = program(arguments);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && expected.iter().all(|text| error.contains(text)), "{error}");
    };
    refused(&["table", "table_7"], &["table_7", "capability_x_difficulty"]);
    refused(&["table", "stage_order", "--scale", "tiny"], &["tiny", "micro or full"]);
    refused(&["table", "stage_order", "--backbone", "gpt"], &["gpt", "qwen3_vl"]);
    refused(&["run", "--arm", "sideways"], &["sideways", "text_first"]);
    refused(&["table", "stage_order", "--set", "grpo.groupsize=4"], &["groupsize", "group_size"]);
}
