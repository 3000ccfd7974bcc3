//! Estimates of differences between arms over pairs of runs, with confidence intervals.

use super::{Counts, Letters, Statistic};
use crate::outcome::Outcome;
use seethink_core::{Purpose, Rng};
use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

/// Number of bootstrap draws over problems. They only estimate a variance, to 3 %.
const DRAWS: usize = 2_000;
/// Confidence level of the intervals, two-sided.
const LEVEL: f64 = 0.95;

/// Estimate of a difference between arms: value, confidence interval and test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Mean over pairs.
    pub value: f64,
    /// Standard error, of training and of the choice of problems.
    pub error: f64,
    /// Degrees of freedom of [`error`](Self::error), `∞` where only problems vary.
    pub freedom: f64,
    /// 95 % interval, low and high.
    pub interval: (f64, f64),
    /// Two-sided p-value of no difference.
    pub p: f64,
    /// Number of pairs; with a single one the interval is over problems alone and says nothing of
    /// training.
    pub n_pairs: usize,
}

impl Estimate {
    /// Mean of independent values with Student's interval; `None` of fewer than two.
    pub fn over(values: &[f64]) -> Option<Self> {
        let n = values.len();
        (n > 1).then(|| Self::new(mean(values), variance(values.iter().copied()) / n as f64, n as f64 - 1.0, n))
    }

    /// Interval of another confidence level, low and high.
    pub fn interval_at(&self, level: f64) -> (f64, f64) {
        let reach = self.error * student(0.0, self.freedom, level).map_or(0.0, |(quantile, _)| quantile);
        (self.value - reach, self.value + reach)
    }

    /// t statistic: `value / error`.
    pub fn t(&self) -> f64 {
        self.value / self.error
    }

    /// Estimate of the opposite difference.
    pub fn negated(self) -> Self {
        let (low, high) = self.interval;
        Self { value: -self.value, interval: (-high, -low), ..self }
    }

    fn new(value: f64, variance: f64, freedom: f64, n_pairs: usize) -> Self {
        let error = variance.sqrt();
        let Some((quantile, p)) = (error > 0.0).then(|| student(value / error, freedom, LEVEL)).flatten() else {
            // Nothing varied: these runs leave no uncertainty.
            let p = if value == 0.0 { 1.0 } else { 0.0 };
            return Self { value, error: 0.0, freedom, interval: (value, value), p, n_pairs };
        };
        let reach = error * quantile;
        Self { value, error, freedom, interval: (value - reach, value + reach), p, n_pairs }
    }
}

/// Quantile of the interval of a level, and two-sided p-value of `t`, in Student's distribution.
fn student(t: f64, freedom: f64, level: f64) -> Option<(f64, f64)> {
    fn of(distribution: &impl ContinuousCDF<f64, f64>, t: f64, level: f64) -> (f64, f64) {
        (distribution.inverse_cdf(0.5 + level / 2.0), (2.0 * distribution.sf(t.abs())).min(1.0))
    }
    // The library does not terminate for infinite degrees of freedom.
    if freedom.is_infinite() {
        return Some(of(&Normal::standard(), t, level));
    }
    Some(of(&StudentsT::new(0.0, 1.0, freedom).ok()?, t, level))
}

/// Pair of runs to be compared, one for each term of a contrast: weights and outcomes. Usually the
/// runs share a seed.
pub type Pair<'a> = Vec<(f64, Letters<'a>)>;

