//! Weights of groups, by their pass rate p.

use crate::{Batch, Curriculum, CurriculumError, GroupOutcome, Progress};
use seethink_core::SettingError;
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

/// Weight of a group: the factor of its advantages, by its pass rate p. A group without completions
/// has weight 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Weight {
    /// Online difficulty soft weighting (ODSW) of PCuRL: the favoured side of p = 1/2 has weight 1,
    /// the other falls along `sin(π p)`.
    ///
    /// # Source
    /// arXiv 2507.22607 and alibaba-damo-academy/VL-Cogito at `7ab7856` (`s_1` to `s_3`, `h_1` to
    /// `h_3`). The stages of its curriculum go from easy to hard. The length reward of its last
    /// stage is `DynamicLength` among the penalties of a reward.
    Odsw {
        /// Favoured problems; with [`Favour::Medium`] the soft weight falls on both sides.
        favour: Favour,
        /// `true` for weight 1 within a window and 0 outside, instead of a soft fall: `p ≥ 1/2`
        /// (easy), `1/4 ≤ p ≤ 3/4` (medium) or `0 < p ≤ 1/2` (hard).
        #[serde(default)]
        binary: bool,
        /// Soft weight at p = 0 if hard problems are favoured, at least 0; 0.25 in the source.
        #[serde(default = "none_right")]
        none_right: f64,
    },
    /// Learnability `4 p (1 − p)`: the difficulty factor of PC-GRPO.
    ///
    /// # Source
    /// arXiv 2512.14944 (second version, Eq. 1), without its second factor, the diversity of the
    /// options chosen.
    Learnability,
    /// Focal weight `(1 − p)^gamma`: problems that are mostly solved count less.
    ///
    /// # Source
    /// F-GRPO, arXiv 2602.06717; gamma 0.5 or 1.
    Focal {
        /// Exponent, at least 0.
        gamma: f64,
    },
    /// Gaussian weight `exp(−(p − target)² / 2 sigma²)` around a pass rate.
    Gaussian {
        /// Pass rate with weight 1.
        target: f64,
        /// Standard deviation of the Gaussian, above 0.
        sigma: f64,
    },
}

/// Problems that a weight favours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Favour {
    /// Pass rates above 1/2.
    Easy,
    /// Pass rates about 1/2.
    Medium,
    /// Pass rates below 1/2.
    Hard,
}

fn none_right() -> f64 {
    0.25
}

impl Weight {
    pub(crate) fn build(&self) -> Result<Box<dyn Curriculum>, CurriculumError> {
        let fits = match *self {
            Self::Odsw { none_right, .. } => none_right.is_finite() && none_right >= 0.0,
            Self::Learnability => true,
            Self::Focal { gamma } => gamma.is_finite() && gamma >= 0.0,
            Self::Gaussian { target, sigma } => target.is_finite() && sigma.is_finite() && sigma > 0.0,
        };
        let expected = "finite numbers, `none_right` and `gamma` at least 0, `sigma` above 0";
        let wrong = SettingError::new("Weight", format!("{self:?}"), expected);
        if fits { Ok(Box::new(*self)) } else { Err(wrong.into()) }
    }

    /// Weight at a pass rate in `[0, 1]`.
    fn at(self, p: f64) -> f64 {
        let soft = (PI * (p - 0.5)).cos();
        match self {
            Self::Odsw { favour, binary: true, .. } => f64::from(u8::from(match favour {
                Favour::Hard => p > 0.0 && p <= 0.5,
                Favour::Medium => (0.25..=0.75).contains(&p),
                Favour::Easy => p >= 0.5,
            })),
            Self::Odsw { favour: Favour::Hard, none_right, .. } if p == 0.0 => none_right,
            Self::Odsw { .. } if p == 0.0 => 0.0,
            Self::Odsw { favour, .. } => match favour {
                Favour::Hard if p <= 0.5 => 1.0,
                Favour::Easy if p > 0.5 => 1.0,
                _ => soft,
            },
            Self::Learnability => 4.0 * p * (1.0 - p),
            Self::Focal { gamma } => (1.0 - p).powf(gamma),
            Self::Gaussian { target, sigma } => (-(p - target).powi(2) / (2.0 * sigma * sigma)).exp(),
        }
    }
}

impl Curriculum for Weight {
    fn draw(&mut self, _: Progress, _: usize) -> Batch {
        Batch::OVER
    }

    fn weight(&self, group: &GroupOutcome) -> f64 {
        group.pass_rate().map_or(0.0, |p| self.at(p).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::{cases, float_list, outcome};

    #[test]
    fn odsw_conforms_to_the_code() {
        let cases = cases("curriculum.odsw");
        assert_eq!(cases.len(), 4);
        for case in cases {
            let kind = case["params"]["cur_type"].as_str().unwrap();
            let favour = match kind.as_bytes()[2] {
                b'1' => Favour::Hard,
                b'2' => Favour::Medium,
                _ => Favour::Easy,
            };
            let none_right = case["params"]["all_false_coff"].as_f64().unwrap();
            let weight = Weight::Odsw { favour, binary: kind.starts_with('h'), none_right };
            let accuracies = float_list(&case["inputs"]["group_accuracy"]);
            for (p, expected) in accuracies.into_iter().zip(float_list(&case["expected"]["weights"])) {
                assert!((weight.at(p) - expected).abs() < 1e-9, "{kind} at {p}: {} {expected}", weight.at(p));
            }
        }
    }

    #[test]
    fn easy_stages_count_what_is_solved() {
        let easy = Weight::Odsw { favour: Favour::Easy, binary: false, none_right: 0.25 };
        assert_eq!([0.0, 0.5, 0.75, 1.0].map(|p| easy.at(p)), [0.0, 1.0, 1.0, 1.0]);
        assert!((easy.at(0.25) - 0.5f64.sqrt()).abs() < 1e-12, "sin(π / 4) on the other side");
        let binary = Weight::Odsw { favour: Favour::Easy, binary: true, none_right: 0.25 };
        assert_eq!([0.0, 0.4, 0.5, 1.0].map(|p| binary.at(p)), [0.0, 0.0, 1.0, 1.0]);
    }

    #[test]
    fn published_values_of_the_others() {
        let focal = |gamma| [1.0, 4.0, 7.0, 8.0].map(|k| Weight::Focal { gamma }.at(k / 8.0));
        assert_eq!(focal(1.0), [0.875, 0.5, 0.125, 0.0]);
        assert!((focal(0.5)[2] - 0.3536).abs() < 1e-4);
        assert_eq!([0.0, 0.5, 1.0].map(|p| Weight::Learnability.at(p)), [0.0, 1.0, 0.0]);
        let bell = Weight::Gaussian { target: 0.5, sigma: 0.35 };
        assert!((bell.at(1.0) - 0.360).abs() < 1e-3);
        assert_eq!(bell.weight(&outcome(1, &[1.0, 0.0])), 1.0);
        assert_eq!(bell.weight(&outcome(1, &[])), 0.0);
        assert!(Weight::Gaussian { target: 0.5, sigma: 0.0 }.build().is_err());
    }
}
