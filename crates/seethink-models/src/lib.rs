//! Backbones, their processors, tokenizers and chat templates, and their weights.
//!
//! A backbone is a [`VisionLanguageModel`] (tensors in, tensors out) with a [`Processor`] (text and pictures in, token ids
//! and patches out). Nothing here knows of data sets, curricula or training.

mod input;
mod model;
mod processor;

pub use input::{Pixels, PixelTensor, PromptInput, Side, TokenRow, VisualFeatures, VisualTokens, VlmInput};
pub use model::{VisionLanguageModel};
pub use processor::{Content, Message, Processor, ProcessorError, Role};
