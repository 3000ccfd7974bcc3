//! The optimiser: AdamW, global-norm clipping, learning-rate schedules.

use burn::lr_scheduler::{LrScheduler, LrSchedulerRecord};
use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::{AdamWConfig, AdamWState, AdaptiveMomentumState, GradientsParams, ModuleOptimizer, Optimizer};
use burn::tensor::{DType, Device, Tensor};
use seethink_core::SettingError;
use seethink_nn::host::{self, AdamWStep};
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
        ModuleOptimizer::from(AdamW { config: *self })
    }
}

/// AdamW: burn's, or the same in one pass where the parameters are in the memory of the processor.
#[derive(Clone)]
struct AdamW {
    config: OptimizerConfig,
}

impl Optimizer for AdamW {
    type State<const D: usize> = AdamWState<D>;

    fn step<const D: usize>(
        &self,
        learning_rate: f64,
        parameter: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<Self::State<D>>,
    ) -> (Tensor<D>, Option<Self::State<D>>) {
        let OptimizerConfig { betas, epsilon, weight_decay, .. } = self.config;
        if !host::is_on_host(&parameter) || !host::is_on_host(&gradient) {
            let adamw = AdamWConfig::new()
                .with_beta_1(betas.0)
                .with_beta_2(betas.1)
                .with_epsilon(epsilon)
                .with_weight_decay(weight_decay)
                .build();
            return adamw.step(learning_rate, parameter, gradient, state);
        }
        let (time, moments) = match state {
            Some(AdamWState { momentum }) => (momentum.time + 1, [momentum.moment_1, momentum.moment_2]),
            None => (1, [gradient.zeros_like(), gradient.zeros_like()]),
        };
        let step = AdamWStep { learning_rate, betas, epsilon, weight_decay, time };
        let [parameter, first, second] = host::adamw(step, parameter, gradient, moments);
        (parameter, Some(AdamWState::new(AdaptiveMomentumState::new(time, first, second))))
    }

    fn to_device<const D: usize>(state: Self::State<D>, device: &Device) -> Self::State<D> {
        burn::optim::AdamW::to_device(state, device)
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
    let mut squares = SumOfSquares { gradients, on_host: 0.0, sum: None };
    module.visit(&mut squares);
    let elsewhere = squares.sum.map_or(0.0, |sum| f64::from(sum.into_scalar::<f32>()));
    let norm = (squares.on_host + elsewhere).sqrt();
    let factor = max_norm / (norm + 1e-6);
    if factor < 1.0 {
        module.visit(&mut Scale { gradients, factor });
    }
    norm
}

struct SumOfSquares<'a> {
    gradients: &'a GradientsParams,
    on_host: f64,
    sum: Option<Tensor<1>>,
}

impl ModuleVisitor for SumOfSquares<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.get::<D>(param.id) {
            if host::is_on_host(&gradient) {
                self.on_host += host::sum_of_squares(gradient);
                return;
            }
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
            let scaled = if host::is_on_host(&gradient) {
                host::scale(gradient, self.factor)
            } else {
                gradient.mul_scalar(self.factor)
            };
            self.gradients.register(param.id, scaled);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_pass_over_the_parameters_equals_burns_to_the_bit() {
        use burn::tensor::Distribution;
        let schedule = Schedule::CONSTANT;
        let config = OptimizerConfig {
            learning_rate: 0.01,
            betas: (0.9, 0.99),
            epsilon: 1e-8,
            weight_decay: 0.1,
            max_grad_norm: 1.0,
            schedule,
        };
        let burns = AdamWConfig::new().with_beta_2(0.99).with_epsilon(1e-8).with_weight_decay(0.1).build();
        let random = || Tensor::<2>::random([70, 300], Distribution::Normal(0.0, 1.0), &Device::default());
        let (mut ours, mut state, mut expected_state) = (random(), None, None);
        let mut expected = ours.clone();
        for step in 1..4 {
            let (gradient, rate) = (random(), 0.01 * f64::from(step));
            (ours, state) = AdamW { config }.step(rate, ours, gradient.clone(), state);
            (expected, expected_state) = burns.step(rate, expected, gradient, expected_state);
            let bits = |x: &Tensor<2>| x.to_data().iter::<f32>().map(f32::to_bits).collect::<Vec<_>>();
            assert_eq!(bits(&ours), bits(&expected), "step {step}");
        }
        assert!(state.is_some() && expected_state.is_some());
    }

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
