//! `config.json` of Qwen3-VL, spelled as in the checkpoint. What we do not read is kept and written back.

use crate::{LoadError, WeightDtype};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::path::Path;

/// The `model_type` of the checkpoints that this family reads.
pub const MODEL_TYPE: &str = "qwen3_vl";

/// `config.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Qwen3VlConfig {
    /// `qwen3_vl`.
    pub model_type: String,
    /// The decoder.
    pub text_config: TextConfig,
    /// The vision encoder and the projector.
    pub vision_config: VisionConfig,
    /// Stands for one image token.
    pub image_token_id: u32,
    /// Counts only where `text_config` has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tie_word_embeddings: Option<bool>,
    /// Everything else.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// `text_config`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TextConfig {
    /// Rows of the embedding table.
    pub vocab_size: usize,
    /// Channels of the hidden states.
    pub hidden_size: usize,
    /// Channels inside the MLPs.
    pub intermediate_size: usize,
    /// Decoder layers.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key-value heads.
    pub num_key_value_heads: usize,
    /// Channels of a head; `num_attention_heads * head_dim` need not be `hidden_size`.
    pub head_dim: usize,
    /// ε of the norms.
    #[serde(default = "default_rms_norm_eps")]
    pub rms_norm_eps: f64,
    /// Whether the attention projections have biases.
    #[serde(default)]
    pub attention_bias: bool,
    /// Activation of the MLPs; only `silu` exists.
    #[serde(default = "default_text_act")]
    pub hidden_act: String,
    /// Deviation of fresh weights.
    #[serde(default = "default_initializer_range")]
    pub initializer_range: f64,
    /// Whether the head is the embedding table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tie_word_embeddings: Option<bool>,
    /// Base of the rotary frequencies, written by transformers 4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rope_theta: Option<f64>,
    /// Rotary settings as transformers 4 writes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rope_scaling: Option<RopeConfig>,
    /// Rotary settings as transformers 5 writes them, the base included; they win.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rope_parameters: Option<RopeConfig>,
    /// Everything else.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// `rope_scaling` or `rope_parameters`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RopeConfig {
    /// Only `default` exists (and its old name `mrope`).
    #[serde(default, alias = "type", skip_serializing_if = "Option::is_none")]
    pub rope_type: Option<String>,
    /// Base of the frequencies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rope_theta: Option<f64>,
    /// Channel pairs per position axis: time, height, width.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mrope_section: Option<[usize; 3]>,
    /// Whether the axes take turns; always so in this family.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mrope_interleaved: Option<bool>,
    /// Everything else.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// `vision_config`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VisionConfig {
    /// Blocks.
    pub depth: usize,
    /// Channels.
    pub hidden_size: usize,
    /// Channels inside the MLPs.
    pub intermediate_size: usize,
    /// Attention heads.
    pub num_heads: usize,
    /// Cells of the square table of learned positions.
    pub num_position_embeddings: usize,
    /// Channels of the features: the decoder's `hidden_size`.
    pub out_hidden_size: usize,
    /// Blocks whose output is also handed to the decoder, one DeepStack level each.
    pub deepstack_visual_indexes: Vec<usize>,
    /// Colour channels.
    #[serde(default = "default_in_channels")]
    pub in_channels: usize,
    /// Side of a patch, pixels.
    #[serde(default = "default_patch_size")]
    pub patch_size: usize,
    /// Side of the square of patches that becomes one image token.
    #[serde(default = "default_pair")]
    pub spatial_merge_size: usize,
    /// Frames per patch.
    #[serde(default = "default_pair")]
    pub temporal_patch_size: usize,
    /// Activation of the MLPs; only `gelu_pytorch_tanh` exists.
    #[serde(default = "default_vision_act")]
    pub hidden_act: String,
    /// Deviation of fresh weights.
    #[serde(default = "default_initializer_range")]
    pub initializer_range: f64,
    /// Everything else.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

// What the reference's configuration classes say where a file is silent.
fn default_rms_norm_eps() -> f64 {
    1e-6
}
fn default_initializer_range() -> f64 {
    0.02
}
fn default_text_act() -> String {
    "silu".to_owned()
}
fn default_vision_act() -> String {
    "gelu_pytorch_tanh".to_owned()
}
fn default_in_channels() -> usize {
    3
}
fn default_patch_size() -> usize {
    16
}
fn default_pair() -> usize {
    2
}

