//! Updates of parameters in the memory of the processor, in place and on all threads.

use crate::kernels::adamw;
use crate::{FastPath, fused};
use burn::tensor::{Tensor, TensorData};

pub use crate::kernels::adamw::AdamWStep;

/// Returns whether the functions of this module take a tensor: `f32` in the memory of the processor.
pub fn is_on_host<const D: usize>(x: &Tensor<D>) -> bool {
    fused::applies(FastPath::Optimizer, x)
}

/// Updates a parameter by AdamW. Returns the parameter and both moments, in the memory of those
/// given where nobody else has it.
///
/// # Panics
/// If a tensor is [elsewhere](is_on_host).
pub fn adamw<const D: usize>(
    step: AdamWStep,
    parameter: Tensor<D>,
    gradient: Tensor<D>,
    moments: [Tensor<D>; 2],
) -> [Tensor<D>; 3] {
    let device = parameter.device();
    let [mut parameter, mut first, mut second] = {
        let [first, second] = moments;
        [parameter, first, second].map(Tensor::into_data)
    };
    let gradient = gradient.into_data();
    let [p, m, v] = [&mut parameter, &mut first, &mut second].map(floats_mut);
    adamw::adamw(step, p, floats(&gradient), [m, v]);
    [parameter, first, second].map(|data| Tensor::from_data(data, &device))
}

/// Sum of the squares of all elements.
///
/// # Panics
/// If the tensor is [elsewhere](is_on_host).
pub fn sum_of_squares<const D: usize>(x: Tensor<D>) -> f64 {
    adamw::sum_of_squares(floats(&x.into_data()))
}

/// Multiplies all elements by a factor.
///
/// # Panics
/// If the tensor is [elsewhere](is_on_host).
pub fn scale<const D: usize>(x: Tensor<D>, factor: f64) -> Tensor<D> {
    let device = x.device();
    let mut data = x.into_data();
    adamw::scale(floats_mut(&mut data), factor as f32);
    Tensor::from_data(data, &device)
}

fn floats(data: &TensorData) -> &[f32] {
    data.as_slice().expect("in f32")
}

fn floats_mut(data: &mut TensorData) -> &mut [f32] {
    data.as_mut_slice().expect("in f32")
}
