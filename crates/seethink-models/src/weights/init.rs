//! Weights to start from.

use super::{Naming, Trail, fill};
use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Tensor, TensorData};
use seethink_core::{Purpose, Rng};

/// Fresh weights: matrices are normal with deviation `std(name)`, biases zero, norms one.
///
/// Every tensor draws from its own stream, keyed by its name in the checkpoint.
pub(crate) fn initialize<M: Module>(module: M, naming: &Naming, seed: u64, std: impl Fn(&str) -> f64) -> M {
    struct Initialize<'a, F> {
        naming: &'a Naming,
        trail: Trail,
        seed: u64,
        std: F,
    }
    impl<F: Fn(&str) -> f64> ModuleMapper for Initialize<'_, F> {
        fn enter_module(&mut self, name: &str, container: &str) {
            self.trail.enter(name, container);
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.trail.exit();
        }
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let dims = param.lazy_shape();
            let name = self.naming.locate(&self.trail, &dims).name;
            let n = dims.num_elements();
            let values = match self.trail.owner() {
                ("Struct:Linear" | "Struct:Embedding", "weight") => {
                    let mut rng = Rng::new(self.seed, Purpose::Weights, &[fnv1a(&name)]);
                    let std = (self.std)(&name);
                    (0..n).map(|_| (rng.normal() * std) as f32).collect()
                }
                (_, "bias" | "beta") => vec![0.0; n],
                _ => vec![1.0f32; n],
            };
            fill(param, TensorData::new(values, dims))
        }
    }
    module.map(&mut Initialize { naming, trail: Trail::default(), seed, std })
}

/// A stable hash of a name (FNV-1a, 64 bits).
fn fnv1a(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
