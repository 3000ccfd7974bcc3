//! `seethink train`: a run from its configuration file to its report.

use anyhow::Result;
use seethink::prelude::*;
use seethink::run::interrupter;
use std::ffi::OsStr;
use std::path::PathBuf;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Configuration file (see configs/); none to continue a run with --resume.
    #[arg(required_unless_present = "resume", conflicts_with = "resume")]
    config: Option<PathBuf>,
    #[command(flatten)]
    train: TrainArgs,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let job = match &args.config {
        Some(path) => {
            let config = args.train.configure(|set| RunConfig::load(path, set))?;
            args.train.job(config, path.file_stem().and_then(OsStr::to_str).unwrap_or("run"))?
        }
        None => args.train.resumed()?,
    };
    Job { interrupter: interrupter(), ..job }.run()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::parse;
    use seethink::models::{AnyBackbone, VlmProcessor};
    use std::collections::BTreeSet;
    use std::path::Path;

    const CONFIG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../configs/digits_v1/qwen3_vl/staged.ron");
    const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../experiments/assets/digits-v1-base/qwen3_vl");

    #[test]
    fn a_configuration_becomes_a_run_with_a_report() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("run");
        let set = [
            "curriculum.Staged.epochs=AsNeeded(steps: 1)",
            "data.DigitsV1.problems_per_capability=16",
            "evaluation.problems_per_capability=4",
            "grpo.rollout_batch=2",
            "grpo.mini_batch=2",
            "grpo.group_size=2",
        ];
        let train = |words: &[&str]| {
            let out = out.display().to_string();
            let fixed = ["train", "--device", "flex", "--out", &out];
            run(&parse(fixed.iter().chain(words)).unwrap())
        };
        // This program ships no base model.
        let error = train(&[CONFIG]).unwrap_err().to_string();
        assert!(error.contains("--model"), "{error}");
        assert!(!out.exists());

        let words = set.iter().flat_map(|setting| ["--set", setting]).chain([CONFIG, "--model", MODEL]);
        train(&words.collect::<Vec<_>>()).unwrap();
        assert!(out.join("report.html").exists());
        let page = std::fs::read(out.join("report.html")).unwrap();
        std::fs::remove_file(out.join("report.html")).unwrap();
        crate::report::run(&parse(["report", &out.display().to_string()]).unwrap()).unwrap();
        assert!(std::fs::read(out.join("report.html")).unwrap() == page);
        // A finished run has no steps left.
        train(&["--resume"]).unwrap();
        exports(&out, folder.path());
    }

    /// Checks that the last checkpoint of a finished run is its trained model, and what is refused.
    fn exports(run: &Path, folder: &Path) {
        let out = folder.join("exported");
        let export = |run: &Path, words: &[&str]| {
            let paths = [run, &out].map(|path| path.display().to_string());
            let fixed = ["export", &paths[0], "--out", &paths[1], "--device", "flex"];
            crate::export::run(&parse(fixed.iter().chain(words)).unwrap()).map_err(|error| format!("{error:#}"))
        };
        let error = export(&folder.join("nowhere"), &[]).unwrap_err();
        assert!(error.contains("nowhere holds no run"), "{error}");
        let error = export(run, &["--step", "7"]).unwrap_err();
        assert!(error.contains("no complete checkpoint of step 7, expected one of 2, 3"), "{error}");
        assert!(!out.exists());

        export(run, &[]).unwrap();
        let names = |folder: &Path| {
            let entries = std::fs::read_dir(folder).unwrap();
            entries.map(|entry| entry.unwrap().file_name()).collect::<BTreeSet<_>>()
        };
        let model = run.join("model");
        assert_eq!(names(&out), names(&model));
        for name in names(&model) {
            assert!(std::fs::read(out.join(&name)).unwrap() == std::fs::read(model.join(&name)).unwrap(), "{name:?}");
        }
        AnyBackbone::from_pretrained(&out, &device("flex").unwrap()).unwrap();
        VlmProcessor::from_pretrained(&out).unwrap();
        let error = export(run, &[]).unwrap_err();
        assert!(error.contains("exported exists already"), "{error}");

        // The checkpoint before is another model.
        std::fs::remove_dir_all(&out).unwrap();
        export(run, &["--step", "2"]).unwrap();
        let weights = |folder: &Path| std::fs::read(folder.join("model.safetensors")).unwrap();
        assert!(weights(&out) != weights(&model));
    }

    #[test]
    fn a_run_is_begun_or_continued_and_not_both() {
        assert!(parse::<Args>(["train"]).is_err());
        assert!(parse::<Args>(["train", "run.ron", "--resume", "--out", "runs/a"]).is_err());
        assert!(parse::<Args>(["train", "--resume"]).is_err());
        assert!(parse::<Args>(["train", "--resume", "--out", "runs/a", "--seed", "3"]).is_err());
        assert!(parse::<Args>(["train", "--resume", "--out", "runs/a"]).is_ok());
    }
}
