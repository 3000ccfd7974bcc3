//! Pages of experiments: values, differences with confidence intervals, costs, confounds, and the
//! numbers of the paper.

use super::{
    BASE, Compared, Confounds, Curve, Estimate, Experiment, Read, Results, RunResult, Scale, Setting, Source, Unit,
};
use anyhow::Result;
use seethink::eval::statistics::Spread;
use seethink::plot::Drawing;
use seethink::run::report::number::{count, duration};
use seethink::run::report::{Arms, Band, Meter, draw_arms, draw_bands, draw_curves, write_drawing, write_file};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

/// Tolerance of costs: larger deviations from the first row are marked.
const TOLERANCE: f64 = 0.02;
/// Significance level: corrected p-values below it are printed bold.
const LEVEL: f64 = 0.05;

/// Format of a cost.
type Show = fn(f64) -> String;

/// Costs in the table, with their headings.
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

/// Rendered page and its figures.
pub struct Rendered {
    /// Id of the table.
    pub id: &'static str,
    /// Scale of the runs.
    pub scale: Scale,
    /// Text of the page.
    pub markdown: String,
    figures: Vec<(String, Drawing)>,
}

/// Runs of a table on one backbone.
struct Runs<'a> {
    experiment: &'static Experiment,
    setting: Setting,
    results: &'a Results,
}

impl Rendered {
    /// Creates a page with figures by name.
    pub(crate) fn new(id: &'static str, scale: Scale, markdown: String, figures: Vec<(String, Drawing)>) -> Self {
        Self { id, scale, markdown, figures }
    }

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

    /// Names of the figures on the page, without their extensions.
    pub fn figures(&self) -> impl Iterator<Item = &str> {
        self.figures.iter().map(|(name, _)| name.as_str())
    }
}

/// Renders the table of an experiment; missing results are shown as "not run".
///
/// # Errors
/// If an arm has no configuration, which is a mistake in the table.
pub fn render(experiment: &'static Experiment, results: &Results) -> Result<Rendered> {
    let Experiment { id, title, paper, claim, .. } = experiment;
    let mut markdown = format!("# {title}\n\n{paper} of arXiv 2605.20177. The paper's claim: {claim}\n");
    let mut figures = Vec::new();
    // Backbones without a run are left out where another has some.
    let of = |backbone| Runs { experiment, setting: Setting::new(results.scale, backbone), results };
    let is_run = experiment.backbones.iter().any(|&backbone| !of(backbone).is_empty());
    for &backbone in experiment.backbones {
        let runs = of(backbone);
        let setting = runs.setting;
        if runs.is_empty() && is_run {
            continue;
        }
        let _ = write!(markdown, "\n## {}\n\n{}", setting.title(), runs.values());
        if runs.is_empty() {
            continue;
        }
        let name = format!("{id}-{}", setting.folder());
        let _ = write!(markdown, "\n![{title}, {}]({name}.svg)\n", setting.title());
        figures.push((name.clone(), runs.figure()));
        if let Some(curves) = runs.curves() {
            let _ = write!(markdown, "\n![length of rollouts against the step]({name}-steps.svg)\n");
            figures.push((format!("{name}-steps"), curves));
        }
        for curve in experiment.curves {
            let file = format!("{name}-{}", curve.id);
            let _ = write!(markdown, "\n![{} over training, {}]({file}.svg)\n", curve.label, setting.title());
            figures.push((file, runs.over_training(curve)));
        }
        markdown += &runs.differences();
        markdown += &runs.costs();
        markdown += &runs.confounds()?;
        markdown += &runs.origins();
    }
    markdown += &pooled(experiment, results);
    markdown += &reported(experiment, results.scale);
    Ok(Rendered { id, scale: results.scale, markdown, figures })
}

