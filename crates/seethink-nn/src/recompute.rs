//! Activation recomputation: backward passes that run a block again instead of keeping its
//! activations.
//!
//! The forward pass runs on plain tensors and keeps each block's input. The backward pass walks the
//! blocks in reverse: each is run once more on a tracked copy of its input, and the gradient of its
//! output is pulled back to its input and its parameters. Memory is one block's graph plus one
//! tensor per block, instead of the graph of the whole network.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Gradients, Tensor};

/// Runs `forward` of `module` again on `input` and pulls `output_grad` back: returns the gradient
/// of the input and adds those of the parameters to `grads`.
///
/// # Shapes
/// - input and the returned gradient alike; `output_grad` as the output of `forward`
pub fn pull<M: Module, const I: usize, const O: usize>(
    module: &M,
    input: Tensor<I>,
    output_grad: Tensor<O>,
    grads: &mut GradientsParams,
    forward: impl FnOnce(&M, Tensor<I>) -> Tensor<O>,
) -> Tensor<I> {
    let input = input.inner().autodiff().require_grad();
    let mut all = backward(forward(module, input.clone()), output_grad);
    let input_grad = input.grad_remove(&mut all).unwrap_or_else(|| input.inner().zeros_like());
    accumulate(module, grads, GradientsParams::from_grads(all, module));
    input_grad
}

/// Pulls `output_grad` back to the parameters of `module`, from which `output` was computed, and
/// adds their gradients to `grads`. Does nothing if they are frozen.
///
/// # Shapes
/// - output, output_grad: alike
pub fn pull_params<M: Module, const O: usize>(
    module: &M,
    output: Tensor<O>,
    output_grad: Tensor<O>,
    grads: &mut GradientsParams,
) {
    if output.is_tracked() {
        accumulate(module, grads, GradientsParams::from_grads(backward(output, output_grad), module));
    }
}

/// Gradients of `⟨output, output_grad⟩`.
fn backward<const O: usize>(output: Tensor<O>, output_grad: Tensor<O>) -> Gradients {
    (output * output_grad.inner().autodiff()).sum().backward()
}

/// Adds the gradients `from` to `into`, for the parameters of `module`.
pub fn accumulate<M: Module>(module: &M, into: &mut GradientsParams, from: GradientsParams) {
    struct Accumulate<'a> {
        into: &'a mut GradientsParams,
        from: GradientsParams,
    }
    impl ModuleVisitor for Accumulate<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(new) = self.from.remove::<D>(param.id) {
                let sum = match self.into.remove::<D>(param.id) {
                    Some(old) => old + new,
                    None => new,
                };
                self.into.register(param.id, sum);
            }
        }
    }
    module.visit(&mut Accumulate { into, from });
}

/// Returns whether any parameter of `module` tracks gradients.
pub fn tracks_gradients<M: Module>(module: &M) -> bool {
    struct Any(bool);
    impl ModuleVisitor for Any {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0 |= param.is_require_grad();
        }
    }
    let mut any = Any(false);
    module.visit(&mut any);
    any.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{RmsNorm, SwiGlu};
    use burn::tensor::{Device, Distribution};

    #[test]
    fn pulling_through_blocks_equals_one_graph() {
        let device = Device::default();
        device.seed(3);
        let norm = RmsNorm::new(4, 1e-6, &device).train();
        let mlp = SwiGlu::new(4, 6, true, &device).train();
        let random = || Tensor::<2>::random([3, 4], Distribution::Normal(0.0, 1.0), &device);
        let (x, dy) = (random(), random());

        let tracked = x.clone().autodiff().require_grad();
        // The norm is used twice: its gradients must add up.
        let y = norm.forward(mlp.forward(norm.forward(tracked.clone()), None));
        let mut all = (y * dy.clone().autodiff()).sum().backward();
        let dx = tracked.grad_remove(&mut all).expect("tracked");
        let expected_norm = norm.weight.grad(&all).expect("tracked");
        let expected_gate = mlp.gate.weight.grad(&all).expect("tracked");

        let (norm_, mlp_) = (norm.valid(), mlp.valid());
        let a = norm_.forward(x.clone());
        let b = mlp_.forward(a.clone(), None);
        let mut grads = GradientsParams::new();
        let d = pull(&norm, b, dy, &mut grads, |m, x| m.forward(x));
        let d = pull(&mlp, a, d, &mut grads, |m, x| m.forward(x, None));
        let d = pull(&norm, x, d, &mut grads, |m, x| m.forward(x));

        let close = |a: f32| assert!(a < 1e-5, "off by {a}");
        close((d - dx).abs().max().into_scalar());
        close((grads.get::<1>(norm.weight.id).expect("pulled") - expected_norm).abs().max().into_scalar());
        close((grads.get::<2>(mlp.gate.weight.id).expect("pulled") - expected_gate).abs().max().into_scalar());
    }

    #[test]
    fn frozen_blocks_pass_gradients_and_get_none() {
        let device = Device::default();
        let norm = RmsNorm::new(4, 1e-6, &device).no_grad().train();
        assert!(!tracks_gradients(&norm));
        let x = Tensor::<2>::random([3, 4], Distribution::Normal(0.0, 1.0), &device);
        let mut grads = GradientsParams::new();
        let dx = pull(&norm, x.clone(), x.clone().exp(), &mut grads, |m, x| m.forward(x));
        pull_params(&norm, norm.forward(x.clone().autodiff()), x, &mut grads);
        assert!(grads.is_empty());
        assert!(dx.abs().sum().into_scalar::<f32>() > 0.1);
    }
}
