//! Tests of the tables: their definitions, and a small one from runs to page.

#![allow(clippy::unwrap_used)]

mod common;

use common::SMALL;
use experiments::base::{FILTER, n_bases};
use experiments::experiment::run::{self, Task};
use experiments::experiment::{
    Arm, BASE, Cell, Experiment, Gate, Gates, MERGED, MERGED_AS_RELEASED, MERGED_FROZEN, Origin, RESULT, Results, Row,
    RunResult, STAGED, Scale, Setting, TEXTUAL_CONTROL, docs, render,
};
use experiments::{exploration, findings, gates, tables};
use seethink::prelude::*;
use seethink::run::config::{BaseFamily, DataConfig, ModelSource};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

fn settings() -> impl Iterator<Item = Setting> {
    let of = |scale| BaseFamily::ALL.into_iter().map(move |(_, backbone)| Setting::new(scale, backbone));
    Scale::ALL.into_iter().flat_map(of)
}

fn all_tasks(scale: Scale) -> Vec<Task> {
    run::tasks(&tables::ALL, scale, &[], 3, &[]).unwrap()
}

#[test]
fn every_arm_has_a_configuration_of_its_own_everywhere() {
    for setting in settings() {
        let mut seen = BTreeSet::new();
        // Stages are of one length on the first world, so that the control is the stage itself.
        let is_double = |arm: &Arm| setting.scale == Scale::DigitsV1 && arm.id == TEXTUAL_CONTROL.id;
        for arm in Arm::ALL.into_iter().filter(|arm| !is_double(arm)) {
            let config = arm.config(setting, 1).unwrap_or_else(|error| panic!("{}: {error:#}", arm.id));
            // Some arms are equal at some settings all the same: `Aliases` finds them.
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
    let rows = tables::ALL.iter().flat_map(|experiment| experiment.rows.iter().map(|row| row.arm.id));
    let used: BTreeSet<&str> = rows.chain(gates::ARMS.iter().map(|(arm, _)| arm.id)).collect();
    assert_eq!(used.len(), Arm::ALL.len(), "an arm that no table and no gate has");
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
        for arm in Arm::ALL.into_iter().filter(|arm| !arm.is_as_released() && !arm.id.ends_with("s_first")) {
            let config = arm.config(setting, 1).unwrap();
            let course = config.curriculum.build(&corpus, 1).unwrap();
            let steps = course.curriculum().planned_steps(Some(config.grpo.rollout_batch)).unwrap();
            let expected = match arm.id {
                "perception_alone" | "textual_control" => setting.steps(&Capability::PERCEPTION),
                "textual_alone" => setting.steps(&Capability::TEXTUAL_REASONING),
                "visual_alone" => setting.steps(&Capability::VISUAL_REASONING),
                _ => setting.total_steps(),
            };
            assert_eq!(steps.iter().sum::<usize>(), expected as usize, "{} {steps:?}", arm.id);
        }
    }
}

#[test]
fn runs_are_shared_by_tables_and_seeds_go_first() {
    let tasks = all_tasks(Scale::Micro);
    let names: BTreeSet<String> = tasks.iter().map(Task::name).collect();
    assert_eq!(names.len(), tasks.len());
    // Twenty-two arms on one backbone, of which two are the runs of others, and eight on the three others.
    assert_eq!(tasks.len(), 3 * (20 + 8 * 3));
    assert!(tasks.iter().all(|task| task.arm.id != MERGED_AS_RELEASED.id));
    assert!(tasks.windows(2).all(|pair| pair[0].seed <= pair[1].seed));
}

#[test]
fn a_table_does_not_compare_a_run_with_itself() {
    static TWICE: Experiment = Experiment {
        rows: &[Row { label: "one", arm: &STAGED }, Row { label: "other", arm: &STAGED }],
        contrasts: &[],
        ..*tables::ALL[0]
    };
    static ALIAS: Experiment = Experiment {
        rows: &[Row { label: "one", arm: &MERGED_FROZEN }, Row { label: "other", arm: &MERGED_AS_RELEASED }],
        backbones: &[BaseFamily::Qwen3Vl],
        contrasts: &[],
        ..*tables::ALL[0]
    };
    for table in [&TWICE, &ALIAS] {
        let error = run::tasks(&[table], Scale::Micro, &[], 1, &[]).err().unwrap().to_string();
        assert!(
            error.contains("\"one\"") && error.contains("\"other\"") && error.contains("same effective settings"),
            "{error}"
        );
    }
    // At full scale the released script has another number of steps.
    assert_eq!(run::tasks(&[&ALIAS], Scale::Full, &[], 1, &[]).unwrap().len(), 2);
}

fn committed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("results/tables")
}

