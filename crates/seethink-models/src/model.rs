//! Vision-language models: the model side of a backbone.

use crate::{PixelTensor, VisualFeatures, VlmInput};
use burn::module::{Module, ModuleDisplay, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use seethink_core::Trainable;
use seethink_nn::KvCache;

/// A vision-language model: a vision encoder whose features stand among the tokens of a causal text
/// decoder.
///
/// `batch` rows of `seq` tokens, `hidden` channels, `vocab` ids.
pub trait VisionLanguageModel: Module + ModuleDisplay + Clone + std::fmt::Debug + Send + Sync + 'static {
    /// Size of the vocabulary, rows of the embedding table without a tokenizer entry included.
    fn vocab_size(&self) -> usize;

    /// Device that the weights are on.
    fn device(&self) -> Device;

    /// Longest sequence that the decoder has positions for, images included. Tokens.
    fn max_positions(&self) -> usize;

    /// Size of the key-value [cache](Self::empty_cache), bytes per token of a row, over all layers.
    fn cache_bytes_per_token(&self) -> usize;

    /// Encodes images, in order: patches through the encoder and the projector.
    ///
    /// # Shapes
    /// - `pixels.patches`: `[n_patches, patch_len]`
    /// - output: `[n_image_tokens, hidden]`, and for each DeepStack level
    fn encode_images(&self, pixels: PixelTensor) -> VisualFeatures {
        self.encode_images_traced(pixels, &mut |_, _| {})
    }

    /// [`encode_images`](Self::encode_images), calling `observe` with the input of every block `i`
    /// as `i` and with the output of the last block as the number of blocks.
    ///
    /// # Shapes
    /// - observed: `[n_rows, width]`, a row per patch and per class token
    fn encode_images_traced(&self, pixels: PixelTensor, observe: &mut dyn FnMut(usize, &Tensor<2>)) -> VisualFeatures;

    /// Hidden states after the final norm.
    ///
    /// # Shapes
    /// - output: `[batch, seq, hidden]`; rows of padding are undefined
    fn hidden_states(&self, input: VlmInput) -> Tensor<3> {
        self.hidden_states_traced(input, &mut |_, _| {})
    }

    /// [`hidden_states`](Self::hidden_states), calling `observe` with the input of every decoder
    /// layer `i` as `i` and with that of the final norm as the number of layers.
    ///
    /// # Shapes
    /// - observed and output: `[batch, seq, hidden]`
    fn hidden_states_traced(&self, input: VlmInput, observe: &mut dyn FnMut(usize, &Tensor<3>)) -> Tensor<3>;

    /// Language-model head: logits over the vocabulary. Separate from the trunk, so that callers
    /// can take few rows at a time.
    ///
    /// # Shapes
    /// - hidden: `[n, hidden]`
    /// - output: `[n, vocab]`
    fn lm_head(&self, hidden: Tensor<2>) -> Tensor<2>;

    /// Creates an empty cache for `batch` rows of up to `max_seq` tokens.
    fn empty_cache(&self, batch: usize, max_seq: usize) -> KvCache;

    /// Hidden states of new tokens, given the keys and values of the tokens before them; the cache
    /// grows by `seq`.
    ///
    /// All tokens must be of segment 0 or −1.
    ///
    /// # Shapes
    /// - output: `[batch, seq, hidden]`
    ///
    /// # Panics
    /// If the cache has another batch size or no room.
    fn hidden_states_cached(&self, input: VlmInput, cache: &mut KvCache) -> Tensor<3>;

    /// Freezes and unfreezes parts of the model.
    fn set_trainable(self, trainable: Trainable) -> Self;

    /// Size of the activations that a backward pass keeps if it runs nothing again, bytes per token
    /// of the decoder.
    fn activation_bytes_per_token(&self) -> usize;

    /// Backward pass of a loss that is given as a function of the final hidden states.
    ///
    /// `activations`: with [`Activations::Recomputed`] the forward pass keeps only each block's
    /// input and the backward pass runs each block again; the gradients are the same.
    ///
    /// `pixels`: the images, where gradients should reach the vision side; any features in
    /// `input.visual` are then ignored. Without `pixels` the features in `input.visual` are
    /// constants. All tensors of `input` and `pixels` are without gradient tracking (the inner
    /// device).
    ///
    /// `head` receives the hidden states `[batch, seq, hidden]` (after the final norm, no gradient
    /// tracking, inner device) and returns the gradient of the loss with respect to them, and the
    /// gradients of the model's parameters that it used (those of the head, through
    /// [`lm_head`](Self::lm_head)), which are added to those of the trunk.
    ///
    /// Called on a model whose parameters track gradients. Frozen parameters get none.
    fn backward(
        &self,
        input: VlmInput,
        pixels: Option<PixelTensor>,
        activations: Activations,
        head: &mut dyn FnMut(Tensor<3>) -> (Tensor<3>, GradientsParams),
    ) -> GradientsParams;

    /// Parameters, with their names in checkpoints, in the order of the modules.
    fn parameters(&self) -> Vec<Parameter>;
}

/// Activations of a backward pass: kept from the forward pass, or computed again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activations {
    /// All are kept: the least time.
    Kept,
    /// Blocks are run again: the least memory.
    Recomputed,
}

/// A parameter of a model, without its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Id in gradients and optimisers.
    pub id: ParamId,
    /// Name in the checkpoint.
    pub name: String,
    /// Shape in the checkpoint; matrices are `[out, in]`, where the model has `[in, out]`.
    pub shape: Vec<usize>,
    /// True if the model has the transpose.
    pub transposed: bool,
    /// Part of the model that the parameter belongs to.
    pub part: Part,
}

/// Parts of a model that are frozen and counted separately.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Vision encoder: patches to patch features.
    VisionEncoder,
    /// Projector: patch features to image tokens.
    Projector,
    /// Language model: token embeddings, decoder and head.
    LanguageModel,
}
