//! InternVL3 and InternVL3.5: pictures in tiles, a plain vision transformer, pixel shuffle, and a
//! Qwen2 or Qwen3 decoder.
//!
//! # Source
//! `transformers` 4.57, `models/internvl/modeling_internvl.py`; parity is tested tensor by tensor.

mod config;
mod encoder;
mod layout;
mod naming;
mod projector;
mod tiles;

pub use config::{Config, VisionConfig};
pub use encoder::{EncoderAttention, EncoderBlock, EncoderMlp, Norm, VisionEncoder};
pub use layout::TileLayout;
pub use projector::Projector;
pub use tiles::Tiles;

use crate::checks::expect;
use crate::{
    CheckpointFiles, Family, Initial, ModelConfig, Naming, Pictures, ProcessorError, TextConfig, TextKind, Tokenizer,
    VisionSide, Vlm,
};
use burn::tensor::Device;
use seethink_core::SettingError;
use seethink_nn::RotaryFrequencies;

/// An InternVL3 or InternVL3.5 model.
pub type InternVl3 = Vlm<VisionEncoder>;

/// Configuration of InternVL3: `config.json`.
pub type InternVl3Config = ModelConfig<Config>;

impl Family for Config {
    type Encoder = VisionEncoder;
    const MODEL_TYPE: &'static str = "internvl";
    const ARCHITECTURE: &'static str = "InternVLForConditionalGeneration";
    /// The flag is the default of the outer class, and the decoder's class does not look at it.
    const OUTER_TIE_FLAG: bool = false;

    fn display_name(&self) -> &'static str {
        match self.decoder() {
            Ok((TextKind::Qwen3, _)) => "InternVL3.5",
            _ => "InternVL3",
        }
    }

    fn text(&self) -> &TextConfig {
        &self.text_config
    }

    fn decoder(&self) -> Result<(TextKind, RotaryFrequencies), SettingError> {
        let kind = match self.text_config.model_type.as_deref() {
            Some("qwen2") | None => TextKind::Qwen2,
            Some("qwen3") => TextKind::Qwen3,
            Some(other) => return Err(SettingError::new("model_type", other, "qwen2 or qwen3")),
        };
        Ok((kind, self.text_config.plain_frequencies()?))
    }

    fn check(&self) -> Result<(), SettingError> {
        self.vision_config.check().map_err(|error| error.within("vision_config"))?;
        let ratio = self.downsample_ratio;
        let side = (1.0 / ratio).round();
        let whole = (1.0..=1024.0).contains(&side) && (side * ratio - 1.0).abs() < 1e-9;
        expect(whole, "downsample_ratio", ratio, "one over a whole number")?;
        let [rows, columns] = self.vision_config.grid();
        let divides = rows.is_multiple_of(self.shuffle_side()) && columns.is_multiple_of(self.shuffle_side());
        let expected = format!("one over a divisor of {rows}x{columns} patches, those of a tile");
        expect(divides, "downsample_ratio", ratio, expected)?;
        let layer = &self.vision_feature_layer;
        expect(layer.as_i64() == Some(-1), "vision_feature_layer", layer, "-1")?;
        let strategy = &self.vision_feature_select_strategy;
        expect(strategy == "default", "vision_feature_select_strategy", strategy, "default")?;
        let act = &self.projector_hidden_act;
        expect(act == "gelu", "projector_hidden_act", act, "gelu")
    }

    fn vision(&self, device: &Device) -> VisionSide<VisionEncoder> {
        VisionSide { encoder: VisionEncoder::new(&self.vision_config, device), projector: Projector::new(self, device) }
    }

    fn naming(&self) -> Naming {
        naming::naming(self)
    }

    fn initial(&self, name: &str) -> Option<Initial> {
        let vision = &self.vision_config;
        if name.ends_with("cls_token") || name.ends_with("position_embeddings") {
            Some(Initial::Constant(0.0))
        } else if name.ends_with("lambda_1") || name.ends_with("lambda_2") {
            Some(Initial::Constant(vision.layer_scale_init_value as f32))
        } else {
            name.starts_with("vision_tower").then_some(Initial::Normal(vision.initializer_range))
        }
    }

    fn pictures(&self, files: &CheckpointFiles, tokenizer: &Tokenizer) -> Result<Pictures, ProcessorError> {
        Tiles::pictures(files, tokenizer, self)
    }
}