/// Committed results of the first digits world.
static FIRST: LazyLock<Results> = LazyLock::new(|| Results::read(Scale::DigitsV1, &[], 3, &[], &committed()).unwrap());

/// Committed results of the digits world.
static COMMITTED: LazyLock<Results> = LazyLock::new(|| docs::read(&committed()).unwrap());

/// Task and committed result of its arm.
fn task_and_result() -> (Task, RunResult) {
    let setting = Setting::new(Scale::DigitsV1, BaseFamily::Qwen3Vl);
    let task = Task { setting, arm: &STAGED, seed: 1, set: Vec::new() };
    let result = RunResult::read(&task.folder(&committed()).join(RESULT)).unwrap().unwrap();
    (task, result)
}

#[test]
fn a_result_of_other_settings_model_or_code_is_not_taken_up() {
    let (task, found) = task_and_result();
    let now = Origin::of(&task.config().unwrap()).unwrap();
    let with = |config: String, origin: Option<Origin>| {
        let folder = tempfile::tempdir().unwrap();
        let path = task.folder(folder.path()).join(RESULT);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        RunResult { config, origin, ..found.clone() }.write(&path).unwrap();
        task.result(folder.path()).map_err(|error| error.to_string())
    };
    let settings = || task.digest().unwrap();
    assert!(with(settings(), Some(now.clone())).unwrap().is_some());
    let other = || "0".repeat(12);
    for (result, expected) in [
        (with(other(), Some(now.clone())), "other settings"),
        (with(settings(), Some(Origin { model: other(), ..now.clone() })), "another base model"),
        (with(settings(), Some(Origin { code: other(), ..now.clone() })), "other code"),
        (with(settings(), None), "no record of its base model and code"),
    ] {
        let error = result.unwrap_err();
        assert!(error.contains(expected) && error.contains("choose another folder"), "{error}");
    }
}

#[test]
fn defaults_are_in_the_digest_of_a_configuration() {
    let (task, _) = task_and_result();
    let config = task.config().unwrap();
    // A default is left out of the file and included in the digest.
    assert!(!config.to_ron().contains("samples"));
    let other = Task { set: vec!["evaluation.samples=13".into()], ..task.clone() };
    let same = Task { set: vec!["evaluation.samples=12".into()], ..task.clone() };
    assert_eq!(task.digest().unwrap(), same.digest().unwrap());
    assert_ne!(task.digest().unwrap(), other.digest().unwrap());
    assert!(format!("{config:?}").contains("samples: 12"));
}

#[test]
fn results_of_a_changed_tree_are_not_collected() {
    let (task, found) = task_and_result();
    let origin = Some(Origin::of(&task.config().unwrap()).unwrap());
    for (commit, collected) in [("0123456789ab", true), ("0123456789ab+", false), ("", false)] {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let path = task.folder(from.path()).join(RESULT);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let result = RunResult {
            config: task.digest().unwrap(),
            origin: origin.clone(),
            commit: commit.into(),
            ..found.clone()
        };
        result.write(&path).unwrap();
        let tasks = [task.clone()];
        match run::collect(&tasks, from.path(), to.path()) {
            Ok(n) => assert!(collected && n == 1),
            Err(error) => assert!(!collected && error.to_string().contains("without changes"), "{error}"),
        }
        assert_eq!(task.folder(to.path()).join(RESULT).exists(), collected);
    }
}

