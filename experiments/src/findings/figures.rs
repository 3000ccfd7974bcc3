//! Numbers of the findings, computed by short queries.

use super::{nearest_neighbour, splits};
use crate::experiment::{ACCURACY, Compared, Counts, Experiment, Results, RunResult, Unit, p_value};
use crate::tables;
use anyhow::{Context, Result, bail};
use seethink::eval::Outcome;
use seethink::eval::statistics::Spread;
use seethink::run::config::BaseFamily;

/// Columns of test accuracy: the capabilities and their mean.
const COLUMNS: [&str; 4] = ["perception", "textual_reasoning", "visual_reasoning", "mean"];

/// Arms of which some stage, or the only one, has problems of perception.
const WITH_PERCEPTION: [&str; 10] = [
    "merged",
    "staged",
    "stages_1_3",
    "text_first",
    "reversed",
    "merged_frozen",
    "staged_frozen",
    "difficulty",
    "capability_x_difficulty",
    "staged_as_released",
];

/// Numbers computed from the results by query. In percent or points of accuracy, over all seeds:
///
/// - `spread BACKBONE ARM COLUMN`, `mean BACKBONE ARM COLUMN`: at the end; `base` is an arm, a
///   column one of the capabilities or `mean`;
/// - `after BACKBONE ARM STAGE COLUMN`, `gained …`, `during …`, `length …`: after a stage; how much
///   more than the base model; how much
///   more than before the stage; tokens;
/// - `difference TABLE BACKBONE N COLUMN`, `interval …`: the `N`th contrast of a table; without p;
/// - `pooled TABLE N COLUMN`: the same over all backbones;
/// - `read-right BACKBONE CAPABILITY`, `says BACKBONE CAPABILITY`: of the wrong answers at the end
///   that say what they read, the share
///   that read rightly; of the wrong answers, the share that say;
/// - `errors ARM COLUMN`: a column of the table of errors of perception;
/// - `visual ARM before|after right|misread|misreasoned|unread`: outcomes of visual reasoning on
///   Qwen3-VL, of all problems;
/// - `misread BACKBONE lowest|highest|ARM`: problems of visual reasoning that are answered wrongly
///   after a misreading;
/// - `misread-with`, `misread-without`: the same over arms with and without problems of perception;
/// - `completions ARM ARM`: completions of the first arm, as a share of the second's;
/// - `nearest lowest|highest`: what one nearest neighbour reads of unseen digits;
/// - `runs all|dirty|clean`: how many runs there are.
pub struct Figures<'a> {
    results: &'a Results,
}

impl<'a> Figures<'a> {
    /// Creates figures from these results.
    pub fn new(results: &'a Results) -> Self {
        Self { results }
    }

