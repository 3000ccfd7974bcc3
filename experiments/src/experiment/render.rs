//! An experiment as a page: what came of its rows, how sure its differences are, what it cost, what else differs, and what the
//! paper says.

use super::run::Task;
use super::{
    BASE, Confounds, Contrast, Estimate, Experiment, Letters, Read, RunResult, Scale, Setting, Source, Unit, contrast,
    holm,
};
use crate::report::number::{count, duration};
use crate::report::{self, Arms, Meter, Spread, draw_arms, draw_curves, write_drawing, write_file};
use anyhow::{Result, ensure};
use seethink::drawing::Drawing;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

/// Rows that differ by more than this in a cost are marked.
const TOLERANCE: f64 = 0.02;
/// Corrected p-values below this are printed bold.
const LEVEL: f64 = 0.05;

/// How a cost is shown.
type Show = fn(f64) -> String;

/// The costs that are shown, with their headings.
const METERS: [(&str, Meter, Show); 10] = [
    ("completions", Meter::Completions, count),
    ("tokens generated", Meter::TokensGenerated, count),
    ("prompt", Meter::TokensPrompt, count),
    ("images", Meter::TokensImage, count),
    ("trained", Meter::TokensTrained, count),
    ("updates", Meter::Updates, count),
    ("TFLOP forward", Meter::ForwardFlops, |flops| format!("{:.2}", flops / 1e12)),
    ("TFLOP backward", Meter::BackwardFlops, |flops| format!("{:.2}", flops / 1e12)),
    ("time", Meter::WallSecs, duration),
    ("of it updates", Meter::UpdateSecs, duration),
];

/// A page and its figures.
pub struct Rendered {
    /// Name of the table.
    pub id: &'static str,
    /// At which scale.
    pub scale: Scale,
    /// The page.
    pub markdown: String,
    figures: Vec<(String, Drawing)>,
}

/// The runs of one backbone.
struct Runs<'a> {
    experiment: &'a Experiment,
    setting: Setting,
    /// `[arm][seed]`
    results: BTreeMap<&'static str, BTreeMap<u64, RunResult>>,
}

impl Rendered {
    /// Writes `<scale>/<table>.md` and its figures below a folder.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn write(&self, out: &Path) -> Result<()> {
        let folder = out.join(self.scale.name());
        for (name, drawing) in &self.figures {
            write_drawing(drawing, &folder.join(name))?;
        }
        Ok(write_file(&folder.join(format!("{}.md", self.id)), self.markdown.as_bytes())?)
    }
}

/// The table of an experiment, from the results of some runs below `out`; what has none is "not run".
///
/// # Errors
/// If a result is broken or of other settings, or runs were tested on different problems.
pub fn render(experiment: &Experiment, scale: Scale, tasks: &[Task], out: &Path) -> Result<Rendered> {
    let Experiment { id, title, paper, claim, .. } = experiment;
    let mut markdown = format!("# {title}\n\n{paper} of arXiv 2605.20177. The paper's claim: {claim}\n");
    let mut figures = Vec::new();
    for &backbone in experiment.backbones {
        let runs = Runs::read(experiment, Setting { scale, backbone }, tasks, out)?;
        let _ = write!(markdown, "\n## {}\n\n{}", runs.setting.title(), runs.values());
        if runs.results.is_empty() {
            continue;
        }
        let name = format!("{id}-{}", runs.setting.folder());
        let _ = write!(markdown, "\n![{title}, {}]({name}.svg)\n", runs.setting.title());
        figures.push((name.clone(), runs.figure()));
        if let Some(curves) = runs.curves() {
            let _ = write!(markdown, "\n![length of rollouts against the step]({name}-steps.svg)\n");
            figures.push((format!("{name}-steps"), curves));
        }
        markdown += &runs.differences();
        markdown += &runs.costs();
        markdown += &runs.confounds()?;
    }
    markdown += &reported(experiment, scale);
    Ok(Rendered { id, scale, markdown, figures })
}

