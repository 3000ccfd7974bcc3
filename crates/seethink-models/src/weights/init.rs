//! Initialisation of weights.

use super::naming::{Dialect, Naming, Trail};
use super::read::fill;
use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, Tensor, TensorData};
use seethink_core::{Purpose, Rng};

/// Initialisation of a parameter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Initial {
    /// Normal distribution with this standard deviation, for matrices.
    Normal(f64),
    /// Constant, for all other parameters.
    Constant(f32),
}

/// Initialises weights: matrices are normal with the deviation of `initial(name)`, biases zero, and
/// every other parameter is the constant of `initial(name)`, else one.
///
/// Every tensor draws from its own stream, keyed by its name in the checkpoint.
pub(crate) fn initialize<M: Module>(module: M, naming: &Naming, seed: u64, initial: impl Fn(&str) -> Initial) -> M {
    struct Initialize<'a, F> {
        naming: &'a Naming,
        trail: Trail,
        seed: u64,
        initial: F,
    }
    impl<F: Fn(&str) -> Initial> ModuleMapper for Initialize<'_, F> {
        fn enter_module(&mut self, name: &str, container: &str) {
            self.trail.enter(name, container);
        }
        fn exit_module(&mut self, _: &str, container: &str) {
            self.trail.exit(container);
        }
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let dims = param.lazy_shape();
            let name = self.naming.locate(&self.trail, &dims, Dialect::Hub).name;
            let n = dims.num_elements();
            let values = match (self.trail.owner(), (self.initial)(&name)) {
                (("Struct:Linear" | "Struct:Embedding", "weight"), Initial::Normal(deviation)) => {
                    let mut rng = Rng::new(self.seed, Purpose::Weights, &[fnv1a(&name)]);
                    (0..n).map(|_| (rng.normal() * deviation) as f32).collect()
                }
                ((_, "bias" | "beta"), _) => vec![0.0; n],
                (_, Initial::Constant(value)) => vec![value; n],
                _ => vec![1.0; n],
            };
            fill(param, TensorData::new(values, dims), DType::F32)
        }
    }
    module.map(&mut Initialize { naming, trail: Trail::default(), seed, initial })
}

/// A stable hash of a name (FNV-1a, 64 bits).
fn fnv1a(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
