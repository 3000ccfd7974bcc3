//! Which parts of a model learn.

use serde::{Deserialize, Serialize};

/// The parts of a vision-language model that a stage trains; the others are frozen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trainable {
    /// Patch embedding, position table and blocks of the vision encoder.
    pub vision_encoder: bool,
    /// What maps vision features into the language model (Qwen3-VL: the merger and the DeepStack mergers).
    pub projector: bool,
    /// Token embedding, decoder layers, final norm and head.
    pub language_model: bool,
}

impl Trainable {
    /// Everything learns.
    pub const ALL: Self = Self { vision_encoder: true, projector: true, language_model: true };
    /// The language model alone learns (EasyR1's `freeze_vision_tower`, which freezes the merger too).
    pub const LANGUAGE_MODEL: Self = Self { vision_encoder: false, projector: false, language_model: true };

    /// Whether anything on the image side learns, so that image features cannot be computed once and kept.
    pub fn sees_gradients_in_vision(self) -> bool {
        self.vision_encoder || self.projector
    }
}

impl Default for Trainable {
    fn default() -> Self {
        Self::ALL
    }
}
