//! Root-mean-square normalisation.

use crate::{FastPath, fused};
use burn::module::{Module, Param};
use burn::tensor::{DType, Device, Tensor};

/// RMS norm: divides by the root mean square over the last dimension and scales by a weight.
///
/// `y = x / sqrt(mean(x²) + ε) · w`; the statistics are taken in `f32` whatever the dtype of `x`.
#[derive(Module, Debug)]
pub struct RmsNorm {
    /// Scale, `[channels]`.
    pub weight: Param<Tensor<1>>,
    #[module(skip)]
    pub(crate) epsilon: f64,
}

impl RmsNorm {
    /// Creates a norm over `channels` whose weight is one.
    pub fn new(channels: usize, epsilon: f64, device: &Device) -> Self {
        Self { weight: burn::nn::Initializer::Ones.init([channels], device), epsilon }
    }

    /// # Shapes
    /// - x, output: `[…, channels]`
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        if fused::applies(FastPath::RmsNorm, &x) {
            let dims = x.dims();
            return fused::normalised(fused::rows(x), self.weight.val(), self.epsilon).reshape(dims);
        }
        let dtype = x.dtype();
        let x = x.cast(DType::F32);
        let scale = x.clone().square().mean_dim(D - 1).add_scalar(self.epsilon).sqrt().recip();
        (x * scale).cast(dtype) * self.weight.val().unsqueeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_get_unit_mean_square() {
        let device = Device::default();
        let x = Tensor::<2>::from_floats([[3.0, 4.0], [1e-3, 0.0]], &device);
        let y = RmsNorm::new(2, 1e-6, &device).forward(x).try_into_vec_as::<f32>().expect("f32");
        let rms = (12.5f32 + 1e-6).sqrt();
        let tiny = (0.5e-6f32 + 1e-6).sqrt();
        for (found, expected) in y.iter().zip([3.0 / rms, 4.0 / rms, 1e-3 / tiny, 0.0]) {
            assert!((found - expected).abs() < 1e-6, "{found} instead of {expected}");
        }
    }
}