    /// Formats the number of a query.
    ///
    /// # Errors
    /// If there is no such number.
    pub fn get(&self, asked: &str) -> Result<String> {
        let words: Vec<&str> = asked.split_whitespace().collect();
        Ok(match words[..] {
            ["mean", backbone, arm, column] => points(self.end(backbone, arm, column)?.mean),
            ["spread", backbone, arm, column] => self.end(backbone, arm, column)?.show(points),
            ["after", backbone, arm, stage, column] => points(self.after(backbone, arm, stage, column)?.0),
            ["gained", backbone, arm, stage, column] => {
                let (after, before) = self.after(backbone, arm, stage, column)?;
                Unit::Percent.signed(after - before)
            }
            ["during", backbone, arm, stage, column] => {
                let change = |run: &RunResult, i: usize| {
                    let accuracy = |i: usize| Some(run.checkpoints.get(i)?.test.get(column)?.accuracy);
                    Some(accuracy(i)? - accuracy(i.checked_sub(1)?)?)
                };
                Unit::Percent.signed(self.at_stage(backbone, arm, stage, &change)?)
            }
            ["length", backbone, arm, stage, column] => {
                let length = |run: &RunResult, i: usize| run.checkpoints[i].test.get(column)?.length;
                format!("{:.1}", self.at_stage(backbone, arm, stage, &length)?)
            }
            ["difference", table, backbone, n, column] => {
                let compared = self.compared(table, backbone, n, column)?;
                format!("{}, {}", interval(&compared), tested(&compared))
            }
            ["interval", table, backbone, n, column] => interval(&self.compared(table, backbone, n, column)?),
            ["pooled", table, n, column] => {
                let (experiment, n) = (tables::find(table)?, n.parse::<usize>()?);
                let column = experiment.columns.iter().position(|one| one.label == words_of(column));
                let rows = self.results.pooled(experiment);
                let row = rows.get(n - 1).context("no such contrast")?;
                let compared = row[column.context("no such column")?].context("not run")?;
                let estimate = compared.estimate;
                let (low, high) = estimate.interval;
                let two = |value: f64| format!("{:+.2}", 100.0 * value).replace('-', "−");
                let t = format!("{:.1}", estimate.t()).replace('-', "−");
                format!("{} [{}, {}], t = {t}, {}", two(estimate.value), two(low), two(high), tested(&compared))
            }
            ["read-right", backbone, capability] => {
                let counts = self.counts(backbone, capability)?;
                let (right, wrong) = (counts.n(Outcome::Misreasoned), counts.n(Outcome::Misread));
                format!("{:.0} % ({right} of {})", 100.0 * right / (right + wrong), right + wrong)
            }
            ["says", backbone, capability] => {
                let counts = self.counts(backbone, capability)?;
                let says = counts.n(Outcome::Misreasoned) + counts.n(Outcome::Misread);
                format!("{:.0} %", 100.0 * says / (counts.total() - counts.n(Outcome::Right)))
            }
            ["misread", backbone, which] => {
                let of = |one: &str| which == one || matches!(which, "lowest" | "highest");
                let shares =
                    self.results.all_runs(family(backbone)?).filter(|(arm, _)| of(arm)).map(|(_, run)| misread(run));
                points(of_several(shares, which)?)
            }
            ["errors", arm, ref kind @ ..] => {
                let columns = tables::find("perception_errors")?.columns;
                let column = columns.iter().find(|one| one.label == kind.join(" ")).context("no such column")?;
                points(self.results.spread(BaseFamily::Qwen3Vl, arm, &column.read).context("not run")?.mean)
            }
            ["visual", arm, when, outcome] => {
                let outcome = match outcome {
                    "right" => Outcome::Right,
                    "misread" => Outcome::Misread,
                    "misreasoned" => Outcome::Misreasoned,
                    "unread" => Outcome::Unread,
                    _ => bail!("no outcome of this name"),
                };
                let share = |run: &RunResult| {
                    let all = if when == "before" { &run.before } else { &run.after };
                    let counts = Counts::of(all.get("visual_reasoning")?);
                    Some(counts.n(outcome) / counts.total())
                };
                let runs = self.results.runs(BaseFamily::Qwen3Vl, arm).context("not run")?;
                points(Spread::over(runs.values().filter_map(share)).context("not run")?.mean)
            }
            ["misread-with"] => points(self.misread_where(|arm| WITH_PERCEPTION.contains(&arm))?),
            ["misread-without"] => points(self.misread_where(|arm| !WITH_PERCEPTION.contains(&arm))?),
            ["completions", arm, of] => {
                let mean = |arm: &str| {
                    let runs = self.results.runs(BaseFamily::Qwen3Vl, arm).context("not run")?;
                    let completions =
                        runs.values().filter_map(|run| run.total.get(seethink::run::report::Meter::Completions));
                    Ok::<_, anyhow::Error>(Spread::over(completions).context("not known")?.mean)
                };
                format!("{:.0} %", 100.0 * mean(arm)? / mean(of)?)
            }
            ["nearest", which] => points(of_several(splits(5).iter().map(nearest_neighbour), which)?),
            ["runs", which] => {
                let all = BaseFamily::ALL.into_iter().flat_map(|(_, backbone)| self.results.all_runs(backbone));
                let n = all.filter(|(_, run)| which == "all" || (which == "clean") == run.is_of_clean_tree()).count();
                n.to_string()
            }
            _ => bail!("no number of this name"),
        })
    }

