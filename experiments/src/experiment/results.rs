//! Results of the tables at one scale, and the comparisons between them, each with one p-value wherever it is shown.

use super::{
    Aliases, BASE, Contrast, Counts, Estimate, Experiment, Letters, Pair, RESULT, Read, RunResult, Scale, Setting,
    Statistic, contrast, holm, run::Task,
};
use crate::tables;
use anyhow::{Result, ensure};
use seethink::eval::statistics::Spread;
use seethink::run::config::BaseFamily;
use seethink::run::report::Checkpoint;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A difference as it is shown everywhere.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Compared {
    /// The difference.
    pub estimate: Estimate,
    /// Its p-value, corrected for all comparisons of its family.
    pub corrected: f64,
    /// How many comparisons the family has.
    pub n_family: usize,
}

/// Identity of a comparison, whatever a table calls it: weights in thousandths by arm, the first of them positive, and the column.
type Key = (Vec<(&'static str, i64)>, &'static str);

/// The results of every table at one scale.
///
/// Tables that share a run are a family: their comparisons are corrected together, and one that stands in several tables is counted
/// once and has the same p-value in all.
pub struct Results {
    /// At which scale.
    pub scale: Scale,
    backbones: BTreeMap<&'static str, Backbone>,
}

/// The results of a backbone.
struct Backbone {
    setting: Setting,
    aliases: Aliases,
    /// `[arm][seed]`
    runs: BTreeMap<&'static str, BTreeMap<u64, RunResult>>,
    compared: BTreeMap<Key, Compared>,
}

impl Results {
    /// Reads what there is of all tables below `out`: of these backbones (of all if there are none), and seeds 1, 2, ….
    ///
    /// Every result that is there is shown, whatever made it: [`Task::result`] decides what may be taken for a run.
    ///
    /// # Errors
    /// If a result is broken, an override is wrong, or runs of a backbone were tested on different problems.
    pub fn read(scale: Scale, only: &[BaseFamily], seeds: u64, set: &[String], out: &Path) -> Result<Self> {
        let mut backbones = BTreeMap::new();
        for (_, backbone) in BaseFamily::ALL.into_iter().filter(|(_, one)| only.is_empty() || only.contains(one)) {
            let setting = Setting { scale, backbone };
            backbones.insert(setting.backbone_name(), Backbone::read(setting, seeds, set, out)?);
        }
        Ok(Self { scale, backbones })
    }

    fn backbone(&self, backbone: BaseFamily) -> Option<&Backbone> {
        self.backbones.values().find(|one| one.setting.backbone == backbone)
    }

    /// The runs of an arm by seed, under whatever name they were made; `base` is the model that all start from.
    pub fn runs(&self, backbone: BaseFamily, arm: &str) -> Option<&BTreeMap<u64, RunResult>> {
        self.backbone(backbone)?.of(arm)
    }

    /// Every run of a backbone, by arm and seed.
    pub fn all_runs(&self, backbone: BaseFamily) -> impl Iterator<Item = (&'static str, &RunResult)> {
        let arms = self.backbone(backbone).into_iter().flat_map(|one| &one.runs);
        arms.flat_map(|(arm, runs)| runs.values().map(move |run| (*arm, run)))
    }

    /// The arm that is run for this one.
    pub fn run_of(&self, backbone: BaseFamily, arm: &str) -> Option<&'static str> {
        self.backbone(backbone)?.name_of(arm)
    }

    /// A column of an arm, over its seeds.
    pub fn spread(&self, backbone: BaseFamily, arm: &str, read: &Read) -> Option<Spread> {
        let runs = self.runs(backbone, arm)?.values();
        match read {
            Read::Outcomes(statistic) => {
                let value = |run| statistic(&letters(run, arm).iter().map(|one| Counts::of(one)).collect::<Vec<_>>());
                Spread::over(runs.map(value).filter(|value| value.is_finite()))
            }
            Read::Result(_) if arm == BASE => None,
            Read::Result(read) => Spread::over(runs.filter_map(read)),
        }
    }

    /// A comparison; `None` if its arms were not run with a common seed, or the column has no outcomes.
    pub fn compared(&self, backbone: BaseFamily, question: &Contrast, column: &'static str) -> Option<Compared> {
        let backbone = self.backbone(backbone)?;
        let (terms, sign) = backbone.key(question)?;
        let compared = *backbone.compared.get(&(terms, column))?;
        Some(if sign < 0 { Compared { estimate: compared.estimate.negated(), ..compared } } else { compared })
    }

    /// A comparison over all backbones at once, by the pairs of runs of each: `[contrast][column]`. Corrected for the comparisons over all
    /// backbones that the table has, which are a family of their own.
    pub fn pooled(&self, experiment: &Experiment) -> Vec<Vec<Option<Compared>>> {
        let backbones: Vec<&Backbone> = experiment
            .backbones
            .iter()
            .filter_map(|&one| self.backbone(one))
            .filter(|one| !one.runs.is_empty())
            .collect();
        let problems: BTreeSet<_> = backbones.iter().filter_map(|one| one.problems()).collect();
        if backbones.len() < 2 || problems.len() != 1 {
            return Vec::new();
        }
        let nothing: Statistic = |_| f64::NAN;
        let columns: Vec<Statistic> =
            experiment.columns.iter().map(|column| column.statistic().unwrap_or(nothing)).collect();
        let estimates: Vec<Vec<Option<Estimate>>> = experiment
            .contrasts
            .iter()
            .map(|question| {
                let pairs: Vec<Vec<Pair<'_>>> = backbones.iter().map(|one| one.pairs(question)).collect();
                // A backbone without runs of the question says nothing of all of them.
                let pairs = if pairs.iter().any(Vec::is_empty) { Vec::new() } else { pairs.concat() };
                contrast(&pairs, &columns)
            })
            .collect();
        let p: Vec<f64> = estimates.iter().flatten().flatten().map(|estimate| estimate.p).collect();
        let (n_family, mut corrected) = (p.len(), holm(&p).into_iter());
        let mut compare =
            |estimate: Estimate| Compared { estimate, corrected: corrected.next().unwrap_or(1.0), n_family };
        estimates.into_iter().map(|row| row.into_iter().map(|one| one.map(&mut compare)).collect()).collect()
    }
}

