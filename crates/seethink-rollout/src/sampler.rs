//! Sampling of a batch, where its logits are.

use crate::device_sampler::DeviceSampler;
use crate::{Sampling, TokenSampler};
use burn::tensor::{Device, Int, Tensor};
use rayon::prelude::*;

/// Sampler of a batch of rows of logits.
pub(crate) enum Sampler {
    /// In the memory of the processor, where logits need no copy.
    Host(TokenSampler),
    /// Elsewhere, so that only tokens and their log-probabilities leave the device.
    Device(Box<DeviceSampler>),
}

/// Draw of a token.
#[derive(Clone, Copy)]
pub(crate) struct Draw<'a> {
    /// Row of the logits.
    pub row: usize,
    /// Ids that occurred before, each once; read where there is a repetition penalty.
    pub seen: &'a [u32],
    /// A number in `[0, 1)`.
    pub uniform: f64,
}

impl Sampler {
    /// Creates a sampler that never chooses a forbidden token, for logits on a device.
    pub(crate) fn new(sampling: Sampling, forbidden: &[u32], vocab: usize, device: &Device) -> Self {
        if *device == Device::flex() {
            Self::Host(TokenSampler::new(sampling, forbidden))
        } else {
            Self::Device(Box::new(DeviceSampler::new(sampling, forbidden, vocab, device)))
        }
    }

    /// Samples tokens; returns their ids and log-probabilities. See [`TokenSampler::sample`].
    ///
    /// # Shapes
    /// - logits: `[rows, vocab]`, several draws may be of one row
    pub(crate) fn sample(&self, logits: Tensor<2>, draws: &[Draw<'_>]) -> Vec<(u32, f32)> {
        let [n_rows, vocab] = logits.dims();
        let one_each = n_rows == draws.len();
        match self {
            Self::Host(sampler) => {
                let sample = |logits: &mut [f32], draw: &Draw<'_>| sampler.sample(logits, draw.seen, draw.uniform);
                let mut logits: Vec<f32> = logits.into_data().iter().collect();
                if one_each {
                    return logits
                        .par_chunks_mut(vocab)
                        .zip(draws)
                        .map(|(logits, draw)| sample(logits, draw))
                        .collect();
                }
                let copy = |row: usize| logits[row * vocab..][..vocab].to_vec();
                draws.par_iter().map(|draw| sample(&mut copy(draw.row), draw)).collect()
            }
            Self::Device(sampler) => {
                let logits = if one_each {
                    logits
                } else {
                    let rows: Vec<i64> = draws.iter().map(|draw| draw.row as i64).collect();
                    let device = logits.device();
                    logits.select(0, Tensor::<1, Int>::from_ints(rows.as_slice(), &device))
                };
                let seen: Vec<&[u32]> = draws.iter().map(|draw| draw.seen).collect();
                let uniforms: Vec<f64> = draws.iter().map(|draw| draw.uniform).collect();
                sampler.sample(logits, &seen, &uniforms)
            }
        }
    }
}