impl Qwen3VlConfig {
    /// Reads and checks `config.json` in `dir`.
    ///
    /// # Errors
    /// If the file is missing or malformed, or describes a model that this family is not.
    pub fn read(dir: &Path) -> Result<Self, LoadError> {
        let path = dir.join(crate::weights::CONFIG);
        let config: Value = crate::weights::read_json(&path)?;
        // Another family lacks our fields: name the family instead of the first field.
        let model_type = config["model_type"].as_str().unwrap_or("missing");
        if model_type != MODEL_TYPE {
            let note = if model_type.ends_with("_moe") {
                "mixtures of experts are not supported"
            } else {
                "see the other families"
            };
            let what = format!("`model_type` is {model_type}, expected {MODEL_TYPE}; {note}");
            return Err(LoadError::Unsupported { path, what });
        }
        let config: Self = serde_path_to_error::deserialize(config).map_err(|source| LoadError::Config {
            path: path.clone(),
            field: source.path().to_string(),
            source: source.into_inner(),
        })?;
        config.check().map_err(|what| LoadError::Unsupported { path, what })?;
        Ok(config)
    }

    /// Whether the configuration is consistent and of a kind that is implemented; the message says what is not.
    ///
    /// # Errors
    /// The message.
    pub fn check(&self) -> Result<(), String> {
        let (text, vision) = (&self.text_config, &self.vision_config);
        let expect = |holds: bool, what: &str| if holds { Ok(()) } else { Err(what.to_owned()) };
        let rope = text.rope_config().ok_or("`text_config` has neither `rope_parameters` nor `rope_scaling`")?;
        let kind = rope.rope_type.as_deref().unwrap_or("default");
        expect(matches!(kind, "default" | "mrope"), &format!("`rope_type` is {kind}, only default is supported"))?;
        expect(rope.mrope_interleaved != Some(false), "`mrope_interleaved` is false, which this family never is")?;
        let sections = rope.mrope_section.ok_or("`mrope_section` is missing")?;
        text.rope_theta().ok_or("`rope_theta` is missing")?;
        expect(text.head_dim % 2 == 0, "`head_dim` is odd")?;
        expect(
            sections.iter().sum::<usize>() == text.head_dim / 2,
            &format!("`mrope_section` {sections:?} does not add up to half of `head_dim` {}", text.head_dim),
        )?;
        expect(
            text.num_key_value_heads > 0 && text.num_attention_heads % text.num_key_value_heads == 0,
            "`num_attention_heads` is no multiple of `num_key_value_heads`",
        )?;
        expect(
            text.hidden_act == default_text_act(),
            &format!("`hidden_act` is {}, only silu exists", text.hidden_act),
        )?;
        expect(
            vision.hidden_act == default_vision_act(),
            &format!("the vision `hidden_act` is {}, only {} exists", vision.hidden_act, default_vision_act()),
        )?;
        expect(vision.out_hidden_size == text.hidden_size, "`out_hidden_size` is not the `hidden_size` of the text")?;
        expect(
            vision.num_heads > 0 && vision.hidden_size % (4 * vision.num_heads) == 0,
            "the vision `hidden_size` does not divide into `num_heads` heads of a multiple of four channels",
        )?;
        expect(vision.table_side().pow(2) == vision.num_position_embeddings, "`num_position_embeddings` is no square")?;
        let levels = &vision.deepstack_visual_indexes;
        expect(
            levels.iter().all(|&i| i < vision.depth),
            &format!("`deepstack_visual_indexes` {levels:?} exceed `depth`"),
        )?;
        expect(levels.is_sorted_by(|a, b| a < b), &format!("`deepstack_visual_indexes` {levels:?} do not ascend"))?;
        expect(levels.len() <= text.num_hidden_layers, "there are more DeepStack levels than decoder layers")
    }

    /// Whether the head is the embedding table. The text's flag decides, where it has one.
    pub fn ties_embeddings(&self) -> bool {
        self.text_config.tie_word_embeddings.or(self.tie_word_embeddings).unwrap_or(false)
    }

