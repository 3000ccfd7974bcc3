//! Projector, from patch features to image tokens.

use super::config::{NORM_EPS, VisionConfig};
use super::layout::ImageLayout;
use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::activation::gelu;
use burn::tensor::{Device, Tensor};
use seethink_nn::RmsNorm;

/// Projector: joins the patches of a merged cell and maps them by `fc2(gelu(fc1(x)))`, the exact
/// form of GELU.
#[derive(Module, Debug)]
pub struct Projector {
    /// Norm over a patch.
    pub norm: RmsNorm,
    /// Linear layer on the merged cell.
    pub fc1: Linear,
    /// Linear layer to the decoder's width.
    pub fc2: Linear,
    #[module(skip)]
    merged_size: usize,
}

impl Projector {
    /// Creates a projector with fresh weights.
    pub(super) fn new(config: &VisionConfig, device: &Device) -> Self {
        let merged_size = config.merged_size();
        Self {
            norm: RmsNorm::new(config.hidden_size, NORM_EPS, device),
            fc1: LinearConfig::new(merged_size, merged_size).init(device),
            fc2: LinearConfig::new(merged_size, config.out_hidden_size).init(device),
            merged_size,
        }
    }
}

impl crate::Projector<ImageLayout> for Projector {
    fn project(&self, x: Tensor<2>, layout: &ImageLayout) -> Tensor<2> {
        let [n_patches, width] = x.dims();
        let joined = self.norm.forward(x).reshape([n_patches * width / self.merged_size, self.merged_size]);
        layout.restore(self.fc2.forward(gelu(self.fc1.forward(joined))))
    }
}
