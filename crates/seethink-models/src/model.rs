//! The model side of a backbone.

use crate::{PixelTensor, VisualFeatures, VlmInput};
use burn::module::{Module, ModuleDisplay};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use seethink_core::Trainable;
use seethink_nn::KvCache;

/// A vision-language model: a vision encoder whose features stand among the tokens of a causal text decoder.
///
/// `batch` rows of `seq` tokens, `hidden` channels, `vocab` ids.
pub trait VisionLanguageModel: Module + ModuleDisplay + Clone + std::fmt::Debug + Send + 'static {
    /// Size of the vocabulary, rows of the embedding table without a tokenizer entry included.
    fn vocab_size(&self) -> usize;

    /// Device that the weights are on.
    fn device(&self) -> Device;

    /// Features of the images, in order: patches through the encoder and the projector.
    ///
    /// # Shapes
    /// - `pixels.patches`: `[n_patches, patch_len]`
    /// - output: `[n_image_tokens, hidden]`, and the same per DeepStack level
    fn encode_images(&self, pixels: PixelTensor) -> VisualFeatures;

    /// Hidden states after the final norm.
    ///
    /// # Shapes
    /// - output: `[batch, seq, hidden]`; rows of padding are undefined
    fn hidden_states(&self, input: VlmInput) -> Tensor<3>;

    /// Unnormalised log-probabilities over the vocabulary. Separate from the trunk, so that callers can take few rows at a time.
    ///
    /// # Shapes
    /// - hidden: `[n, hidden]`
    /// - output: `[n, vocab]`
    fn lm_head(&self, hidden: Tensor<2>) -> Tensor<2>;

    /// An empty cache for `batch` rows of up to `max_seq` tokens.
    fn empty_cache(&self, batch: usize, max_seq: usize) -> KvCache;

    /// Hidden states of new tokens, given the keys and values of the tokens before them; the cache grows by `seq`.
    ///
    /// All tokens must be of segment 0 or −1.
    ///
    /// # Shapes
    /// - output: `[batch, seq, hidden]`
    ///
    /// # Panics
    /// If the cache has another batch size or no room.
    fn hidden_states_cached(&self, input: VlmInput, cache: &mut KvCache) -> Tensor<3>;

    /// Freezes and unfreezes parts.
    fn set_trainable(self, trainable: Trainable) -> Self;

    /// Gradients of a loss that is given as a function of the final hidden states, with little memory: the forward pass keeps
    /// only each block's input, and the backward pass runs each block again.
    ///
    /// `pixels`: the images, where gradients should reach the vision side; any features in `input.visual` are then ignored.
    /// Without it the features in `input.visual` are constants. All tensors of `input` and `pixels` are without gradient
    /// tracking (the inner device).
    ///
    /// `head` receives the hidden states `[batch, seq, hidden]` (after the final norm, no gradient tracking, inner device) and returns
    /// the gradient of the loss with respect to them, and the gradients of what it used of the model itself
    /// (the head, through [`lm_head`](Self::lm_head)), which are added to those of the trunk.
    ///
    /// Called on a model whose parameters track gradients. Frozen parameters get none.
    fn backward(
        &self,
        input: VlmInput,
        pixels: Option<PixelTensor>,
        head: &mut dyn FnMut(Tensor<3>) -> (Tensor<3>, GradientsParams),
    ) -> GradientsParams;
}