impl<'a> Runs<'a> {
    fn read(experiment: &'a Experiment, setting: Setting, tasks: &[Task], out: &Path) -> Result<Self> {
        let mut results: BTreeMap<&str, BTreeMap<u64, RunResult>> = BTreeMap::new();
        for task in tasks.iter().filter(|task| task.setting == setting && experiment.row(task.arm.id).is_some()) {
            if let Some(result) = task.result(out)? {
                results.entry(task.arm.id).or_default().insert(task.seed, result);
            }
        }
        let mut problems = results.values().flat_map(BTreeMap::values).map(|result| &result.problems);
        if let Some(first) = problems.next() {
            ensure!(problems.all(|other| other == first), "{}: runs were tested on different problems", experiment.id);
        }
        Ok(Self { experiment, setting, results })
    }

    /// The runs of an arm; for the base model, those that began with it.
    fn of(&self, arm: &str) -> Option<&BTreeMap<u64, RunResult>> {
        let began_with_base = |runs: &&BTreeMap<u64, RunResult>| {
            runs.values().all(|run| run.checkpoints.first().is_some_and(report::Checkpoint::is_base))
        };
        if arm == BASE { self.results.values().find(began_with_base) } else { self.results.get(arm) }
    }

    /// The letters of an arm for these seeds; `None` unless it has them all.
    fn letters(&self, arm: &str, seeds: &[u64]) -> Option<Letters<'_>> {
        let runs = self.of(arm)?;
        let of_run = |seed| {
            let run: &RunResult = runs.get(seed)?;
            Some(if arm == BASE { &run.before } else { &run.after }.values().map(String::as_str).collect())
        };
        seeds.iter().map(of_run).collect()
    }

    /// A column of an arm, over its seeds.
    fn spread(&self, arm: &str, read: &Read) -> Option<Spread> {
        let runs = self.of(arm)?;
        match read {
            Read::Outcomes(statistic) => {
                let seeds: Vec<u64> = runs.keys().copied().collect();
                let value =
                    |run: &Vec<&str>| statistic(&run.iter().map(|one| super::Counts::of(one)).collect::<Vec<_>>());
                Spread::over(self.letters(arm, &seeds)?.iter().map(value).filter(|value| value.is_finite()))
            }
            Read::Result(_) if arm == BASE => None,
            Read::Result(read) => Spread::over(runs.values().filter_map(read)),
        }
    }

    /// Rows with their labels, the base model first.
    fn rows(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        std::iter::once((BASE, BASE)).chain(self.experiment.rows.iter().map(|row| (row.label, row.arm.id)))
    }

    fn values(&self) -> String {
        let columns = self.experiment.columns;
        let mut text = header("", columns.iter().map(|column| column.label).chain(["seeds"]));
        for (label, arm) in self.rows() {
            let n_seeds = self.of(arm).map_or(0, BTreeMap::len);
            let cells = columns.iter().map(|column| match self.spread(arm, &column.read) {
                // The base model is the same for every seed.
                Some(spread) if arm == BASE => column.unit.show(spread.mean),
                Some(spread) => spread.show(|value| column.unit.show(value)),
                None if n_seeds == 0 => "not run".into(),
                None => "–".into(),
            });
            let n_seeds = if arm == BASE { "–".into() } else { n_seeds.to_string() };
            text += &line(label, cells.chain([n_seeds]));
        }
        let of = |unit: Unit| columns.iter().any(|column| column.unit == unit);
        let unit = match (of(Unit::Percent), of(Unit::Tokens)) {
            (true, false) => "In %",
            (false, true) => "In tokens",
            _ => "In % and tokens",
        };
        let n_test =
            self.results.values().flat_map(BTreeMap::values).flat_map(|run| run.after.values()).map(String::len);
        let n_test = n_test.max().unwrap_or(0);
        let tested = if n_test > 0 {
            format!("; {n_test} test problems of each capability, answered greedily")
        } else {
            String::new()
        };
        let _ = write!(text, "\n{unit}, mean ± sample deviation over seeds{tested}.\n");
        text
    }

    /// Every contrast in every column that has outcomes, with the runs of the seeds that all its arms have.
    fn estimates(&self) -> Vec<(&'static Contrast, Vec<Option<Estimate>>)> {
        let estimate = |question: &'static Contrast| {
            let seeds: Vec<u64> = {
                let of = |arm| self.of(arm).map(|runs| runs.keys().copied().collect::<Vec<_>>()).unwrap_or_default();
                let mut seeds = question.terms.iter().map(|(_, arm)| of(arm));
                let first = seeds.next().unwrap_or_default();
                seeds.fold(first, |common, other| common.into_iter().filter(|seed| other.contains(seed)).collect())
            };
            let letters: Option<Vec<(f64, Letters<'_>)>> =
                question.terms.iter().map(|(weight, arm)| Some((*weight, self.letters(arm, &seeds)?))).collect();
            let columns = self.experiment.columns.iter().map(|column| match (&column.read, &letters) {
                (Read::Outcomes(statistic), Some(letters)) => {
                    let terms: Vec<_> = letters.iter().map(|(weight, letters)| (*weight, letters)).collect();
                    contrast(&terms, *statistic)
                }
                _ => None,
            });
            (question, columns.collect())
        };
        self.experiment.contrasts.iter().map(estimate).collect()
    }

    fn differences(&self) -> String {
        let estimates = self.estimates();
        let p: Vec<f64> = estimates.iter().flat_map(|(_, row)| row).flatten().map(|estimate| estimate.p).collect();
        if p.is_empty() {
            return String::new();
        }
        let n_tests = p.len();
        let mut corrected = holm(&p).into_iter();
        let mut text = String::from("\n### Differences\n\n");
        text += &header("", self.experiment.columns.iter().map(|column| column.label));
        for (question, row) in estimates {
            let cells = row.into_iter().zip(self.experiment.columns).map(|(estimate, column)| {
                let Some(Estimate { value, interval: (low, high), .. }) = estimate else { return "–".into() };
                let p = corrected.next().unwrap_or(1.0);
                let signed = |value| column.unit.signed(value);
                let value = if p < LEVEL { format!("**{}**", signed(value)) } else { signed(value) };
                format!("{value} [{}, {}], p {}", signed(low), signed(high), p_value(p))
            });
            text += &line(question.label, cells.collect::<Vec<_>>());
        }
        let _ = write!(
            text,
            "\nIn points, with 95 % intervals of a bootstrap paired in seeds and problems; p is corrected for the {n_tests} \
             differences of this table by Holm's procedure, and bold are those below {LEVEL}.\n"
        );
        text
    }

    /// The mean of a cost over the seeds of an arm.
    fn cost(&self, arm: &str, meter: Meter) -> Option<f64> {
        let runs = self.results.get(arm)?;
        let costs: Option<Vec<f64>> = runs.values().map(|run| run.total.get(meter)).collect();
        Spread::over(costs?).map(|spread| spread.mean)
    }

    fn costs(&self) -> String {
        let mut text = String::from("\n### What it cost\n\n");
        text += &header("", METERS.iter().map(|(name, ..)| *name));
        for row in self.experiment.rows.iter().filter(|row| self.results.contains_key(row.arm.id)) {
            let cells = METERS.iter().map(|(_, meter, show)| {
                let Some(cost) = self.cost(row.arm.id, *meter) else { return "–".into() };
                let is_time = matches!(meter, Meter::WallSecs | Meter::UpdateSecs);
                match self.deviation(row.arm.id, *meter).filter(|_| !is_time) {
                    Some(deviation) => format!("{} ({:+.0} %)", show(cost), 100.0 * deviation),
                    None => show(cost),
                }
            });
            text += &line(row.label, cells.collect::<Vec<_>>());
        }
        let names: Vec<&str> = self
            .experiment
            .equal
            .iter()
            .filter_map(|meter| METERS.iter().find(|(_, one, _)| one == meter).map(|(name, ..)| *name))
            .collect();
        let is_unequal =
            |row: &&super::Row| self.experiment.equal.iter().any(|&meter| self.deviation(row.arm.id, meter).is_some());
        let unequal: Vec<&str> = self.experiment.rows.iter().filter(is_unequal).map(|row| row.label).collect();
        let verdict =
            if unequal.is_empty() { "they are.".into() } else { format!("**not so** {}.", unequal.join(", ")) };
        let _ = write!(
            text,
            "\nMeans over seeds; in brackets what differs from the first row by more than {:.0} %. Rows are to be equal in {}: \
             {verdict} Times are of runs that shared the machine.\n",
            100.0 * TOLERANCE,
            names.join(" and "),
        );
        text
    }

    /// How far an arm's cost is from that of the first row that was run, as a share of it, if that is too far.
    fn deviation(&self, arm: &str, meter: Meter) -> Option<f64> {
        let first = self.experiment.rows.iter().map(|row| row.arm.id).find(|arm| self.results.contains_key(arm))?;
        let deviation = self.cost(arm, meter)? / self.cost(first, meter)? - 1.0;
        (deviation.abs() > TOLERANCE).then_some(deviation)
    }

    fn confounds(&self) -> Result<String> {
        let mut text = String::from("\n### What else differs\n\n");
        text += &header("", ["stages", "vision side", "optimiser starts", "references", "other"]);
        for row in self.experiment.rows {
            let config = row.arm.config(self.setting, 1)?;
            let Confounds { vision, optimizer_starts, references, epochs, other } = Confounds::of(&config);
            text += &line(row.label, [epochs, vision, optimizer_starts.to_string(), references.to_string(), other]);
        }
        Ok(text)
    }

    fn figure(&self) -> Drawing {
        let scaled = |column: &super::Column, spread: Spread| {
            Spread::over(spread.values.iter().map(|value| column.unit.scale() * value)).unwrap_or(spread)
        };
        let columns = self.experiment.columns;
        draw_arms(&Arms {
            heading: format!("{}, {}", self.experiment.title, self.setting.title()),
            columns: columns
                .iter()
                .map(|column| {
                    let base = self.spread(BASE, &column.read).map(|spread| column.unit.scale() * spread.mean);
                    (format!("{} ({})", column.label, column.unit.name()), base)
                })
                .collect(),
            rows: self
                .experiment
                .rows
                .iter()
                .map(|row| {
                    let of = |column: &super::Column| Some(scaled(column, self.spread(row.arm.id, &column.read)?));
                    // The font of figures has no arrows.
                    (row.label.replace('→', ">"), columns.iter().map(of).collect())
                })
                .collect(),
        })
    }

    /// Length of rollouts against the step, where a table is about tokens.
    fn curves(&self) -> Option<Drawing> {
        self.experiment.columns.iter().any(|column| column.unit == Unit::Tokens).then(|| {
            let curve = |row: &super::Row| {
                let runs = self.results.get(row.arm.id)?;
                let n_steps = runs.values().map(|run| run.length.len()).min()?;
                let at =
                    |step: usize| runs.values().map(|run| f64::from(run.length[step])).sum::<f64>() / runs.len() as f64;
                Some((row.label.to_owned(), (0..n_steps).map(at).collect()))
            };
            let arms: Vec<(String, Vec<f64>)> = self.experiment.rows.iter().filter_map(curve).collect();
            draw_curves("Mean completion length of rollouts (tokens)", &arms)
        })
    }
}

