//! Softmax of one row, on the host.

use super::{exp, largest, simd, total};

/// Weights whose sum is taken in `f32`, before it is added to that of the others in `f64`.
const BLOCK: usize = 256;

/// Weights of a softmax, not normalised: `exp((logit − max) / temperature)`.
#[derive(Debug, Clone)]
pub struct SoftmaxWeights {
    /// Largest logit.
    pub max: f32,
    /// Weights, in `[0, 1]`.
    pub weights: Vec<f32>,
    /// Sums of the weights up to the end of each block.
    sums: Vec<f64>,
}

impl SoftmaxWeights {
    /// Weights of a row of logits.
    pub fn of(logits: &[f32], temperature: f32) -> Self {
        let mut weights = logits.to_vec();
        let scale = temperature.recip();
        let max = simd(
            #[inline(always)]
            || largest(logits),
        );
        let mut sum = 0.0;
        let mut sums = Vec::with_capacity(logits.len().div_ceil(BLOCK));
        for block in weights.chunks_mut(BLOCK) {
            sum += f64::from(simd(
                #[inline(always)]
                || {
                    for weight in block.iter_mut() {
                        *weight = exp((*weight - max) * scale);
                    }
                    total(block)
                },
            ));
            sums.push(sum);
        }
        Self { max, weights, sums }
    }

    /// Sum of the weights.
    pub fn total(&self) -> f64 {
        self.sums.last().copied().unwrap_or(0.0)
    }

    /// Inverse of the cumulative distribution: the first index up to which the weights exceed
    /// `uniform` of their sum; the last one with a weight where rounding leaves none.
    pub fn inverse_cdf(&self, uniform: f64) -> usize {
        let threshold = uniform * self.total();
        let block = self.sums.partition_point(|&sum| sum <= threshold).min(self.sums.len() - 1);
        let mut running = if block == 0 { 0.0 } else { self.sums[block - 1] };
        let mut last = None;
        for (index, &weight) in self.weights.iter().enumerate().skip(block * BLOCK).take(BLOCK) {
            if weight > 0.0 {
                running += f64::from(weight);
                last = Some(index);
                if running > threshold {
                    break;
                }
            }
        }
        last.or_else(|| self.weights.iter().rposition(|&weight| weight > 0.0)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_follow_the_weights_across_blocks() {
        let logits: Vec<f32> = (0..1000).map(|i| ((i * 37) % 11) as f32 / 3.0).collect();
        let weights = SoftmaxWeights::of(&logits, 0.7);
        let exact: Vec<f64> = logits.iter().map(|&logit| (f64::from(logit - weights.max) / 0.7).exp()).collect();
        let total: f64 = exact.iter().sum();
        assert!((weights.total() / total - 1.0).abs() < 1e-6, "{} instead of {total}", weights.total());
        let mut running = 0.0;
        for (index, weight) in exact.iter().enumerate() {
            // In the middle of its share every index is drawn.
            assert_eq!(weights.inverse_cdf((running + weight / 2.0) / total), index);
            running += weight;
        }
    }

    #[test]
    fn what_has_no_weight_is_never_drawn() {
        let mut logits = vec![f32::NEG_INFINITY; 600];
        (logits[3], logits[301]) = (0.0, 0.0);
        let weights = SoftmaxWeights::of(&logits, 1.0);
        let draws = [0.0, 0.25, 0.75, 1.0 - f64::EPSILON / 2.0, 1.0].map(|uniform| weights.inverse_cdf(uniform));
        assert_eq!(draws, [3, 3, 301, 301, 301]);
        assert_eq!(SoftmaxWeights::of(&[f32::NAN; 3], 1.0).inverse_cdf(0.5), 0);
    }
}
