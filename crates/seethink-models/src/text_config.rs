//! Decoder configuration in `config.json`, in the spelling that all families share.

use crate::checks::{check_depth, check_sizes, expect};
use seethink_core::SettingError;
use seethink_nn::{DynamicScaling, RotaryFrequencies};
use serde::Deserialize;

/// Kind of decoder; the kinds differ in the attention alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextKind {
    /// Qwen2: biases on queries, keys and values, always; none on the output.
    Qwen2,
    /// Qwen3: queries and keys are normalised per head; biases on all four projections or on none.
    Qwen3,
}

/// Decoder configuration: `text_config`, or the top level of files that do not nest it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct TextConfig {
    /// Kind of decoder, if the file has it.
    #[serde(default)]
    pub model_type: Option<String>,
    /// Size of the vocabulary: rows of the embedding table.
    pub vocab_size: usize,
    /// Channels of the hidden states.
    pub hidden_size: usize,
    /// Channels inside the MLPs.
    pub intermediate_size: usize,
    /// Number of decoder layers.
    pub num_hidden_layers: usize,
    /// Number of query heads.
    pub num_attention_heads: usize,
    /// Number of key-value heads; defaults to that of query heads.
    #[serde(default)]
    pub num_key_value_heads: Option<usize>,
    /// Channels of a head; defaults to `hidden_size / num_attention_heads`.
    #[serde(default)]
    pub head_dim: Option<usize>,
    /// ε of the norms.
    #[serde(default = "default_rms_norm_eps")]
    pub rms_norm_eps: f64,
    /// True if the attention projections have biases; those of Qwen2 always have.
    #[serde(default)]
    pub attention_bias: bool,
    /// Activation of the MLPs; only `silu` is supported.
    #[serde(default = "default_act")]
    pub hidden_act: String,
    /// Standard deviation of initial weights.
    #[serde(default = "default_initializer_range")]
    pub initializer_range: f64,
    /// Longest context that the rotary base is made for, tokens.
    #[serde(default = "default_max_position_embeddings")]
    pub max_position_embeddings: usize,
    /// True for sliding-window attention, in which far tokens are not seen; no released checkpoint
    /// has it.
    #[serde(default)]
    pub use_sliding_window: bool,
    /// True if the head is the embedding table (tied embeddings).
    #[serde(default)]
    pub tie_word_embeddings: Option<bool>,
    /// Base of the rotary frequencies, written by transformers 4.
    #[serde(default)]
    pub rope_theta: Option<f64>,
    /// Rotary settings as transformers 4 writes them.
    #[serde(default)]
    pub rope_scaling: Option<RopeConfig>,
    /// Rotary settings as transformers 5 writes them, the base included; these take precedence.
    #[serde(default)]
    pub rope_parameters: Option<RopeConfig>,
}

/// Rotary position settings: `rope_scaling` or `rope_parameters`.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub struct RopeConfig {
    /// Type of the rotary embedding: `default` (once `mrope`) or `dynamic`.
    #[serde(default)]
    pub rope_type: Option<String>,
    /// Older spelling of `rope_type`; files may have both.
    #[serde(default, rename = "type")]
    pub old_type: Option<String>,
    /// Base of the frequencies.
    #[serde(default)]
    pub rope_theta: Option<f64>,
    /// Channel pairs per position axis: time, height, width.
    #[serde(default)]
    pub mrope_section: Option<[usize; 3]>,
    /// True if the position axes are interleaved; fixed for each family.
    #[serde(default)]
    pub mrope_interleaved: Option<bool>,
    /// Factor of dynamic scaling, by which contexts may be longer.
    #[serde(default)]
    pub factor: Option<f64>,
}

// Defaults of the reference's configuration classes, for settings that a file leaves out.
fn default_rms_norm_eps() -> f64 {
    1e-6
}
fn default_initializer_range() -> f64 {
    0.02
}
fn default_act() -> String {
    "silu".to_owned()
}
fn default_max_position_embeddings() -> usize {
    32_768
}

impl TextConfig {
    /// Number of key-value heads.
    pub fn n_kv_heads(&self) -> usize {
        self.num_key_value_heads.unwrap_or(self.num_attention_heads)
    }

    /// Channels of a head; with [`TextKind::Qwen3`] `num_attention_heads * head_dim` need not be
    /// `hidden_size`.
    pub fn head_dim(&self) -> usize {
        self.head_dim.unwrap_or(self.hidden_size / self.num_attention_heads.max(1))
    }

    /// Size of the key-value cache, in numbers per token.
    pub(crate) fn cache_numbers_per_token(&self) -> usize {
        2 * self.num_hidden_layers * self.n_kv_heads() * self.head_dim()
    }

