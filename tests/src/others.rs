//! Models with random weights whose configurations differ from the fixtures', one or two of each
//! family, and images for them.

use seethink::burn::tensor::Device;
use seethink::core::{Purpose, Rng};
use seethink::models::{AnyBackbone, PixelTensor, Pixels, TokenRow};
use serde_json::{Value, json};

/// Configuration of a model, with images for it.
#[derive(Debug, Clone)]
pub struct Other {
    /// Name in tests.
    pub name: &'static str,
    /// Configuration of the model: `config.json`.
    pub config: Value,
    /// Number of values of a flattened patch.
    pub patch_len: usize,
    /// Grids of four images of two sizes (or numbers of tiles).
    pub grids: [[usize; 3]; 4],
    /// Number of patches that become one image token.
    pub patches_per_token: usize,
}

/// Fields that all decoders share: own head, one key-value head for four.
fn text(model_type: &str, more: &Value) -> Value {
    let mut text = json!({
        "model_type": model_type, "vocab_size": 40, "hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 3,
        "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 8, "initializer_range": 0.3,
        "tie_word_embeddings": false, "dtype": "bfloat16"
    });
    text.as_object_mut().into_iter().for_each(|text| text.extend(more.as_object().cloned().unwrap_or_default()));
    text
}

/// All configurations.
pub fn others() -> Vec<Other> {
    let rope = |section: [usize; 3]| json!({"rope_type": "default", "rope_theta": 1e4, "mrope_section": section});
    let qwen = [[1, 2, 4], [1, 2, 4], [1, 4, 6], [1, 2, 4]];
    let intern = [[1, 4, 4], [1, 4, 4], [3, 4, 4], [1, 4, 4]];
    let small_vit = json!({
        "model_type": "internvl_vision", "num_hidden_layers": 2, "hidden_size": 16, "intermediate_size": 20,
        "num_attention_heads": 2, "image_size": [16, 16], "patch_size": [4, 4], "initializer_range": 0.3,
        "layer_scale_init_value": 0.7
    });
    let mut large_vit = small_vit.clone();
    for (key, value) in
        [("norm_type", json!("rms_norm")), ("use_qk_norm", json!(true)), ("use_mean_pooling", json!(false))]
    {
        large_vit[key] = value;
    }
    let internvl =
        |text: Value, vision: Value| json!({"model_type": "internvl", "text_config": text, "vision_config": vision});
    vec![
        Other {
            name: "qwen2_5_vl",
            config: json!({
                "model_type": "qwen2_5_vl",
                "text_config": text("qwen2_5_vl_text", &json!({"rope_parameters": rope([1, 1, 2])})),
                "vision_config": {
                    "depth": 3, "hidden_size": 16, "intermediate_size": 20, "num_heads": 2, "out_hidden_size": 24,
                    "patch_size": 4, "window_size": 16, "fullatt_block_indexes": [1], "initializer_range": 0.3
                }
            }),
            patch_len: 96,
            grids: qwen,
            patches_per_token: 4,
        },
        Other {
            name: "qwen3_vl",
            config: json!({
                "model_type": "qwen3_vl",
                "text_config": text("qwen3_vl_text", &json!({"attention_bias": true, "rope_parameters": rope([2, 1, 1])})),
                "vision_config": {
                    "depth": 2, "hidden_size": 16, "intermediate_size": 20, "num_heads": 2, "num_position_embeddings": 9,
                    "out_hidden_size": 24, "deepstack_visual_indexes": [1], "patch_size": 4, "initializer_range": 0.3
                }
            }),
            patch_len: 96,
            grids: qwen,
            patches_per_token: 4,
        },
        Other {
            name: "internvl3",
            config: internvl(text("qwen2", &json!({"rope_theta": 1e4})), small_vit),
            patch_len: 48,
            grids: intern,
            patches_per_token: 4,
        },
        Other {
            name: "internvl3_5 with the large encoder's options",
            config: internvl(text("qwen3", &json!({"rope_theta": 1e4, "attention_bias": true})), large_vit),
            patch_len: 48,
            grids: intern,
            patches_per_token: 4,
        },
    ]
}

impl Other {
    /// Creates the model with random weights.
    ///
    /// # Panics
    /// Never: the configurations are consistent.
    pub fn model(&self, seed: u64) -> AnyBackbone {
        let model = AnyBackbone::init_seeded(self.config.clone(), seed, &Device::default());
        model.unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    /// Images of noise with these grids.
    pub fn pixels(&self, grids: &[[usize; 3]], seed: u64) -> PixelTensor {
        let mut pixels = Pixels { values: Vec::new(), grids: grids.to_vec() };
        let mut rng = Rng::new(seed, Purpose::World, &[]);
        pixels.values = (0..pixels.n_patches() * self.patch_len).map(|_| rng.normal() as f32).collect();
        pixels.to_tensor(&Device::default())
    }

    /// Number of image tokens of a grid.
    pub fn n_tokens(&self, grid: [usize; 3]) -> usize {
        grid.iter().product::<usize>() / self.patches_per_token
    }

    /// A row `[text, an image of this grid, text]`. The positions are those of no family, but valid
    /// input of every model.
    pub fn row(&self, grid: [usize; 3], n_text: usize, seed: u64) -> TokenRow {
        let mut rng = Rng::new(seed, Purpose::World, &[1]);
        let mut row = TokenRow { tokens: vec![3, 4], position_ids: vec![[0; 3], [1; 3]], ..TokenRow::default() };
        let columns = grid[2] / 2;
        for cell in 0..self.n_tokens(grid) {
            row.image_tokens.push(row.tokens.len());
            row.tokens.push(1);
            row.position_ids.push([2, 2 + (cell / columns) as i64, 2 + (cell % columns) as i64]);
        }
        for i in 0..n_text as i64 {
            row.tokens.push(2 + rng.below(38) as u32);
            row.position_ids.push([8 + i; 3]);
        }
        row.segments = vec![0; row.tokens.len()];
        row
    }
}