    fn end(&self, backbone: &str, arm: &str, column: &str) -> Result<Spread> {
        let column = ACCURACY.iter().find(|one| one.label == words_of(column)).context("no such column")?;
        self.results.spread(family(backbone)?, arm, &column.read).context("not run")
    }

    /// Accuracy after a stage, and before training.
    fn after(&self, backbone: &str, arm: &str, stage: &str, column: &str) -> Result<(f64, f64)> {
        let accuracy = |run: &RunResult, i: usize| {
            let of = |capability: &str| Some(run.checkpoints[i].test.get(capability)?.accuracy);
            if column != "mean" {
                return of(column);
            }
            let all: Option<Vec<f64>> = COLUMNS[..3].iter().map(|one| of(one)).collect();
            Some(all?.iter().sum::<f64>() / 3.0)
        };
        // There is one base model: an arm that began otherwise is compared with that of the others.
        let base = self.end(backbone, "base", column)?.mean;
        Ok((self.at_stage(backbone, arm, stage, &accuracy)?, base))
    }

    /// Mean over seeds of a quantity after a stage.
    fn at_stage(
        &self,
        backbone: &str,
        arm: &str,
        stage: &str,
        value: &dyn Fn(&RunResult, usize) -> Option<f64>,
    ) -> Result<f64> {
        let runs = self.results.runs(family(backbone)?, arm).context("not run")?;
        let of_run = |run: &RunResult| value(run, run.checkpoints.iter().position(|one| one.stage == stage)?);
        let values: Option<Vec<f64>> = runs.values().map(of_run).collect();
        Ok(Spread::over(values.context("no such stage or column")?).context("not run")?.mean)
    }

    fn compared(&self, table: &str, backbone: &str, n: &str, column: &str) -> Result<Compared> {
        let experiment: &Experiment = tables::find(table)?;
        let question = experiment.contrasts.get(n.parse::<usize>()? - 1).context("no such contrast")?;
        let column = experiment.columns.iter().find(|one| one.label == words_of(column)).context("no such column")?;
        self.results.compared(family(backbone)?, question, column.label).context("not run")
    }

    /// Outcome counts of a capability at the end of all runs of a backbone.
    fn counts(&self, backbone: &str, capability: &str) -> Result<Counts> {
        let all = self.results.all_runs(family(backbone)?).filter_map(|(_, run)| run.after.get(capability));
        Ok(all.flat_map(|letters| letters.chars()).filter_map(Outcome::of).collect())
    }

    fn misread_where(&self, choose: impl Fn(&str) -> bool) -> Result<f64> {
        let runs = self.results.all_runs(BaseFamily::Qwen3Vl).filter(|(arm, _)| choose(arm));
        Ok(Spread::over(runs.map(|(_, run)| misread(run))).context("not run")?.mean)
    }
}

fn family(name: &str) -> Result<BaseFamily> {
    crate::experiment::backbone(name)
}

/// Formats a name as in headings.
fn words_of(name: &str) -> String {
    name.replace('_', " ")
}

fn points(share: f64) -> String {
    Unit::Percent.show(share)
}

fn interval(compared: &Compared) -> String {
    let signed = |value| Unit::Percent.signed(value);
    let (low, high) = compared.estimate.interval;
    format!("{} [{}, {}]", signed(compared.estimate.value), signed(low), signed(high))
}

fn tested(compared: &Compared) -> String {
    format!("p {}, corrected {}", p_value(compared.estimate.p), p_value(compared.corrected))
}

/// Share of the problems of visual reasoning that were answered wrongly after a misreading.
fn misread(run: &RunResult) -> f64 {
    let counts = run.after.get("visual_reasoning").map(|letters| Counts::of(letters)).unwrap_or_default();
    counts.n(Outcome::Misread) / counts.total()
}

/// Lowest or highest of several values, or else their mean.
fn of_several(values: impl Iterator<Item = f64>, which: &str) -> Result<f64> {
    let spread = Spread::over(values).context("not run")?;
    Ok(match which {
        "lowest" => spread.values.iter().copied().fold(f64::INFINITY, f64::min),
        "highest" => spread.values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        _ => spread.mean,
    })
}
