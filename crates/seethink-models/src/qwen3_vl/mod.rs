//! Qwen3-VL, the dense sizes: a vision encoder with DeepStack features, and a Qwen3 decoder with interleaved M-RoPE.
//!
//! # Source
//! `transformers` 4.57, `models/qwen3_vl/modeling_qwen3_vl.py`; parity is tested tensor by tensor.

mod config;
mod encoder;
mod naming;
mod projector;

pub use config::{Config, VisionConfig};
pub use encoder::{EncoderBlock, EncoderMlp, ImageLayout, VisionEncoder};
pub use projector::{Merger, Projector};

use crate::vision::Learns;
use crate::{ModelConfig, PixelTensor, Vlm};
use burn::module::Module;
use burn::tensor::Tensor;
use seethink_nn::tracks_gradients;

/// A Qwen3-VL.
pub type Qwen3Vl = Vlm<Vision>;

/// Its `config.json`.
pub type Qwen3VlConfig = ModelConfig<Config>;

/// The vision side.
#[derive(Module, Debug)]
pub struct Vision {
    /// Patches to patch features.
    pub encoder: VisionEncoder,
    /// Patch features to image tokens.
    pub projector: Projector,
    /// Blocks whose output is also handed to the decoder.
    #[module(skip)]
    deepstack: Vec<usize>,
}

impl crate::Vision for Vision {
    type Family = Config;
    type Layout = ImageLayout;

    fn layout(&self, pixels: &PixelTensor) -> ImageLayout {
        self.encoder.layout(pixels)
    }

    fn embed(&self, patches: Tensor<2>, layout: &ImageLayout) -> Tensor<2> {
        self.encoder.embed(patches, layout)
    }

    fn n_blocks(&self) -> usize {
        self.encoder.blocks.len()
    }

    fn block(&self, index: usize, x: Tensor<2>, layout: &ImageLayout) -> Tensor<2> {
        self.encoder.blocks[index].forward(x, layout)
    }

    fn project(&self, x: Tensor<2>, _: &ImageLayout) -> Tensor<2> {
        self.projector.merger.forward(x)
    }

    fn deepstack_level(&self, block: usize) -> Option<usize> {
        self.deepstack.iter().position(|&index| index == block)
    }

    fn project_deepstack(&self, level: usize, x: Tensor<2>) -> Tensor<2> {
        self.projector.deepstack[level].forward(x)
    }

    fn learns(&self) -> Learns {
        Learns { encoder: tracks_gradients(&self.encoder), projector: tracks_gradients(&self.projector) }
    }

    fn set_learns(mut self, learns: Learns) -> Self {
        self.encoder = self.encoder.set_require_grad(learns.encoder);
        self.projector = self.projector.set_require_grad(learns.projector);
        self
    }
}