impl Backbone {
    fn read(setting: Setting, seeds: u64, set: &[String], out: &Path) -> Result<Self> {
        let experiments: Vec<&'static Experiment> =
            tables::ALL.into_iter().filter(|one| one.backbones.contains(&setting.backbone)).collect();
        let aliases = Aliases::of(setting, set)?;
        let mut runs: BTreeMap<&'static str, BTreeMap<u64, RunResult>> = BTreeMap::new();
        for arm in experiments.iter().flat_map(|one| one.rows).map(|row| aliases.run_of(row.arm)) {
            if runs.contains_key(arm.id) {
                continue;
            }
            for seed in 1..=seeds {
                let task = Task { setting, arm, seed, set: set.to_vec() };
                if let Some(result) = RunResult::read(&task.folder(out).join(RESULT))? {
                    runs.entry(arm.id).or_default().insert(seed, result);
                }
            }
        }
        let mut backbone = Self { setting, aliases, runs, compared: BTreeMap::new() };
        let mut problems = backbone.runs.values().flat_map(BTreeMap::values).map(|run| &run.problems);
        let first = problems.next();
        ensure!(
            problems.all(|other| Some(other) == first),
            "{}: runs were tested on different problems",
            setting.title()
        );
        backbone.compare(experiments);
        Ok(backbone)
    }

