//! Sampling on the device that computes the logits: a token and its log-probability leave it, the
//! logits do not.

use crate::Sampling;
use burn::tensor::{Bool, DType, Device, IndexingUpdateOp, Int, Tensor, TensorData};

/// Weights of a block, whose sum is added to those of the blocks before: sums of all weights one
/// after the other would be off by more than the weight of a token.
const BLOCK: usize = 256;

/// Halvings that find where a row is cut by top-k or top-p.
const HALVINGS: usize = 40;

/// Logarithm below which a weight is zero in `f32`, if the largest is one.
const NO_WEIGHT: f64 = -110.0;

/// Sampler of tokens from rows of logits, on any device.
///
/// Chooses as [`TokenSampler`](crate::TokenSampler) does, but for the rounding of sums, and for
/// tokens that are exactly as likely as the last one that top-k or top-p leave: it keeps them all.
#[derive(Debug)]
pub(crate) struct DeviceSampler {
    sampling: Sampling,
    /// Minus infinity for forbidden tokens, zero for others, `[1, vocab]`.
    bias: Tensor<2>,
}

impl DeviceSampler {
    /// Creates a sampler that never chooses a forbidden token.
    ///
    /// # Panics
    /// If a token of the vocabulary is no exact number in `f32`.
    pub(crate) fn new(sampling: Sampling, forbidden: &[u32], vocab: usize, device: &Device) -> Self {
        assert!(vocab <= 1 << f32::MANTISSA_DIGITS, "a vocabulary of {vocab} tokens, expected at most 2^24");
        let mut bias = vec![0.0f32; vocab];
        for &id in forbidden {
            if let Some(bias) = bias.get_mut(id as usize) {
                *bias = f32::NEG_INFINITY;
            }
        }
        Self { sampling, bias: Tensor::from_data(TensorData::new(bias, [1, vocab]), (device, DType::F32)) }
    }

    /// Samples a token for each row; see [`TokenSampler::sample`](crate::TokenSampler::sample).
    ///
    /// # Shapes
    /// - logits: `[n, vocab]`
    /// - seen, uniforms: `n`
    pub(crate) fn sample(&self, logits: Tensor<2>, seen: &[&[u32]], uniforms: &[f64]) -> Vec<(u32, f32)> {
        let logits = logits.cast(DType::F32);
        let policy = self.centred(logits.clone());
        let choice = match self.sampling.repetition_penalty {
            1.0 => policy.clone(),
            penalty => self.centred(penalised(logits, seen, penalty)),
        };
        let weights = policy.clone().exp();
        let total = BlockSums::of(weights.clone()).total();
        let token = match self.sampling.temperature {
            0.0 => choice.argmax(1),
            _ => {
                let device = choice.device();
                let uniforms = TensorData::new(uniforms.to_vec(), [uniforms.len(), 1]);
                self.kept(choice).inverse_cdf(Tensor::from_data(uniforms, (&device, DType::F32)))
            }
        };
        let log_prob = policy.gather(1, token.clone()) - total.log();
        let chosen: Vec<f32> =
            Tensor::cat(vec![token.float().cast(DType::F32), log_prob], 1).into_data().iter().collect();
        chosen.chunks_exact(2).map(|chosen| (chosen[0] as u32, chosen[1])).collect()
    }

    /// Logarithms of the weights of allowed tokens at the sampling temperature; the largest is zero.
    fn centred(&self, logits: Tensor<2>) -> Tensor<2> {
        let scaled = (logits + self.bias.clone()) / self.sampling.log_prob_temperature();
        let max = scaled.clone().max_dim(1);
        scaled - max
    }

    /// Weights of the tokens that top-k and then top-p leave.
    fn kept(&self, choice: Tensor<2>) -> BlockSums {
        let Sampling { top_k, top_p, .. } = self.sampling;
        let mut weights = choice.clone().exp();
        if top_k > 0 {
            let most = top_k as i64;
            let cut = cut(&choice, |kept| kept.int().sum_dim(1).greater_equal_scalar(most));
            weights = weights.mask_fill(choice.clone().lower(cut), 0.0);
        }
        if top_p < 1.0 {
            let wanted = weights.clone().sum_dim(1) * top_p;
            let all = weights.clone();
            let mass = |kept: Tensor<2, Bool>| all.clone().mask_fill(kept.bool_not(), 0.0).sum_dim(1);
            let cut = cut(&choice, |kept| mass(kept).greater_equal(wanted.clone()));
            weights = weights.mask_fill(choice.lower(cut), 0.0);
        }
        BlockSums::of(weights)
    }
}