#[test]
fn committed_results_name_a_clean_commit_or_are_marked() {
    let mut n_unrecorded = 0;
    for task in all_tasks(Scale::DigitsV1).into_iter().chain(all_tasks(Scale::Micro)) {
        let path = task.folder(&committed()).join(RESULT);
        let Some(result) = RunResult::read(&path).unwrap() else { continue };
        if result.origin.is_some() {
            assert!(result.is_of_clean_tree(), "{}: commit {:?}", path.display(), result.commit);
        } else {
            // Results made before fingerprints were recorded. Their number must not grow.
            assert!(["c176b3727e08+", "b81c66ac340e"].contains(&result.commit.as_str()), "{}", path.display());
            assert!(task.result(&committed()).is_err());
            n_unrecorded += 1;
        }
    }
    assert!(n_unrecorded <= 66, "{n_unrecorded}");
    // The folder holds no other entries.
    let seeds = |folder: &Path| std::fs::read_dir(folder).map(|entries| entries.count()).unwrap_or(0);
    assert_eq!(seeds(&committed().join("digits-v1/qwen3_vl")), 16);
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
    let found = &*COMMITTED;
    let page = docs::page(found, &root.join(results), results).unwrap();
    assert!(std::fs::read_to_string(root.join("docs/paper.md")).unwrap_or_default() == page, "docs/paper.md: {again}");
    let page = findings::page(found).unwrap();
    let path = root.join(findings::PAGE);
    assert!(std::fs::read_to_string(&path).unwrap_or_default() == page, "{}: {again}", path.display());
    let text = std::fs::read_to_string(root.join("README.md")).unwrap();
    let picture = docs::picture(&root).unwrap();
    assert!(std::fs::read(root.join(docs::PICTURE)).unwrap_or_default() == picture, "{}: {again}", docs::PICTURE);
    assert!(text.contains(&format!("]({})", docs::PICTURE)), "README.md does not show {}", docs::PICTURE);
}

#[test]
fn findings_say_what_was_not_run() {
    let folder = tempfile::tempdir().unwrap();
    let nothing = Results::read(Scale::Micro, &[], 1, &[], folder.path()).unwrap();
    let page = findings::page(&nothing).unwrap();
    assert_eq!((page.matches("Not run yet.").count(), page.matches("Not measured yet.").count()), (4, 4));
    assert!(page.contains("(0 runs)"), "{page}");
    assert!(findings::Figures::new(&nothing).get("something").is_err());
}

#[test]
fn committed_tables_are_what_the_committed_results_say() {
    let again = "run `cargo run --release -p experiments -- collect all exploration --seeds 48`";
    let folder = committed().join("micro");
    let mut expected: BTreeSet<String> = BTreeSet::new();
    let n_runs = BaseFamily::ALL.into_iter().map(|(_, backbone)| COMMITTED.all_runs(backbone).count());
    if n_runs.sum::<usize>() > 0 {
        let pages = tables::ALL.iter().map(|experiment| render(experiment, &COMMITTED).unwrap());
        let explored = exploration::tasks(1, &[]).iter().any(|task| task.folder(&committed()).join(RESULT).exists());
        let page = explored.then(|| exploration::page(&committed(), 48).unwrap());
        for made in pages.chain(page) {
            let name = format!("{}.md", made.id);
            let found = std::fs::read_to_string(folder.join(&name));
            let found = found.unwrap_or_else(|error| panic!("{name} is missing: {error}; {again}"));
            assert!(found == made.markdown, "{name}: {again}");
            expected.insert(name);
            expected.extend(made.figures().flat_map(|name| [format!("{name}.svg"), format!("{name}.png")]));
        }
    }
    let files = std::fs::read_dir(&folder).into_iter().flatten().map(|entry| entry.unwrap());
    let files: BTreeSet<String> = files
        .filter(|entry| entry.path().is_file())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(files, expected, "{again}");
}

