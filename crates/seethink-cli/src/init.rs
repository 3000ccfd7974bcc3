//! `seethink init`: a commented configuration file to begin with.

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use seethink::files;
use seethink::run::RunConfig;
use std::path::PathBuf;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Kind of run that the file is for.
    #[arg(long = "for", value_name = "CASE", default_value = "files")]
    case: Case,
    /// File to write, which must not exist.
    #[arg(long, value_name = "FILE", default_value = "run.ron")]
    out: PathBuf,
    /// Problems: a file, a folder or a pattern in quotes (files), or the folder (folder).
    #[arg(long, value_name = "PATH")]
    data: Option<String>,
    /// Model to start from: a Hugging Face folder, or a name on its hub.
    #[arg(long)]
    model: Option<String>,
}

/// Kind of run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Case {
    /// Problems of your own, in JSON lines or parquet files.
    Files,
    /// A folder of images with questions and answers, divided into training, validation and test,
    /// with captions or without.
    Folder,
    /// A published model on the built-in problems.
    Hub,
    /// The built-in problems with a small model, on a CPU.
    Digits,
}

/// Template of a configuration file, with the values that options replace.
struct Template {
    text: &'static str,
    model: &'static str,
    data: Option<&'static str>,
}

const PUBLISHED: &str = r#"Pretrained("Qwen/Qwen3-VL-2B-Instruct")"#;

