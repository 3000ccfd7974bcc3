//! Qwen2.5-VL: a vision encoder whose attention stays within windows except in a few blocks, and a
//! Qwen2 decoder with M-RoPE.
//!
//! # Source
//! `transformers` 4.57, `models/qwen2_5_vl/modeling_qwen2_5_vl.py`; parity is tested tensor by
//! tensor.

mod config;
mod encoder;
mod naming;
mod projector;
mod windows;

pub use config::{Config, VisionConfig};
pub use encoder::{EncoderBlock, ImageLayout, VisionEncoder};
pub use projector::Projector;

use crate::{ModelConfig, Vlm};

/// A Qwen2.5-VL model.
pub type Qwen2_5Vl = Vlm<VisionEncoder>;

/// Configuration of Qwen2.5-VL: `config.json`.
pub type Qwen2_5VlConfig = ModelConfig<Config>;
