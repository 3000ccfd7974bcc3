//! Qwen2.5-VL: a vision encoder whose attention stays within windows except in a few blocks, and a Qwen2 decoder with M-RoPE.
//!
//! # Source
//! `transformers` 4.57, `models/qwen2_5_vl/modeling_qwen2_5_vl.py`; parity is tested tensor by tensor.

mod config;
mod encoder;
mod naming;
mod projector;
mod windows;

pub use config::{Config, VisionConfig};
pub use encoder::{EncoderBlock, ImageLayout, VisionEncoder};
pub use projector::Projector;

use crate::vision::Learns;
use crate::{ModelConfig, PixelTensor, Vlm};
use burn::module::Module;
use burn::tensor::Tensor;
use seethink_nn::tracks_gradients;

/// A Qwen2.5-VL.
pub type Qwen2_5Vl = Vlm<Vision>;

/// Its `config.json`.
pub type Qwen2_5VlConfig = ModelConfig<Config>;

/// The vision side.
#[derive(Module, Debug)]
pub struct Vision {
    /// Patches to patch features.
    pub encoder: VisionEncoder,
    /// Patch features to image tokens.
    pub projector: Projector,
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

    fn project(&self, x: Tensor<2>, layout: &ImageLayout) -> Tensor<2> {
        layout.restore(self.projector.forward(x))
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
