//! The fields of `config.json` of InternVL3 and InternVL3.5, spelled as in the checkpoint.

use crate::TextConfig;
use crate::checks::{check_depth, check_sides, check_sizes, expect};
use seethink_core::SettingError;
use serde::Deserialize;
use serde_json::Value;

/// Model configuration: `config.json`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Config {
    /// Decoder: Qwen2 in InternVL3, Qwen3 in InternVL3.5.
    pub text_config: TextConfig,
    /// Vision encoder.
    pub vision_config: VisionConfig,
    /// Downsampling ratio: one over the side of the squares of patches that become one image token.
    #[serde(default = "default_downsample_ratio")]
    pub downsample_ratio: f64,
    /// Index of the block whose output is taken; only the last is supported.
    #[serde(default = "default_vision_feature_layer")]
    pub vision_feature_layer: Value,
    /// Selection of features; only `default`, which leaves out class tokens, is supported.
    #[serde(default = "default_vision_feature_select_strategy")]
    pub vision_feature_select_strategy: String,
    /// Activation of the projector; only `gelu` is supported.
    #[serde(default = "default_act")]
    pub projector_hidden_act: String,
}

/// Vision encoder configuration: `vision_config`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct VisionConfig {
    /// Number of blocks.
    pub num_hidden_layers: usize,
    /// Channels of the hidden states.
    pub hidden_size: usize,
    /// Channels inside the MLPs.
    pub intermediate_size: usize,
    /// Number of attention heads.
    pub num_attention_heads: usize,
    /// Height and width of a tile, pixels.
    pub image_size: Pair,
    /// Height and width of a patch, pixels.
    pub patch_size: Pair,
    /// Number of colour channels.
    #[serde(default = "default_num_channels")]
    pub num_channels: usize,
    /// True if queries, keys and values have biases.
    #[serde(default)]
    pub attention_bias: bool,
    /// True if queries and keys are normalised.
    #[serde(default)]
    pub use_qk_norm: bool,
    /// Type of the norms: `layer_norm` or `rms_norm`.
    #[serde(default = "default_norm_type")]
    pub norm_type: String,
    /// ε of the norms.
    #[serde(default = "default_layer_norm_eps")]
    pub layer_norm_eps: f64,
    /// True if the model pools, which here means that there is no norm after the last block.
    #[serde(default = "default_true")]
    pub use_mean_pooling: bool,
    /// True if patches have learned positions; only that is supported.
    #[serde(default = "default_true")]
    pub use_absolute_position_embeddings: bool,
    /// Activation of the MLPs; only `gelu` is supported.
    #[serde(default = "default_act")]
    pub hidden_act: String,
    /// Initial scale of the residual branches.
    #[serde(default = "default_layer_scale_init_value")]
    pub layer_scale_init_value: f64,
    /// Standard deviation of initial weights.
    #[serde(default = "default_initializer_range")]
    pub initializer_range: f64,
}

/// A height and a width; older files have one number for both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(from = "OneOrTwo")]
pub struct Pair(pub [usize; 2]);

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrTwo {
    One(usize),
    Two([usize; 2]),
}

impl From<OneOrTwo> for Pair {
    fn from(value: OneOrTwo) -> Self {
        match value {
            OneOrTwo::One(side) => Self([side; 2]),
            OneOrTwo::Two(sides) => Self(sides),
        }
    }
}

// Defaults of the reference's configuration classes, for settings that a file leaves out.
fn default_downsample_ratio() -> f64 {
    0.5
}
fn default_vision_feature_layer() -> Value {
    (-1).into()
}
fn default_vision_feature_select_strategy() -> String {
    "default".to_owned()
}
fn default_act() -> String {
    "gelu".to_owned()
}
fn default_num_channels() -> usize {
    3
}
fn default_norm_type() -> String {
    "layer_norm".to_owned()
}
fn default_layer_norm_eps() -> f64 {
    1e-6
}
fn default_true() -> bool {
    true
}
fn default_layer_scale_init_value() -> f64 {
    0.1
}
fn default_initializer_range() -> f64 {
    0.02
}

impl Config {
    /// Patches per side of the squares that become one image token.
    pub fn shuffle_side(&self) -> usize {
        (1.0 / self.downsample_ratio).round() as usize
    }
}

