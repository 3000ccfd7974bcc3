//! A step of AdamW.

use super::simd;
use rayon::prelude::*;

/// Elements of a task.
const ELEMENTS: usize = 1 << 14;

/// Settings of a step of AdamW.
#[derive(Debug, Clone, Copy)]
pub struct AdamWStep {
    /// Learning rate.
    pub learning_rate: f64,
    /// Decay rates of the two moments.
    pub betas: (f32, f32),
    /// Added to the root of the second moment.
    pub epsilon: f32,
    /// Decoupled weight decay.
    pub weight_decay: f32,
    /// Number of the step, from 1.
    pub time: usize,
}

/// Updates parameters and both moments, with the roundings of burn's `AdamW`.
pub(crate) fn adamw(step: AdamWStep, parameters: &mut [f32], gradients: &[f32], moments: [&mut [f32]; 2]) {
    let AdamWStep { learning_rate, betas: (beta_1, beta_2), epsilon, weight_decay, time } = step;
    let (factor_1, factor_2) = (1.0 - beta_1, 1.0 - beta_2);
    let [bias_1, bias_2] = [beta_1, beta_2].map(|beta| 1.0 - beta.powi(time as i32));
    let decay = (1.0 - learning_rate * f64::from(weight_decay)) as f32;
    let rate = learning_rate as f32;
    let [first, second] = moments;
    parameters
        .par_chunks_mut(ELEMENTS)
        .zip(gradients.par_chunks(ELEMENTS))
        .zip(first.par_chunks_mut(ELEMENTS).zip(second.par_chunks_mut(ELEMENTS)))
        .for_each(|((parameters, gradients), (first, second))| {
            simd(
                #[inline(always)]
                || {
                    let moments = first.iter_mut().zip(second.iter_mut());
                    for ((p, g), (m, v)) in parameters.iter_mut().zip(gradients).zip(moments) {
                        *m = *m * beta_1 + g * factor_1;
                        *v = *v * beta_2 + g * g * factor_2;
                        let delta = (*m / bias_1) / ((*v / bias_2).sqrt() + epsilon);
                        *p = *p * decay - delta * rate;
                    }
                },
            );
        });
}

/// Sum of squares, in blocks that are added in order.
pub(crate) fn sum_of_squares(x: &[f32]) -> f64 {
    let blocks: Vec<f64> = x
        .par_chunks(ELEMENTS)
        .map(|x| {
            f64::from(simd(
                #[inline(always)]
                || super::dot(x, x),
            ))
        })
        .collect();
    blocks.iter().sum()
}

/// Multiplies all elements by a factor.
pub(crate) fn scale(x: &mut [f32], factor: f32) {
    x.par_chunks_mut(ELEMENTS).for_each(|x| {
        simd(
            #[inline(always)]
            || {
                for x in x.iter_mut() {
                    *x *= factor;
                }
            },
        );
    });
}