#[test]
fn a_comparison_has_one_p_value_in_every_table() {
    let results = &*FIRST;
    let (main, vision) = (tables::find("main_comparison").unwrap(), tables::find("vision_freezing").unwrap());
    let of = |experiment: &Experiment, label: &str, column| {
        let question = experiment.contrasts.iter().find(|one| one.label == label).unwrap();
        results.compared(BaseFamily::Qwen3Vl, question, column).unwrap()
    };
    let first = of(main, "staged − merged", "textual reasoning");
    assert_eq!(first, of(vision, "open: staged − merged", "textual reasoning"));
    // The opposite contrast gives the same comparison, negated.
    static REVERSED: [experiments::experiment::Contrast; 1] =
        [experiments::experiment::Contrast { label: "merged − staged", terms: &[(1.0, "merged"), (-1.0, "staged")] }];
    let other = results.compared(BaseFamily::Qwen3Vl, &REVERSED[0], "textual reasoning").unwrap();
    assert_eq!((other.corrected, other.estimate.value), (first.corrected, -first.estimate.value));
    // Every comparison of the tables on this backbone is counted once: more than any table has,
    // fewer than all of them have.
    let sizes = tables::ALL.into_iter().filter(|one| one.backbones.contains(&BaseFamily::Qwen3Vl));
    let sizes: Vec<usize> = sizes.map(|one| one.contrasts.len() * one.columns.len()).collect();
    assert!(
        first.n_family > *sizes.iter().max().unwrap() && first.n_family < sizes.iter().sum(),
        "{first:?} {sizes:?}"
    );
    // The backbones with fewer tables have smaller families: four columns of three contrasts, and the length in one more.
    let alone = &main.contrasts[0];
    assert_eq!(results.compared(BaseFamily::InternVl3, alone, "mean").unwrap().n_family, 15);
}

#[test]
fn a_claim_about_all_backbones_has_a_test_of_its_own() {
    let results = &*FIRST;
    let pooled = results.pooled(tables::find("main_comparison").unwrap());
    let mean = pooled[0][3].unwrap();
    assert_eq!((mean.estimate.n_pairs, mean.n_family), (12, 12));
    assert!((100.0 * mean.estimate.value + 0.88).abs() < 0.005, "{mean:?}");
    // −2.503 over the pairs alone, a little less with the share of the problems.
    assert!((-2.51..-2.2).contains(&mean.estimate.t()) && mean.estimate.p < 0.05, "{mean:?}");
    assert!(mean.corrected > mean.estimate.p);
    let of_one_backbone = results.pooled(tables::find("stage_order").unwrap());
    assert!(of_one_backbone.into_iter().flatten().flatten().next().is_none());
}

/// Runs the program with these arguments.
fn program(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_experiments")).args(arguments).output().unwrap()
}

#[test]
fn a_table_is_made_from_runs_and_made_again_from_results() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().display().to_string();
    let arguments = |out: &str| -> Vec<String> {
        let table = ["table", "perception_errors", "--scale", "digits-v1", "--seeds", "1", "--out", out, "--jobs", "2"];
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
    let micro = folder.path().join("digits-v1");
    for name in ["perception_errors.md", "perception_errors-qwen3_vl.svg", "perception_errors-qwen3_vl.png"] {
        assert!(micro.join(name).exists(), "{name}");
    }
    let result = RunResult::read(&micro.join("qwen3_vl/merged/seed-1").join(RESULT)).unwrap().unwrap();
    assert_eq!((result.arm.as_str(), result.seed, result.length.len()), (MERGED.id, 1, 60));
    assert_eq!(result.after["visual_reasoning"].len(), 4);
    assert!(result.total.get(seethink::run::report::Meter::ForwardFlops).unwrap() > 1e6);

    // No run is repeated.
    let metrics = micro.join("qwen3_vl/merged/seed-1/metrics.jsonl");
    let before = std::fs::metadata(&metrics).unwrap().modified().unwrap();
    let second = String::from_utf8_lossy(&run(&out).stdout).into_owned();
    assert!(second.contains("# Errors of perception") && !second.contains("1/"), "{second}");
    assert_eq!(std::fs::metadata(&metrics).unwrap().modified().unwrap(), before);

    // Other settings are refused in the same folder.
    let other = program(&["table", "perception_errors", "--scale", "digits-v1", "--seeds", "1", "--out", &out]);
    let error = String::from_utf8_lossy(&other.stderr).into_owned();
    assert!(!other.status.success() && error.contains("run with other settings"), "{error}");
}