    /// Activations that a backward pass keeps, in numbers per token: inputs and outputs of the
    /// norms, projections, attention and gate.
    pub(crate) fn activation_numbers_per_token(&self) -> usize {
        let of_heads =
            (2 * self.num_attention_heads + 4 * self.n_kv_heads() + self.num_attention_heads) * self.head_dim();
        self.num_hidden_layers * (4 * self.hidden_size + of_heads + 3 * self.intermediate_size)
    }

    /// Maximum sequence length in tokens: `max_position_embeddings`, times the `factor` of a
    /// dynamic base.
    pub(crate) fn max_positions(&self) -> usize {
        let stretch = self.rope().factor.filter(|_| self.rope_type() == "dynamic").unwrap_or(1.0);
        (self.max_position_embeddings as f64 * stretch.max(1.0)) as usize
    }

    /// Checks that the decoder is consistent and of a kind that is implemented.
    ///
    /// # Errors
    /// If it is not; the error names the setting.
    pub(crate) fn check(&self) -> Result<(), SettingError> {
        let (n_heads, n_kv_heads, head_dim) = (self.num_attention_heads, self.n_kv_heads(), self.head_dim());
        check_sizes([
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_attention_heads", n_heads),
            ("num_key_value_heads", n_kv_heads),
            ("head_dim", head_dim),
        ])?;
        check_depth("num_hidden_layers", self.num_hidden_layers)?;
        expect(head_dim.is_multiple_of(2), "head_dim", head_dim, "an even number")?;
        let expected = format!("a multiple of `num_key_value_heads`, {n_kv_heads}");
        expect(n_heads.is_multiple_of(n_kv_heads), "num_attention_heads", n_heads, expected)?;
        expect(self.hidden_act == "silu", "hidden_act", &self.hidden_act, "silu")?;
        expect(!self.use_sliding_window, "use_sliding_window", self.use_sliding_window, "false")
    }

    fn rope(&self) -> RopeConfig {
        self.rope_parameters.clone().or_else(|| self.rope_scaling.clone()).unwrap_or_default()
    }

    /// Path of a rotary setting.
    fn rope_key(&self, key: &str) -> String {
        let place = if self.rope_parameters.is_some() { "rope_parameters" } else { "rope_scaling" };
        format!("{place}.{key}")
    }

    fn rope_theta(&self) -> Result<f64, SettingError> {
        let theta = self.rope().rope_theta.or(self.rope_theta);
        theta.ok_or_else(|| SettingError::new("rope_theta", "missing", "the base of the rotary frequencies"))
    }

    /// Type of the rotary embedding; the newer spelling takes precedence.
    fn rope_type(&self) -> String {
        let rope = self.rope();
        rope.rope_type.or(rope.old_type).unwrap_or_else(|| "default".to_owned())
    }

    /// Rotary frequencies of positions with three axes.
    ///
    /// # Errors
    /// If the sections are missing or do not fit, or the settings are of a kind that is not
    /// implemented.
    pub(crate) fn sectioned_frequencies(&self, interleaved: bool) -> Result<RotaryFrequencies, SettingError> {
        let (kind, rope, theta, head_dim) = (self.rope_type(), self.rope(), self.rope_theta()?, self.head_dim());
        let is_default = matches!(kind.as_str(), "default" | "mrope");
        expect(is_default, self.rope_key("rope_type"), kind, "default")?;
        let found = rope.mrope_interleaved.unwrap_or(interleaved);
        expect(found == interleaved, self.rope_key("mrope_interleaved"), found, interleaved.to_string())?;
        let wrong = |found: String| {
            let expected = format!("three numbers that add up to half of `head_dim`, {}", head_dim / 2);
            SettingError::new(self.rope_key("mrope_section"), found, expected)
        };
        let sections = rope.mrope_section.ok_or_else(|| wrong("missing".to_owned()))?;
        if sections.iter().try_fold(0usize, |sum, &section| sum.checked_add(section)) != Some(head_dim / 2) {
            return Err(wrong(format!("{sections:?}")));
        }
        Ok(if interleaved {
            RotaryFrequencies::interleaved(theta, head_dim, sections)
        } else {
            RotaryFrequencies::chunked(theta, head_dim, sections)
        })
    }

