//! Log-probability of one token of each row of logits.

use super::{exp, largest, simd, total};
use rayon::prelude::*;

/// Log-probabilities of `ids`, and the logarithm of each row's normaliser.
///
/// Logits are `logits · scale + bias`.
pub(crate) fn log_probs(logits: &[f32], bias: &[f32], scale: f32, ids: &[i64]) -> (Vec<f32>, Vec<f32>) {
    let vocab = bias.len();
    ids.par_iter()
        .zip(logits.par_chunks_exact(vocab))
        .with_min_len(rows_of_a_task(vocab))
        .map_init(
            || vec![0.0; vocab],
            |scaled, (&id, logits)| {
                simd(
                    #[inline(always)]
                    || {
                        for (z, (l, b)) in scaled.iter_mut().zip(logits.iter().zip(bias)) {
                            *z = l * scale + b;
                        }
                        let max = largest(scaled);
                        let chosen = scaled[id as usize];
                        for z in scaled.iter_mut() {
                            *z = exp(*z - max);
                        }
                        let normaliser = max + total(scaled).ln();
                        (chosen - normaliser, normaliser)
                    },
                )
            },
        )
        .unzip()
}

/// Gradient of [`log_probs`] with respect to the logits, `[n, vocab]`.
pub(crate) fn log_probs_backward(
    logits: &[f32],
    bias: &[f32],
    scale: f32,
    ids: &[i64],
    normalisers: &[f32],
    dy: &[f32],
    d: &mut [f32],
) {
    let vocab = bias.len();
    d.par_chunks_exact_mut(vocab)
        .zip(logits.par_chunks_exact(vocab))
        .zip(ids.par_iter().zip(normalisers).zip(dy))
        .with_min_len(rows_of_a_task(vocab))
        .for_each(|((d, logits), ((&id, &normaliser), &dy))| {
            let weight = -dy * scale;
            simd(
                #[inline(always)]
                || {
                    for (d, (l, b)) in d.iter_mut().zip(logits.iter().zip(bias)) {
                        *d = weight * exp(l * scale + b - normaliser);
                    }
                },
            );
            d[id as usize] -= weight;
        });
}

fn rows_of_a_task(vocab: usize) -> usize {
    super::ELEMENTS_OF_A_TASK.div_ceil(vocab)
}
