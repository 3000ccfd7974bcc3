//! Qwen3-VL, the dense sizes: a vision encoder with DeepStack features, and a Qwen3 decoder with
//! interleaved M-RoPE.
//!
//! # Source
//! `transformers` 4.57, `models/qwen3_vl/modeling_qwen3_vl.py`; parity is tested tensor by tensor.

mod config;
mod encoder;
mod layout;
mod naming;
mod projector;

pub use config::{Config, VisionConfig};
pub use encoder::{EncoderBlock, EncoderMlp, VisionEncoder};
pub use projector::{Merger, Projector};

use crate::native_resolution::qwen_pictures;
use crate::{
    CheckpointFiles, Family, Initial, ModelConfig, Naming, Pictures, ProcessorError, TextConfig, TextKind, Tokenizer,
    VisionSide, Vlm,
};
use burn::tensor::Device;
use seethink_core::SettingError;
use seethink_nn::RotaryFrequencies;

/// A Qwen3-VL model.
pub type Qwen3Vl = Vlm<VisionEncoder>;

/// Configuration of Qwen3-VL: `config.json`.
pub type Qwen3VlConfig = ModelConfig<Config>;

impl Family for Config {
    type Encoder = VisionEncoder;
    const MODEL_TYPE: &'static str = "qwen3_vl";
    const ARCHITECTURE: &'static str = "Qwen3VLForConditionalGeneration";

    fn display_name(&self) -> &'static str {
        "Qwen3-VL"
    }

    fn text(&self) -> &TextConfig {
        &self.text_config
    }

    fn decoder(&self) -> Result<(TextKind, RotaryFrequencies), SettingError> {
        Ok((TextKind::Qwen3, self.text_config.sectioned_frequencies(true)?))
    }

    fn check(&self) -> Result<(), SettingError> {
        self.vision_config.check(&self.text_config).map_err(|error| error.within("vision_config"))
    }

    fn vision(&self, device: &Device) -> VisionSide<VisionEncoder> {
        let config = &self.vision_config;
        VisionSide { encoder: VisionEncoder::new(config, device), projector: Projector::new(config, device) }
    }

    fn naming(&self) -> Naming {
        naming::naming(self)
    }

    fn initial(&self, name: &str) -> Option<Initial> {
        name.starts_with("model.visual").then_some(Initial::Normal(self.vision_config.initializer_range))
    }

    fn pictures(&self, files: &CheckpointFiles, tokenizer: &Tokenizer) -> Result<Pictures, ProcessorError> {
        qwen_pictures(files, tokenizer)
    }
}
