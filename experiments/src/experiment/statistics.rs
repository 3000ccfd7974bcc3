//! How sure one can be of a difference between arms.
//!
//! A bootstrap paired in seeds and in test problems: both are drawn with replacement, the same for all arms of a contrast, and
//! the contrast is taken again. It so covers the choice of problems and, as far as so few seeds can, the randomness of training;
//! with three seeds it is too sure of itself rather than not sure enough.
//!
//! # Source
//! B. Efron and R. Tibshirani, *An Introduction to the Bootstrap* (1993), ch. 13 (percentile intervals); S. Holm, *A simple
//! sequentially rejective multiple test procedure*, Scandinavian Journal of Statistics 6 (1979).

use crate::report::Outcome;
use seethink::core::{Purpose, Rng};

/// Draws of the bootstrap.
const DRAWS: usize = 10_000;

/// How often each outcome came: right, wrong, misread, misreasoned, unread.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Counts([f64; 5]);

impl Counts {
    /// Of the letters of a run.
    pub fn of(letters: &str) -> Self {
        let mut counts = Self::default();
        letters.chars().filter_map(Outcome::of).for_each(|outcome| counts.0[outcome as usize] += 1.0);
        counts
    }

    /// How often this came.
    pub fn n(&self, outcome: Outcome) -> f64 {
        self.0[outcome as usize]
    }

    /// All problems.
    pub fn total(&self) -> f64 {
        self.0.iter().sum()
    }

    /// Share of right answers.
    pub fn accuracy(&self) -> f64 {
        self.n(Outcome::Right) / self.total()
    }
}

/// A statistic of the outcomes of a run, `[capability]`; NaN where it has none.
pub type Statistic = fn(&[Counts]) -> f64;

/// The outcomes of an arm: `[seed][capability]` letters, a letter per problem, the same problems everywhere.
pub type Letters<'a> = Vec<Vec<&'a str>>;

/// A difference and how sure it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Its value.
    pub value: f64,
    /// 95 % interval, low and high.
    pub interval: (f64, f64),
    /// Two-sided: how often a difference of the other sign would come out, twice over.
    pub p: f64,
}