/// Multiplies negative logits of the tokens that occurred by the penalty, divides others by it.
fn penalised(logits: Tensor<2>, seen: &[&[u32]], penalty: f32) -> Tensor<2> {
    let ([n, vocab], device) = (logits.dims(), logits.device());
    let known = |ids: &&[u32]| ids.iter().filter(|&&id| (id as usize) < vocab).count();
    let most = seen.iter().map(known).max().unwrap_or(0);
    if most == 0 {
        return logits;
    }
    let (mut ids, mut is_seen) = (vec![0i64; n * most], vec![0.0f32; n * most]);
    for (row, seen) in seen.iter().enumerate() {
        for (place, &id) in seen.iter().filter(|&&id| (id as usize) < vocab).enumerate() {
            (ids[row * most + place], is_seen[row * most + place]) = (i64::from(id), 1.0);
        }
    }
    let ids = Tensor::<2, Int>::from_data(TensorData::new(ids, [n, most]), &device);
    let is_seen = Tensor::<2>::from_data(TensorData::new(is_seen, [n, most]), (&device, DType::F32));
    let before = logits.clone().gather(1, ids.clone());
    let after = (before.clone() / penalty).mask_where(before.clone().lower_scalar(0.0), before.clone() * penalty);
    logits.scatter(1, ids, (after - before) * is_seen, IndexingUpdateOp::Add)
}

/// Finds the largest logarithm of a weight, `[n, 1]`, from which on upwards there are `enough`.
fn cut(choice: &Tensor<2>, enough: impl Fn(Tensor<2, Bool>) -> Tensor<2, Bool>) -> Tensor<2> {
    let at = |value: f64| Tensor::<2>::full([choice.dims()[0], 1], value, (&choice.device(), DType::F32));
    // The most likely token alone is at zero; nothing is above it.
    let (mut low, mut high) = (at(NO_WEIGHT), at(1e-3));
    for _ in 0..HALVINGS {
        let middle = (low.clone() + high.clone()) * 0.5;
        let is_enough = enough(choice.clone().greater_equal(middle.clone()));
        low = low.mask_where(is_enough.clone(), middle.clone());
        high = middle.mask_where(is_enough, high);
    }
    low
}

/// Weights of rows in blocks, and their sums up to the end of each block.
struct BlockSums {
    /// `[n, blocks, BLOCK]`
    weights: Tensor<3>,
    /// `[n, blocks]`
    sums: Tensor<2>,
}

impl BlockSums {
    /// # Shapes
    /// - weights: `[n, vocab]`
    fn of(weights: Tensor<2>) -> Self {
        let ([n, vocab], device) = (weights.dims(), weights.device());
        let n_blocks = vocab.div_ceil(BLOCK);
        let weights = match n_blocks * BLOCK - vocab {
            0 => weights,
            missing => Tensor::cat(vec![weights, Tensor::zeros([n, missing], (&device, DType::F32))], 1),
        };
        let weights = weights.reshape([n, n_blocks, BLOCK]);
        let sums = weights.clone().sum_dim(2).reshape([n, n_blocks]).cumsum(1);
        Self { weights, sums }
    }

    /// Sum of each row, `[n, 1]`.
    fn total(&self) -> Tensor<2> {
        self.sums.clone().narrow(1, self.sums.dims()[1] - 1, 1)
    }

