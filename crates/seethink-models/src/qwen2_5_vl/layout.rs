//! Layout of a batch of images for the vision encoder.

use crate::vision_attention::ImageRuns;
use burn::tensor::{Int, Tensor};
use seethink_nn::Rotary;

/// Layout of a batch of images, from their grids, computed once per forward pass.
///
/// Hidden states have the patches of an image window by window; images keep their order.
#[derive(Debug, Clone)]
pub struct ImageLayout {
    /// Index of the patch in each row.
    pub(super) order: Vec<usize>,
    pub(super) patches: Tensor<1, Int>,
    /// Row of each merged cell, cells row by row of each image.
    pub(super) cells: Tensor<1, Int>,
    pub(super) images: ImageRuns,
    pub(super) windows: ImageRuns,
    pub(super) rotary: Rotary,
}

impl ImageLayout {
    /// Index of the patch, in the order of `pixel_values`, in each row of the hidden states.
    pub fn order(&self) -> &[usize] {
        &self.order
    }

    /// Restores the order of the images' cells.
    ///
    /// # Shapes
    /// - x, output: `[n_image_tokens, hidden]`
    pub(super) fn restore(&self, x: Tensor<2>) -> Tensor<2> {
        x.select(0, self.cells.clone())
    }
}
