//! The gated MLP of the text decoders.

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

    /// # Shapes
    /// - x, output: `[…, hidden]`
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        self.down.forward(silu(self.gate.forward(x.clone())) * self.up.forward(x))
    }
}
