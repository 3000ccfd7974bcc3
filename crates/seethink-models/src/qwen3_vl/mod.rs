//! Qwen3-VL, the dense sizes: a vision encoder with DeepStack features, a projector, and a Qwen3 decoder with interleaved M-RoPE.
//!
//! # Source
//! `transformers` 4.57, `models/qwen3_vl/modeling_qwen3_vl.py`; parity is tested tensor by tensor.

mod backward;
mod config;
mod positions;
mod processor;
mod projector;
mod text;
mod vision;
mod weights;

pub use config::{MODEL_TYPE, Qwen3VlConfig, RopeConfig, TextConfig, VisionConfig};
pub use processor::Qwen3VlProcessor;
pub use projector::{Merger, Projector};
pub use text::{DecoderLayer, Shared, TextAttention, TextDecoder};
pub use vision::{ImageLayout, VisionAttention, VisionBlock, VisionEncoder, VisionMlp};

use crate::{PixelTensor, VisionLanguageModel, VisualFeatures, VlmInput};
use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use seethink_core::Trainable;
use seethink_nn::{CacheShape, KvCache};

/// The model.
#[derive(Module, Debug)]
pub struct Qwen3Vl {
    /// Patches to patch features.
    pub vision: VisionEncoder,
    /// Patch features to image tokens.
    pub projector: Projector,
    /// Tokens to hidden states and logits.
    pub text: TextDecoder,
    #[module(skip)]
    config: Qwen3VlConfig,
}

impl Qwen3Vl {
    /// What the model was made from.
    pub fn config(&self) -> &Qwen3VlConfig {
        &self.config
    }

    /// [`encode_images`](VisionLanguageModel::encode_images), showing `observe` the input of every block `i` as `i` and the
    /// output of the last as `depth`.
    ///
    /// # Shapes
    /// - observed: `[n_patches, width]`
    pub fn encode_images_traced(
        &self,
        pixels: PixelTensor,
        observe: &mut dyn FnMut(usize, &Tensor<2>),
    ) -> VisualFeatures {
        let layout = self.vision.layout(&pixels);
        let mut x = self.vision.embed(pixels.patches, &layout);
        let mut deepstack = Vec::with_capacity(self.projector.deepstack.len());
        for (index, block) in self.vision.blocks.iter().enumerate() {
            observe(index, &x);
            x = block.forward(x, &layout);
            if let Some(level) = self.deepstack_level(index) {
                deepstack.push(self.projector.deepstack[level].forward(x.clone()));
            }
        }
        observe(self.vision.blocks.len(), &x);
        VisualFeatures { embeds: self.projector.merger.forward(x), deepstack }
    }

    /// [`hidden_states`](VisionLanguageModel::hidden_states), showing `observe` the input of every decoder layer `i` as `i` and
    /// that of the final norm as `n_layers`.
    ///
    /// # Shapes
    /// - observed and output: `[batch, seq, hidden]`
    pub fn hidden_states_traced(&self, input: VlmInput, observe: &mut dyn FnMut(usize, &Tensor<3>)) -> Tensor<3> {
        let shared = self.text.shared(&input);
        self.run_layers(&input, &shared, None, observe)
    }

    fn run_layers(
        &self,
        input: &VlmInput,
        shared: &Shared,
        mut cache: Option<&mut KvCache>,
        observe: &mut dyn FnMut(usize, &Tensor<3>),
    ) -> Tensor<3> {
        let mut x = self.text.embed(input);
        for layer in 0..self.text.layers.len() {
            observe(layer, &x);
            x = self.text.layer(layer, x, shared, input.visual.as_ref(), cache.as_deref_mut());
        }
        observe(self.text.layers.len(), &x);
        self.text.norm.forward(x)
    }

    /// The DeepStack level that reads the output of a vision block.
    fn deepstack_level(&self, block: usize) -> Option<usize> {
        self.config.vision_config.deepstack_visual_indexes.iter().position(|&index| index == block)
    }
}

impl VisionLanguageModel for Qwen3Vl {
    fn vocab_size(&self) -> usize {
        self.config.text_config.vocab_size
    }

    fn device(&self) -> Device {
        self.text.embed.weight.device()
    }

    fn encode_images(&self, pixels: PixelTensor) -> VisualFeatures {
        self.encode_images_traced(pixels, &mut |_, _| {})
    }

    fn hidden_states(&self, input: VlmInput) -> Tensor<3> {
        self.hidden_states_traced(input, &mut |_, _| {})
    }

    fn lm_head(&self, hidden: Tensor<2>) -> Tensor<2> {
        self.text.logits(hidden)
    }

    fn empty_cache(&self, batch: usize, max_seq: usize) -> KvCache {
        let text = &self.config.text_config;
        let shape = CacheShape {
            n_layers: text.num_hidden_layers,
            batch,
            n_heads: text.num_attention_heads,
            n_kv_heads: text.num_key_value_heads,
            head_dim: text.head_dim,
            max_seq,
        };
        KvCache::new(shape, self.text.embed.weight.dtype(), &self.device())
    }

    fn hidden_states_cached(&self, input: VlmInput, cache: &mut KvCache) -> Tensor<3> {
        let shared = self.text.shared_cached(&input, cache);
        self.run_layers(&input, &shared, Some(cache), &mut |_, _| {})
    }

    fn set_trainable(mut self, trainable: Trainable) -> Self {
        self.vision = self.vision.set_require_grad(trainable.vision_encoder);
        self.projector = self.projector.set_require_grad(trainable.projector);
        self.text = self.text.set_require_grad(trainable.language_model);
        self
    }

    fn backward(
        &self,
        input: VlmInput,
        pixels: Option<PixelTensor>,
        head: &mut dyn FnMut(Tensor<3>) -> (Tensor<3>, GradientsParams),
    ) -> GradientsParams {
        backward::backward(self, input, pixels, head)
    }
}
