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

use crate::text_config::expect;
use crate::{
    CheckpointFiles, Family, Initial, ModelConfig, Naming, Pictures, ProcessorError, TextConfig, TextKind, Tokenizer,
    VisionSide, Vlm,
};
use burn::tensor::Device;
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

    fn decoder(&self) -> Result<(TextKind, RotaryFrequencies), String> {
        let kind = match self.text_config.model_type.as_deref() {
            Some("qwen2") | None => TextKind::Qwen2,
            Some("qwen3") => TextKind::Qwen3,
            Some(other) => {
                return Err(format!("`text_config.model_type` is {other}, only qwen2 and qwen3 are supported"));
            }
        };
        Ok((kind, self.text_config.plain_frequencies()?))
    }

    fn check(&self) -> Result<(), String> {
        self.vision_config.check()?;
        let ratio = self.downsample_ratio;
        let side = (1.0 / ratio).round();
        let whole = (1.0..=1024.0).contains(&side) && (side * ratio - 1.0).abs() < 1e-9;
        expect(whole, || format!("`downsample_ratio` is {ratio}, expected one over a whole number"))?;
        let [rows, columns] = self.vision_config.grid();
        let divides = rows.is_multiple_of(self.shuffle_side()) && columns.is_multiple_of(self.shuffle_side());
        expect(divides, || format!("{rows}x{columns} patches of a tile do not divide by `downsample_ratio` {ratio}"))?;
        let layer = &self.vision_feature_layer;
        expect(layer.as_i64() == Some(-1), || format!("`vision_feature_layer` is {layer}, only -1 is supported"))?;
        let strategy = &self.vision_feature_select_strategy;
        expect(strategy == "default", || {
            format!("`vision_feature_select_strategy` is {strategy}, only default is supported")
        })?;
        let act = &self.projector_hidden_act;
        expect(act == "gelu", || format!("`projector_hidden_act` is {act}, only gelu exists"))
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
