//! Checkpoint without weights: tokenizer, template, image settings and configuration of a family at
//! a small size.

use super::tokenizer::{self, Vocabulary};
use anyhow::{Context, Result};
use seethink::run::config::BaseFamily;
use serde_json::{Value, json};
use std::path::Path;

/// Special tokens of turns and images, in the order of their ids, of the Qwen families.
const QWEN_TOKENS: [&str; 8] = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
];

/// Special tokens of turns and images, in the order of their ids, of the InternVL families.
const INTERN_TOKENS: [&str; 7] =
    ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<img>", "</img>", "<IMG_CONTEXT>", "<video>"];

/// Chat template of text and images in the form of the published templates, without their tools and
/// videos.
fn chat_template(image: &str) -> String {
    format!(
        "\
{{%- for message in messages %}}
    {{{{- '<|im_start|>' + message.role + '\\n' }}}}
    {{%- if message.content is string %}}
        {{{{- message.content }}}}
    {{%- else %}}
        {{%- for item in message.content %}}
            {{%- if item.type == 'image' %}}
                {{{{- '{image}' }}}}
            {{%- else %}}
                {{{{- item.text }}}}
            {{%- endif %}}
        {{%- endfor %}}
    {{%- endif %}}
    {{{{- '<|im_end|>\\n' }}}}
{{%- endfor %}}
{{%- if add_generation_prompt %}}
    {{{{- '<|im_start|>assistant\\n' }}}}
{{%- endif %}}
"
    )
}

/// Writes a folder with tokenizer, template, image processor and `config.json`: everything but the
/// weights.
///
/// # Errors
/// If a file cannot be written.
pub fn write_blank(family: BaseFamily, vocabulary: &Vocabulary, dir: &Path) -> Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let write = |name: &str, content: &str| {
        let path = dir.join(name);
        std::fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))
    };
    let write_json = |name: &str, value: &Value| write(name, &(serde_json::to_string_pretty(value)? + "\n"));
    let qwen = matches!(family, BaseFamily::Qwen2_5Vl | BaseFamily::Qwen3Vl);
    let special: &[&str] = if qwen { &QWEN_TOKENS } else { &INTERN_TOKENS };
    let tokenizer = tokenizer::train(vocabulary, special)?;
    tokenizer.save(dir.join("tokenizer.json"), true).map_err(anyhow::Error::from_boxed)?;
    let id = |token: &str| tokenizer.token_to_id(token).with_context(|| format!("the tokenizer lacks {token}"));
    let mut tokenizer_config = json!({
        "tokenizer_class": "Qwen2Tokenizer",
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "add_bos_token": false,
        "model_max_length": 512,
    });
    if !qwen {
        let images = json!({
            "context_image_token": "<IMG_CONTEXT>", "start_image_token": "<img>", "end_image_token": "</img>",
            "video_token": "<video>",
        });
        merge(&mut tokenizer_config, &images);
        tokenizer_config["extra_special_tokens"] = images;
        write_json("processor_config.json", &json!({"image_seq_length": 1, "processor_class": "InternVLProcessor"}))?;
    }
    write_json("tokenizer_config.json", &tokenizer_config)?;
    write_json(
        "generation_config.json",
        &json!({
            "do_sample": true, "temperature": 1.0, "top_p": 1.0, "top_k": 0,
            "eos_token_id": [id("<|im_end|>")?, id("<|endoftext|>")?],
            "pad_token_id": id("<|endoftext|>")?,
        }),
    )?;
    write_json("preprocessor_config.json", &preprocessor(family))?;
    let image = if qwen { "<|vision_start|><|image_pad|><|vision_end|>" } else { "<IMG_CONTEXT>\\n" };
    write("chat_template.jinja", &chat_template(image))?;

    let text = json!({
        "vocab_size": tokenizer.get_vocab_size(true).next_multiple_of(16),
        "hidden_size": 128, "intermediate_size": 384, "num_hidden_layers": 4,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32,
        "hidden_act": "silu", "rms_norm_eps": 1e-6, "attention_bias": false, "attention_dropout": 0.0,
        "max_position_embeddings": 512, "initializer_range": 0.05, "use_cache": true,
        "rope_theta": 10000.0,
        "tie_word_embeddings": true, "dtype": "bfloat16",
        "eos_token_id": id("<|im_end|>")?, "pad_token_id": id("<|endoftext|>")?,
    });
    let config = if qwen {
        let tokens = json!({
            "image_token_id": id("<|image_pad|>")?,
            "video_token_id": id("<|video_pad|>")?,
            "vision_start_token_id": id("<|vision_start|>")?,
            "vision_end_token_id": id("<|vision_end|>")?,
        });
        if family == BaseFamily::Qwen3Vl { qwen3_vl(text, &tokens) } else { qwen2_5_vl(text, &tokens) }
    } else {
        let kind = if family == BaseFamily::InternVl3 { "qwen2" } else { "qwen3" };
        internvl(text, kind, id("<IMG_CONTEXT>")?)
    };
    write_json("config.json", &config)
}

