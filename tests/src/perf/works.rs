//! Works of the comparisons: shapes of models, prompts and completions.

use super::{Asked, SEED, text};
use seethink::data::digits_v1::{DigitsConfig, DigitsWorld};
use seethink::models::VlmProcessor;
use seethink::prelude::*;
use serde_json::{Value, json};

/// Work to be compared.
pub(super) struct Work {
    /// Configuration of the model.
    pub(super) config: Value,
    pub(super) n_prompts: usize,
    pub(super) group_size: usize,
    /// Tokens of a prompt; `None` for problems with pictures.
    pub(super) prompt: Option<usize>,
    /// Tokens of a completion.
    pub(super) completion: usize,
    /// Tokens decoded in the measurements of decoding alone.
    pub(super) decoded: usize,
    /// Sequences that PyTorch handles at a time.
    pub(super) torch_rows: usize,
    /// Side of the square matrices whose product is the peak that shares are of.
    pub(super) matmul: usize,
}

impl Work {
    /// Work of a name: W1, W2, W3; the shapes of Qwen3-VL-2B and 8B; and a tiny one, which is of the
    /// same kind as those two. `base` is the configuration of the embedded Qwen3-VL.
    pub(super) fn named(name: &str, base: Value) -> Self {
        let with = |text: Value, vision: Value| {
            let mut config = base.clone();
            let edit = |part: &mut Value, changes: Value| {
                part.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
            };
            let (hidden, tied) = (text["hidden_size"].clone(), text.get("tie_word_embeddings").cloned());
            edit(&mut config["text_config"], text);
            edit(&mut config["vision_config"], vision);
            config["vision_config"]["out_hidden_size"] = hidden;
            if let Some(tied) = tied {
                config["tie_word_embeddings"] = tied;
            }
            config
        };
        let one_prompt = |config, group_size, torch_rows| Self {
            config,
            n_prompts: 1,
            group_size,
            prompt: Some(64),
            completion: 192,
            decoded: 64,
            torch_rows,
            matmul: 2048,
        };
        let published = |text: Value, vision, torch_rows| {
            let mut text = text;
            text.as_object_mut().unwrap().extend(
                json!({
                    "vocab_size": 151_936, "num_key_value_heads": 8, "head_dim": 128, "rope_theta": 5e6,
                    "max_position_embeddings": 4096, "initializer_range": 0.02,
                    "rope_scaling": {"rope_type": "default", "mrope_section": [24, 20, 20], "mrope_interleaved": true},
                })
                .as_object()
                .unwrap()
                .clone(),
            );
            let mut vision: Value = vision;
            vision["patch_size"] = json!(16);
            vision["num_heads"] = json!(16);
            vision["num_position_embeddings"] = json!(2304);
            Self {
                prompt: Some(512),
                completion: 128,
                decoded: 32,
                matmul: 8192,
                ..one_prompt(with(text, vision), 8, torch_rows)
            }
        };
        match name {
            "W1" => Self { n_prompts: 32, prompt: None, completion: 64, ..one_prompt(base.clone(), 8, 64) },
            "W2" => one_prompt(
                with(
                    json!({
                        "vocab_size": 8192, "hidden_size": 256, "intermediate_size": 704, "num_hidden_layers": 6,
                        "num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 32,
                    }),
                    json!({}),
                ),
                8,
                8,
            ),
            "W3" => Self {
                decoded: 16,
                ..one_prompt(
                    with(
                        json!({
                            "vocab_size": 49_152, "hidden_size": 576, "intermediate_size": 1536,
                            "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3,
                            "head_dim": 64, "initializer_range": 0.02,
                            "rope_scaling":
                                {"rope_type": "default", "mrope_section": [12, 10, 10], "mrope_interleaved": true},
                        }),
                        json!({}),
                    ),
                    4,
                    4,
                )
            },
            "2B" => published(
                json!({
                    "hidden_size": 2048, "intermediate_size": 6144, "num_hidden_layers": 28,
                    "num_attention_heads": 16, "tie_word_embeddings": true,
                }),
                json!({
                    "depth": 24, "hidden_size": 1024, "intermediate_size": 4096,
                    "deepstack_visual_indexes": [5, 11, 17],
                }),
                4,
            ),
            "8B" => published(
                json!({
                    "hidden_size": 4096, "intermediate_size": 12_288, "num_hidden_layers": 36,
                    "num_attention_heads": 32, "tie_word_embeddings": false,
                }),
                json!({
                    "depth": 27, "hidden_size": 1152, "intermediate_size": 4304,
                    "deepstack_visual_indexes": [8, 16, 24],
                }),
                2,
            ),
            "tiny" => {
                Self { prompt: Some(16), completion: 8, decoded: 4, matmul: 256, ..one_prompt(base.clone(), 2, 2) }
            }
            other => panic!("the work is `{other}`, expected W1, W2, W3, 2B, 8B or tiny"),
        }
    }

    /// Prompts of the groups.
    pub(super) fn prompts(&self, processor: &VlmProcessor) -> Vec<Asked> {
        let Some(length) = self.prompt else {
            let world = DigitsWorld::new(DigitsConfig::default()).unwrap();
            let problems: Vec<Problem> =
                world.problems(Split::Train, &Capability::VISUAL_REASONING, SEED).take(self.n_prompts).collect();
            let format = PromptFormat { system: None, suffix: String::new() };
            let inputs = format.encode_all(processor, &problems.iter().collect::<Vec<_>>()).unwrap();
            return problems.iter().zip(inputs).map(|(problem, input)| Asked::of(problem, input)).collect();
        };
        // The question of the same length is for TRL, which takes no tokens.
        let question = "a ".repeat(length / 2);
        (0..self.n_prompts)
            .map(|prompt| Asked { input: text(prompt, length), question: question.clone(), images: Vec::new() })
            .collect()
    }
}