    /// Rotary frequencies of positions with one axis.
    ///
    /// # Errors
    /// If the settings are of a kind that is not implemented.
    pub(crate) fn plain_frequencies(&self) -> Result<RotaryFrequencies, SettingError> {
        let frequencies = RotaryFrequencies::plain(self.rope_theta()?, self.head_dim());
        match self.rope_type().as_str() {
            "default" => Ok(frequencies),
            "dynamic" => {
                let missing = || SettingError::new(self.rope_key("factor"), "missing", "the factor of dynamic scaling");
                let factor = self.rope().factor.ok_or_else(missing)?;
                let max_positions = self.max_position_embeddings;
                Ok(frequencies.with_scaling(DynamicScaling { factor, max_positions }))
            }
            other => Err(SettingError::new(self.rope_key("rope_type"), other, "default or dynamic")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn config(changes: Value) -> TextConfig {
        let mut config = json!({
            "vocab_size": 32, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2,
            "num_key_value_heads": 1, "rope_theta": 1e4,
            "rope_scaling": {"rope_type": "default", "mrope_section": [2, 1, 1]}
        });
        config.as_object_mut().expect("an object").extend(changes.as_object().expect("an object").clone());
        serde_json::from_value(config).expect("a configuration")
    }

    #[test]
    fn both_rope_spellings_are_read() {
        let expected = RotaryFrequencies::interleaved(1e4, 8, [2, 1, 1]);
        assert_eq!(config(json!({})).sectioned_frequencies(true), Ok(expected));
        let rope =
            json!({"rope_type": "default", "rope_theta": 5e6, "mrope_section": [2, 1, 1], "mrope_interleaved": true});
        let new = config(json!({"rope_parameters": rope}));
        assert_eq!(new.sectioned_frequencies(true), Ok(RotaryFrequencies::interleaved(5e6, 8, [2, 1, 1])));
        assert!(new.sectioned_frequencies(false).is_err());
        let old = config(json!({"rope_scaling": {"type": "mrope", "mrope_section": [1, 1, 2]}}));
        assert_eq!(old.sectioned_frequencies(false), Ok(RotaryFrequencies::chunked(1e4, 8, [1, 1, 2])));
        let both = config(json!({"rope_scaling": {"type": "dynamic", "rope_type": "dynamic", "factor": 2.0}}));
        let scaling = DynamicScaling { factor: 2.0, max_positions: 32_768 };
        assert_eq!(both.plain_frequencies(), Ok(RotaryFrequencies::plain(1e4, 8).with_scaling(scaling)));
        assert_eq!(config(json!({"rope_scaling": null})).plain_frequencies(), Ok(RotaryFrequencies::plain(1e4, 8)));
        assert_eq!(both.max_positions(), 65_536);
        assert_eq!(config(json!({"max_position_embeddings": 128_000})).max_positions(), 128_000);
    }

    #[test]
    fn what_is_not_implemented_is_named() {
        let section = "three numbers that add up to half of `head_dim`, 4";
        for (changes, key, found, expected) in [
            (json!({"rope_scaling": {"mrope_section": [2, 2, 1]}}), "rope_scaling.mrope_section", "[2, 2, 1]", section),
            (json!({"rope_scaling": {"rope_type": "yarn"}}), "rope_scaling.rope_type", "yarn", "default"),
            (json!({"rope_parameters": {"rope_type": "yarn"}}), "rope_parameters.rope_type", "yarn", "default"),
            (json!({"rope_scaling": {"mrope_interleaved": false}}), "rope_scaling.mrope_interleaved", "false", "true"),
            (json!({"rope_scaling": null}), "rope_scaling.mrope_section", "missing", section),
            (json!({"rope_theta": null}), "rope_theta", "missing", "the base of the rotary frequencies"),
        ] {
            let error = config(changes).sectioned_frequencies(true).expect_err("not implemented");
            assert_eq!(error, SettingError::new(key, found, expected));
        }
        for (rope, key, found) in [
            (json!({"rope_type": "dynamic"}), "rope_scaling.factor", "missing"),
            (json!({"rope_type": "yarn"}), "rope_scaling.rope_type", "yarn"),
        ] {
            let error = config(json!({"rope_scaling": rope})).plain_frequencies().expect_err("not implemented");
            assert_eq!((&*error.key, &*error.found), (key, found));
        }
        for (changes, key, found, expected) in [
            (json!({"hidden_act": "relu"}), "hidden_act", "relu", "silu"),
            (json!({"use_sliding_window": true}), "use_sliding_window", "true", "false"),
            (json!({"head_dim": 7}), "head_dim", "7", "an even number"),
            (json!({"num_key_value_heads": 3}), "num_attention_heads", "2", "a multiple of `num_key_value_heads`, 3"),
            (json!({"hidden_size": 0}), "hidden_size", "0", "1 to 16777216"),
            (json!({"vocab_size": 1u64 << 50}), "vocab_size", "1125899906842624", "1 to 16777216"),
            (json!({"num_hidden_layers": 5000}), "num_hidden_layers", "5000", "1 to 4096"),
        ] {
            assert_eq!(config(changes).check(), Err(SettingError::new(key, found, expected)));
        }
    }
}
