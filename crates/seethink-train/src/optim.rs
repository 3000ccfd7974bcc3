//! The optimiser: AdamW, global-norm clipping, learning-rate schedules.

use burn::lr_scheduler::{LrScheduler, LrSchedulerRecord};
use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::{AdamWConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::{DType, Tensor};
use seethink_core::SettingError;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Settings of the optimiser: AdamW, gradient clipping, learning-rate schedule.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimizerConfig {
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Decay rates of the two moments.
    pub betas: (f32, f32),
    /// Added to the root of the second moment.
    pub epsilon: f32,
    /// Decoupled weight decay.
    pub weight_decay: f32,
    /// Gradient clipping: gradients of all parameters together are scaled down to this norm.
    pub max_grad_norm: f64,
    /// Learning-rate schedule over a stage.
    pub schedule: Schedule,
}

impl OptimizerConfig {
    /// # Errors
    /// If a value is out of range.
    pub(crate) fn check(&self) -> Result<(), SettingError> {
        let at_least_zero = |value: f64| value.is_finite() && value >= 0.0;
        let Self { learning_rate, betas, epsilon, weight_decay, max_grad_norm, schedule } = *self;
        let sound = at_least_zero(learning_rate)
            && [betas.0, betas.1].iter().all(|beta| (0.0..1.0).contains(beta))
            && at_least_zero(epsilon.into())
            && at_least_zero(weight_decay.into())
            && max_grad_norm.is_finite()
            && max_grad_norm > 0.0
            && [schedule.warmup, schedule.floor].iter().all(|share| (0.0..=1.0).contains(share));
        if sound {
            return Ok(());
        }
        let expected = "rates, epsilon and weight_decay at least 0, betas in [0, 1), max_grad_norm above 0, warmup and floor \
                        in [0, 1]";
        Err(SettingError::new("optimizer", format!("{self:?}"), expected))
    }

    /// Creates a fresh AdamW.
    pub fn init(&self) -> ModuleOptimizer {
        AdamWConfig::new()
            .with_beta_1(self.betas.0)
            .with_beta_2(self.betas.1)
            .with_epsilon(self.epsilon)
            .with_weight_decay(self.weight_decay)
            .init()
    }
}

/// Learning rate over a stage, as a factor of the peak.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Warm-up: share of the steps over which the rate rises linearly from 0.
    pub warmup: f64,
    /// Decay after the warm-up.
    pub decay: Decay,
    /// Factor at the end of a decay.
    pub floor: f64,
}

/// Shape of the decay after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Decay {
    /// No decay.
    Constant,
    /// Linear decay to the floor.
    Linear,
    /// Cosine decay to the floor: half a cosine.
    Cosine,
}

impl Schedule {
    /// Constant schedule: always the peak rate.
    pub const CONSTANT: Self = Self { warmup: 0.0, decay: Decay::Constant, floor: 0.0 };

    /// Factor of the peak rate at `step` (from 0) of `total`.
    ///
    /// With `w = floor(warmup · total)` warm-up steps: `step / w` before `w`, then the decay over
    /// the `total − w` others.
    ///
    /// # Source
    /// EasyR1 `verl/utils/torch_functional.py` at `b44b311` (its first warm-up step has rate 0 as
    /// well); `Linear` is ours.
    pub fn factor(&self, step: usize, total: usize) -> f64 {
        let warmup = (self.warmup * total as f64) as usize;
        if step < warmup {
            return step as f64 / warmup as f64;
        }
        let progress = (step - warmup) as f64 / (total - warmup).max(1) as f64;
        match self.decay {
            Decay::Constant => 1.0,
            Decay::Linear => self.floor.max(1.0 - (1.0 - self.floor) * progress),
            Decay::Cosine => {
                let cosine = (std::f64::consts::PI * progress.min(1.0)).cos();
                self.floor.max(0.5 * (1.0 - self.floor) * cosine + 0.5 * (1.0 + self.floor))
            }
        }
    }
}

/// A learning rate that the training loop sets; burn's learner reads it as a scheduler.
///
/// The rate is a pure function of the step, which the loop knows, so there is no state to save.
#[derive(Debug, Clone, Default)]
pub struct SharedRate(Arc<AtomicU64>);

impl SharedRate {
    /// Sets the rate of the next steps.
    pub fn set(&self, rate: f64) {
        self.0.store(rate.to_bits(), Ordering::Relaxed);
    }
}

impl LrScheduler for SharedRate {
    fn step(&mut self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }

    fn to_record(&self) -> LrSchedulerRecord {
        LrSchedulerRecord::default()
    }

    fn load_record(&mut self, _record: LrSchedulerRecord) {}
}

/// Clips gradients by global norm: scales them all together so that their norm is at most
/// `max_norm`. Returns the norm before.
///
/// # Source
/// `torch.nn.utils.clip_grad_norm_`: factor `max_norm / (norm + 1e-6)` where that is below 1.
pub fn clip_global_norm<M: Module>(module: &M, gradients: &mut GradientsParams, max_norm: f64) -> f64 {
    let mut squares = SumOfSquares { gradients, sum: None };
    module.visit(&mut squares);
    let norm = squares.sum.map_or(0.0, |sum| f64::from(sum.into_scalar::<f32>()).sqrt());
    let factor = max_norm / (norm + 1e-6);
    if factor < 1.0 {
        module.visit(&mut Scale { gradients, factor });
    }
    norm
}

struct SumOfSquares<'a> {
    gradients: &'a GradientsParams,
    sum: Option<Tensor<1>>,
}

impl ModuleVisitor for SumOfSquares<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.get::<D>(param.id) {
            let square = gradient.cast(DType::F32).square().sum();
            self.sum = Some(match self.sum.take() {
                Some(sum) => sum + square,
                None => square,
            });
        }
    }
}

struct Scale<'a> {
    gradients: &'a mut GradientsParams,
    factor: f64,
}

impl ModuleVisitor for Scale<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.remove::<D>(param.id) {
            self.gradients.register(param.id, gradient.mul_scalar(self.factor));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_start_peak_and_end_where_they_should() {
        let cosine = Schedule { warmup: 0.1, decay: Decay::Cosine, floor: 0.1 };
        assert_eq!(cosine.factor(0, 100), 0.0);
        assert_eq!(cosine.factor(5, 100), 0.5);
        assert_eq!(cosine.factor(10, 100), 1.0);
        assert!((cosine.factor(55, 100) - 0.55).abs() < 1e-12);
        assert!((cosine.factor(100, 100) - 0.1).abs() < 1e-12);
        let linear = Schedule { warmup: 0.0, decay: Decay::Linear, floor: 0.0 };
        assert_eq!(linear.factor(25, 100), 0.75);
        assert_eq!(Schedule::CONSTANT.factor(7, 10), 1.0);
    }
}
