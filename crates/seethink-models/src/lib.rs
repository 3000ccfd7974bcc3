//! Backbones, their processors, tokenizers and chat templates, and their weights.
//!
//! A backbone is a [`VisionLanguageModel`] (tensors in, tensors out) with a [`Processor`] (text and pictures in, token ids
//! and patches out). Nothing here knows of data sets, curricula or training.

mod chat_template;
mod files;
mod image_processor;
mod input;
mod model;
mod processor;
pub mod qwen3_vl;
mod resize;
mod tokenizer;
mod weights;

pub use chat_template::{ChatTemplate, TemplateOptions};
pub use image_processor::ImageProcessor;
pub use input::{PixelTensor, Pixels, PromptInput, Side, TokenRow, VisualFeatures, VisualTokens, VlmInput};
pub use model::VisionLanguageModel;
pub use processor::{Content, Message, Processor, ProcessorError, Role};
pub use resize::resize_bicubic;
pub use tokenizer::Tokenizer;
pub use weights::{LoadError, SaveError, WeightDtype};
