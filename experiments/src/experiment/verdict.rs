//! Verdicts on differences, by the rule that was registered before the runs.

use super::{Estimate, Unit};
use std::fmt;

/// Least difference in accuracy that matters, a fraction.
pub const MATTERS: f64 = 0.02;

/// Verdict on a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// At least two points above nothing, and the 95 % interval is above 0.
    Higher,
    /// At least two points below nothing, and the 95 % interval is below 0.
    Lower,
    /// The 90 % interval lies within two points of nothing.
    Same,
    /// None of these.
    Undecided,
}

impl Verdict {
    /// Verdict on an estimate, a difference of fractions.
    pub fn of(estimate: &Estimate) -> Self {
        let (low, high) = estimate.interval;
        let (inner_low, inner_high) = estimate.interval_at(0.9);
        if low > 0.0 && estimate.value >= MATTERS {
            Self::Higher
        } else if high < 0.0 && estimate.value <= -MATTERS {
            Self::Lower
        } else if inner_low > -MATTERS && inner_high < MATTERS {
            Self::Same
        } else {
            Self::Undecided
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Higher => "higher",
            Self::Lower => "lower",
            Self::Same => "the same within two points",
            Self::Undecided => "undecided",
        })
    }
}

/// Difference with its verdict.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// Mean over pairs of runs, with Student's interval over them.
    pub estimate: Estimate,
    /// Means over the pairs of each base model.
    pub by_base: Vec<f64>,
}

impl Judged {
    /// Verdict by the registered rule.
    pub fn verdict(&self) -> Verdict {
        Verdict::of(&self.estimate)
    }
}

impl fmt::Display for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let signed = |value: &f64| Unit::Percent.signed(*value);
        let Estimate { value, interval: (low, high), n_pairs, .. } = &self.estimate;
        let by_base: Vec<String> = self.by_base.iter().map(signed).collect();
        write!(
            f,
            "**{}**, {} [{}, {}] over {n_pairs} seeds, by base model {}",
            self.verdict(),
            signed(value),
            signed(low),
            signed(high),
            by_base.join(", ")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registered_rule_decides() {
        let of = |values: &[f64]| Verdict::of(&Estimate::over(values).unwrap());
        assert_eq!(of(&[0.03, 0.04, 0.035, 0.03]), Verdict::Higher);
        assert_eq!(of(&[-0.03, -0.04, -0.035, -0.03]), Verdict::Lower);
        // Surely above nothing, and surely less than matters.
        assert_eq!(of(&[0.010, 0.011, 0.009, 0.010]), Verdict::Same);
        assert_eq!(of(&[0.0, 0.001, -0.001, 0.0]), Verdict::Same);
        assert_eq!(of(&[0.05, -0.03, 0.04, 0.01]), Verdict::Undecided);
    }
}
