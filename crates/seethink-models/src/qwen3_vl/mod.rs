//! Qwen3-VL, the dense sizes: a vision encoder with DeepStack features, and a Qwen3 decoder with
//! interleaved M-RoPE.
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

use crate::{ModelConfig, Vlm};

/// A Qwen3-VL model.
pub type Qwen3Vl = Vlm<VisionEncoder>;

/// Configuration of Qwen3-VL: `config.json`.
pub type Qwen3VlConfig = ModelConfig<Config>;
