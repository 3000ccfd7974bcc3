//! Gradients of the fused operators against finite differences of the composed ones.

use super::cases::{Sizes, cases};
use super::{arguments, close_within, numbers, run, tracked, values};
use burn::tensor::{DType, Tensor, TensorData};

/// Half the distance of the inner points of a difference. Statistics are taken in `f32`, so that a
/// smaller one would measure their roundings.
const STEP: f64 = 1e-2;

#[test]
fn gradients_are_limits_of_differences() {
    for case in cases(Sizes { batch: 2, seq: 5, d: 4 }) {
        let arguments = arguments(&case.shapes, 1);
        let (_, gradients) = run(&|x: Vec<Tensor<2>>, _| case.run(&x), &arguments, 1, DType::F32);
        // The sum that `run` differentiates.
        let loss = |arguments: &[TensorData]| -> f64 {
            let x: Vec<Tensor<2>> = arguments.iter().map(|data| tracked(data, DType::F64)).collect();
            let y = values(case.run(&x));
            y.iter().zip(numbers(y.len(), 101)).map(|(y, dy)| y * dy).sum()
        };
        for (input, found) in gradients.iter().enumerate() {
            let difference = |at: usize, steps: f64| {
                let moved = |steps: f64| {
                    let mut arguments = arguments.clone();
                    arguments[input].as_mut_slice::<f64>().expect("of f64")[at] += steps * STEP;
                    loss(&arguments)
                };
                (moved(steps) - moved(-steps)) / (2.0 * steps * STEP)
            };
            // Two differences, so that the error falls with the fourth power of the step.
            let expected: Vec<f64> =
                (0..found.len()).map(|at| (4.0 * difference(at, 1.0) - difference(at, 2.0)) / 3.0).collect();
            close_within(2e-4, &format!("gradient of input {input} of {}", case.name), found, &expected);
        }
    }
}
