//! Rules about groups, for [`With`](crate::With): curricula that draw nothing.

mod filter;
mod speed;
mod vcrl;
mod weight;

pub use filter::{AdvantageGate, Filter, ZeroVariance};
pub use speed::Speed;
pub use vcrl::Vcrl;
pub use weight::{Favour, Weight};

use crate::{Curriculum, CurriculumError};
use serde::{Deserialize, Serialize};

/// Configuration of a rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum RuleConfig {
    /// Drops groups whose accuracies, or whose rewards, are all equal (DAPO's dynamic sampling).
    ZeroVariance(ZeroVariance),
    /// Keeps groups whose mean lies between bounds.
    Filter(Filter),
    /// Drops groups whose advantages all lie between bounds.
    AdvantageGate(AdvantageGate),
    /// Samples few completions first, and the rest only if they differ.
    Speed(Speed),
    /// Replaces groups of small variance by earlier ones of large variance.
    Vcrl(Vcrl),
    /// Weighs groups by their pass rate.
    Weight(Weight),
}

impl RuleConfig {
    /// Builds the rule, as a curriculum that draws nothing.
    ///
    /// # Errors
    /// If a setting is out of range.
    pub fn build(&self) -> Result<Box<dyn Curriculum>, CurriculumError> {
        match self {
            Self::ZeroVariance(rule) => Ok(Box::new(rule.clone())),
            Self::Filter(filter) => filter.build(),
            Self::AdvantageGate(gate) => Ok(Box::new(gate.clone())),
            Self::Speed(speed) => speed.build(),
            Self::Vcrl(vcrl) => vcrl.build(),
            Self::Weight(weight) => weight.build(),
        }
    }
}
