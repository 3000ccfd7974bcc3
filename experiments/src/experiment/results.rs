//! Results of all tables at one scale, and their comparisons, each with a single p-value in all
//! tables.

use super::{
    Aliases, BASE, Contrast, Counts, Estimate, Experiment, Gates, Judged, Letters, Pair, RESULT, Read, RunResult,
    Scale, Setting, Statistic, contrast, holm, run::Task,
};
use crate::base::{base_of, n_bases};
use crate::tables;
use anyhow::{Result, ensure};
use seethink::eval::statistics::Spread;
use seethink::run::config::BaseFamily;
use seethink::run::report::Checkpoint;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Comparison: a difference with its corrected p-value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Compared {
    /// Estimate of the difference.
    pub estimate: Estimate,
    /// p-value corrected for all comparisons of the family.
    pub corrected: f64,
    /// Number of comparisons in the family.
    pub n_family: usize,
}

/// Canonical key of a comparison: weights in thousandths by arm, the first of them positive, and
/// the column.
type Key = (Vec<(&'static str, i64)>, &'static str);

/// Results of all tables at one scale.
///
/// Tables that share a run are a family: their comparisons are corrected together, and a comparison
/// in several tables is counted once and has the same p-value in all.
pub struct Results {
    /// Scale of the runs.
    pub scale: Scale,
    backbones: BTreeMap<&'static str, Backbone>,
}

/// Results of a backbone.
struct Backbone {
    setting: Setting,
    aliases: Aliases,
    /// Results `[arm][seed]`.
    runs: BTreeMap<&'static str, BTreeMap<u64, RunResult>>,
    compared: BTreeMap<Key, Compared>,
    gates: Option<Gates>,
}

impl Results {
    /// Reads the results of all tables below `out`: of these backbones (of all if none are given),
    /// and seeds 1, 2, ….
    ///
    /// All results found are shown, of whatever origin: [`Task::result`] decides which may be
    /// reused.
    ///
    /// # Errors
    /// If a result is broken, an override is wrong, or runs of a backbone were tested on different
    /// problems.
    pub fn read(scale: Scale, only: &[BaseFamily], seeds: u64, set: &[String], out: &Path) -> Result<Self> {
        let mut backbones = BTreeMap::new();
        for (_, backbone) in BaseFamily::ALL.into_iter().filter(|(_, one)| only.is_empty() || only.contains(one)) {
            let setting = Setting::new(scale, backbone);
            backbones.insert(setting.backbone_name(), Backbone::read(setting, seeds, set, out)?);
        }
        Ok(Self { scale, backbones })
    }

    fn backbone(&self, backbone: BaseFamily) -> Option<&Backbone> {
        self.backbones.values().find(|one| one.setting.backbone == backbone)
    }

    /// Runs of an arm by seed, also those made under an alias; `base` is the base model.
    pub fn runs(&self, backbone: BaseFamily, arm: &str) -> Option<&BTreeMap<u64, RunResult>> {
        self.backbone(backbone)?.of(arm)
    }

    /// Gates of a backbone; `None` if they were not measured.
    pub fn gates(&self, backbone: BaseFamily) -> Option<&Gates> {
        self.backbone(backbone)?.gates.as_ref()
    }

    /// All runs of a backbone, by arm and seed.
    pub fn all_runs(&self, backbone: BaseFamily) -> impl Iterator<Item = (&'static str, &RunResult)> {
        let arms = self.backbone(backbone).into_iter().flat_map(|one| &one.runs);
        arms.flat_map(|(arm, runs)| runs.values().map(move |run| (*arm, run)))
    }

    /// Arm that is run for this one.
    pub fn run_of(&self, backbone: BaseFamily, arm: &str) -> Option<&'static str> {
        self.backbone(backbone)?.name_of(arm)
    }

    /// Spread of a column over the seeds of an arm.
    pub fn spread(&self, backbone: BaseFamily, arm: &str, read: &Read) -> Option<Spread> {
        Spread::over(self.runs(backbone, arm)?.values().filter_map(|run| value(run, arm, read)))
    }

    /// Reason why no verdict can be given on a backbone; `None` if all gates hold.
    pub fn objection(&self, backbone: BaseFamily) -> Option<String> {
        Gates::objection(self.gates(backbone))
    }

    /// Verdict on a contrast in visual reasoning, from the seeds that all its arms have; `None` if
    /// there are fewer than two, or the table has no such column.
    pub fn judged(&self, backbone: BaseFamily, experiment: &Experiment, question: &Contrast) -> Option<Judged> {
        let column = experiment.columns.iter().find(|column| column.label == "visual reasoning")?;
        let differences = self.backbone(backbone)?.differences(question, &column.read);
        let of_base = |base| {
            let seeds = differences.iter().filter(|(seed, _)| base_of(backbone, **seed) == base);
            Some(Spread::over(seeds.map(|(_, value)| *value))?.mean)
        };
        let estimate = Estimate::over(&differences.values().copied().collect::<Vec<_>>())?;
        Some(Judged { estimate, by_base: (1..=n_bases(backbone)).filter_map(of_base).collect() })
    }

    /// Comparison of a contrast in a column; `None` if its arms were not run with a common seed, or,
    /// in a column without outcomes, with fewer than two.
    pub fn compared(&self, backbone: BaseFamily, question: &Contrast, column: &'static str) -> Option<Compared> {
        let backbone = self.backbone(backbone)?;
        let (terms, sign) = backbone.key(question)?;
        let compared = *backbone.compared.get(&(terms, column))?;
        Some(if sign < 0 { Compared { estimate: compared.estimate.negated(), ..compared } } else { compared })
    }

    /// Comparisons over all backbones at once, by the pairs of runs of each: `[contrast][column]`.
    /// They are corrected as a family of their own: all pooled comparisons of the table.
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
                // If a backbone has no runs of the contrast, there is no pooled estimate.
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
        let mut backbone =
            Self { setting, aliases, runs, compared: BTreeMap::new(), gates: Gates::read(setting, out)? };
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

    /// Computes the comparisons of all tables, family by family.
    fn compare(&mut self, mut experiments: Vec<&'static Experiment>) {
        while !experiments.is_empty() {
            let family = self.split_family(&mut experiments);
            let mut estimates: BTreeMap<Key, Estimate> = BTreeMap::new();
            for experiment in family {
                let (outcomes, others): (Vec<_>, Vec<_>) =
                    experiment.columns.iter().partition(|one| one.statistic().is_some());
                let statistics: Vec<Statistic> = outcomes.iter().filter_map(|one| one.statistic()).collect();
                for question in experiment.contrasts {
                    let Some((terms, sign)) = self.key(question) else { continue };
                    let key = |column: &super::Column| (terms.clone(), column.label);
                    if experiment.columns.iter().all(|column| estimates.contains_key(&key(column))) {
                        continue;
                    }
                    let of_outcomes = outcomes.iter().zip(contrast(&self.pairs(question), &statistics));
                    let over_seeds = |column: &super::Column| {
                        let values = self.differences(question, &column.read);
                        Estimate::over(&values.into_values().collect::<Vec<_>>())
                    };
                    let of_others = others.iter().map(|column| (column, over_seeds(column)));
                    for (column, estimate) in of_outcomes.chain(of_others) {
                        let estimate = estimate.map(|one| if sign < 0 { one.negated() } else { one });
                        estimates.extend(estimate.map(|estimate| (key(column), estimate)));
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

    /// Removes the family of the first experiment: all that share an arm with it, directly or
    /// through others.
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

    /// Id of the arm that is run for this one; `base` stays.
    fn name_of(&self, arm: &str) -> Option<&'static str> {
        if arm == BASE {
            return Some(BASE);
        }
        super::Arm::ALL.into_iter().find(|one| one.id == arm).map(|one| self.aliases.run_of(one).id)
    }

    /// Runs of an arm; for the base model, the largest set of runs that began with it.
    fn of(&self, arm: &str) -> Option<&BTreeMap<u64, RunResult>> {
        let began_with_base = |runs: &&BTreeMap<u64, RunResult>| {
            runs.values().all(|run| run.checkpoints.first().is_some_and(Checkpoint::is_base))
        };
        match self.name_of(arm)? {
            BASE => self.runs.values().filter(began_with_base).max_by_key(|runs| runs.len()),
            arm => self.runs.get(arm),
        }
    }

    /// Digests of the test problems of the runs.
    fn problems(&self) -> Option<&BTreeMap<String, String>> {
        self.runs.values().flat_map(BTreeMap::values).map(|run| &run.problems).next()
    }

    /// Canonical key of a contrast, and its sign relative to the key.
    fn key(&self, question: &Contrast) -> Option<(Vec<(&'static str, i64)>, i64)> {
        let mut weights: BTreeMap<&'static str, i64> = BTreeMap::new();
        for (weight, arm) in question.terms {
            *weights.entry(self.name_of(arm)?).or_default() += (1000.0 * weight).round() as i64;
        }
        let sign = weights.values().next()?.signum();
        Some((weights.into_iter().map(|(arm, weight)| (arm, sign * weight)).collect(), sign))
    }

    /// Runs of a contrast by seed, with their weights and arms, of each seed that all its arms have.
    fn by_seed(&self, question: &Contrast) -> BTreeMap<u64, Vec<(f64, &'static str, &RunResult)>> {
        let arms: Option<Vec<_>> =
            question.terms.iter().map(|(weight, arm)| Some((*weight, *arm, self.of(arm)?))).collect();
        let arms = arms.unwrap_or_default();
        let seeds = arms.first().into_iter().flat_map(|(_, _, runs)| runs.keys().copied());
        let of = |seed| -> Option<Vec<_>> {
            arms.iter().map(|(weight, arm, runs)| Some((*weight, *arm, runs.get(&seed)?))).collect()
        };
        seeds.filter_map(|seed| Some((seed, of(seed)?))).collect()
    }

    /// Pairs of runs of a contrast.
    fn pairs(&self, question: &Contrast) -> Vec<Pair<'_>> {
        let pair = |runs: Vec<(f64, &str, _)>| {
            runs.into_iter().map(|(weight, arm, run)| (weight, letters(run, arm))).collect()
        };
        self.by_seed(question).into_values().map(pair).collect()
    }

    /// Values of a contrast by seed.
    fn differences(&self, question: &Contrast, read: &Read) -> BTreeMap<u64, f64> {
        let sum = |runs: Vec<(f64, &str, &RunResult)>| -> Option<f64> {
            runs.into_iter().map(|(weight, arm, run)| Some(weight * value(run, arm, read)?)).sum()
        };
        self.by_seed(question).into_iter().filter_map(|(seed, runs)| Some((seed, sum(runs)?))).collect()
    }
}

/// Value of a column in a run of an arm, or in the base model that a run began with.
fn value(run: &RunResult, arm: &str, read: &Read) -> Option<f64> {
    let value = match read {
        Read::Outcomes(statistic) => {
            statistic(&letters(run, arm).iter().map(|one| Counts::of(one)).collect::<Vec<_>>())
        }
        Read::Result(_) if arm == BASE => return None,
        Read::Result(read) => read(run)?,
    };
    value.is_finite().then_some(value)
}

/// Outcomes of the test, `[capability]`; for the base model those before training.
fn letters<'a>(run: &'a RunResult, arm: &str) -> Letters<'a> {
    if arm == BASE { &run.before } else { &run.after }.values().map(String::as_str).collect()
}
