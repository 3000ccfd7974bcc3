//! The vision side of a backbone: an encoder made of blocks, and a projector into the decoder.

mod attention;

pub use attention::VisionAttention;
pub(crate) use attention::{ImageRuns, grid_angles, merge_order};

use crate::config::Family;
use crate::{PixelTensor, VisualFeatures};
use burn::module::{Module, ModuleDisplay};
use burn::tensor::Tensor;
use seethink_nn::tracks_gradients;
use std::fmt::Debug;

/// Patches to patch features, block by block, so that training can run each block again.
///
/// # Shapes
/// Hidden states are `[n_rows, width]`: a row per patch of all images (and per class token, where there are some).
pub trait Encoder: Module + ModuleDisplay + Clone + Debug + Send + 'static {
    /// What its configuration says.
    type Family: Family<Encoder = Self>;

    /// What maps its output into the decoder.
    type Projector: Projector<Self::Layout>;

    /// What the grids of a batch of images say, made once per forward pass.
    type Layout: Clone + Debug;

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

    /// What follows the last block and is no part of the projector.
    ///
    /// # Shapes
    /// - output: `[n_patches, width]`
    fn finish(&self, x: Tensor<2>, _layout: &Self::Layout) -> Tensor<2> {
        x
    }
}

/// Patch features to image tokens.
pub trait Projector<Layout>: Module + ModuleDisplay + Clone + Debug + Send + 'static {
    /// The encoder's output to what stands in the place of the image tokens' embeddings.
    ///
    /// # Shapes
    /// - x: `[n_patches, width]`
    /// - output: `[n_image_tokens, hidden]`
    fn project(&self, x: Tensor<2>, layout: &Layout) -> Tensor<2>;

    /// The DeepStack level that reads the output of a block.
    fn deepstack_level(&self, _block: usize) -> Option<usize> {
        None
    }

    /// The output of a DeepStack block to what is added in the decoder.
    ///
    /// # Shapes
    /// - x: `[n_patches, width]`
    /// - output: `[n_image_tokens, hidden]`
    fn project_deepstack(&self, _level: usize, _x: Tensor<2>) -> Tensor<2> {
        unreachable!("asked for only where `deepstack_level` names a level")
    }
}

/// The vision side of a backbone.
#[derive(Module, Debug)]
pub struct VisionSide<E: Encoder> {
    /// Patches to patch features.
    pub encoder: E,
    /// Patch features to image tokens.
    pub projector: E::Projector,
}

impl<E: Encoder> VisionSide<E> {
    /// Features of the images, showing `observe` the input of every block `i` as `i` and the output of the last as their
    /// number.
    pub(crate) fn encode(
        &self,
        patches: Tensor<2>,
        layout: &E::Layout,
        observe: &mut dyn FnMut(usize, &Tensor<2>),
    ) -> VisualFeatures {
        let mut x = self.encoder.embed(patches, layout);
        let mut deepstack = Vec::new();
        for index in 0..self.encoder.n_blocks() {
            observe(index, &x);
            x = self.encoder.block(index, x, layout);
            if let Some(level) = self.projector.deepstack_level(index) {
                deepstack.push(self.projector.project_deepstack(level, x.clone()));
            }
        }
        observe(self.encoder.n_blocks(), &x);
        VisualFeatures { embeds: self.project(x, layout), deepstack }
    }

    /// The output of the last block to image tokens.
    pub(crate) fn project(&self, x: Tensor<2>, layout: &E::Layout) -> Tensor<2> {
        self.projector.project(self.encoder.finish(x, layout), layout)
    }

    /// Whether the encoder learns.
    pub(crate) fn encoder_learns(&self) -> bool {
        tracks_gradients(&self.encoder)
    }

    /// Whether the projector learns.
    pub(crate) fn projector_learns(&self) -> bool {
        tracks_gradients(&self.projector)
    }

    /// Freezes and unfreezes both.
    pub(crate) fn set_learns(self, encoder: bool, projector: bool) -> Self {
        Self { encoder: self.encoder.set_require_grad(encoder), projector: self.projector.set_require_grad(projector) }
    }
}