/// Merges the fields of `more` into a JSON object.
fn merge(object: &mut Value, more: &Value) {
    let fields = more.as_object().into_iter().flatten();
    fields.for_each(|(key, value)| object[key] = value.clone());
}

/// Image processor settings: patches of 8 × 8 pixels, four of which are an image token, which is a
/// cell of a picture.
fn preprocessor(family: BaseFamily) -> Value {
    let mut settings = json!({ "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5] });
    let more = match family {
        BaseFamily::Qwen2_5Vl | BaseFamily::Qwen3Vl => json!({
            "image_processor_type": "Qwen2VLImageProcessorFast",
            "patch_size": 8, "temporal_patch_size": 2, "merge_size": 2,
            "size": { "shortest_edge": 256, "longest_edge": 9216 },
        }),
        BaseFamily::InternVl3 | BaseFamily::InternVl3_5 => json!({
            "image_processor_type": "GotOcr2ImageProcessorFast",
            "crop_to_patches": true, "min_patches": 1, "max_patches": 12,
            "size": { "height": 16, "width": 16 },
        }),
    };
    merge(&mut settings, &more);
    settings["processor_class"] = match family {
        BaseFamily::Qwen2_5Vl => "Qwen2_5_VLProcessor",
        BaseFamily::Qwen3Vl => "Qwen3VLProcessor",
        BaseFamily::InternVl3 | BaseFamily::InternVl3_5 => "InternVLProcessor",
    }
    .into();
    settings
}

fn qwen3_vl(mut text: Value, tokens: &Value) -> Value {
    text["model_type"] = "qwen3_vl_text".into();
    text["rope_scaling"] = json!({ "rope_type": "default", "mrope_section": [6, 5, 5], "mrope_interleaved": true });
    let mut config = json!({ "architectures": ["Qwen3VLForConditionalGeneration"], "model_type": "qwen3_vl" });
    merge(&mut config, tokens);
    let more = json!({
        "tie_word_embeddings": true,
        "text_config": text,
        "vision_config": {
            "model_type": "qwen3_vl",
            "depth": 3, "hidden_size": 64, "intermediate_size": 192, "num_heads": 4, "hidden_act": "gelu_pytorch_tanh",
            "in_channels": 3, "patch_size": 8, "temporal_patch_size": 2, "spatial_merge_size": 2,
            "out_hidden_size": 128, "num_position_embeddings": 36, "deepstack_visual_indexes": [0, 1],
            "initializer_range": 0.05,
        },
    });
    merge(&mut config, &more);
    config
}

/// Configuration of Qwen2.5-VL: windows of 2 × 2 cells, and full attention in the last block.
fn qwen2_5_vl(mut text: Value, tokens: &Value) -> Value {
    text["model_type"] = "qwen2_5_vl_text".into();
    text["rope_scaling"] = json!({ "rope_type": "default", "type": "default", "mrope_section": [6, 5, 5] });
    let mut config = json!({ "architectures": ["Qwen2_5_VLForConditionalGeneration"], "model_type": "qwen2_5_vl" });
    merge(&mut config, tokens);
    let more = json!({
        "tie_word_embeddings": true,
        "text_config": text,
        "vision_config": {
            "model_type": "qwen2_5_vl",
            "depth": 3, "hidden_size": 64, "intermediate_size": 128, "num_heads": 4, "hidden_act": "silu",
            "in_channels": 3, "patch_size": 8, "temporal_patch_size": 2, "spatial_merge_size": 2,
            "window_size": 32, "fullatt_block_indexes": [2], "tokens_per_second": 2,
            "out_hidden_size": 128, "initializer_range": 0.05,
        },
    });
    merge(&mut config, &more);
    config
}

/// Configuration of InternVL: a tile is a cell. Branch scales start at one: a model trained from
/// scratch learns nothing through branches scaled by a tenth.
fn internvl(mut text: Value, kind: &str, image_token_id: u32) -> Value {
    text["model_type"] = kind.into();
    let class = if kind == "qwen2" { "Qwen2ForCausalLM" } else { "Qwen3ForCausalLM" };
    text["architectures"] = json!([class]);
    json!({
        "architectures": ["InternVLForConditionalGeneration"],
        "model_type": "internvl",
        "image_token_id": image_token_id, "image_seq_length": 1, "downsample_ratio": 0.5,
        "projector_hidden_act": "gelu", "vision_feature_layer": -1, "vision_feature_select_strategy": "default",
        "tie_word_embeddings": true,
        "text_config": text,
        "vision_config": {
            "model_type": "internvl_vision",
            "num_hidden_layers": 3, "hidden_size": 64, "intermediate_size": 192, "num_attention_heads": 4,
            "hidden_act": "gelu", "attention_bias": true, "use_qk_norm": false, "norm_type": "layer_norm",
            "layer_norm_eps": 1e-6, "image_size": [16, 16], "patch_size": [8, 8], "num_channels": 3,
            "layer_scale_init_value": 1.0, "use_mean_pooling": true, "use_absolute_position_embeddings": true,
            "initializer_range": 0.05,
        },
    })
}
