//! Filters: rules that decide by the outcome of a group whether it is trained on.

use crate::Batch;
use crate::{Curriculum, CurriculumError, GroupOutcome, Progress, Quantity};
use seethink_core::SettingError;
use serde::{Deserialize, Serialize};

/// Dynamic sampling: drops groups whose accuracies, or whose rewards, are all equal.
///
/// By accuracy, the default, a group that is right or wrong throughout is dropped even if another
/// part of the reward, such as the format, varies; by reward, it is dropped only if it has no
/// advantage at all.
///
/// # Source
/// DAPO, arXiv 2503.14476, whose `filter_groups.metric` is accuracy in the published recipe. The
/// trainer refills by up to `grpo.max_draws` draws, where the source draws whole batches and
/// discards the surplus.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ZeroVariance {
    /// Quantity that must vary.
    pub quantity: Quantity,
}

impl Curriculum for ZeroVariance {
    fn draw(&mut self, _: Progress, _: usize) -> Batch {
        Batch::OVER
    }

    fn admit(&mut self, group: &GroupOutcome) -> bool {
        !group.has_no_variance(self.quantity)
    }
}

/// Keeps groups whose mean accuracy or reward lies between two bounds.
///
/// # Source
/// EasyR1's `online_filtering` (open, 0.01 and 0.99), OpenRLHF's `dynamic_filtering_range` (open, 0
/// and 1), MM-Eureka's accuracy filter (closed, 0.1 and 0.9; arXiv 2503.07365).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// Quantity averaged over the group.
    pub quantity: Quantity,
    /// Lower bound.
    pub low: f64,
    /// Upper bound.
    pub high: f64,
    /// `true` if the bounds themselves are kept.
    pub inclusive: bool,
}

impl Filter {
    pub(crate) fn build(&self) -> Result<Box<dyn Curriculum>, CurriculumError> {
        let fits = self.low.is_finite() && self.high.is_finite() && self.low <= self.high;
        let found = format!("{} and {}", self.low, self.high);
        let wrong = SettingError::new("Filter.low", found, "a bound that is at most `high`");
        if fits { Ok(Box::new(self.clone())) } else { Err(wrong.into()) }
    }
}

impl Curriculum for Filter {
    fn draw(&mut self, _: Progress, _: usize) -> Batch {
        Batch::OVER
    }

    fn admit(&mut self, group: &GroupOutcome) -> bool {
        group.mean(self.quantity).is_some_and(|mean| {
            if self.inclusive { (self.low..=self.high).contains(&mean) } else { self.low < mean && mean < self.high }
        })
    }
}

/// Drops groups whose advantages all lie between two bounds, bounds included; a group without
/// advantages is kept.
///
/// # Source
/// prime-rl `AdvRangeGate` at `97299ec`, whose default bounds are both 0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdvantageGate {
    /// Lower bound.
    #[serde(default)]
    pub low: f64,
    /// Upper bound.
    #[serde(default)]
    pub high: f64,
}

impl Curriculum for AdvantageGate {
    fn draw(&mut self, _: Progress, _: usize) -> Batch {
        Batch::OVER
    }

    fn admit(&mut self, group: &GroupOutcome) -> bool {
        let inside = |&advantage: &f32| (self.low..=self.high).contains(&f64::from(advantage));
        group.advantages.is_empty() || !group.advantages.iter().all(inside)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::{cases, floats, outcome};

    #[test]
    fn groups_without_variance_are_dropped() {
        let admitted = |rewards: &[f32]| ZeroVariance::default().admit(&outcome(1, rewards));
        assert_eq!([admitted(&[1.0, 1.0]), admitted(&[0.0, 0.0]), admitted(&[0.0, 1.0])], [false, false, true]);
    }

    #[test]
    fn a_format_that_varies_is_no_variance_of_accuracy() {
        let group = GroupOutcome { rewards: vec![1.0, 0.9], ..outcome(1, &[1.0, 1.0]) };
        let admits = |text: &str| ron::from_str::<ZeroVariance>(text).unwrap().admit(&group);
        assert_eq!(["()", "(quantity: Accuracy)", "(quantity: Reward)"].map(admits), [false, false, true]);
    }

    #[test]
    fn bounds_are_open_or_closed() {
        for (inclusive, expected) in [(false, [false, true, false]), (true, [true, true, true])] {
            let mut filter = Filter { quantity: Quantity::Accuracy, low: 0.25, high: 0.75, inclusive };
            let groups = [[1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 1.0, 0.0]];
            assert_eq!(groups.map(|rewards| filter.admit(&outcome(1, &rewards))), expected);
        }
        assert!(Filter { quantity: Quantity::Reward, low: 1.0, high: 0.0, inclusive: true }.build().is_err());
    }

    #[test]
    fn the_gate_conforms_to_the_code() {
        for case in cases("curriculum.adv_gate") {
            // 0.05 differs between f32 and f64; an outcome has f32.
            let number = |key: &str| f64::from(case["params"][key].as_f64().unwrap() as f32);
            let mut gate = AdvantageGate { low: number("reject_min"), high: number("reject_max") };
            let groups = floats(&case["inputs"]["group_token_advantages"]);
            for (advantages, expected) in groups.iter().zip(case["expected"]["admit"].as_array().unwrap()) {
                let advantages: Vec<f32> = advantages.iter().map(|&advantage| advantage as f32).collect();
                let found = gate.admit(&GroupOutcome { advantages, ..outcome(1, &[0.0, 1.0]) });
                assert_eq!(found, expected.as_bool().unwrap());
            }
        }
    }
}
