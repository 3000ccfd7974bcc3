//! What a run has cost, read off its metrics.

use seethink_train::StepRecord;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Meter {
    /// Completions sampled in rollouts.
    Completions,
    /// Completion tokens sampled in rollouts.
    TokensGenerated,
    /// Tokens of the prompts that were sampled from, images included.
    TokensPrompt,
    /// Image tokens among them.
    TokensImage,
    /// Tokens that went through updates, prompts and images included.
    TokensTrained,
    /// Optimiser steps.
    Updates,
    /// Floating-point operations of forward passes.
    ForwardFlops,
    /// Floating-point operations of backward passes.
    BackwardFlops,
    /// Wall time, seconds.
    WallSecs,
    /// Seconds of it in rollouts.
    RolloutSecs,
    /// Seconds of it in the reference policy.
    ReferenceSecs,
    /// Seconds of it in updates.
    UpdateSecs,
    /// Seconds of it in tests and validations.
    ValidationSecs,
}

/// How a metric becomes a cost.
enum Source {
    /// The metric counts from the start of the run.
    Running(&'static str),
    /// The metric is of its step alone.
    PerStep(&'static str),
}

impl Meter {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Completions,
        Self::TokensGenerated,
        Self::TokensPrompt,
        Self::TokensImage,
        Self::TokensTrained,
        Self::Updates,
        Self::ForwardFlops,
        Self::BackwardFlops,
        Self::WallSecs,
        Self::RolloutSecs,
        Self::ReferenceSecs,
        Self::UpdateSecs,
        Self::ValidationSecs,
    ];

    fn source(self) -> Source {
        match self {
            Self::Completions => Source::Running("rollout/completions"),
            Self::TokensGenerated => Source::Running("tokens/generated"),
            Self::TokensPrompt => Source::Running("tokens/prompt"),
            Self::TokensImage => Source::Running("tokens/image"),
            Self::TokensTrained => Source::Running("tokens/trained"),
            Self::Updates => Source::Running("update/steps"),
            Self::ForwardFlops => Source::Running("flops/forward"),
            Self::BackwardFlops => Source::Running("flops/backward"),
            Self::WallSecs => Source::Running("time/elapsed_secs"),
            Self::RolloutSecs => Source::PerStep("time/rollout_secs"),
            Self::ReferenceSecs => Source::PerStep("time/reference_secs"),
            Self::UpdateSecs => Source::PerStep("time/update_secs"),
            Self::ValidationSecs => Source::PerStep("time/validation_secs"),
        }
    }

    fn reading(self, records: &[StepRecord]) -> Option<f64> {
        match self.source() {
            Source::Running(key) => records.iter().rev().find_map(|record| record.metrics.get(key).copied()),
            Source::PerStep(key) => {
                records.iter().filter_map(|record| record.metrics.get(key).copied()).reduce(|a, b| a + b)
            }
        }
    }
}

/// Costs; those that the metrics do not tell are missing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ledger(pub BTreeMap<Meter, f64>);

impl Ledger {
    /// What was spent from the start of a run up to the last of these records, which are all of them from the first.
    pub fn until(records: &[StepRecord]) -> Self {
        Self(Meter::ALL.into_iter().filter_map(|meter| Some((meter, meter.reading(records)?))).collect())
    }

    /// A cost.
    pub fn get(&self, meter: Meter) -> Option<f64> {
        self.0.get(&meter).copied()
    }

    /// With another cost.
    pub fn with(mut self, meter: Meter, value: f64) -> Self {
        self.0.insert(meter, value);
        self
    }

    /// What was spent since an earlier moment.
    pub fn since(&self, before: &Self) -> Self {
        Self(self.0.iter().map(|(&meter, now)| (meter, now - before.get(meter).unwrap_or(0.0))).collect())
    }

    /// Both together.
    pub fn plus(&self, other: &Self) -> Self {
        let mut sum = self.clone();
        other.0.iter().for_each(|(&meter, value)| *sum.0.entry(meter).or_default() += value);
        sum
    }
}

impl From<seethink_train::Ledger> for Ledger {
    fn from(spent: seethink_train::Ledger) -> Self {
        let record = StepRecord { step: 0, stage: String::new(), metrics: spent.metrics() };
        Self::until(&[record])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::record;

    #[test]
    fn running_totals_are_read_and_times_of_steps_added() {
        let step = |n: usize| {
            let running = 10.0 * n as f64;
            record(n, "all", &[("tokens/trained", running), ("time/update_secs", 2.0), ("time/elapsed_secs", running)])
        };
        let records: Vec<_> = (1..=5).map(step).collect();
        let (early, late) = (Ledger::until(&records[..2]), Ledger::until(&records));
        assert_eq!((late.get(Meter::TokensTrained), late.get(Meter::UpdateSecs)), (Some(50.0), Some(10.0)));
        let spent = late.since(&early);
        assert_eq!((spent.get(Meter::TokensTrained), spent.get(Meter::UpdateSecs)), (Some(30.0), Some(6.0)));
        assert_eq!(early.plus(&spent), late);
        assert_eq!(late.get(Meter::Updates), None);
        assert_eq!(Ledger::until(&[]), Ledger::default());
    }
}
