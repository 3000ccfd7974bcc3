//! The fields of `config.json` of Qwen2.5-VL, spelled as in the checkpoint.

use crate::TextConfig;
use crate::checks::{check_sizes, expect};
use crate::qwen_vision_config::qwen_vision_config;
use seethink_core::SettingError;
use serde::Deserialize;

/// ε of the norms on the vision side; no configuration has it.
pub(super) const NORM_EPS: f64 = 1e-6;

/// Model configuration: `config.json`, with the decoder's fields in `text_config`, where newer
/// files have them.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Config {
    /// Decoder.
    pub text_config: TextConfig,
    /// Vision encoder and projector.
    pub vision_config: VisionConfig,
}

qwen_vision_config! {
    patch_size: 14,
    hidden_act: "silu",
    /// Indices of the blocks whose attention goes over the whole image.
    #[serde(default = "default_fullatt_block_indexes")]
    pub fullatt_block_indexes: Vec<usize>,
    /// Side of a window of the other blocks, pixels.
    #[serde(default = "default_window_size")]
    pub window_size: usize,
}

fn default_fullatt_block_indexes() -> Vec<usize> {
    vec![7, 15, 23, 31]
}
fn default_window_size() -> usize {
    112
}

impl VisionConfig {
    /// Checks the settings of the vision side, and that they fit the decoder.
    pub(super) fn check(&self, text: &TextConfig) -> Result<(), SettingError> {
        self.check_shared(text)?;
        check_sizes([("window_size", self.window_size)])?;
        let expected = format!("at least a merged cell of patches, {}", self.patch_size * self.spatial_merge_size);
        expect(self.window_side() > 0, "window_size", self.window_size, expected)
    }

    /// Side of a window, in merged cells.
    pub fn window_side(&self) -> usize {
        self.window_size / self.spatial_merge_size / self.patch_size
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Family;
    use crate::ModelConfig;
    use serde_json::{Value, json};

    fn flat() -> Value {
        json!({
            "model_type": "qwen2_5_vl", "vocab_size": 32, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
            "num_attention_heads": 2, "num_key_value_heads": 1, "rope_theta": 10000.0, "tie_word_embeddings": true,
            "rms_norm_eps": 1e-6, "rope_scaling": {"type": "mrope", "mrope_section": [1, 1, 2]},
            "vision_config": {
                "depth": 2, "hidden_size": 8, "intermediate_size": 12, "num_heads": 2, "out_hidden_size": 16, "in_chans": 3
            }
        })
    }

    #[test]
    fn flat_and_nested_files_say_the_same() {
        let mut nested = flat();
        Config::unify(&mut nested);
        for key in ["vocab_size", "num_hidden_layers", "rope_scaling", "tie_word_embeddings"] {
            nested.as_object_mut().expect("an object").remove(key);
        }
        // Newer files may repeat fields outside, and the inner ones count.
        nested["hidden_size"] = json!(99);
        let parse = |json| ModelConfig::<Config>::from_json(json).expect("a configuration");
        let (flat, nested) = (parse(flat()), parse(nested));
        assert_eq!(*flat, *nested);
        assert!(flat.ties_embeddings() && nested.ties_embeddings());
        assert_eq!(flat.vision_config.window_side(), 4);
    }

    #[test]
    fn parts_that_are_no_objects_are_refused() {
        for (part, value) in [("text_config", json!(5)), ("text_config", json!([])), ("vision_config", json!("x"))] {
            let mut config = flat();
            config[part] = value;
            let message = ModelConfig::<Config>::from_json(config).expect_err("no configuration").to_string();
            assert!(message.starts_with(&format!("config.json: `{part}` is ")), "{message}");
            assert!(message.ends_with(", expected an object"), "{message}");
        }
    }

    #[test]
    fn what_is_not_implemented_is_named() {
        let refused = |config| ModelConfig::<Config>::from_json(config).expect_err("not implemented").to_string();
        for (field, value, message) in [
            ("hidden_act", json!("gelu"), "is gelu, expected silu"),
            ("window_size", json!(8), "is 8, expected at least a merged cell of patches, 28"),
            ("hidden_size", json!(12), "is 12, expected a multiple of 4 · `num_heads`, 8"),
            ("out_hidden_size", json!(8), "is 8, expected the `hidden_size` of the decoder, 16"),
            ("depth", json!(9999), "is 9999, expected 1 to 4096"),
        ] {
            let mut config = flat();
            config["vision_config"][field] = value;
            assert_eq!(refused(config), format!("config.json: `vision_config.{field}` {message}"));
        }
        let mut yarn = flat();
        yarn["rope_scaling"]["type"] = json!("yarn");
        assert_eq!(refused(yarn.clone()), "config.json: `rope_scaling.rope_type` is yarn, expected default");
        Config::unify(&mut yarn);
        assert_eq!(refused(yarn), "config.json: `text_config.rope_scaling.rope_type` is yarn, expected default");
    }
}
