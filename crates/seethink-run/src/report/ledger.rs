//! Costs of a run, computed from its metrics.

use seethink_train::StepRecord;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Kind of cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Meter {
    /// Completions sampled in rollouts.
    Completions,
    /// Completion tokens sampled in rollouts.
    TokensGenerated,
    /// Tokens of the sampled prompts, images included.
    TokensPrompt,
    /// Image tokens of the sampled prompts.
    TokensImage,
    /// Tokens processed in updates, prompts and images included.
    TokensTrained,
    /// Optimiser steps.
    Updates,
    /// Floating-point operations of forward passes.
    ForwardFlops,
    /// Floating-point operations of backward passes.
    BackwardFlops,
    /// Wall time, seconds.
    WallSecs,
    /// Wall time of rollouts, seconds.
    RolloutSecs,
    /// Wall time of the reference policy, seconds.
    ReferenceSecs,
    /// Wall time of updates, seconds.
    UpdateSecs,
    /// Wall time of tests and validations, seconds.
    ValidationSecs,
}

/// Metric that a cost is computed from.
enum Source {
    /// Metric that accumulates from the start of the run.
    Running(&'static str),
    /// Metric of a single step.
    PerStep(&'static str),
}

impl Meter {
    /// All kinds of cost.
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

/// Costs by kind; costs that the metrics do not record are missing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunCosts(pub BTreeMap<Meter, f64>);

impl RunCosts {
    /// Computes the costs from the start of a run; the records are all of them, from the first to
    /// that of the moment.
    pub fn until(records: &[StepRecord]) -> Self {
        Self(Meter::ALL.into_iter().filter_map(|meter| Some((meter, meter.reading(records)?))).collect())
    }

    /// Returns a cost, if recorded.
    pub fn get(&self, meter: Meter) -> Option<f64> {
        self.0.get(&meter).copied()
    }

    /// Sets a cost.
    pub fn with(mut self, meter: Meter, value: f64) -> Self {
        self.0.insert(meter, value);
        self
    }

    /// Costs since an earlier moment.
    pub fn since(&self, before: &Self) -> Self {
        Self(self.0.iter().map(|(&meter, now)| (meter, now - before.get(meter).unwrap_or(0.0))).collect())
    }

    /// Sum of the costs of two ledgers.
    pub fn plus(&self, other: &Self) -> Self {
        let mut sum = self.clone();
        other.0.iter().for_each(|(&meter, value)| *sum.0.entry(meter).or_default() += value);
        sum
    }
}

impl From<seethink_train::Ledger> for RunCosts {
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
        let (early, late) = (RunCosts::until(&records[..2]), RunCosts::until(&records));
        assert_eq!((late.get(Meter::TokensTrained), late.get(Meter::UpdateSecs)), (Some(50.0), Some(10.0)));
        let spent = late.since(&early);
        assert_eq!((spent.get(Meter::TokensTrained), spent.get(Meter::UpdateSecs)), (Some(30.0), Some(6.0)));
        assert_eq!(early.plus(&spent), late);
        assert_eq!(late.get(Meter::Updates), None);
        assert_eq!(RunCosts::until(&[]), RunCosts::default());
    }
}