/// `Σ weight · statistic`, averaged over seeds, with its interval. All arms have the same seeds in the same order.
///
/// `None` if an arm has no seeds, the arms differ in seeds or problems, or the statistic is not a number.
pub fn contrast(terms: &[(f64, &Letters<'_>)], statistic: Statistic) -> Option<Estimate> {
    let (_, first) = terms.first()?;
    let shape: Vec<Vec<usize>> = first.iter().map(|run| run.iter().map(|letters| letters.len()).collect()).collect();
    let same = |arm: &Letters<'_>| {
        arm.len() == shape.len()
            && arm.iter().zip(&shape).all(|(run, n)| run.iter().map(|letters| letters.len()).eq(n.iter().copied()))
    };
    let alike = shape.windows(2).all(|seeds| seeds[0] == seeds[1]);
    if shape.is_empty() || !alike || !terms.iter().all(|(_, arm)| same(arm)) {
        return None;
    }
    // `[arm][seed][capability][problem]`
    let codes: Vec<Vec<Vec<Vec<u8>>>> = terms
        .iter()
        .map(|(_, arm)| {
            let code = |letter: char| Outcome::of(letter).unwrap_or(Outcome::Wrong) as u8;
            arm.iter().map(|run| run.iter().map(|letters| letters.chars().map(code).collect()).collect()).collect()
        })
        .collect();
    let weights: Vec<f64> = terms.iter().map(|(weight, _)| *weight).collect();
    let n_seeds = shape.len();
    let take = |seeds: &[usize], problems: &[Vec<usize>]| -> f64 {
        let of_arm = |arm: &Vec<Vec<Vec<u8>>>| {
            let of_seed = |&seed: &usize| {
                let counts: Vec<Counts> = arm[seed]
                    .iter()
                    .zip(problems)
                    .map(|(codes, chosen)| {
                        let mut counts = Counts::default();
                        chosen.iter().for_each(|&problem| counts.0[usize::from(codes[problem])] += 1.0);
                        counts
                    })
                    .collect();
                statistic(&counts)
            };
            seeds.iter().map(of_seed).sum::<f64>() / seeds.len() as f64
        };
        weights.iter().zip(&codes).map(|(weight, arm)| weight * of_arm(arm)).sum()
    };
    let all: Vec<Vec<usize>> = shape[0].iter().map(|&n| (0..n).collect()).collect();
    let value = take(&(0..n_seeds).collect::<Vec<_>>(), &all);
    if !value.is_finite() {
        return None;
    }
    let mut rng = Rng::new(0, Purpose::Evaluation, &[]);
    let mut draws: Vec<f64> = (0..DRAWS)
        .map(|_| {
            let seeds: Vec<usize> = (0..n_seeds).map(|_| rng.below(n_seeds)).collect();
            let problems: Vec<Vec<usize>> = shape[0].iter().map(|&n| (0..n).map(|_| rng.below(n)).collect()).collect();
            take(&seeds, &problems)
        })
        .filter(|draw| draw.is_finite())
        .collect();
    draws.sort_by(f64::total_cmp);
    let quantile = |q: f64| draws[((q * draws.len() as f64) as usize).min(draws.len() - 1)];
    let share = |below: bool| {
        let n = draws.iter().filter(|&&draw| if below { draw <= 0.0 } else { draw >= 0.0 }).count();
        (n + 1) as f64 / (draws.len() + 1) as f64
    };
    let p = (2.0 * share(true).min(share(false))).min(1.0);
    Some(Estimate { value, interval: (quantile(0.025), quantile(0.975)), p })
}

/// p-values corrected for their number, by Holm's procedure: the chance of any false finding among them is held.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let mut corrected = vec![0.0; p.len()];
    let mut largest = 0.0f64;
    for (rank, &i) in order.iter().enumerate() {
        largest = largest.max((p[i] * (p.len() - rank) as f64).min(1.0));
        corrected[i] = largest;
    }
    corrected
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Letters of which the first `right` of every ten are right.
    fn letters(right: usize) -> String {
        (0..400).map(|i| if i % 10 < right { '1' } else { 'p' }).collect()
    }

    fn accuracy(counts: &[Counts]) -> f64 {
        counts[0].accuracy()
    }

    #[test]
    fn equal_arms_do_not_differ_and_unequal_ones_do() {
        let (low, high) = (letters(4), letters(6));
        let arm = |text| vec![vec![text]; 3];
        let (low, high) = (arm(low.as_str()), arm(high.as_str()));
        let same = contrast(&[(1.0, &low), (-1.0, &low)], accuracy).unwrap();
        assert_eq!((same.value, same.interval, same.p), (0.0, (0.0, 0.0), 1.0));
        let other = contrast(&[(1.0, &high), (-1.0, &low)], accuracy).unwrap();
        assert!((other.value - 0.2).abs() < 1e-12 && other.p < 0.001, "{other:?}");
        // Of 400 problems 80 differ: the deviation of the mean is √(0.2 · 0.8 / 400) = 0.02.
        assert!((other.interval.0 - 0.16).abs() < 0.01 && (other.interval.1 - 0.24).abs() < 0.01, "{other:?}");
    }

    #[test]
    fn what_one_seed_alone_shows_is_not_sure() {
        let (low, high) = (letters(4), letters(7));
        let steady = vec![vec![low.as_str()]; 3];
        let lucky = vec![vec![low.as_str()], vec![low.as_str()], vec![high.as_str()]];
        let estimate = contrast(&[(1.0, &lucky), (-1.0, &steady)], accuracy).unwrap();
        assert!((estimate.value - 0.1).abs() < 1e-12 && estimate.p > 0.05, "{estimate:?}");
    }

    #[test]
    fn what_cannot_be_paired_is_not_compared() {
        let (text, short) = (letters(4), "1p1p");
        let arm = vec![vec![text.as_str()]; 3];
        for other in [vec![vec![text.as_str()]; 2], vec![vec![short]; 3], vec![]] {
            assert_eq!(contrast(&[(1.0, &arm), (-1.0, &other)], accuracy), None);
        }
        let ragged = vec![vec![text.as_str()], vec![short]];
        assert_eq!(contrast(&[(1.0, &ragged), (-1.0, &ragged)], accuracy), None);
        assert_eq!(contrast(&[(1.0, &arm)], |_| f64::NAN), None);
    }

    #[test]
    fn holm_corrects_in_steps() {
        let corrected = holm(&[0.01, 0.04, 0.03, 0.5]);
        assert!(corrected.iter().zip([0.04, 0.09, 0.09, 0.5]).all(|(a, b)| (a - b).abs() < 1e-12), "{corrected:?}");
        assert_eq!(holm(&[0.6, 0.7]), [1.0, 1.0]);
    }

    #[test]
    fn counts_tell_outcomes_apart() {
        let counts = Counts::of("11p0ru");
        assert_eq!((counts.total(), counts.accuracy(), counts.n(Outcome::Misread)), (6.0, 2.0 / 6.0, 1.0));
    }
}
