//! Names of the modules in checkpoints.

use super::Config;
use crate::Naming;

/// Module names of the vision side: ours and the hub's.
const VISION: &[(&str, &str)] = &[
    // A 3-D convolution in the file, `[width, channels, frames, rows, columns]`; flattened, its
    // rows are our patches.
    ("vision.encoder.patch_embed", "visual.patch_embed.proj"),
    ("vision.encoder.blocks.*.norm1", "visual.blocks.*.norm1"),
    ("vision.encoder.blocks.*.attn.qkv", "visual.blocks.*.attn.qkv"),
    ("vision.encoder.blocks.*.attn.proj", "visual.blocks.*.attn.proj"),
    ("vision.encoder.blocks.*.norm2", "visual.blocks.*.norm2"),
    ("vision.encoder.blocks.*.mlp.gate", "visual.blocks.*.mlp.gate_proj"),
    ("vision.encoder.blocks.*.mlp.up", "visual.blocks.*.mlp.up_proj"),
    ("vision.encoder.blocks.*.mlp.down", "visual.blocks.*.mlp.down_proj"),
    // The file counts the merger among the vision encoder; it learns with the projector.
    ("vision.projector.norm", "visual.merger.ln_q"),
    ("vision.projector.fc1", "visual.merger.mlp.0"),
    ("vision.projector.fc2", "visual.merger.mlp.2"),
];

/// Prefixes of the names since transformers 4.52. The head has one name in both.
const TREE: &[(&str, &str)] = &[("visual.", "model.visual."), ("model.", "model.language_model.")];

pub(super) fn naming(config: &Config) -> Naming {
    let vision = &config.vision_config;
    let side = vision.patch_size;
    let kernel = vec![vision.hidden_size, vision.in_channels, vision.temporal_patch_size, side, side];
    Naming::new("model", "lm_head", VISION).with_shape("visual.patch_embed.proj.weight", kernel).with_tree(TREE)
}