/// Estimates a contrast: `Σ weight · statistic`, averaged over pairs, for each of some statistics:
/// `[statistic]`, `None` where a value is not a number.
///
/// All runs answer the same problems, `[capability][problem]`. With `n` pairs and `d` the contrast
/// of each,
///
/// ```text
/// variance = S + max(0, B − E)        freedom = (n − 1) · variance / S
/// S = var(d) / n                      sample variance over pairs: training, and chance in answers
/// B = var* mean(d)                    bootstrap over problems, the same problems for all pairs
/// E = (mean var*(d) − B) / (n − 1)    chance in single answers, which S and B both have
/// ```
///
/// and the interval is Student's t. Where the problems add no variance to that of the seeds, this
/// is the paired t test over seeds. Where arms differ by problem (as they do from the base model,
/// which is one for all seeds), seeds alone would give too narrow intervals: the mean over three
/// seeds is then stable on these problems, and would not be on others. `freedom` grows as the share
/// of `S` falls, and more slowly than Satterthwaite's square of it, which rejects 7 to 8 % of true
/// nulls at 5 % for `n = 3`.
///
/// `None` throughout if there are no pairs, or runs differ in their numbers of problems.
///
/// # Source
/// Crossed random effects, as in F. E. Satterthwaite, *An approximate distribution of estimates of
/// variance components*, Biometrics Bulletin 2 (1946), with the bootstrap of B. Efron and R.
/// Tibshirani, *An Introduction to the Bootstrap* (1993), ch. 6.
pub fn contrast(pairs: &[Pair<'_>], statistics: &[Statistic]) -> Vec<Option<Estimate>> {
    contrast_with(pairs, statistics, DRAWS)
}

fn contrast_with(pairs: &[Pair<'_>], statistics: &[Statistic], n_draws: usize) -> Vec<Option<Estimate>> {
    let nothing = || vec![None; statistics.len()];
    let Some((_, first)) = pairs.first().and_then(|pair| pair.first()) else { return nothing() };
    let shape: Vec<usize> = first.iter().map(|letters| letters.len()).collect();
    let fits = |run: &Letters<'_>| run.iter().map(|letters| letters.len()).eq(shape.iter().copied());
    if !pairs.iter().all(|pair| !pair.is_empty() && pair.iter().all(|(_, run)| fits(run))) {
        return nothing();
    }
    // Outcomes `[pair][term]`, each a weight and `[capability][problem]`.
    let outcome = |letter: char| Outcome::of(letter).unwrap_or(Outcome::Wrong);
    let code = |run: &Letters<'_>| -> Vec<Vec<Outcome>> {
        run.iter().map(|letters| letters.chars().map(outcome).collect()).collect()
    };
    let coded: Vec<Vec<(f64, Vec<Vec<Outcome>>)>> =
        pairs.iter().map(|pair| pair.iter().map(|(weight, run)| (*weight, code(run))).collect()).collect();
    // Values `[statistic][pair]`.
    let take = |problems: &[Vec<usize>]| -> Vec<Vec<f64>> {
        let mut values = vec![vec![0.0; coded.len()]; statistics.len()];
        for (i, pair) in coded.iter().enumerate() {
            for (weight, run) in pair {
                let counts: Vec<Counts> = run
                    .iter()
                    .zip(problems)
                    .map(|(outcomes, chosen)| chosen.iter().map(|&problem| outcomes[problem]).collect())
                    .collect();
                for (values, statistic) in values.iter_mut().zip(statistics) {
                    values[i] += weight * statistic(&counts);
                }
            }
        }
        values
    };
    let all: Vec<Vec<usize>> = shape.iter().map(|&n| (0..n).collect()).collect();
    let mut rng = Rng::new(0, Purpose::Evaluation, &[]);
    // Draws `[draw][statistic][pair]`.
    let draws: Vec<Vec<Vec<f64>>> = (0..n_draws)
        .map(|_| take(&shape.iter().map(|&n| (0..n).map(|_| rng.below(n)).collect()).collect::<Vec<_>>()))
        .collect();
    let estimate = |(i, d): (usize, Vec<f64>)| {
        // A draw in which the statistic has no value, as a share of nothing, is left out of the
        // variance.
        let draws: Vec<&[f64]> =
            draws.iter().map(|draw| draw[i].as_slice()).filter(|d| d.iter().all(|d| d.is_finite())).collect();
        d.iter().all(|d| d.is_finite()).then(|| combine(&d, &draws))
    };
    take(&all).into_iter().enumerate().map(estimate).collect()
}

/// Computes the estimate from the contrast of each pair, and from its bootstrap draws,
/// `[draw][pair]`.
fn combine(d: &[f64], draws: &[&[f64]]) -> Estimate {
    let n = d.len();
    let problems = variance(draws.iter().map(|draw| mean(draw)));
    if n == 1 {
        return Estimate::new(d[0], problems, f64::INFINITY, n);
    }
    let seeds = variance(d.iter().copied()) / n as f64;
    let within = (0..n).map(|i| variance(draws.iter().map(|draw| draw[i]))).sum::<f64>() / n as f64;
    let chance = (within - problems) / (n as f64 - 1.0);
    let total = seeds + (problems - chance).max(0.0);
    // Beyond this Student's distribution is the normal one, and the library's sums are slow.
    let freedom = Some((n as f64 - 1.0) * total / seeds).filter(|freedom| *freedom < 1e6).unwrap_or(f64::INFINITY);
    Estimate::new(mean(d), total, freedom, n)
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Sample variance; 0 of fewer than two values.
fn variance(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let n = values.clone().count() as f64;
    let mean = values.clone().sum::<f64>() / n;
    if n < 2.0 { 0.0 } else { values.map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0) }
}

#[cfg(test)]
mod tests;