impl Unit {
    fn scale(self) -> f64 {
        match self {
            Self::Percent => 100.0,
            Self::Tokens => 1.0,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Percent => "%",
            Self::Tokens => "tokens",
        }
    }

    /// A value, with one decimal.
    pub(super) fn show(self, value: f64) -> String {
        format!("{:.1}", self.scale() * value)
    }

    fn signed(self, value: f64) -> String {
        format!("{:+.1}", self.scale() * value).replace('-', "−")
    }
}

/// What the paper says, as far as it could be found.
fn reported(experiment: &Experiment, scale: Scale) -> String {
    let mut text = String::from("\n## The paper\n\n");
    if experiment.reported.is_empty() {
        return text + "No number of this table could be found.\n";
    }
    text += &header("", ["row", "column", "value", "known from"]);
    for one in experiment.reported {
        let full = Setting { scale: Scale::Full, backbone: one.backbone };
        let source = match one.source {
            Source::Printed => "print",
            Source::Reconstructed => "reconstruction",
        };
        text += &line(&full.title(), [one.row, one.column, &one.value.to_string(), source].map(str::to_owned));
    }
    if scale == Scale::Micro {
        text += "\nThe paper's benchmarks are not ours: only signs and orders can be compared.\n";
    }
    text
}

fn header<'a>(first: &'a str, rest: impl IntoIterator<Item = &'a str>) -> String {
    let cells: Vec<&str> = std::iter::once(first).chain(rest).collect();
    format!("| {} |\n|---|{}\n", cells.join(" | "), "---:|".repeat(cells.len() - 1))
}

fn line(first: &str, rest: impl IntoIterator<Item = String>) -> String {
    let cells: Vec<String> = rest.into_iter().collect();
    format!("| {first} | {} |\n", cells.join(" | "))
}

fn p_value(p: f64) -> String {
    match p {
        p if p < 0.001 => "< 0.001".into(),
        p if p < 0.1 => format!("{p:.3}"),
        p => format!("{p:.2}"),
    }
}
