//! Names of the modules in checkpoints.

use super::Config;
use crate::Naming;

/// Module names of the vision side: ours and the hub's.
const VISION: &[(&str, &str)] = &[
    ("vision.encoder", "vision_tower.embeddings"),
    // A 2-D convolution in the file, `[width, channels, rows, columns]`; flattened, its rows are
    // our patches.
    ("vision.encoder.patch_embed", "vision_tower.embeddings.patch_embeddings.projection"),
    ("vision.encoder.blocks.*", "vision_tower.encoder.layer.*"),
    ("vision.encoder.blocks.*.norm1", "vision_tower.encoder.layer.*.layernorm_before"),
    ("vision.encoder.blocks.*.attn.q", "vision_tower.encoder.layer.*.attention.q_proj"),
    ("vision.encoder.blocks.*.attn.k", "vision_tower.encoder.layer.*.attention.k_proj"),
    ("vision.encoder.blocks.*.attn.v", "vision_tower.encoder.layer.*.attention.v_proj"),
    ("vision.encoder.blocks.*.attn.proj", "vision_tower.encoder.layer.*.attention.projection_layer"),
    ("vision.encoder.blocks.*.attn.q_norm", "vision_tower.encoder.layer.*.attention.q_norm"),
    ("vision.encoder.blocks.*.attn.k_norm", "vision_tower.encoder.layer.*.attention.k_norm"),
    ("vision.encoder.blocks.*.norm2", "vision_tower.encoder.layer.*.layernorm_after"),
    ("vision.encoder.blocks.*.mlp.fc1", "vision_tower.encoder.layer.*.mlp.fc1"),
    ("vision.encoder.blocks.*.mlp.fc2", "vision_tower.encoder.layer.*.mlp.fc2"),
    ("vision.encoder.norm", "vision_tower.layernorm"),
    ("vision.projector.norm", "multi_modal_projector.layer_norm"),
    ("vision.projector.fc1", "multi_modal_projector.linear_1"),
    ("vision.projector.fc2", "multi_modal_projector.linear_2"),
];

/// Prefixes of the names since transformers 4.52.
const TREE: &[(&str, &str)] = &[
    ("language_model.model.", "model.language_model."),
    ("language_model.lm_head.", "lm_head."),
    ("vision_tower.", "model.vision_tower."),
    ("multi_modal_projector.", "model.multi_modal_projector."),
];

pub(super) fn naming(config: &Config) -> Naming {
    let vision = &config.vision_config;
    let [height, width] = vision.patch_size.0;
    let kernel = vec![vision.hidden_size, vision.num_channels, height, width];
    Naming::new("language_model.model", "language_model.lm_head", VISION)
        .with_shape("vision_tower.embeddings.patch_embeddings.projection.weight", kernel)
        .with_tree(TREE)
}