impl Case {
    fn template(self) -> Template {
        let (text, model, data) = match self {
            Self::Files => (include_str!("templates/files.ron"), PUBLISHED, Some(r#"path: "data/*.jsonl""#)),
            Self::Folder => (include_str!("templates/folder.ron"), PUBLISHED, Some(r#"path: "data""#)),
            Self::Hub => (include_str!("templates/hub.ron"), PUBLISHED, None),
            Self::Digits => (include_str!("templates/digits.ron"), "DigitsV1Base(Qwen3Vl)", None),
        };
        Template { text, model, data }
    }
}

impl Args {
    /// Text of the configuration file.
    fn text(&self) -> Result<String> {
        let Template { text, model, data } = self.case.template();
        let mut text = text.to_owned();
        if let Some(path) = &self.data {
            let data =
                data.context("--data: the built-in problems are made, not read; expected --for files or folder")?;
            text = text.replacen(data, &format!("path: {}", ron::to_string(path)?), 1);
        }
        if let Some(name) = &self.model {
            text = text.replacen(model, &format!("Pretrained({})", ron::to_string(name)?), 1);
        }
        Ok(text)
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let text = args.text()?;
    RunConfig::parse(&text, &args.out, &[])?;
    let out = args.out.display();
    if args.out.exists() {
        bail!("{out} exists already, expected a file that does not (nothing was overwritten)");
    }
    files::write(&args.out, text.as_bytes()).with_context(|| format!("cannot write {out}"))?;
    println!("written to {out}; next:");
    if args.case.template().data.is_some() {
        println!("  seethink data check {out}");
    }
    println!("  seethink curriculum show {out}");
    let model = if args.case == Case::Digits && args.model.is_none() { " --model MODEL" } else { "" };
    println!("  seethink train {out}{model} --quick");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::parse;
    use seethink::data::Split;
    use seethink::prelude::*;
    use seethink::run::config::BaseFamily;
    use std::path::Path;

    const CASES: [&str; 4] = ["files", "folder", "hub", "digits"];
    const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../experiments/assets/digits-v1-base/qwen3_vl");
    const PICTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/models/images/gray.png");

    fn init(words: &[&str], out: &Path) -> Result<()> {
        run(&parse(["init", "--out", &out.display().to_string()].iter().chain(words)).unwrap())
    }

    fn written(words: &[&str]) -> RunConfig {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("run.ron");
        init(words, &out).unwrap();
        RunConfig::load(&out, &[]).unwrap()
    }

    #[test]
    fn every_template_is_a_configuration_and_options_fill_it_in() {
        for case in CASES {
            let plain = written(&["--for", case]);
            let expected = match case {
                "digits" => ModelSource::DigitsV1Base(BaseFamily::Qwen3Vl),
                _ => ModelSource::Pretrained("Qwen/Qwen3-VL-2B-Instruct".into()),
            };
            assert_eq!(plain.model, expected);
            let filled = written(&["--for", case, "--model", r#"my "own" model"#]);
            let model = ModelSource::Pretrained(r#"my "own" model"#.into());
            assert_eq!(filled, RunConfig { model, ..plain }, "{case}");
        }
        let DataConfig::Files(files) = written(&["--data", "elsewhere/train-*.parquet"]).data else { panic!() };
        assert_eq!(files.sources[0].path, Path::new("elsewhere/train-*.parquet"));
        let DataConfig::Folder { path, .. } = written(&["--for", "folder", "--data", "elsewhere"]).data else {
            panic!()
        };
        assert_eq!(path, Path::new("elsewhere"));

        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("run.ron");
        for case in ["hub", "digits"] {
            let error = init(&["--for", case, "--data", "x"], &out).unwrap_err().to_string();
            assert!(error.contains("--data") && !out.exists(), "{error}");
        }
    }

    #[test]
    fn an_existing_file_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("run.ron");
        std::fs::write(&out, "mine").unwrap();
        let error = init(&[], &out).unwrap_err().to_string();
        assert!(error.contains("run.ron exists already"), "{error}");
        assert_eq!(std::fs::read(&out).unwrap(), b"mine");
    }

    /// Settings that are commented out, as line numbers.
    fn commented_out(lines: &[&str]) -> Vec<std::ops::Range<usize>> {
        let content = |line: &str| line.trim_start().strip_prefix("// ").map(str::to_owned);
        let begins = |line: &str| {
            let name = content(line).and_then(|text| Some(text.split_once(": ")?.0.to_owned()));
            name.is_some_and(|name| !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
                && (line.ends_with(',') || line.ends_with('('))
        };
        let depth = |line: &str| line.matches('(').count() as i32 - line.matches(')').count() as i32;
        let mut found = Vec::new();
        let mut at = 0;
        while at < lines.len() {
            let start = at;
            at += 1;
            if begins(lines[start]) {
                let mut open = depth(lines[start]);
                while open > 0 {
                    open += depth(lines[at]);
                    at += 1;
                }
                found.push(start..at);
            }
        }
        found
    }

    #[test]
    fn settings_that_are_commented_out_are_valid_and_change_the_run() {
        let mut n_found = 0;
        for case in [Case::Files, Case::Folder, Case::Hub, Case::Digits] {
            let text = case.template().text;
            let plain = RunConfig::parse(text, "run.ron", &[]).unwrap();
            let lines: Vec<&str> = text.lines().collect();
            for range in commented_out(&lines) {
                n_found += 1;
                let key = lines[range.start].replacen("// ", "", 1);
                let key = key.split_once(':').unwrap().0;
                // In the place of the setting that is there, if any.
                let is_same = |line: &str| line.starts_with(&format!("{key}: "));
                let changed = lines.iter().enumerate().filter(|(_, line)| !is_same(line));
                let changed =
                    changed.map(
                        |(at, line)| {
                            if range.contains(&at) { line.replacen("// ", "", 1) } else { (*line).to_owned() }
                        },
                    );
                let changed = changed.collect::<Vec<_>>().join("\n");
                let config = RunConfig::parse(&changed, "run.ron", &[]).unwrap();
                assert_ne!(config, plain, "{case:?}: {}", lines[range.start]);
            }
        }
        assert_eq!(n_found, 8);
    }

    /// Rows of JSON lines in the comments of a template.
    fn rows(case: Case) -> Vec<serde_json::Value> {
        let rows = case.template().text.lines().filter_map(|line| line.strip_prefix("//     {"));
        rows.map(|row| serde_json::from_str(&format!("{{{row}")).unwrap()).collect()
    }

    /// Writes rows like `row` into a folder, beside their picture.
    fn write_rows(folder: &Path, name: &str, row: &serde_json::Value) {
        std::fs::create_dir_all(folder).unwrap();
        std::fs::copy(PICTURE, folder.join("street.jpg")).unwrap();
        let numbered = |i: usize| {
            let mut row = row.clone();
            row["problem"] = format!("{} {i} {}", row["problem"].as_str().unwrap(), folder.display()).into();
            format!("{row}\n")
        };
        std::fs::write(folder.join(name), (0..6).map(numbered).collect::<String>()).unwrap();
    }

    #[test]
    fn rows_in_the_comments_are_problems_of_their_templates() {
        let dir = tempfile::tempdir().unwrap();
        let [row] = &rows(Case::Files)[..] else { panic!() };
        write_rows(dir.path(), "rows.jsonl", row);
        let data = dir.path().join("*.jsonl").display().to_string();
        let mut config = written(&["--data", &data]);
        let DataConfig::Files(files) = &mut config.data else { panic!() };
        // Counting tokens takes a model.
        files.overlong = None;
        let all: Vec<Problem> =
            Split::ALL.iter().flat_map(|split| config.data.problems(*split, None).unwrap()).collect();
        assert!(all.len() == 6 && all.iter().all(|one| one.images.len() == 1 && one.answer == "3"));
        assert!(all.iter().all(|problem| problem.capability == Capability::PERCEPTION));

        let dir = tempfile::tempdir().unwrap();
        let [row, caption] = &rows(Case::Folder)[..] else { panic!() };
        for split in Split::ALL {
            write_rows(&dir.path().join(split.as_str()), "problems.jsonl", row);
        }
        write_rows(&dir.path().join("captions"), "problems.jsonl", caption);
        let data = DataConfig::folder(dir.path());
        for split in Split::ALL {
            assert_eq!(data.problems(split, None).unwrap().len(), 6);
        }
        let captions = data.captions(4).unwrap();
        assert!(captions.len() == 4 && captions[0].solution.as_deref() == Some("Three red cars."));
    }

    #[test]
    fn the_digits_file_trains() {
        let dir = tempfile::tempdir().unwrap();
        let [file, out] = ["run.ron", "run"].map(|name| dir.path().join(name));
        init(&["--for", "digits", "--model", MODEL], &file).unwrap();
        let words = ["train", "--quick", "--device", "flex", "--out", &out.display().to_string()]
            .map(str::to_owned)
            .into_iter()
            .chain([file.display().to_string()])
            .chain(
                ["curriculum.Staged.epochs=AsNeeded(steps: 1)", "grpo.rollout_batch=2", "grpo.mini_batch=2"]
                    .iter()
                    .chain(&["grpo.group_size=2", "evaluation.problems_per_capability=4"])
                    .flat_map(|set| ["--set".to_owned(), (*set).to_owned()]),
            );
        crate::train::run(&parse(words).unwrap()).unwrap();
        assert!(out.join("report.html").exists());
        let config = RunConfig::load(out.join("config.ron"), &[]).unwrap();
        let problems_per_capability = config.data.problems_per_capability().unwrap();
        assert_eq!((config.grpo.rollout_batch, problems_per_capability), (2, 256));
    }
}
