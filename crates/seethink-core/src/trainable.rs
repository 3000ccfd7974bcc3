//! Trainable and frozen parts of a model.

use serde::{Deserialize, Serialize};

/// Trainable parts of a vision-language model in a stage; the other parts are frozen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trainable {
    /// Patch embedding, position table and blocks of the vision encoder.
    pub vision_encoder: bool,
    /// Projector of vision features into the language model (Qwen3-VL: the merger and the DeepStack
    /// mergers).
    pub projector: bool,
    /// Token embedding, decoder layers, final norm and head.
    pub language_model: bool,
}

impl Trainable {
    /// All parts are trained.
    pub const ALL: Self = Self { vision_encoder: true, projector: true, language_model: true };
    /// The language model alone is trained (EasyR1's `freeze_vision_tower`, which freezes the
    /// merger too).
    pub const LANGUAGE_MODEL: Self = Self { vision_encoder: false, projector: false, language_model: true };

    /// Returns whether any vision part is trained, so that image features cannot be computed once
    /// and kept.
    pub fn sees_gradients_in_vision(self) -> bool {
        self.vision_encoder || self.projector
    }
}

impl Default for Trainable {
    fn default() -> Self {
        Self::ALL
    }
}
