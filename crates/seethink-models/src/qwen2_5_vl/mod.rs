//! Qwen2.5-VL: a vision encoder whose attention stays within windows except in a few blocks, and a
//! Qwen2 decoder with M-RoPE.
//!
//! # Source
//! `transformers` 4.57, `models/qwen2_5_vl/modeling_qwen2_5_vl.py`; parity is tested tensor by
//! tensor.

mod config;
mod encoder;
mod layout;
mod naming;
mod projector;
mod windows;

pub use config::{Config, VisionConfig};
pub use encoder::{EncoderBlock, VisionEncoder};
pub use layout::ImageLayout;
pub use projector::Projector;

use crate::native_resolution::qwen_pictures;
use crate::{
    CheckpointFiles, Family, Initial, ModelConfig, Naming, Pictures, ProcessorError, TextConfig, TextKind, Tokenizer,
    VisionSide, Vlm,
};
use burn::tensor::Device;
use seethink_core::SettingError;
use seethink_nn::RotaryFrequencies;
use serde_json::Value;

/// A Qwen2.5-VL model.
pub type Qwen2_5Vl = Vlm<VisionEncoder>;

/// Configuration of Qwen2.5-VL: `config.json`.
pub type Qwen2_5VlConfig = ModelConfig<Config>;

/// Default of the reference's configuration class.
const DEFAULT_RMS_NORM_EPS: f64 = 1e-5;

impl Family for Config {
    type Encoder = VisionEncoder;
    const MODEL_TYPE: &'static str = "qwen2_5_vl";
    const ARCHITECTURE: &'static str = "Qwen2_5_VLForConditionalGeneration";

    /// Moves the decoder's fields, which published files have at the top level, into `text_config`.
    /// If a file has both, the inner ones count.
    fn unify(json: &mut Value) {
        if json.get("text_config").is_none() {
            let mut text = json.clone();
            text.as_object_mut().map(|text| text.remove("vision_config"));
            json["text_config"] = text;
        }
        let text = &mut json["text_config"];
        if text.get("rms_norm_eps").is_none() {
            text["rms_norm_eps"] = DEFAULT_RMS_NORM_EPS.into();
        }
    }

    fn display_name(&self) -> &'static str {
        "Qwen2.5-VL"
    }

    fn text(&self) -> &TextConfig {
        &self.text_config
    }

    fn decoder(&self) -> Result<(TextKind, RotaryFrequencies), SettingError> {
        Ok((TextKind::Qwen2, self.text_config.sectioned_frequencies(false)?))
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
        name.starts_with("visual").then_some(Initial::Normal(self.vision_config.initializer_range))
    }

    fn pictures(&self, files: &CheckpointFiles, tokenizer: &Tokenizer) -> Result<Pictures, ProcessorError> {
        qwen_pictures(files, tokenizer)
    }
}
