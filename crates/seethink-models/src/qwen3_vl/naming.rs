//! Names of the modules in checkpoints.

use super::Config;
use crate::Naming;

/// Module names of the vision side: ours and the checkpoint's.
const VISION: &[(&str, &str)] = &[
    // A 3-D convolution in the file, `[width, channels, frames, rows, columns]`; flattened, its
    // rows are our patches.
    ("vision.encoder.patch_embed", "model.visual.patch_embed.proj"),
    ("vision.encoder.pos_embed", "model.visual.pos_embed"),
    ("vision.encoder.blocks.*.norm1", "model.visual.blocks.*.norm1"),
    ("vision.encoder.blocks.*.attn.qkv", "model.visual.blocks.*.attn.qkv"),
    ("vision.encoder.blocks.*.attn.proj", "model.visual.blocks.*.attn.proj"),
    ("vision.encoder.blocks.*.norm2", "model.visual.blocks.*.norm2"),
    ("vision.encoder.blocks.*.mlp.fc1", "model.visual.blocks.*.mlp.linear_fc1"),
    ("vision.encoder.blocks.*.mlp.fc2", "model.visual.blocks.*.mlp.linear_fc2"),
    // The file counts the mergers among the vision encoder; they learn with the projector.
    ("vision.projector.merger.norm", "model.visual.merger.norm"),
    ("vision.projector.merger.fc1", "model.visual.merger.linear_fc1"),
    ("vision.projector.merger.fc2", "model.visual.merger.linear_fc2"),
    ("vision.projector.deepstack.*.norm", "model.visual.deepstack_merger_list.*.norm"),
    ("vision.projector.deepstack.*.fc1", "model.visual.deepstack_merger_list.*.linear_fc1"),
    ("vision.projector.deepstack.*.fc2", "model.visual.deepstack_merger_list.*.linear_fc2"),
];

/// Naming of the family, with one set of names: it is younger than the change that gave its
/// siblings a second.
pub(super) fn naming(config: &Config) -> Naming {
    let vision = &config.vision_config;
    let side = vision.patch_size;
    let kernel = vec![vision.hidden_size, vision.in_channels, vision.temporal_patch_size, side, side];
    Naming::new("model.language_model", "lm_head", VISION).with_shape("model.visual.patch_embed.proj.weight", kernel)
}
