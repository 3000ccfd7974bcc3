//! The GRPO loss of one token, as a function of its log-probability.
//!
//! Tokens of a mini-batch are one flat vector: which tokens count was decided when the batch was
//! made, so there are no masks.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// Bound of log-ratios before they are exponentiated.
const MAX_LOG_RATIO: f64 = 20.0;
/// Bound of the k3 estimate.
const MAX_KL: f64 = 10.0;

/// Clipped policy-gradient loss.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyLoss {
    /// Lower clip: the ratio to the sampling policy is not rewarded for falling below
    /// `1 − clip_low`.
    pub clip_low: f64,
    /// Upper clip: the ratio is not rewarded for rising above `1 + clip_high`.
    pub clip_high: f64,
    /// Dual clip: for negative advantages the loss is at most `−A · dual_clip`; 0 sets no bound.
    pub dual_clip: f64,
    /// KL coefficient: weight of the k3 divergence from the reference policy; 0 needs no reference.
    pub kl_coef: f64,
}

impl Default for PolicyLoss {
    /// EasyR1's defaults with the paper's KL weight.
    fn default() -> Self {
        Self { clip_low: 0.2, clip_high: 0.3, dual_clip: 3.0, kl_coef: 0.01 }
    }
}

/// Per-token terms of the loss.
///
/// # Shapes
/// - all: `[n_tokens]`
#[derive(Debug, Clone)]
pub struct PolicyTerms {
    /// Clipped policy-gradient loss.
    pub policy: Tensor<1>,
    /// Log-ratio to the sampling policy, not clamped.
    pub log_ratio: Tensor<1>,
    /// 1 where the upper clip holds the loss.
    pub clipped_high: Tensor<1>,
    /// 1 where the dual clip holds the loss.
    pub clipped_low: Tensor<1>,
}

impl PolicyLoss {
    /// Policy-gradient terms of the loss.
    ///
    /// With `ρ = exp(clamp(log π − log π_old, ±20))` and `ρ_c` the ratio with its logarithm clamped
    /// to `[ln(1 − low), ln(1 + high)]`: `L = max(−Aρ, −Aρ_c)`, and where `A < 0` no more than
    /// `−A · dual_clip`, unless that is 0.
    ///
    /// # Shapes
    /// - all inputs: `[n_tokens]`; log-probabilities in nats
    ///
    /// # Source
    /// EasyR1 `verl/trainer/core_algos.py` `compute_policy_loss` at `b44b311`: clipping in log
    /// space, dual clip for negative advantages only.
    pub fn terms(&self, log_probs: Tensor<1>, old_log_probs: Tensor<1>, advantages: Tensor<1>) -> PolicyTerms {
        let log_ratio = log_probs - old_log_probs;
        let ratio = log_ratio.clone().clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp();
        let clipped = log_ratio.clone().clamp((1.0 - self.clip_low).ln(), (1.0 + self.clip_high).ln()).exp();
        let unclipped_loss = advantages.clone().neg() * ratio;
        let clipped_loss = advantages.clone().neg() * clipped;
        let clipped_high = unclipped_loss.clone().lower(clipped_loss.clone()).float();
        let loss = unclipped_loss.max_pair(clipped_loss);
        let (policy, clipped_low) = if self.dual_clip > 0.0 {
            let bound = advantages.clone().neg() * self.dual_clip;
            let held = loss.clone().greater(bound.clone()).bool_and(advantages.lower_elem(0.0));
            (loss.mask_where(held.clone(), bound), held.float())
        } else {
            let never = loss.zeros_like();
            (loss, never)
        };
        PolicyTerms { policy, log_ratio: log_ratio.detach(), clipped_high, clipped_low }
    }
}

/// KL divergence from the reference, k3 estimate: `exp(x) − x − 1` with `x = log π_ref − log π`.
///
/// `x` is clamped to ±20 and the result to ±10.
///
/// # Shapes
/// - all: `[n_tokens]`, nats
///
/// # Source
/// EasyR1 `verl/trainer/core_algos.py` `compute_kl` (`low_var_kl`) at `b44b311`; Schulman,
/// "Approximating KL divergence".
pub fn k3(log_probs: Tensor<1>, reference_log_probs: Tensor<1>) -> Tensor<1> {
    let x = (reference_log_probs - log_probs).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO);
    (x.clone().exp() - x - 1.0).clamp(-MAX_KL, MAX_KL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData};

    fn vector(values: &[f32]) -> Tensor<1> {
        Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), &Device::default())
    }

    fn assert_close(found: Tensor<1>, expected: &[f32]) {
        let found: Vec<f32> = found.into_data().iter::<f32>().collect();
        let close = |(a, b): (&f32, &f32)| (a - b).abs() <= 2e-6 * b.abs().max(1.0);
        assert!(found.len() == expected.len() && found.iter().zip(expected).all(close), "{found:?}, not {expected:?}");
    }

    #[test]
    fn a_clip_holds_what_would_be_rewarded_and_the_dual_clip_what_would_be_punished() {
        let loss = PolicyLoss { clip_low: 0.2, clip_high: 0.3, dual_clip: 3.0, kl_coef: 0.0 };
        let ratios = [0.5f32, 0.5, 1.5, 1.5, 4.0, 4.0, 4.0];
        let old = -2.0;
        let log_probs: Vec<f32> = ratios.iter().map(|ratio| ratio.ln() + old).collect();
        let advantages = vector(&[1.0, -1.0, 1.0, -1.0, -1.0, 1.0, 0.0]);
        let terms = |loss: PolicyLoss| loss.terms(vector(&log_probs), vector(&[old; 7]), advantages.clone());
        let PolicyTerms { policy, log_ratio, clipped_high, clipped_low } = terms(loss);
        assert_close(policy, &[-0.5, 0.8, -1.3, 1.5, 3.0, -1.3, 0.0]);
        assert_close(log_ratio, &ratios.map(f32::ln));
        assert_close(clipped_high, &[0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.0]);
        assert_close(clipped_low, &[0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0]);
        let PolicyTerms { policy, clipped_low, .. } = terms(PolicyLoss { dual_clip: 0.0, ..loss });
        assert_close(policy, &[-0.5, 0.8, -1.3, 1.5, 4.0, -1.3, 0.0]);
        assert_close(clipped_low, &[0.0; 7]);
    }

    #[test]
    fn ratios_and_divergences_are_bounded() {
        let off = PolicyLoss { dual_clip: 0.0, ..PolicyLoss::default() };
        let terms = off.terms(vector(&[200.0, 0.0]), vector(&[0.0, 200.0]), vector(&[-1.0, -1.0]));
        assert_close(terms.policy, &[20f32.exp(), 0.8]);
        assert_close(
            k3(vector(&[-1.0; 4]), vector(&[-1.0, -4.0, 4.0, -31.0])),
            &[0.0, (-3f32).exp() + 2.0, 10.0, 10.0],
        );
    }
}
