//! Tests of the estimates: known values, and calibration on nulls that are known to be true.

use super::*;

/// Outcome letters of which the first `right` of every ten are right.
fn letters(right: usize) -> String {
    (0..400).map(|i| if i % 10 < right { '1' } else { 'p' }).collect()
}

fn accuracy(counts: &[Counts]) -> f64 {
    counts[0].accuracy()
}

fn difference<'a>(arms: impl IntoIterator<Item = (&'a str, &'a str)>) -> Option<Estimate> {
    let pairs: Vec<Pair<'_>> = arms.into_iter().map(|(a, b)| vec![(1.0, vec![a]), (-1.0, vec![b])]).collect();
    contrast(&pairs, &[accuracy])[0]
}

fn close(a: f64, b: f64, tolerance: f64) -> bool {
    (a - b).abs() < tolerance
}

#[test]
fn intervals_are_students() {
    // Quantiles of printed tables: 4.3027 for 2 degrees of freedom, 2.2010 for 11, 1.9600 for
    // infinitely many.
    for (freedom, quantile) in [(2.0, 4.3027), (11.0, 2.2010), (f64::INFINITY, 1.9600)] {
        let estimate = Estimate::new(1.0, 0.25, freedom, 3);
        assert!(close(estimate.interval.1, 1.0 + 0.5 * quantile, 1e-4), "{estimate:?}");
        assert!(close(estimate.interval.0, 1.0 - 0.5 * quantile, 1e-4), "{estimate:?}");
        assert!(close(estimate.t(), 2.0, 1e-12));
    }
    // Two-sided p-values of t = 2 and of t = −2: 0.1835 with 2 degrees of freedom, 0.0455 with
    // infinitely many.
    assert!(close(Estimate::new(1.0, 0.25, 2.0, 3).p, 0.1835, 1e-4));
    assert!(close(Estimate::new(-1.0, 0.25, f64::INFINITY, 1).p, 0.0455, 1e-4));
}

#[test]
fn the_variances_of_seeds_and_problems_are_added_once() {
    // Seeds alone: the paired t test. d = 1, 2, 3: variance 1 / 3, t = 2 · √3.
    let still: &[f64] = &[1.0, 2.0, 3.0];
    let seeds = combine(still, &[still, still]);
    assert!(close(seeds.t(), 2.0 * 3f64.sqrt(), 1e-12) && close(seeds.freedom, 2.0, 1e-12), "{seeds:?}");
    assert_eq!(seeds.n_pairs, 3);
    // Problems move all pairs together by ±2 (sample variance of the two draws 8): all of it is
    // added.
    let together = combine(still, &[&[3.0, 4.0, 5.0], &[-1.0, 0.0, 1.0]]);
    assert!(close(together.error, (1.0 / 3.0 + 8.0f64).sqrt(), 1e-12), "{together:?}");
    assert!(close(together.freedom, 2.0 * (1.0 / 3.0 + 8.0) / (1.0 / 3.0), 1e-9), "{together:?}");
    // Draws move each pair on its own: that is in the seeds' variance already. Mean var* = 2 · 2/3,
    // var* of the mean = 0.
    let apart = combine(still, &[&[2.0, 1.0, 3.0], &[0.0, 3.0, 3.0]]);
    assert!(close(apart.error, (1.0f64 / 3.0).sqrt(), 1e-12), "{apart:?}");
    // Two pairs of three move: var* of the mean 8/9, mean var* 4/3, chance (4/3 − 8/9) / 2 = 2/9,
    // so 6/9 is added.
    let partly = combine(still, &[&[2.0, 3.0, 3.0], &[0.0, 1.0, 3.0]]);
    assert!(close(partly.error, (1.0f64 / 3.0 + 6.0 / 9.0).sqrt(), 1e-12), "{partly:?}");
}

#[test]
fn equal_arms_do_not_differ_and_unequal_ones_do() {
    let (low, high) = (letters(4), letters(6));
    let same = difference([(low.as_str(), low.as_str()); 3]).unwrap();
    assert_eq!((same.value, same.interval, same.p), (0.0, (0.0, 0.0), 1.0));
    // Equal seeds: only problems vary. Of 400 problems 80 differ: the deviation of the mean is
    // √(0.2 · 0.8 / 400) = 0.02.
    let other = difference([(high.as_str(), low.as_str()); 3]).unwrap();
    assert!(close(other.value, 0.2, 1e-12) && close(other.error, 0.02, 0.001) && other.p < 1e-6, "{other:?}");
    assert_eq!(other.freedom, f64::INFINITY);
    let one = difference([(high.as_str(), low.as_str())]).unwrap();
    assert!(close(one.value, 0.2, 1e-12) && close(one.error, 0.02, 0.001) && one.n_pairs == 1, "{one:?}");
}