#[test]
fn the_exploration_changes_one_factor_at_a_time_and_shares_the_runs_of_the_tables() {
    let steps = |cell: Cell| Capability::ALL.map(|capability| cell.steps(&capability));
    let total = |cell| steps(cell).iter().sum::<u32>();
    let all = total(Cell::Tables);
    assert_eq!((4 * total(Cell::Quarter), total(Cell::Fourfold)), (all, 4 * all));
    assert_eq!((total(Cell::LessPerception), total(Cell::MorePerception)), (all, all));

    let tasks = exploration::tasks(2, &[]);
    let folders: BTreeSet<PathBuf> = tasks.iter().map(|task| task.folder(Path::new(""))).collect();
    assert_eq!((tasks.len(), folders.len()), (2 * 2 * Cell::ALL.len(), tasks.len()));
    let of_tables = tasks.iter().filter(|task| task.setting.cell == Cell::Tables);
    let known: BTreeSet<PathBuf> = all_tasks(Scale::Micro).iter().map(|task| task.folder(Path::new(""))).collect();
    assert!(of_tables.into_iter().all(|task| known.contains(&task.folder(Path::new("")))));
    for task in &tasks {
        let config = task.arm.config(task.setting, task.seed).unwrap();
        let DataConfig::Digits(data) = &config.data else { panic!("{:?}", config.data) };
        let wanted = steps(task.setting.cell).map(|steps| steps as usize * config.grpo.rollout_batch);
        assert_eq!(data.problems_of.values().copied().collect::<Vec<_>>(), wanted, "{}", task.name());
    }
}

#[test]
fn the_exploration_shows_differences_of_pairs_and_what_was_not_run() {
    let folder = tempfile::tempdir().unwrap();
    let (_, found) = task_and_result();
    // Accuracies of quarter: staged 1/2 and 3/4, merged 1/4 and 1/4. Fourfold: one pair.
    let outcomes =
        [(Cell::Quarter, 1, "1100", "1000"), (Cell::Quarter, 2, "1110", "1000"), (Cell::Fourfold, 1, "1100", "1000")];
    for task in exploration::tasks(3, &[]) {
        let of = outcomes.iter().find(|(cell, seed, ..)| (*cell, *seed) == (task.setting.cell, task.seed));
        let Some((.., staged, merged)) = of else { continue };
        let letters = if task.arm.id == STAGED.id { staged } else { merged };
        let after = [("visual_reasoning".to_owned(), (*letters).to_owned())].into_iter().collect();
        RunResult { after, ..found.clone() }.write(&task.folder(folder.path()).join(RESULT)).unwrap();
    }
    let page = exploration::page(folder.path(), 3).unwrap().markdown;
    for expected in [
        "| a quarter of the steps | 45, 25, 25 | 25.0 | 62.5 | +37.5 [−121.3, +196.3] | 2 |",
        "| four times the steps | 720, 400, 400 | 25.0 | 50.0 | – | 1 |",
        "| the tables | 180, 100, 100 | not run | not run | – | 0 |",
    ] {
        assert!(page.contains(expected), "{expected}\n{page}");
    }
}

#[test]
fn runs_begin_with_several_base_models_and_none_with_that_of_the_filter() {
    for (_, backbone) in BaseFamily::ALL {
        let setting = Setting::new(Scale::Micro, backbone);
        let model = |seed| MERGED.config(setting, seed).unwrap().model;
        let n = n_bases(backbone);
        let all: Vec<ModelSource> = (1..=n).map(model).collect();
        assert!(n > 0 && all.windows(2).all(|pair| pair[0] != pair[1]), "{all:?}");
        assert_eq!((1..=n).map(|seed| model(seed + n)).collect::<Vec<_>>(), all);
        assert!(!all.contains(&FILTER), "{all:?}");
    }
}

