//! Confidence intervals of accuracies.

use serde::{Deserialize, Serialize};

/// 97.5 % quantile of the standard normal distribution, for a two-sided 95 % interval.
const Z: f64 = 1.959_963_984_540_054;

/// Confidence interval of a fraction.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end, in `[0, 1]`.
    pub low: f64,
    /// Upper end, in `[0, 1]`.
    pub high: f64,
}

/// 95 % Wilson score interval of a fraction `accuracy` (clamped to `[0, 1]`) measured on `n`
/// independent problems.
///
/// With `p` the fraction: `(p + z²/2n ± z √(p(1 − p)/n + z²/4n²)) / (1 + z²/n)`, `z = 1.96`.
/// Unlike the normal interval it stays inside `[0, 1]` and has a width at 0 and 1.
/// It covers the choice of problems, not the randomness of training: that is what seeds are for.
///
/// `None` without problems.
///
/// # Source
/// E. B. Wilson, *Probable inference, the law of succession, and statistical inference*, JASA 22
/// (1927).
pub fn wilson(accuracy: f64, n: u64) -> Option<Interval> {
    if n == 0 || !accuracy.is_finite() {
        return None;
    }
    let (p, n) = (accuracy.clamp(0.0, 1.0), n as f64);
    let z2_over_n = Z * Z / n;
    let center = p + z2_over_n / 2.0;
    let half_width = Z * (p * (1.0 - p) / n + z2_over_n / (4.0 * n)).sqrt();
    let end = |value: f64| (value / (1.0 + z2_over_n)).clamp(0.0, 1.0);
    Some(Interval { low: end(center - half_width), high: end(center + half_width) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The four examples of R. G. Newcombe, *Two-sided confidence intervals for the single
    /// proportion*, Statistics in Medicine 17 (1998), table I, method 3, which are given to four
    /// decimals; and, where everything is right, the closed form `n / (n + z²)`.
    #[test]
    fn known_intervals() {
        for (k, n, low, high) in [
            (81, 263, 0.2553, 0.3662),
            (15, 148, 0.0624, 0.1605),
            (0, 20, 0.0, 0.1611),
            (1, 29, 0.0061, 0.1718),
            (10, 10, 0.7225, 1.0),
        ] {
            let interval = wilson(f64::from(k) / n as f64, n).unwrap();
            assert!((interval.low - low).abs() < 5.1e-5, "{k}/{n}: {interval:?}");
            assert!((interval.high - high).abs() < 5.1e-5, "{k}/{n}: {interval:?}");
        }
    }

    #[test]
    fn nothing_measured_has_no_interval() {
        assert_eq!(wilson(0.5, 0), None);
        assert_eq!(wilson(f64::NAN, 10), None);
    }
}