    /// Inverse of the cumulative distribution: the first token up to which the weights exceed
    /// `uniform` of their sum, `[n, 1]`.
    fn inverse_cdf(self, uniform: Tensor<2>) -> Tensor<2, Int> {
        let threshold = uniform * self.total();
        let block = first_above(self.sums.clone(), threshold.clone());
        let [n, _, width] = self.weights.dims();
        let zero = Tensor::zeros([n, 1], (&self.sums.device(), DType::F32));
        let before = Tensor::cat(vec![zero, self.sums], 1).gather(1, block.clone());
        let chosen = block.clone().reshape([n, 1, 1]).expand([n, 1, width]);
        let weights = self.weights.gather(1, chosen).reshape([n, width]);
        block * width as i64 + first_above(weights.cumsum(1) + before, threshold)
    }
}

/// Index of the first of the growing sums of a row that is above the threshold, `[n, 1]`; where
/// rounding leaves none, that of the last that grew.
fn first_above(sums: Tensor<2>, threshold: Tensor<2>) -> Tensor<2, Int> {
    let last = sums.clone().narrow(1, sums.dims()[1] - 1, 1);
    let n_below = sums.clone().lower_equal(threshold).int().sum_dim(1);
    let n_growing = sums.lower(last).int().sum_dim(1);
    n_below.clone().mask_where(n_below.greater(n_growing.clone()), n_growing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TokenSampler;

    const VOCAB: usize = 700;

    /// Logits, no two of which are the same, of a few likely tokens and many others.
    fn logits(row: usize) -> Vec<f32> {
        (0..VOCAB)
            .map(|id| ((id * 193 + row * 31) % 701) as f32 / 701.0 * if id % 50 == row % 50 { 9.0 } else { 4.0 })
            .collect()
    }

    #[test]
    fn draws_are_those_of_the_sampler_on_the_host() {
        let device = Device::default();
        let plain = Sampling { temperature: 0.8, ..Sampling::plain(1) };
        let settings = [
            plain,
            Sampling::greedy(1),
            Sampling { top_k: 7, ..plain },
            Sampling { top_p: 0.6, ..plain },
            Sampling { top_k: 300, top_p: 0.9, repetition_penalty: 1.3, ..plain },
            Sampling { repetition_penalty: 2.0, ..Sampling::greedy(1) },
        ];
        let forbidden = [0, 50, 699];
        let n = 200;
        let seen: Vec<Vec<u32>> =
            (0..n as u32).map(|row| (0..row % 5).map(|i| row + 50 * i).chain([9999]).collect()).collect();
        let seen: Vec<&[u32]> = seen.iter().map(Vec::as_slice).collect();
        let uniforms: Vec<f64> = (0..n).map(|row| (row as f64 + 0.5) / n as f64).collect();
        let all: Vec<f32> = (0..n).flat_map(logits).collect();
        let rows = Tensor::<2>::from_data(TensorData::new(all, [n, VOCAB]), (&device, DType::F32));
        for sampling in settings {
            let host = TokenSampler::new(sampling, &forbidden);
            let found = DeviceSampler::new(sampling, &forbidden, VOCAB, &device).sample(rows.clone(), &seen, &uniforms);
            for (row, (token, log_prob)) in found.into_iter().enumerate() {
                let expected = host.sample(&mut logits(row), seen[row], uniforms[row]);
                assert_eq!(token, expected.0, "row {row} with {sampling:?}");
                assert!((log_prob - expected.1).abs() < 1e-5, "{log_prob} instead of {}", expected.1);
            }
        }
    }

    #[test]
    fn what_has_no_weight_is_never_drawn() {
        let device = Device::default();
        let mut logits = vec![f32::NEG_INFINITY; 600];
        (logits[3], logits[301]) = (0.0, 0.0);
        let uniforms = [0.0, 0.25, 0.75, 1.0 - f64::EPSILON / 2.0];
        let rows = Tensor::<1>::from_data(TensorData::new(logits, [600]), (&device, DType::F32));
        let rows = rows.unsqueeze::<2>().repeat_dim(0, uniforms.len());
        let sampler = DeviceSampler::new(Sampling::plain(1), &[], 600, &device);
        let draws: Vec<u32> =
            sampler.sample(rows, &[&[] as &[u32]; 4], &uniforms).into_iter().map(|(token, _)| token).collect();
        assert_eq!(draws, [3, 3, 301, 301]);
    }
}
