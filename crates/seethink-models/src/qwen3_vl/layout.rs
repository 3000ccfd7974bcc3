//! Layout of a batch of images for the vision encoder.

use crate::vision_attention::ImageRuns;
use burn::tensor::{Int, Tensor};
use seethink_nn::Rotary;

/// Layout of a batch of images, from their grids, computed once per forward pass.
#[derive(Debug, Clone)]
pub struct ImageLayout {
    /// Runs of patches that attend to each other: the frames of images; those of a video do not see
    /// each other either.
    pub(super) runs: ImageRuns,
    pub(super) rotary: Rotary,
    /// The four neighbours of each patch in the position table, `[4 · n_patches]`.
    pub(super) neighbours: Tensor<1, Int>,
    /// Bilinear weights of the neighbours, `[4, n_patches, 1]`.
    pub(super) weights: Tensor<3>,
}
