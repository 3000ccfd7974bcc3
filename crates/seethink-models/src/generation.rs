//! Sampling settings of a checkpoint's authors: `generation_config.json`.

use crate::ProcessorError;
use crate::files::CheckpointFiles;
use serde::Deserialize;

/// The sampling settings of a checkpoint; absent settings have the reference's defaults, which
/// change nothing.
///
/// # Source
/// transformers 4.57, `generation/configuration_utils.py`.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(default)]
pub struct GenerationConfig {
    /// True to sample tokens; if not, decoding is greedy and the settings below but the penalty do
    /// not count.
    pub do_sample: bool,
    /// Temperature: divides the logits.
    pub temperature: f32,
    /// Nucleus (top-p) sampling: the smallest set of most likely tokens that holds this much
    /// probability.
    pub top_p: f32,
    /// Top-k sampling: this many most likely tokens; 0 keeps all.
    pub top_k: usize,
    /// Repetition penalty: positive logits of tokens that occurred, in the prompt as well, are
    /// divided by it, negative ones multiplied.
    pub repetition_penalty: f32,
}

impl Default for GenerationConfig {
    fn default() -> Self {
        Self { do_sample: false, temperature: 1.0, top_p: 1.0, top_k: 50, repetition_penalty: 1.0 }
    }
}

impl GenerationConfig {
    /// # Errors
    /// If the file is malformed; a folder without one has the defaults.
    pub(crate) fn from_files(files: &CheckpointFiles) -> Result<Self, ProcessorError> {
        Ok(files.json("generation_config.json")?.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_has_a_default_and_what_is_unknown_is_passed_over() {
        let text = r#"{"do_sample": true, "temperature": 0.7, "top_k": 20, "eos_token_id": [1, 2], "note": null}"#;
        let config: GenerationConfig = serde_json::from_str(text).expect("a configuration");
        let expected = GenerationConfig { do_sample: true, temperature: 0.7, top_k: 20, ..Default::default() };
        assert_eq!(config, expected);
    }
}
