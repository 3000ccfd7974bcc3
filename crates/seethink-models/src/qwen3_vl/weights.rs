//! Weights of Qwen3-VL in and out, and random ones.

use super::config::Qwen3VlConfig;
use super::{Projector, Qwen3Vl, TextDecoder, VisionEncoder};
use crate::weights::{self, LoadError, Naming, SaveError, WeightDtype, WeightFiles};
use burn::tensor::Device;
use std::path::Path;

/// The head, which tied checkpoints leave out, or keep beside a flag that says to ignore it.
const HEAD: &str = "lm_head.weight";

/// Our modules and the checkpoint's.
const MODULES: &[(&str, &str)] = &[
    // A 3-D convolution in the file, `[width, channels, frames, rows, columns]`; flattened, its rows are our patches.
    ("vision.patch_embed", "model.visual.patch_embed.proj"),
    ("vision.pos_embed", "model.visual.pos_embed"),
    ("vision.blocks.*.norm1", "model.visual.blocks.*.norm1"),
    ("vision.blocks.*.attn.qkv", "model.visual.blocks.*.attn.qkv"),
    ("vision.blocks.*.attn.proj", "model.visual.blocks.*.attn.proj"),
    ("vision.blocks.*.norm2", "model.visual.blocks.*.norm2"),
    ("vision.blocks.*.mlp.fc1", "model.visual.blocks.*.mlp.linear_fc1"),
    ("vision.blocks.*.mlp.fc2", "model.visual.blocks.*.mlp.linear_fc2"),
    // The file counts the mergers among the vision encoder; they learn with the projector.
    ("projector.merger.norm", "model.visual.merger.norm"),
    ("projector.merger.fc1", "model.visual.merger.linear_fc1"),
    ("projector.merger.fc2", "model.visual.merger.linear_fc2"),
    ("projector.deepstack.*.norm", "model.visual.deepstack_merger_list.*.norm"),
    ("projector.deepstack.*.fc1", "model.visual.deepstack_merger_list.*.linear_fc1"),
    ("projector.deepstack.*.fc2", "model.visual.deepstack_merger_list.*.linear_fc2"),
    ("text.embed", "model.language_model.embed_tokens"),
    ("text.layers.*.norm1", "model.language_model.layers.*.input_layernorm"),
    ("text.layers.*.attn.q", "model.language_model.layers.*.self_attn.q_proj"),
    ("text.layers.*.attn.k", "model.language_model.layers.*.self_attn.k_proj"),
    ("text.layers.*.attn.v", "model.language_model.layers.*.self_attn.v_proj"),
    ("text.layers.*.attn.o", "model.language_model.layers.*.self_attn.o_proj"),
    ("text.layers.*.attn.q_norm", "model.language_model.layers.*.self_attn.q_norm"),
    ("text.layers.*.attn.k_norm", "model.language_model.layers.*.self_attn.k_norm"),
    ("text.layers.*.norm2", "model.language_model.layers.*.post_attention_layernorm"),
    ("text.layers.*.mlp.gate", "model.language_model.layers.*.mlp.gate_proj"),
    ("text.layers.*.mlp.up", "model.language_model.layers.*.mlp.up_proj"),
    ("text.layers.*.mlp.down", "model.language_model.layers.*.mlp.down_proj"),
    ("text.norm", "model.language_model.norm"),
    // Beside `model`, not in it.
    ("text.head", "lm_head"),
];

impl Qwen3VlConfig {
    /// A model with random weights: normal with deviation `initializer_range`, biases zero, norms one.
    ///
    /// The weights are a function of `seed` and of each tensor's name and shape alone.
    ///
    /// # Panics
    /// If the configuration is not consistent, see [`check`](Self::check).
    pub fn init_seeded(&self, seed: u64, device: &Device) -> Qwen3Vl {
        if let Err(what) = self.check() {
            panic!("inconsistent configuration: {what}");
        }
        let (text, vision) = (self.text_config.initializer_range, self.vision_config.initializer_range);
        let std = |name: &str| if name.starts_with("model.visual") { vision } else { text };
        let model = self.lazy(device);
        weights::initialize(model, &self.naming(), seed, std)
    }

    /// A model whose parameters are not made yet.
    fn lazy(&self, device: &Device) -> Qwen3Vl {
        Qwen3Vl {
            vision: VisionEncoder::new(&self.vision_config, device),
            projector: Projector::new(&self.vision_config, device),
            text: TextDecoder::new(&self.text_config, self.ties_embeddings(), device),
            config: self.clone(),
        }
    }

    fn naming(&self) -> Naming {
        let vision = &self.vision_config;
        let side = vision.patch_size;
        let kernel = vec![vision.hidden_size, vision.in_channels, vision.temporal_patch_size, side, side];
        Naming { modules: MODULES, shapes: vec![("model.visual.patch_embed.proj.weight", kernel)] }
    }
}

impl Qwen3Vl {
    /// Reads `config.json` and the weights of a checkpoint folder, as `f32`.
    ///
    /// # Errors
    /// If a file is missing, malformed or damaged, the model is of another kind, or the weights do not fit it.
    pub fn from_pretrained(dir: &Path, device: &Device) -> Result<Self, LoadError> {
        let mut config = Qwen3VlConfig::read(dir)?;
        let files = WeightFiles::open(dir)?;
        // Some checkpoints leave the flag to a default and the head to the embedding table.
        let tied = config.ties_embeddings() || !files.contains(HEAD);
        config.set_tied(tied);
        let ignored: &[&str] = if tied { &[HEAD] } else { &[] };
        weights::load(config.lazy(device), &config.naming(), &files, ignored)
    }

    /// Writes `config.json` and `model.safetensors` into `dir`, in the checkpoint's own names and as `f32`.
    ///
    /// # Errors
    /// If something cannot be written; then what was there before is still there.
    pub fn save_pretrained(&self, dir: &Path) -> Result<(), SaveError> {
        self.save_pretrained_as(dir, WeightDtype::F32)
    }

    /// [`save_pretrained`](Self::save_pretrained) in a given number format.
    ///
    /// # Errors
    /// As there.
    pub fn save_pretrained_as(&self, dir: &Path, dtype: WeightDtype) -> Result<(), SaveError> {
        let config = self.config.clone().with_dtype(dtype);
        weights::save(dir, &config, self, &config.naming(), dtype)
    }
}