impl VisionConfig {
    /// Checks the settings of the vision side.
    pub(super) fn check(&self) -> Result<(), SettingError> {
        let ([height, width], [patch_height, patch_width]) = (self.image_size.0, self.patch_size.0);
        check_sizes([
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_attention_heads", self.num_attention_heads),
        ])?;
        check_sides([
            ("image_size", height),
            ("image_size", width),
            ("patch_size", patch_height),
            ("patch_size", patch_width),
        ])?;
        check_depth("num_hidden_layers", self.num_hidden_layers)?;
        expect(self.num_channels == 3, "num_channels", self.num_channels, "3")?;
        let learned = self.use_absolute_position_embeddings;
        expect(learned, "use_absolute_position_embeddings", learned, "true")?;
        expect(self.hidden_act == "gelu", "hidden_act", &self.hidden_act, "gelu")?;
        let norm = &self.norm_type;
        expect(norm == "layer_norm" || norm == "rms_norm", "norm_type", norm, "layer_norm or rms_norm")?;
        let (size, n_heads) = (self.hidden_size, self.num_attention_heads);
        let expected = format!("a multiple of `num_attention_heads`, {n_heads}");
        expect(size.is_multiple_of(n_heads), "hidden_size", size, expected)?;
        let divides = height.is_multiple_of(patch_height) && width.is_multiple_of(patch_width);
        let expected = format!("a multiple of `patch_size`, {patch_height}x{patch_width}");
        expect(divides, "image_size", format!("{height}x{width}"), expected)
    }

    /// Grid of patches of a tile: rows, columns.
    pub fn grid(&self) -> [usize; 2] {
        [0, 1].map(|axis| self.image_size.0[axis] / self.patch_size.0[axis])
    }

    /// Number of values of a flattened patch.
    pub fn patch_len(&self) -> usize {
        self.num_channels * self.patch_size.0.iter().product::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ModelConfig;
    use serde_json::json;

    fn tiny() -> Value {
        json!({
            "model_type": "internvl", "tie_word_embeddings": true,
            "text_config": {
                "model_type": "qwen2", "vocab_size": 32, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
                "num_attention_heads": 2, "num_key_value_heads": 1, "rope_theta": 10000.0
            },
            "vision_config": {
                "num_hidden_layers": 2, "hidden_size": 8, "intermediate_size": 12, "num_attention_heads": 2,
                "image_size": 28, "patch_size": [7, 7]
            }
        })
    }

    #[test]
    fn the_outer_flag_says_nothing_about_the_head_and_one_number_is_two() {
        let config = ModelConfig::<Config>::from_json(tiny()).expect("a configuration");
        assert!(!config.ties_embeddings());
        assert_eq!((config.vision_config.grid(), config.shuffle_side()), ([4, 4], 2));
    }

    #[test]
    fn what_is_not_implemented_is_named() {
        let edit = |place: &[&str], value: Value| {
            let mut config = tiny();
            *place.iter().fold(&mut config, |at, key| &mut at[*key]) = value;
            ModelConfig::<Config>::from_json(config).expect_err("not implemented").to_string()
        };
        for (place, value, message) in [
            (&["text_config", "model_type"][..], json!("llama"), "is llama, expected qwen2 or qwen3"),
            (&["text_config", "model_type"], json!("qwen3_moe"), "is qwen3_moe, expected a dense model"),
            (&["text_config", "hidden_act"], json!("relu"), "is relu, expected silu"),
            (&["model_type"], json!("internvl_chat"), "is internvl_chat, expected internvl, the Hugging Face layout"),
            (&["vision_feature_layer"], json!(-2), "is -2, expected -1"),
            (&["downsample_ratio"], json!(0.3), "is 0.3, expected one over a whole number"),
            (&["downsample_ratio"], json!(0.125), "is 0.125, expected one over a divisor of 4x4 patches"),
            (&["vision_config", "norm_type"], json!("batch_norm"), "is batch_norm, expected layer_norm or rms_norm"),
            (&["vision_config", "image_size"], json!([28, 30]), "is 28x30, expected a multiple of `patch_size`, 7x7"),
            (&["vision_config", "hidden_size"], json!(9), "is 9, expected a multiple of `num_attention_heads`, 2"),
            (&["vision_config", "num_hidden_layers"], json!(0), "is 0, expected 1 to 4096"),
            (&["vision_config", "use_absolute_position_embeddings"], json!(false), "is false, expected true"),
        ] {
            let message = format!("config.json: `{}` {message}", place.join("."));
            let found = edit(place, value);
            assert!(found.starts_with(&message), "{found}, not {message}");
        }
    }
}
