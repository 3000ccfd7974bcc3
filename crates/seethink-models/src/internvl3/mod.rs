//! InternVL3 and InternVL3.5: pictures in tiles, a plain vision transformer, pixel shuffle, and a Qwen2 or Qwen3 decoder.
//!
//! # Source
//! `transformers` 4.57, `models/internvl/modeling_internvl.py`; parity is tested tensor by tensor.

mod config;
mod encoder;
mod naming;
mod projector;
mod tiles;

pub use config::{Config, VisionConfig};
pub use encoder::{EncoderAttention, EncoderBlock, EncoderMlp, Norm, TileLayout, VisionEncoder};
pub use projector::Projector;
pub use tiles::Tiles;

use crate::vision::Learns;
use crate::{ModelConfig, PixelTensor, Vlm};
use burn::module::Module;
use burn::tensor::Tensor;
use seethink_nn::tracks_gradients;

/// An InternVL3 or InternVL3.5.
pub type InternVl3 = Vlm<Vision>;

/// Its `config.json`.
pub type InternVl3Config = ModelConfig<Config>;

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
    type Layout = TileLayout;

    fn layout(&self, pixels: &PixelTensor) -> TileLayout {
        self.encoder.layout(pixels)
    }

    fn embed(&self, patches: Tensor<2>, layout: &TileLayout) -> Tensor<2> {
        self.encoder.embed(patches, layout)
    }

    fn n_blocks(&self) -> usize {
        self.encoder.blocks.len()
    }

    fn block(&self, index: usize, x: Tensor<2>, layout: &TileLayout) -> Tensor<2> {
        self.encoder.blocks[index].forward(x, layout)
    }

    fn project(&self, x: Tensor<2>, layout: &TileLayout) -> Tensor<2> {
        self.projector.forward(self.encoder.finish(x, layout), layout)
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
