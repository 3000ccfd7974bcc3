//! The fields of `config.json` of Qwen3-VL, spelled as in the checkpoint.

use crate::TextConfig;
use crate::checks::{check_depth, check_sides, check_sizes, expect};
use seethink_core::SettingError;
use serde::Deserialize;

/// ε of every layer norm on the vision side; no configuration has it.
pub(super) const NORM_EPS: f64 = 1e-6;

/// Model configuration: `config.json`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Config {
    /// Decoder.
    pub text_config: TextConfig,
    /// Vision encoder and projector.
    pub vision_config: VisionConfig,
}

/// Vision encoder configuration: `vision_config`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct VisionConfig {
    /// Number of blocks.
    pub depth: usize,
    /// Channels of the hidden states.
    pub hidden_size: usize,
    /// Channels inside the MLPs.
    pub intermediate_size: usize,
    /// Number of attention heads.
    pub num_heads: usize,
    /// Number of cells of the square table of learned positions.
    pub num_position_embeddings: usize,
    /// Channels of the features: the decoder's `hidden_size`.
    pub out_hidden_size: usize,
    /// Indices of the blocks whose output is also handed to the decoder, one DeepStack level each.
    pub deepstack_visual_indexes: Vec<usize>,
    /// Number of colour channels.
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
    /// Activation of the MLPs; only `gelu_pytorch_tanh` is supported.
    #[serde(default = "default_act")]
    pub hidden_act: String,
    /// Standard deviation of initial weights.
    #[serde(default = "default_initializer_range")]
    pub initializer_range: f64,
}

// Defaults of the reference's configuration class, for settings that a file leaves out.
fn default_initializer_range() -> f64 {
    0.02
}
fn default_act() -> String {
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

impl VisionConfig {
    /// Checks the settings of the vision side, and that they fit the decoder.
    pub(super) fn check(&self, text: &TextConfig) -> Result<(), SettingError> {
        check_sizes([
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_heads", self.num_heads),
            ("num_position_embeddings", self.num_position_embeddings),
        ])?;
        check_sides([
            ("patch_size", self.patch_size),
            ("spatial_merge_size", self.spatial_merge_size),
            ("temporal_patch_size", self.temporal_patch_size),
        ])?;
        check_depth("depth", self.depth)?;
        expect(self.in_channels == 3, "in_channels", self.in_channels, "3")?;
        expect(self.hidden_act == default_act(), "hidden_act", &self.hidden_act, default_act())?;
        let four_each = 4 * self.num_heads;
        let expected = format!("a multiple of 4 · `num_heads`, {four_each}");
        expect(self.hidden_size.is_multiple_of(four_each), "hidden_size", self.hidden_size, expected)?;
        let expected = format!("the `hidden_size` of the decoder, {}", text.hidden_size);
        expect(self.out_hidden_size == text.hidden_size, "out_hidden_size", self.out_hidden_size, expected)?;
        let cells = self.num_position_embeddings;
        expect(self.table_side().pow(2) == cells, "num_position_embeddings", cells, "a square number")?;
        let levels = &self.deepstack_visual_indexes;
        let ascend = levels.is_sorted_by(|a, b| a < b) && levels.iter().all(|&i| i < self.depth);
        let expected = format!("ascending indices below `depth`, {}", self.depth);
        expect(ascend, "deepstack_visual_indexes", format!("{levels:?}"), expected)?;
        let expected = format!("at most one index per decoder layer, {}", text.num_hidden_layers);
        let fits = levels.len() <= text.num_hidden_layers;
        expect(fits, "deepstack_visual_indexes", format!("{levels:?}"), expected)
    }

    /// Number of values of a flattened patch.
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
    use crate::ModelConfig;
    use serde_json::{Value, json};

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

    #[test]
    fn the_texts_flag_decides_about_the_head_and_unknown_fields_are_kept() {
        let parse = |json| ModelConfig::<Config>::from_json(json).expect("a configuration");
        let outer = parse(tiny());
        assert!(outer.ties_embeddings());
        assert_eq!(outer.json()["some_note"], json!([1, 2]));
        let mut inner = tiny();
        inner["text_config"]["tie_word_embeddings"] = json!(false);
        let mut inner = parse(inner);
        assert!(!inner.ties_embeddings());
        inner.set_tied(true);
        assert!(inner.ties_embeddings() && inner.json()["text_config"]["tie_word_embeddings"] == json!(true));
    }

    #[test]
    fn what_is_not_implemented_is_named() {
        for (field, value, message) in [
            ("hidden_act", json!("relu"), "is relu, expected gelu_pytorch_tanh"),
            ("num_position_embeddings", json!(10), "is 10, expected a square number"),
            ("out_hidden_size", json!(8), "is 8, expected the `hidden_size` of the decoder, 16"),
            ("deepstack_visual_indexes", json!([2]), "is [2], expected ascending indices below `depth`, 2"),
            ("deepstack_visual_indexes", json!([1, 0]), "is [1, 0], expected ascending indices below `depth`, 2"),
            ("depth", json!(0), "is 0, expected 1 to 4096"),
            ("in_channels", json!(1), "is 1, expected 3"),
        ] {
            let mut config = tiny();
            config["vision_config"][field] = value;
            let found = ModelConfig::<Config>::from_json(config).expect_err("not implemented").to_string();
            assert_eq!(found, format!("config.json: `vision_config.{field}` {message}"));
        }
        let mut deep = tiny();
        deep["vision_config"]["depth"] = json!(3);
        deep["vision_config"]["deepstack_visual_indexes"] = json!([0, 1, 2]);
        let found = ModelConfig::<Config>::from_json(deep).expect_err("two decoder layers").to_string();
        assert!(found.ends_with("is [0, 1, 2], expected at most one index per decoder layer, 2"), "{found}");
    }
}
