//! Several seeds of several arms: means, sample deviations, and every value that went into them.

use super::number::{count, duration, percent, words};
use super::table::escape;
use super::{ReportError, RunSummary, files, plot};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The outcome of an experiment: the content of `results.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Aggregate {
    /// In alphabetical order.
    pub arms: Vec<Arm>,
}

/// One row of an experiment, run with several seeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Arm {
    /// Name of its folder.
    pub name: String,
    /// Seeds that were run, ascending.
    pub seeds: Vec<u64>,
    /// The base model, then the model after each stage, in the order of the stages.
    pub checkpoints: Vec<ArmCheckpoint>,
    /// Accuracy after the last stage minus that of the base model, by capability, over the seeds that finished.
    pub gain: BTreeMap<String, Spread>,
}

/// A checkpoint of an arm, over its seeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ArmCheckpoint {
    /// Name of the stage; `base` for the model that the runs started from.
    pub stage: String,
    /// Test accuracy by capability, a fraction.
    pub accuracy: BTreeMap<String, Spread>,
    /// Mean length of the test completions in tokens.
    pub length: Option<Spread>,
    /// Wall time of the stage alone in seconds.
    pub wall_secs: Option<Spread>,
    /// Tokens that went through the updates of this stage, prompts and images included.
    pub tokens_trained: Option<Spread>,
}

/// A quantity over seeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Mean over the seeds.
    pub mean: f64,
    /// Sample standard deviation (divisor `n − 1`), `None` for a single seed.
    pub sd: Option<f64>,
    /// The values, by ascending seed.
    pub values: Vec<SeedValue>,
}

/// A quantity of one run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SeedValue {
    /// Seed of the run.
    pub seed: u64,
    /// The quantity.
    pub value: f64,
}

/// All `<arm>/seed-<number>/summary.json` in `folder`, sorted.
///
/// # Errors
/// If a folder cannot be read, or there is none.
pub fn find_summaries(folder: &Path) -> Result<Vec<PathBuf>, ReportError> {
    let subfolders = |folder: &Path| -> Result<Vec<PathBuf>, ReportError> {
        let entries = std::fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let paths = entries.map_err(ReportError::read(folder))?.into_iter().map(|entry| entry.path());
        Ok(paths.filter(|path| path.is_dir()).collect())
    };
    let mut found = Vec::new();
    for arm in subfolders(folder)? {
        let summaries = subfolders(&arm)?.into_iter().map(|run| run.join("summary.json"));
        found.extend(summaries.filter(|path| place(path).is_ok() && path.exists()));
    }
    if found.is_empty() {
        return Err(ReportError::NoSummaries { path: folder.to_owned() });
    }
    found.sort();
    Ok(found)
}

/// Means and sample deviations over the seeds of each arm. Arm and seed are read off the paths,
/// `…/<arm>/seed-<number>/summary.json`.
///
/// Runs of one arm are compared checkpoint by checkpoint; one that was interrupted counts as far as it went.
///
/// # Errors
/// If a summary cannot be read, or its path does not say its arm and seed.
pub fn aggregate(summaries: &[impl AsRef<Path>]) -> Result<Aggregate, ReportError> {
    let mut arms = BTreeMap::<String, BTreeMap<u64, RunSummary>>::new();
    for path in summaries.iter().map(AsRef::as_ref) {
        let (arm, seed) = place(path)?;
        arms.entry(arm).or_default().insert(seed, files::read_json(path)?);
    }
    Ok(Aggregate { arms: arms.into_iter().map(|(name, runs)| Arm::new(name, &runs)).collect() })
}

/// Aggregates the runs in `folder` and writes `results.json`, `results.md` and `arms.svg` and `.png` there.
///
/// # Errors
/// As [`find_summaries`] and [`aggregate`], or if an output cannot be written.
pub fn write_aggregate(folder: &Path) -> Result<Aggregate, ReportError> {
    let results = aggregate(&find_summaries(folder)?)?;
    files::write_json(&folder.join("results.json"), &results)?;
    files::write(&folder.join("results.md"), aggregate_markdown(&results).as_bytes())?;
    plot::write(&plot::arms(&results), &folder.join("arms"))?;
    Ok(results)
}

/// Arm and seed of a summary.
fn place(path: &Path) -> Result<(String, u64), ReportError> {
    let name = |level| path.ancestors().nth(level).and_then(Path::file_name).and_then(|name| name.to_str());
    let seed = name(1).and_then(|name| name.strip_prefix("seed-")).and_then(|seed| seed.parse().ok());
    name(2).map(str::to_owned).zip(seed).ok_or_else(|| ReportError::Unplaced { path: path.to_owned() })
}

impl Aggregate {
    /// All capabilities that some arm was tested on, in alphabetical order.
    pub fn capabilities(&self) -> Vec<String> {
        let checkpoints = self.arms.iter().flat_map(|arm| &arm.checkpoints);
        let mut names: Vec<_> = checkpoints.flat_map(|checkpoint| checkpoint.accuracy.keys().cloned()).collect();
        names.sort();
        names.dedup();
        names
    }
}

impl Arm {
    fn new(name: String, runs: &BTreeMap<u64, RunSummary>) -> Self {
        let mut capabilities: Vec<_> = runs.values().flat_map(|run| &run.capabilities).collect();
        capabilities.sort();
        capabilities.dedup();

        let longest = runs.values().max_by_key(|run| run.checkpoints.len());
        let stages = longest.map_or(&[][..], |run| &run.checkpoints).iter().map(|checkpoint| &checkpoint.stage);
        let checkpoint = |(i, stage): (usize, &String)| {
            // A run whose stage of this number has another name did something else.
            let reached = || {
                runs.iter()
                    .filter_map(move |(&seed, run)| Some((seed, run.checkpoints.get(i).filter(|c| c.stage == *stage)?)))
            };
            ArmCheckpoint {
                stage: stage.clone(),
                accuracy: by_capability(&capabilities, |capability| {
                    Spread::over(reached().filter_map(|(seed, c)| Some((seed, c.test.get(capability)?.accuracy))))
                }),
                length: Spread::over(reached().filter_map(|(seed, c)| Some((seed, c.mean_length?)))),
                wall_secs: Spread::over(reached().filter_map(|(seed, c)| Some((seed, c.spent.wall_secs?)))),
                tokens_trained: Spread::over(reached().filter_map(|(seed, c)| Some((seed, c.spent.tokens_trained?)))),
            }
        };
        let checkpoints: Vec<_> = stages.enumerate().map(checkpoint).collect();

        let gain = |run: &RunSummary, capability: &str| {
            // Only a run that went through every stage has a gain to speak of.
            let [first, .., last] = &run.checkpoints[..] else { return None };
            let comparable = first.is_base() && run.checkpoints.len() == checkpoints.len();
            comparable
                .then(|| Some(last.test.get(capability)?.accuracy - first.test.get(capability)?.accuracy))
                .flatten()
        };
        let gain = by_capability(&capabilities, |capability| {
            Spread::over(runs.iter().filter_map(|(&seed, run)| Some((seed, gain(run, capability)?))))
        });
        Self { name, seeds: runs.keys().copied().collect(), checkpoints, gain }
    }
}

fn by_capability(capabilities: &[&String], spread: impl Fn(&str) -> Option<Spread>) -> BTreeMap<String, Spread> {
    capabilities.iter().filter_map(|&capability| Some((capability.clone(), spread(capability)?))).collect()
}

impl Spread {
    /// `None` without values.
    fn over(values: impl Iterator<Item = (u64, f64)>) -> Option<Self> {
        let values: Vec<_> = values.map(|(seed, value)| SeedValue { seed, value }).collect();
        if values.is_empty() {
            return None;
        }
        let n = values.len() as f64;
        let mean = values.iter().map(|value| value.value).sum::<f64>() / n;
        let squares: f64 = values.iter().map(|value| (value.value - mean).powi(2)).sum();
        Some(Self { mean, sd: (values.len() > 1).then(|| (squares / (n - 1.0)).sqrt()), values })
    }

    /// Mean ± deviation, `format` for either.
    pub(super) fn show(&self, format: impl Fn(f64) -> String) -> String {
        match self.sd {
            Some(sd) => format!("{} ± {}", format(self.mean), format(sd)),
            None => format(self.mean),
        }
    }
}

/// The results as two Markdown tables: accuracies at each checkpoint, and what the whole run gained over the base model.
pub fn aggregate_markdown(results: &Aggregate) -> String {
    let capabilities = results.capabilities();
    let header = |first: &[&str], last: &[&str]| {
        let names = capabilities.iter().map(|name| words(name));
        let cells: Vec<_> =
            first.iter().map(|s| s.to_string()).chain(names).chain(last.iter().map(|s| s.to_string())).collect();
        let rule = "---|".repeat(first.len()) + &"---:|".repeat(cells.len() - first.len());
        format!("| {} |\n|{rule}\n", cells.join(" | "))
    };
    let row = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let cell = |spread: Option<&Spread>, format: &dyn Fn(f64) -> String| {
        spread.map_or_else(|| "-".to_owned(), |s| s.show(format))
    };

    let mut text = header(&["arm", "after"], &["length", "time", "tokens", "seeds"]);
    for arm in &results.arms {
        for (i, checkpoint) in arm.checkpoints.iter().enumerate() {
            let mut cells =
                vec![if i == 0 { escape(&arm.name) } else { String::new() }, escape(&words(&checkpoint.stage))];
            cells.extend(capabilities.iter().map(|name| cell(checkpoint.accuracy.get(name), &percent)));
            cells.push(cell(checkpoint.length.as_ref(), &|length| format!("{length:.1}")));
            cells.push(cell(checkpoint.wall_secs.as_ref(), &duration));
            // The base model was not trained: a zero would only look like a measurement.
            cells.push(cell(checkpoint.tokens_trained.as_ref().filter(|tokens| tokens.mean > 0.0), &count));
            let n_seeds = checkpoint.accuracy.values().map(|spread| spread.values.len()).max().unwrap_or(0);
            cells.push(n_seeds.to_string());
            text += &row(&cells);
        }
    }
    text += "\nTest accuracy in %, mean ± sample standard deviation over seeds; mean completion length in tokens; time of \
             the stage and tokens of its updates, prompts included.\n\n";

    text += &header(&["gain over base"], &["seeds"]);
    for arm in &results.arms {
        let mut cells = vec![escape(&arm.name)];
        let points = |gain: f64| format!("{:+.1}", 100.0 * gain);
        cells.extend(capabilities.iter().map(|name| match arm.gain.get(name) {
            Some(Spread { mean, sd: Some(sd), .. }) => format!("{} ± {}", points(*mean), percent(*sd)),
            Some(Spread { mean, .. }) => points(*mean),
            None => "-".to_owned(),
        }));
        cells.push(arm.gain.values().map(|spread| spread.values.len()).max().unwrap_or(0).to_string());
        text += &row(&cells);
    }
    text + "\nPoints of test accuracy after the last stage minus before the first, paired by seed.\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::{check_markup, record, records};

    /// Two arms with three seeds, one of which was interrupted.
    fn results_folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (arm, seed, shift) in [("staged", 0, 0.0), ("staged", 1, 0.03), ("staged", 12, -0.06), ("merged", 0, 0.0)] {
            let mut records = records();
            for record in records.iter_mut().skip(1) {
                if arm == "merged" {
                    record.stage = "all".to_owned();
                }
                if let Some(accuracy) = record.metrics.get_mut("test/visual_reasoning/accuracy") {
                    *accuracy += shift;
                }
            }
            records.truncate(if seed == 12 { 41 } else { usize::MAX });
            let path = folder.path().join(format!("{arm}/seed-{seed}/summary.json"));
            files::write_json(&path, &RunSummary::new(arm, &records)).unwrap();
        }
        files::write(&folder.path().join("staged/notes/summary.json"), b"not a run").unwrap();
        folder
    }

    #[test]
    fn seeds_are_averaged_checkpoint_by_checkpoint() {
        let folder = results_folder();
        let results = aggregate(&find_summaries(folder.path()).unwrap()).unwrap();
        let [merged, staged] = &results.arms[..] else { panic!("two arms") };
        assert_eq!((merged.name.as_str(), staged.name.as_str()), ("merged", "staged"));
        assert_eq!(staged.seeds, [0, 1, 12]);
        assert_eq!(merged.checkpoints.iter().map(|c| c.stage.as_str()).collect::<Vec<_>>(), ["base", "all"]);

        let accuracy = |checkpoint: usize| &staged.checkpoints[checkpoint].accuracy["visual_reasoning"];
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} is not {b}");
        // Shifts of 0, 3 and −6 points: mean −1, sample deviation √21.
        close(accuracy(2).mean, accuracy(2).values[0].value - 0.01);
        close(accuracy(2).sd.unwrap(), 0.01 * 21f64.sqrt());
        assert_eq!(accuracy(3).values.iter().map(|value| value.seed).collect::<Vec<_>>(), [0, 1]);
        close(accuracy(0).sd.unwrap(), 0.0);
        assert_eq!(merged.checkpoints[1].accuracy["perception"].sd, None);

        let gain = &staged.gain["visual_reasoning"];
        assert_eq!(gain.values.len(), 2, "the interrupted run has no gain");
        close(gain.mean, accuracy(3).mean - accuracy(0).mean);
    }

    #[test]
    fn results_are_written_beside_the_arms() {
        let folder = results_folder();
        let results = write_aggregate(folder.path()).unwrap();
        let read: Aggregate = files::read_json(&folder.path().join("results.json")).unwrap();
        // serde_json may miss the last bit of a number.
        assert_eq!(format!("{read:.12?}"), format!("{results:.12?}"));
        let text = std::fs::read_to_string(folder.path().join("results.md")).unwrap();
        let lines: Vec<_> = text.lines().filter(|line| line.starts_with('|')).collect();
        assert_eq!(lines.len(), 2 + 2 + 4 + 2 + 2);
        assert!(lines[3].starts_with("|  | all | ") && lines[3].ends_with("| 1 |"), "{text}");
        let svg = std::fs::read_to_string(folder.path().join("arms.svg")).unwrap();
        check_markup(&svg);
        assert!(svg.contains("staged") && svg.contains("visual reasoning"));
        assert!(image::open(folder.path().join("arms.png")).unwrap().width() > 500);
    }

    #[test]
    fn folders_without_runs_and_misplaced_summaries_are_named() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(find_summaries(folder.path()), Err(ReportError::NoSummaries { .. })));
        let error = aggregate(&["results/staged/run-1/summary.json"]).unwrap_err().to_string();
        assert!(error.contains("run-1") && error.contains("seed-<number>"), "{error}");
    }

    #[test]
    fn an_untested_arm_is_dashes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("broken/seed-3/summary.json");
        files::write_json(&path, &RunSummary::new("", &[record(0, "base", &[])])).unwrap();
        let results = write_aggregate(folder.path()).unwrap();
        assert!(aggregate_markdown(&results).contains("| broken | base | - | - | - | 0 |"));
    }
}