    /// Compares what every table asks, family by family.
    fn compare(&mut self, mut experiments: Vec<&'static Experiment>) {
        while !experiments.is_empty() {
            let family = self.split_family(&mut experiments);
            let mut estimates: BTreeMap<Key, Estimate> = BTreeMap::new();
            for experiment in family {
                let columns = experiment.columns.iter().filter_map(|one| Some((one.label, one.statistic()?)));
                let (labels, statistics): (Vec<&'static str>, Vec<Statistic>) = columns.unzip();
                for question in experiment.contrasts {
                    let Some((terms, sign)) = self.key(question) else { continue };
                    if labels.iter().all(|label| estimates.contains_key(&(terms.clone(), *label))) {
                        continue;
                    }
                    for (label, estimate) in labels.iter().zip(contrast(&self.pairs(question), &statistics)) {
                        let estimate = estimate.map(|one| if sign < 0 { one.negated() } else { one });
                        estimates.extend(estimate.map(|estimate| ((terms.clone(), *label), estimate)));
                    }
                }
            }
            let p: Vec<f64> = estimates.values().map(|estimate| estimate.p).collect();
            let (n_family, corrected) = (p.len(), holm(&p));
            let compared = estimates.into_iter().zip(corrected);
            self.compared
                .extend(compared.map(|((key, estimate), corrected)| (key, Compared { estimate, corrected, n_family })));
        }
    }

    /// Takes the first experiment out, and all that share an arm with it, or with one that does.
    fn split_family(&self, experiments: &mut Vec<&'static Experiment>) -> Vec<&'static Experiment> {
        let mut family: Vec<&'static Experiment> = vec![experiments.remove(0)];
        let arms =
            |one: &Experiment| one.rows.iter().map(|row| self.aliases.run_of(row.arm).id).collect::<BTreeSet<_>>();
        let mut known = arms(family[0]);
        while let Some(next) = experiments.iter().position(|one| !arms(one).is_disjoint(&known)) {
            let next = experiments.remove(next);
            known.extend(arms(next));
            family.push(next);
        }
        family
    }

    /// The arm that is run for one of this id, and `base` itself.
    fn name_of(&self, arm: &str) -> Option<&'static str> {
        if arm == BASE {
            return Some(BASE);
        }
        super::Arm::ALL.into_iter().find(|one| one.id == arm).map(|one| self.aliases.run_of(one).id)
    }

    /// The runs of an arm; for the base model, most of those that began with it.
    fn of(&self, arm: &str) -> Option<&BTreeMap<u64, RunResult>> {
        let began_with_base = |runs: &&BTreeMap<u64, RunResult>| {
            runs.values().all(|run| run.checkpoints.first().is_some_and(Checkpoint::is_base))
        };
        match self.name_of(arm)? {
            BASE => self.runs.values().filter(began_with_base).max_by_key(|runs| runs.len()),
            arm => self.runs.get(arm),
        }
    }

    /// What the runs were tested on.
    fn problems(&self) -> Option<&BTreeMap<String, String>> {
        self.runs.values().flat_map(BTreeMap::values).map(|run| &run.problems).next()
    }

    /// A question in one spelling, and the sign by which it differs from it.
    fn key(&self, question: &Contrast) -> Option<(Vec<(&'static str, i64)>, i64)> {
        let mut weights: BTreeMap<&'static str, i64> = BTreeMap::new();
        for (weight, arm) in question.terms {
            *weights.entry(self.name_of(arm)?).or_default() += (1000.0 * weight).round() as i64;
        }
        let sign = weights.values().next()?.signum();
        Some((weights.into_iter().map(|(arm, weight)| (arm, sign * weight)).collect(), sign))
    }

    /// The runs of a question, a pair for each seed that all its arms have.
    fn pairs(&self, question: &Contrast) -> Vec<Pair<'_>> {
        let arms: Option<Vec<_>> =
            question.terms.iter().map(|(weight, arm)| Some((*weight, *arm, self.of(arm)?))).collect();
        let arms = arms.unwrap_or_default();
        let seeds = arms.first().map(|(_, _, runs)| runs.keys().copied().collect::<Vec<_>>()).unwrap_or_default();
        let pair = |seed| -> Option<Pair<'_>> {
            arms.iter().map(|(weight, arm, runs)| Some((*weight, letters(runs.get(&seed)?, arm)))).collect()
        };
        seeds.into_iter().filter_map(pair).collect()
    }
}

/// Outcomes of the test, `[capability]`; before training for the base model.
fn letters<'a>(run: &'a RunResult, arm: &str) -> Letters<'a> {
    if arm == BASE { &run.before } else { &run.after }.values().map(String::as_str).collect()
}
