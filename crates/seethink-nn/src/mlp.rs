//! The gated MLP of the text decoders.

use crate::{FastPath, fused, linear};
use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::activation::silu;
use burn::tensor::{Device, Tensor};

/// Gated MLP (SwiGLU): `down(silu(gate(x)) · up(x))`.
#[derive(Module, Debug)]
pub struct SwiGlu {
    /// Gate projection, `hidden → inner`, through SiLU.
    pub gate: Linear,
    /// Up projection, `hidden → inner`.
    pub up: Linear,
    /// Down projection, `inner → hidden`.
    pub down: Linear,
}

impl SwiGlu {
    /// Creates an MLP with fresh weights.
    pub fn new(hidden: usize, inner: usize, bias: bool, device: &Device) -> Self {
        let linear = |from, to| LinearConfig::new(from, to).with_bias(bias).init(device);
        Self { gate: linear(hidden, inner), up: linear(hidden, inner), down: linear(inner, hidden) }
    }

    /// Adds the MLP's output to `residual`, if there is one.
    ///
    /// # Shapes
    /// - x, residual, output: `[…, hidden]`
    pub fn forward<const D: usize>(&self, x: Tensor<D>, residual: Option<Tensor<D>>) -> Tensor<D> {
        let gate_up = linear(x, &[&self.gate, &self.up], None);
        linear(gated(gate_up), &[&self.down], residual)
    }
}

/// `silu(gate) · up`.
///
/// # Shapes
/// - gate_up: `[…, 2 · inner]`
/// - output: `[…, inner]`
fn gated<const D: usize>(gate_up: Tensor<D>) -> Tensor<D> {
    let mut dims = gate_up.dims();
    dims[D - 1] /= 2;
    if fused::applies(FastPath::SwiGlu, &gate_up) {
        return fused::gated(fused::rows(gate_up)).reshape(dims);
    }
    let inner = dims[D - 1];
    silu(gate_up.clone().narrow(D - 1, 0, inner)) * gate_up.narrow(D - 1, inner, inner)
}