    /// The number format of the weights, in every place and spelling that the file has.
    pub(super) fn with_dtype(mut self, dtype: WeightDtype) -> Self {
        for part in [&mut self.other, &mut self.text_config.other, &mut self.vision_config.other] {
            for key in ["dtype", "torch_dtype"] {
                if let Some(value) = part.get_mut(key) {
                    *value = dtype.torch_name().into();
                }
            }
        }
        self
    }

    /// Says so in both places where readers look.
    pub(super) fn set_tied(&mut self, tied: bool) {
        self.text_config.tie_word_embeddings = Some(tied);
        self.tie_word_embeddings = Some(tied);
    }
}

impl TextConfig {
    fn rope_config(&self) -> Option<&RopeConfig> {
        self.rope_parameters.as_ref().or(self.rope_scaling.as_ref())
    }

    /// Base of the rotary frequencies.
    pub fn rope_theta(&self) -> Option<f64> {
        self.rope_parameters.as_ref().and_then(|rope| rope.rope_theta).or(self.rope_theta)
    }

    /// Channel pairs per position axis.
    pub fn mrope_section(&self) -> Option<[usize; 3]> {
        self.rope_config()?.mrope_section
    }
}

impl VisionConfig {
    /// Values of a flattened patch.
    pub fn patch_len(&self) -> usize {
        self.in_channels * self.temporal_patch_size * self.patch_size.pow(2)
    }

    /// Side of the table of learned positions.
    pub fn table_side(&self) -> usize {
        self.num_position_embeddings.isqrt()
    }

    /// Channels of a merged cell.
    pub fn merged_size(&self) -> usize {
        self.hidden_size * self.spatial_merge_size.pow(2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tiny() -> Value {
        json!({
            "model_type": "qwen3_vl", "image_token_id": 7, "tie_word_embeddings": true, "some_note": [1, 2],
            "text_config": {
                "vocab_size": 32, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
                "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8,
                "rope_theta": 10000.0, "rope_scaling": {"rope_type": "default", "mrope_section": [2, 1, 1]}
            },
            "vision_config": {
                "depth": 2, "hidden_size": 8, "intermediate_size": 12, "num_heads": 2, "num_position_embeddings": 9,
                "out_hidden_size": 16, "deepstack_visual_indexes": [0]
            }
        })
    }

    fn parse(value: Value) -> Qwen3VlConfig {
        serde_json::from_value(value).expect("a configuration")
    }

    #[test]
    fn both_rope_spellings_are_read_and_unknown_fields_are_kept() {
        let old = parse(tiny());
        assert_eq!((old.text_config.rope_theta(), old.text_config.mrope_section()), (Some(1e4), Some([2, 1, 1])));
        assert_eq!(old.check(), Ok(()));
        assert!(old.ties_embeddings());
        assert_eq!(serde_json::to_value(&old).expect("JSON")["some_note"], json!([1, 2]));
        assert_eq!(parse(serde_json::to_value(&old).expect("JSON")), old);

        let mut new = tiny();
        let rope =
            json!({"rope_type": "default", "rope_theta": 5e6, "mrope_section": [2, 1, 1], "mrope_interleaved": true});
        new["text_config"]["rope_parameters"] = rope;
        new["text_config"]["tie_word_embeddings"] = json!(false);
        let new = parse(new);
        assert_eq!(new.text_config.rope_theta(), Some(5e6));
        assert!(!new.ties_embeddings());
    }

    #[test]
    fn what_is_not_implemented_is_named() {
        let mut sections = tiny();
        sections["text_config"]["rope_scaling"]["mrope_section"] = json!([2, 2, 1]);
        let mut rope = tiny();
        rope["text_config"]["rope_scaling"]["rope_type"] = json!("yarn");
        let mut act = tiny();
        act["vision_config"]["hidden_act"] = json!("relu");
        for (config, word) in [(sections, "mrope_section"), (rope, "yarn"), (act, "relu")] {
            let message = parse(config).check().expect_err("not implemented");
            assert!(message.contains(word), "{message}");
        }
    }
}