#[test]
fn a_table_gives_no_verdict_where_a_gate_does_not_hold() {
    let gate = |id: &str, value: f64| Gate {
        id: id.into(),
        about: "what is measured".into(),
        value,
        interval: (value - 0.1, value + 0.1),
        at_least: 0.3,
        at_most: 0.7,
    };
    let of = |values: &[(&str, f64)]| Gates {
        backbone: "qwen3_vl".into(),
        commit: String::new(),
        bases: Vec::new(),
        gates: values.iter().map(|(id, value)| gate(id, *value)).collect(),
    };
    assert_eq!(Gates::objection(None).unwrap(), "the gates were not measured");
    assert_eq!(Gates::objection(Some(&of(&[("G1", 0.3), ("G2", 0.7)]))), None);
    let failed = of(&[("G1", 0.3), ("G3", 0.29), ("G3", 0.1), ("G5", f64::NAN)]);
    assert_eq!(Gates::objection(Some(&failed)).unwrap(), "G3, G5 do not hold");
    assert_eq!(Gates::objection(Some(&of(&[("G4", 0.71)]))).unwrap(), "G4 does not hold");
    let text = failed.to_string();
    assert!(text.contains("| G1 | what is measured | 30.0 | 20.0 to 40.0 | 30.0 to 70.0 | holds |"), "{text}");
    assert!(text.contains("| G3 | what is measured | 29.0 | 19.0 to 39.0 | 30.0 to 70.0 | **fails** |"), "{text}");

    // A page without gates has differences and no verdict.
    let folder = tempfile::tempdir().unwrap();
    let (task, found) = task_and_result();
    let setting = Setting { scale: Scale::Micro, ..task.setting };
    for (arm, seed) in [(&STAGED, 1), (&STAGED, 2), (&MERGED, 1), (&MERGED, 2)] {
        let task = Task { setting, arm, seed, set: Vec::new() };
        let result = RunResult { arm: arm.id.into(), seed, ..found.clone() };
        result.write(&task.folder(folder.path()).join(RESULT)).unwrap();
    }
    let page = || {
        let results = Results::read(Scale::Micro, &[BaseFamily::Qwen3Vl], 2, &[], folder.path()).unwrap();
        render(tables::find("main_comparison").unwrap(), &results).unwrap().markdown
    };
    assert!(page().contains("No verdict on this backbone: the gates were not measured."), "{}", page());
    let holds = of(&[("G1", 0.5)]);
    let path = Gates::path(setting, folder.path());
    std::fs::write(&path, serde_json::to_vec(&holds).unwrap()).unwrap();
    assert!(
        page().contains("- staged − merged: **the same within two points**, +0.0 [+0.0, +0.0] over 2 seeds"),
        "{}",
        page()
    );
    std::fs::write(&path, serde_json::to_vec(&of(&[("G1", 0.0)])).unwrap()).unwrap();
    assert!(page().contains("No verdict on this backbone: G1 does not hold."), "{}", page());
}

#[test]
fn what_does_not_exist_is_named_with_what_does() {
    let refused = |arguments: &[&str], expected: &[&str]| {
        let output = program(arguments);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && expected.iter().all(|text| error.contains(text)), "{error}");
    };
    refused(&["table", "table_7"], &["table_7", "capability_x_difficulty"]);
    refused(&["table", "stage_order", "--scale", "tiny"], &["tiny", "micro, digits-v1 or full"]);
    refused(&["table", "stage_order", "--backbone", "gpt"], &["gpt", "qwen3_vl"]);
    refused(&["run", "--arm", "sideways"], &["sideways", "text_first"]);
    // A run under two names is made under one of them.
    refused(
        &["run", "--scale", "digits-v1", "--arm", "merged_as_released"],
        &["merged_frozen", "same effective settings"],
    );
    refused(&["table", "stage_order", "--set", "grpo.groupsize=4"], &["groupsize", "group_size"]);
}
