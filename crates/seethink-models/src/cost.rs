//! Cost of a forward pass, in floating-point operations.

use crate::{Parameter, Part, PromptInput, VisionLanguageModel};

/// Floating-point operations of a forward pass, per unit of work; a product and its sum count as
/// two.
///
/// Counted are the products with weight matrices, and the attention of the decoder. Norms,
/// activations, rotations and the attention inside the vision encoder, whose windows differ by
/// family, are left out: for pictures of thousands of patches the vision side costs more than
/// stated here.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ForwardCost {
    /// Vision encoder, per patch.
    pub patch: f64,
    /// Projector, per image token.
    pub image_token: f64,
    /// Decoder, per token.
    pub token: f64,
    /// Head, per distribution over the vocabulary.
    pub distribution: f64,
    /// Decoder attention, per pair of a token and another that it sees.
    pub pair: f64,
}

impl ForwardCost {
    /// Computes the costs of a model.
    pub fn of(model: &impl VisionLanguageModel) -> Self {
        let parameters = model.parameters();
        let flops = |part, names: fn(&str) -> bool| -> f64 {
            let counted = parameters.iter().filter(|one| one.part == part && one.shape.len() > 1 && names(&one.name));
            counted.map(|one| 2.0 * one.shape.iter().product::<usize>() as f64).sum()
        };
        let is_table = |name: &str| name.contains("embed_tokens") || name.contains("lm_head");
        let table = parameters.iter().find(|one| one.part == Part::LanguageModel && is_table(&one.name));
        let queries = |one: &&Parameter| one.part == Part::LanguageModel && one.name.ends_with("q_proj.weight");
        Self {
            patch: flops(Part::VisionEncoder, |name| !is_position_table(name)),
            image_token: flops(Part::Projector, |_| true),
            token: flops(Part::LanguageModel, |name| !name.contains("embed_tokens") && !name.contains("lm_head")),
            distribution: table.map_or(0.0, |one| 2.0 * one.shape.iter().product::<usize>() as f64),
            // Queries with keys, and weights with values.
            pair: parameters.iter().filter(queries).map(|one| 4.0 * one.shape[0] as f64).sum(),
        }
    }

    /// Cost of the images of a prompt.
    pub fn images(&self, prompt: &PromptInput) -> f64 {
        self.patch * prompt.pixels.n_patches() as f64 + self.image_token * prompt.image_tokens.len() as f64
    }

    /// Cost of `new` tokens after `before` others, each of which sees all before it and itself;
    /// without the head.
    pub fn tokens(&self, before: usize, new: usize) -> f64 {
        self.token * new as f64 + self.attention(before, new)
    }

    /// Cost of attention within [`tokens`](Self::tokens): products of tokens with each other,
    /// without those with weights.
    pub fn attention(&self, before: usize, new: usize) -> f64 {
        let (before, new) = (before as f64, new as f64);
        self.pair * (before * new + new * (new + 1.0) / 2.0)
    }

    /// Cost of `n` distributions over the vocabulary.
    pub fn distributions(&self, n: usize) -> f64 {
        self.distribution * n as f64
    }
}

/// Returns whether a parameter is a position table or class token, which is looked up or added, and
/// multiplies nothing.
fn is_position_table(name: &str) -> bool {
    ["pos_embed", "position_embedding", "cls_token", "class_embedding"].iter().any(|table| name.contains(table))
}
