//! The vision side of a backbone: an encoder made of blocks, and a projector into the decoder.

mod attention;

pub use attention::VisionAttention;
pub(crate) use attention::{ImageRuns, grid_angles, merge_order};

use crate::config::Family;
use crate::{PixelTensor, VisualFeatures};
use burn::module::{Module, ModuleDisplay};
use burn::tensor::Tensor;

/// Encoder and projector of a family, block by block, so that training can run each block again.
///
/// # Shapes
/// Hidden states are `[n_rows, width]`: a row per patch of all images (and per class token, where there are some).
pub trait Vision: Module + ModuleDisplay + Clone + std::fmt::Debug + Send + 'static {
    /// What its configuration says.
    type Family: Family<Vision = Self>;

    /// What the grids of a batch of images say, made once per forward pass.
    type Layout: Clone + std::fmt::Debug;

    /// Where the patches of these images lie.
    ///
    /// # Panics
    /// If a grid is none that the processor of this family makes.
    fn layout(&self, pixels: &PixelTensor) -> Self::Layout;

    /// Patches to the input of the first block.
    fn embed(&self, patches: Tensor<2>, layout: &Self::Layout) -> Tensor<2>;

    /// Number of blocks.
    fn n_blocks(&self) -> usize;

    /// Block `index`.
    fn block(&self, index: usize, x: Tensor<2>, layout: &Self::Layout) -> Tensor<2>;

    /// The output of the last block to image tokens.
    ///
    /// # Shapes
    /// - output: `[n_image_tokens, hidden]`
    fn project(&self, x: Tensor<2>, layout: &Self::Layout) -> Tensor<2>;

    /// The DeepStack level that reads the output of a block.
    fn deepstack_level(&self, _block: usize) -> Option<usize> {
        None
    }

    /// The output of a DeepStack block to what is added in the decoder.
    ///
    /// # Shapes
    /// - output: `[n_image_tokens, hidden]`
    fn project_deepstack(&self, _level: usize, _x: Tensor<2>) -> Tensor<2> {
        unreachable!("asked for only where `deepstack_level` names a level")
    }

    /// Whether the encoder and the projector learn.
    fn learns(&self) -> Learns;

    /// Freezes and unfreezes encoder and projector.
    fn set_learns(self, learns: Learns) -> Self;
}

/// Which parts of the vision side learn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Learns {
    /// Patches to patch features.
    pub encoder: bool,
    /// Patch features to image tokens.
    pub projector: bool,
}

/// Features of the images, showing `observe` the input of every block `i` as `i` and the output of the last as `n_blocks`.
pub(crate) fn encode<V: Vision>(
    vision: &V,
    patches: Tensor<2>,
    layout: &V::Layout,
    observe: &mut dyn FnMut(usize, &Tensor<2>),
) -> VisualFeatures {
    let mut x = vision.embed(patches, layout);
    let mut deepstack = Vec::new();
    for index in 0..vision.n_blocks() {
        observe(index, &x);
        x = vision.block(index, x, layout);
        if let Some(level) = vision.deepstack_level(index) {
            deepstack.push(vision.project_deepstack(level, x.clone()));
        }
    }
    observe(vision.n_blocks(), &x);
    VisualFeatures { embeds: vision.project(x, layout), deepstack }
}
