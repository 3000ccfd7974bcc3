//! The fields of `config.json` of Qwen3-VL, spelled as in the checkpoint.

use crate::TextConfig;
use crate::checks::{check_sizes, expect};
use crate::qwen_vision_config::qwen_vision_config;
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

qwen_vision_config! {
    patch_size: 16,
    hidden_act: "gelu_pytorch_tanh",
    /// Number of cells of the square table of learned positions.
    pub num_position_embeddings: usize,
    /// Indices of the blocks whose output is also handed to the decoder, one DeepStack level each.
    pub deepstack_visual_indexes: Vec<usize>,
}

impl VisionConfig {
    /// Checks the settings of the vision side, and that they fit the decoder.
    pub(super) fn check(&self, text: &TextConfig) -> Result<(), SettingError> {
        self.check_shared(text)?;
        let cells = self.num_position_embeddings;
        check_sizes([("num_position_embeddings", cells)])?;
        expect(self.table_side().pow(2) == cells, "num_position_embeddings", cells, "a square number")?;
        let levels = &self.deepstack_visual_indexes;
        let ascend = levels.is_sorted_by(|a, b| a < b) && levels.iter().all(|&i| i < self.depth);
        let expected = format!("ascending indices below `depth`, {}", self.depth);
        expect(ascend, "deepstack_visual_indexes", format!("{levels:?}"), expected)?;
        let expected = format!("at most one index per decoder layer, {}", text.num_hidden_layers);
        let fits = levels.len() <= text.num_hidden_layers;
        expect(fits, "deepstack_visual_indexes", format!("{levels:?}"), expected)
    }

    /// Side of the table of learned positions.
    pub fn table_side(&self) -> usize {
        self.num_position_embeddings.isqrt()
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
