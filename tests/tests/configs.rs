//! Every file under `configs/` can be read, is unchanged by writing and reading it again, and makes
//! a curriculum.

// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used)]

use seethink::data::THINK_PROMPT;
use seethink::prelude::*;
use seethink::run::config::DataConfig;
use std::fs;
use std::path::{Path, PathBuf};

/// Every file below a folder of the repository, with its path there.
fn files(folder: &str) -> Vec<(String, PathBuf)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder);
    let mut folders = vec![root.clone()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push((path.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/"), path));
            }
        }
    }
    files.sort();
    files
}

fn load(path: &Path) -> RunConfig {
    RunConfig::load(path, &[]).unwrap_or_else(|error| panic!("{error}"))
}

/// Every configuration, by its path below `configs/`.
fn all() -> Vec<(String, RunConfig)> {
    let load = |(name, path): (String, PathBuf)| {
        assert_eq!(path.extension().unwrap(), "ron", "{name} is no configuration");
        (name, load(&path))
    };
    files("configs").into_iter().map(load).collect()
}

fn config(name: &str) -> RunConfig {
    let found = all().into_iter().find(|(path, _)| path == name);
    found.unwrap_or_else(|| panic!("configs/{name} is missing")).1
}

/// Problems of the paper's three capabilities, all with pass rates.
fn corpus(sizes: [u64; 3]) -> Corpus {
    let entries = Capability::ALL.into_iter().zip(sizes).enumerate().flat_map(|(i, (capability, size))| {
        (0..size).map(move |number| CorpusEntry {
            pass_rate: PassRate::new((number % 17) as f32 / 16.0).ok(),
            ..CorpusEntry::new(ProblemId(((i as u64) << 32) | number), capability.clone())
        })
    });
    Corpus::new(entries).unwrap()
}

fn planned_steps(config: &RunConfig, sizes: [u64; 3]) -> Vec<usize> {
    let curriculum = config.curriculum.build(&corpus(sizes), config.seed).unwrap();
    curriculum.curriculum().planned_steps(Some(config.grpo.rollout_batch)).unwrap()
}

#[test]
fn what_has_results_can_be_run_again() {
    // The run of the main job is kept for its picture alone.
    let is_of_a_table = |name: &str| name.ends_with("/config.ron") && !name.starts_with("main_job/");
    let runs: Vec<_> = files("experiments/results").into_iter().filter(|(name, _)| is_of_a_table(name)).collect();
    assert!(runs.len() > 9);
    for (name, path) in runs {
        let config = load(&path);
        assert!(path.with_file_name("summary.json").exists(), "{name} has no results");
        assert!(name.ends_with(&format!("seed-{}/config.ron", config.seed)), "{name}");
    }
}

#[test]
fn every_file_is_read_and_survives_being_written() {
    let folder = tempfile::tempdir().unwrap();
    let all = all();
    assert!(all.len() >= 70, "found only {}", all.len());
    for (name, config) in all {
        let path = folder.path().join("resolved.ron");
        fs::write(&path, config.to_ron()).unwrap();
        assert_eq!(RunConfig::load(&path, &[]).unwrap(), config, "{name}");
        let again = format!("seed={}", config.seed);
        assert_eq!(RunConfig::load(&path, &[again]).unwrap(), config, "{name} with an override that changes nothing");
    }
}

#[test]
fn every_curriculum_builds_and_hands_out_what_it_plans() {
    let corpus = corpus([1100, 1300, 1500]);
    for (name, config) in all() {
        let size = config.grpo.rollout_batch;
        let mut curriculum = config.curriculum.build(&corpus, config.seed).unwrap_or_else(|e| panic!("{name}: {e}"));
        let planned = curriculum.curriculum().planned_steps(Some(size)).unwrap();
        let mut drawn = vec![0; planned.len()];
        loop {
            let batch = curriculum.draw(size);
            curriculum.observe(&[]);
            if batch.is_empty() {
                break;
            }
            assert_eq!(batch.problems.len(), size, "{name}");
            drawn[batch.stage] += 1;
        }
        assert_eq!(drawn, planned, "{name}");
    }
}

#[test]
fn arms_of_a_comparison_differ_in_their_curriculum_alone() {
    for family in ["micro", "paper/qwen3_vl_8b"] {
        let staged = config(&format!("{family}/staged.ron"));
        for arm in ["merged", "reversed"] {
            let other = config(&format!("{family}/{arm}.ron"));
            assert_ne!(other.curriculum, staged.curriculum);
            assert_eq!(RunConfig { curriculum: staged.curriculum.clone(), ..other }, staged, "{family}/{arm}");
        }
    }
}

#[test]
fn micro_arms_take_equally_many_steps() {
    let of = |arm: &str| planned_steps(&config(&format!("micro/{arm}.ron")), [2048; 3]);
    let total: usize = of("staged").iter().sum();
    assert_eq!((of("staged").len(), of("merged"), of("reversed")), (3, vec![total], of("staged")));
}

#[test]
fn reversed_is_staged_backwards() {
    for family in ["micro", "paper/qwen3_vl_8b"] {
        let [staged, reversed] =
            ["staged", "reversed"].map(|arm| match config(&format!("{family}/{arm}.ron")).curriculum {
                CurriculumConfig::Staged(staged) => staged.stages,
                other => panic!("{other:?}"),
            });
        assert_eq!(reversed, staged.iter().rev().cloned().collect::<Vec<_>>(), "{family}");
    }
}

#[test]
fn the_papers_steps_come_out() {
    // 3,360 problems of perception are known; of the others their ranges: the paper's 375 and 465
    // steps.
    let sizes = [3360, 13_000, 16_100];
    assert_eq!(planned_steps(&config("paper/qwen3_vl_8b/staged_as_released.ron"), sizes), [96, 375, 465]);
    assert_eq!(planned_steps(&config("paper/qwen3_vl_8b/merged_as_released.ron"), sizes), [945]);
    // The figures of the paper have 90 steps in the first stage.
    assert_eq!(planned_steps(&config("paper/qwen3_vl_8b/staged.ron"), sizes), [90, 375, 465]);
    assert_eq!(planned_steps(&config("paper/qwen3_vl_8b/merged.ron"), sizes), [930]);
}

#[test]
fn prompts_are_the_tidied_one() {
    // Base models of the digits world need no instruction.
    for (name, config) in all().into_iter().filter(|(_, config)| !matches!(config.data, DataConfig::Digits(_))) {
        assert_eq!(config.grpo.prompt, PromptFormat::default(), "{name}: expected the suffix {THINK_PROMPT:?}");
    }
}
