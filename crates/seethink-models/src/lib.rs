//! Backbones, their processors, tokenizers and chat templates, and their weights.
//!
//! A backbone is a [`VisionLanguageModel`] (tensors in, tensors out) with a [`Processor`] (text and
//! pictures in, token ids and patches out). Nothing here knows of data sets, curricula or training.

mod any;
mod chat_template;
mod checks;
mod config;
mod cost;
mod family;
mod files;
mod generation;
mod image_limits;
mod image_processor;
mod input;
pub mod internvl3;
mod model;
mod native_resolution;
mod positions;
mod processor;
pub mod qwen2_5_vl;
pub mod qwen3_vl;
mod qwen_vision_config;
mod resize;
mod text;
mod text_config;
mod tokenizer;
mod tokenizer_file;
mod vision_attention;
mod vlm;
mod vlm_processor;
mod weights;

pub use any::AnyBackbone;
pub use chat_template::{ChatTemplate, TEMPLATE_BYTES, TEMPLATE_FUEL, TemplateOptions};
pub use config::ModelConfig;
pub use cost::ForwardCost;
pub use family::{Encoder, Family, Projector, VisionSide};
pub use files::CheckpointFiles;
pub use generation::GenerationConfig;
pub use image_limits::ImageLimits;
pub use image_processor::{ImageProcessor, Pictures};
pub use input::{PixelTensor, Pixels, PromptInput, Side, TokenRow, VisualFeatures, VisualTokens, VlmInput};
pub use model::{Activations, Parameter, Part, VisionLanguageModel};
pub use native_resolution::NativeResolution;
pub use positions::Span;
pub use processor::{Content, Message, Processor, ProcessorError, Role};
pub use resize::resize_bicubic;
pub use text::{DecoderLayer, TextAttention, TextDecoder};
pub use text_config::{RopeConfig, TextConfig, TextKind};
pub use tokenizer::Tokenizer;
pub use vision_attention::VisionAttention;
pub use vlm::Vlm;
pub use vlm_processor::VlmProcessor;
pub use weights::{Initial, LoadError, Naming, SaveError, SaveOptions, WeightDtype, WeightSummary};