#[test]
fn a_difference_that_never_varies_is_sure() {
    let estimate = Estimate::new(0.5, 0.0, 2.0, 3);
    assert_eq!((estimate.interval, estimate.p), ((0.5, 0.5), 0.0));
}

#[test]
fn the_other_way_round_is_the_same_test() {
    let estimate = Estimate::new(1.0, 0.25, 2.0, 3);
    let (back, twice) = (estimate.negated(), estimate.negated().negated());
    assert_eq!((back.value, back.p, back.error, twice), (-1.0, estimate.p, 0.5, estimate));
    assert_eq!(back.interval, (-estimate.interval.1, -estimate.interval.0));
}

#[test]
fn what_one_seed_alone_shows_is_not_sure() {
    let (low, high) = (letters(4), letters(7));
    let estimate = difference([(low.as_str(), low.as_str()), (low.as_str(), low.as_str()), (&high, &low)]).unwrap();
    // t = 1 with 2 degrees of freedom, were it for the seeds alone.
    assert!(close(estimate.value, 0.1, 1e-12) && estimate.p > 0.2, "{estimate:?}");
}

#[test]
fn what_cannot_be_paired_is_not_compared() {
    let (text, short) = (letters(4), "1p1p");
    assert_eq!(difference([(text.as_str(), short)]), None);
    assert_eq!(difference([(text.as_str(), text.as_str()), (short, short)]), None);
    assert_eq!(difference([]), None);
    assert_eq!(contrast(&[vec![]], &[accuracy]), [None]);
    assert_eq!(contrast(&[vec![(1.0, vec![text.as_str()])]], &[|_| f64::NAN, accuracy]).iter().flatten().count(), 1);
}

#[test]
fn statistics_are_taken_together_as_apart() {
    let (low, high) = (letters(4), letters(6));
    let pairs: Vec<Pair<'_>> = vec![vec![(1.0, vec![&high, &low]), (-1.0, vec![&low, &high])]; 2];
    let both = contrast(&pairs, &[accuracy, |counts| counts[1].accuracy()]);
    assert_eq!(both[0], contrast(&pairs, &[accuracy])[0]);
    assert!(close(both[1].unwrap().value, -0.2, 1e-12), "{both:?}");
}

/// Standard deviations that make the chances of an arm, on a problem whose answers are right in 30
/// to 70 %.
struct Noise {
    /// Standard deviation of an arm and seed, for all problems.
    seed: f64,
    /// Standard deviation of an arm and problem, for all seeds.
    problem: f64,
}

/// Rejection rate of 5 % tests between arms that differ only by chance.
fn rejections(n_seeds: usize, n_problems: usize, noise: &Noise, n_tests: u64) -> f64 {
    let mut rng = Rng::new(n_seeds as u64, Purpose::Evaluation, &[n_problems as u64, (1000.0 * noise.seed) as u64]);
    // The sum of twelve uniform numbers is nearly normal.
    let normal = |rng: &mut Rng, deviation: f64| deviation * ((0..12).map(|_| rng.uniform()).sum::<f64>() - 6.0);
    let reject = |_: &u64| {
        let chances: Vec<f64> = (0..n_problems).map(|_| 0.3 + 0.4 * rng.uniform()).collect();
        // Shifts `[arm][problem]`.
        let shifts: [Vec<f64>; 2] =
            std::array::from_fn(|_| chances.iter().map(|p| p + normal(&mut rng, noise.problem)).collect());
        // Runs `[seed][arm]`.
        let runs: Vec<[String; 2]> = (0..n_seeds)
            .map(|_| {
                [0, 1].map(|arm: usize| {
                    let of_seed = normal(&mut rng, noise.seed);
                    shifts[arm].iter().map(|p| if rng.uniform() < p + of_seed { '1' } else { 'p' }).collect()
                })
            })
            .collect();
        let pairs: Vec<Pair<'_>> =
            runs.iter().map(|[a, b]| vec![(1.0, vec![a.as_str()]), (-1.0, vec![b.as_str()])]).collect();
        contrast_with(&pairs, &[accuracy], 100)[0].unwrap().p < 0.05
    };
    (0..n_tests).filter(reject).count() as f64 / n_tests as f64
}

/// The deviation of a share over 1,000 tests is 0.7 points; the draws are fixed.
#[test]
fn true_nulls_are_rejected_in_3_to_7_percent() {
    let nulls = [
        ("seeds", Noise { seed: 0.1, problem: 0.0 }),
        ("problems", Noise { seed: 0.0, problem: 0.15 }),
        ("single answers", Noise { seed: 0.0, problem: 0.0 }),
        ("seeds and problems", Noise { seed: 0.02, problem: 0.15 }),
    ];
    for n_seeds in [3, 5] {
        for (what, noise) in &nulls {
            let share = rejections(n_seeds, 60, noise, 1_000);
            assert!((0.03..=0.07).contains(&share), "{what}, {n_seeds} seeds: {:.1} %", 100.0 * share);
        }
    }
}