impl Runs<'_> {
    fn of(&self, arm: &str) -> Option<&BTreeMap<u64, RunResult>> {
        self.results.runs(self.setting.backbone, arm)
    }

    /// Rows with results.
    fn run(&self) -> impl Iterator<Item = (&'static super::Row, &BTreeMap<u64, RunResult>)> {
        self.experiment.rows.iter().filter_map(|row| Some((row, self.of(row.arm.id)?)))
    }

    fn is_empty(&self) -> bool {
        self.run().next().is_none()
    }

    fn spread(&self, arm: &str, read: &Read) -> Option<Spread> {
        // The base model is shown once a row has results.
        (!self.is_empty()).then(|| self.results.spread(self.setting.backbone, arm, read)).flatten()
    }

    /// Labels and arms of the rows, the base model first.
    fn rows(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        std::iter::once((BASE, BASE)).chain(self.experiment.rows.iter().map(|row| (row.label, row.arm.id)))
    }

    fn values(&self) -> String {
        let columns = self.experiment.columns;
        let mut text = header("", columns.iter().map(|column| column.label).chain(["seeds"]));
        for (label, arm) in self.rows() {
            let n_seeds = self.of(arm).filter(|_| !self.is_empty()).map_or(0, BTreeMap::len);
            let cells = columns.iter().map(|column| match self.spread(arm, &column.read) {
                // The mean over the base models that the seeds began with.
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
        let n_test = self.run().flat_map(|(_, runs)| runs.values()).flat_map(|run| run.after.values()).map(String::len);
        let n_test = n_test.max().unwrap_or(0);
        let tested = if n_test > 0 {
            format!("; {n_test} test problems of each capability, answered greedily")
        } else {
            String::new()
        };
        let _ = write!(text, "\n{unit}, mean ± sample deviation over seeds{tested}.\n");
        text
    }

    fn differences(&self) -> String {
        let compared = |question| {
            let of = |column: &super::Column| self.results.compared(self.setting.backbone, question, column.label);
            self.experiment.columns.iter().map(of).collect()
        };
        let rows: Vec<Vec<Option<Compared>>> = self.experiment.contrasts.iter().map(compared).collect();
        let Some(first) = rows.iter().flatten().flatten().next() else { return String::new() };
        let mut text = String::from("\n### Differences\n\n");
        text += &comparisons(self.experiment, &rows);
        let _ = write!(
            text,
            "\nIn points, with 95 % intervals: Student's t over seeds, paired, and a bootstrap over the test problems for their share. \
             p is that of no difference; after the arrow it is corrected by Holm's procedure for the {} differences of all tables \
             that share a run with this one, and bold are those below {LEVEL} then.\n",
            first.n_family
        );
        text += &self.verdicts();
        if rows.iter().flatten().flatten().any(|one| one.estimate.n_pairs == 1) {
            text += "Where there is one seed, the interval is over problems alone and says nothing of training.\n";
        }
        text
    }

    /// Verdicts on visual reasoning, at the scale that has gates: none unless all of them hold.
    fn verdicts(&self) -> String {
        if self.results.scale != Scale::Micro {
            return String::new();
        }
        let Runs { experiment, results, .. } = self;
        let backbone = self.setting.backbone;
        let judged = |question: &'static super::Contrast| {
            Some(format!("- {}: {}.\n", question.label, results.judged(backbone, experiment, question)?))
        };
        let verdicts: String = experiment.contrasts.iter().filter_map(judged).collect();
        if verdicts.is_empty() {
            return verdicts;
        }
        if let Some(objection) = results.objection(backbone) {
            return format!("\nNo verdict on this backbone: {objection}.\n");
        }
        format!(
            "\nVerdicts on visual reasoning, by [the registered rule](../../../../docs/preregistration.md), in points with Student's \
             t over seeds alone, on these test problems; the table above adds the choice of problems:\n\n{verdicts}"
        )
    }

    /// Mean of a cost over the seeds of an arm.
    fn cost(&self, arm: &str, meter: Meter) -> Option<f64> {
        let runs = self.of(arm)?;
        let costs: Option<Vec<f64>> = runs.values().map(|run| run.total.get(meter)).collect();
        Spread::over(costs?).map(|spread| spread.mean)
    }

    fn costs(&self) -> String {
        let mut text = String::from("\n### What it cost\n\n");
        text += &header("", METERS.iter().map(|(name, ..)| *name));
        for (row, _) in self.run() {
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

    /// Relative deviation of an arm's cost from that of the first row with results, if it exceeds
    /// the tolerance.
    fn deviation(&self, arm: &str, meter: Meter) -> Option<f64> {
        let (first, _) = self.run().next()?;
        let deviation = self.cost(arm, meter)? / self.cost(first.arm.id, meter)? - 1.0;
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
        for row in self.experiment.rows {
            let run = self.results.run_of(self.setting.backbone, row.arm.id).filter(|run| *run != row.arm.id);
            if let Some(run) = run {
                let _ = write!(
                    text,
                    "\nThe row {} is `{}`, which has the same effective settings as `{run}` here: it is one run, made and shown \
                     as that.\n",
                    row.label, row.arm.id
                );
            }
        }
        Ok(text)
    }

    /// Formats the commits that the runs were made at.
    fn origins(&self) -> String {
        let mut commits: BTreeMap<(&str, bool), usize> = BTreeMap::new();
        for run in self.run().flat_map(|(_, runs)| runs.values()) {
            *commits.entry((run.commit.as_str(), run.origin.is_some())).or_default() += 1;
        }
        let mut text = String::from("\n### What made the runs\n\n");
        for ((commit, has_origin), n) in commits {
            let tree = match commit.strip_suffix('+') {
                _ if commit.is_empty() => "an unknown commit".to_owned(),
                Some(commit) => {
                    format!("a tree with uncommitted changes on top of {commit}, which nobody can restore")
                }
                None => format!("commit {commit}"),
            };
            let runs = if n == 1 { "1 run is".to_owned() } else { format!("{n} runs are") };
            let _ = write!(text, "{runs} of {tree}");
            text += if has_origin {
                ".\n"
            } else {
                "; without fingerprints of base model and code it is evidence of what was found, and no run takes it up.\n"
            };
        }
        text
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
                    // The font of the figures has no arrows.
                    (row.label.replace('→', ">"), columns.iter().map(of).collect())
                })
                .collect(),
        })
    }

    /// Curves of a quantity of validation problems, each with the 95 % interval of its mean over seeds.
    fn over_training(&self, curve: &Curve) -> Drawing {
        let point = |runs: &BTreeMap<u64, RunResult>, at: usize| {
            let step = runs.values().next()?.curve.get(at)?.step;
            let values: Option<Vec<f64>> =
                runs.values().map(|run| Some(100.0 * (curve.read)(run.curve.get(at)?)?)).collect();
            let values = values?;
            let estimate = Estimate::over(&values);
            let mean = estimate.as_ref().map_or(*values.first()?, |estimate| estimate.value);
            Some((step as f64, mean, estimate.map_or((mean, mean), |estimate| estimate.interval)))
        };
        let band = |(row, runs): (&super::Row, &BTreeMap<u64, RunResult>)| Band {
            name: row.label.to_owned(),
            points: (0..).map_while(|at| point(runs, at)).collect(),
        };
        let bands: Vec<Band> = self.run().map(band).collect();
        draw_bands(&format!("{}, {} (%)", curve.label, self.setting.title()), &bands)
    }

    /// Curves of rollout length against the step, for tables with a column in tokens.
    fn curves(&self) -> Option<Drawing> {
        self.experiment.columns.iter().any(|column| column.unit == Unit::Tokens).then(|| {
            let curve = |(row, runs): (&super::Row, &BTreeMap<u64, RunResult>)| {
                let n_steps = runs.values().map(|run| run.length.len()).min()?;
                let at =
                    |step: usize| runs.values().map(|run| f64::from(run.length[step])).sum::<f64>() / runs.len() as f64;
                Some((row.label.to_owned(), (0..n_steps).map(at).collect()))
            };
            let arms: Vec<(String, Vec<f64>)> = self.run().filter_map(curve).collect();
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

    /// Formats a value with one decimal.
    pub(crate) fn show(self, value: f64) -> String {
        format!("{:.1}", self.scale() * value)
    }

    pub(crate) fn signed(self, value: f64) -> String {
        format!("{:+.1}", self.scale() * value).replace('-', "−")
    }
}

/// Formats a table of comparisons, `[contrast][column]`.
fn comparisons(experiment: &Experiment, rows: &[Vec<Option<Compared>>]) -> String {
    let mut text = header("", experiment.columns.iter().map(|column| column.label));
    for (question, row) in experiment.contrasts.iter().zip(rows) {
        let cells = row.iter().zip(experiment.columns).map(|(compared, column)| {
            let Some(Compared { estimate, corrected, .. }) = compared else { return "–".into() };
            let signed = |value| column.unit.signed(value);
            let value = signed(estimate.value);
            let value = if *corrected < LEVEL { format!("**{value}**") } else { value };
            let (low, high) = estimate.interval;
            let (p, corrected) = (p_value(estimate.p), p_value(*corrected));
            format!("{value} [{}, {}], p {p} → {corrected}", signed(low), signed(high))
        });
        text += &line(question.label, cells.collect::<Vec<_>>());
    }
    text
}

/// Formats the comparisons pooled over all backbones, if there are several.
fn pooled(experiment: &Experiment, results: &Results) -> String {
    let rows = results.pooled(experiment);
    let Some(first) = rows.iter().flatten().flatten().next() else { return String::new() };
    let mut text = String::from("\n## All backbones\n\n");
    text += &comparisons(experiment, &rows);
    let _ = write!(
        text,
        "\nIn points, over the {} pairs of runs of all backbones, as above; p is corrected for the {} differences of this table, \
         which are about all backbones.\n",
        first.estimate.n_pairs, first.n_family
    );
    text
}

/// Formats the numbers reported in the paper, as far as they could be found.
fn reported(experiment: &Experiment, scale: Scale) -> String {
    let mut text = String::from("\n## The paper\n\n");
    if experiment.reported.is_empty() {
        return text + "No number of this table could be found.\n";
    }
    text += &header("", ["row", "column", "value", "known from"]);
    for one in experiment.reported {
        let full = Setting::new(Scale::Full, one.backbone);
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

pub(crate) fn p_value(p: f64) -> String {
    match p {
        p if p < 0.001 => "< 0.001".into(),
        p if p < 0.1 => format!("{p:.3}"),
        p => format!("{p:.2}"),
    }
}
