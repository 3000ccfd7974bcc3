//! InternVL3 and InternVL3.5: pictures in tiles, a plain vision transformer, pixel shuffle, and a
//! Qwen2 or Qwen3 decoder.
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

use crate::{ModelConfig, Vlm};

/// An InternVL3 or InternVL3.5 model.
pub type InternVl3 = Vlm<VisionEncoder>;

/// Configuration of InternVL3: `config.json`.
pub type InternVl3Config = ModelConfig<Config>;
