//! The decoder: Qwen3 with interleaved M-RoPE, image features among the embeddings and DeepStack features after the first layers.

use super::config::TextConfig;
use crate::{VisualFeatures, VisualTokens, VlmInput};
use burn::module::Module;
use burn::nn::{Embedding, EmbeddingConfig, Linear, LinearConfig};
use burn::tensor::module::linear;
use burn::tensor::{Device, IndexingUpdateOp, Tensor};
use seethink_nn::{AttentionMask, KvCache, RmsNorm, Rotary, RotaryFrequencies, SwiGlu, attention};

/// Token ids and image features to hidden states and logits.
#[derive(Module, Debug)]
pub struct TextDecoder {
    /// Token embeddings, `[vocab, hidden]`.
    pub embed: Embedding,
    /// Pre-norm layers.
    pub layers: Vec<DecoderLayer>,
    /// After the last layer.
    pub norm: RmsNorm,
    /// Hidden states to logits; `None` where the embedding table serves.
    pub head: Option<Linear>,
    #[module(skip)]
    frequencies: RotaryFrequencies,
}

/// `x += attn(norm1(x)); x += mlp(norm2(x))`.
#[derive(Module, Debug)]
pub struct DecoderLayer {
    /// Before attention.
    pub norm1: RmsNorm,
    /// Over the tokens before.
    pub attn: TextAttention,
    /// Before the MLP.
    pub norm2: RmsNorm,
    /// Token by token.
    pub mlp: SwiGlu,
}

/// Attention with shared key-value heads and normalised queries and keys.
#[derive(Module, Debug)]
pub struct TextAttention {
    /// Query projection.
    pub q: Linear,
    /// Key projection.
    pub k: Linear,
    /// Value projection.
    pub v: Linear,
    /// Output projection.
    pub o: Linear,
    /// Per head, before the rotation.
    pub q_norm: RmsNorm,
    /// Per head, before the rotation.
    pub k_norm: RmsNorm,
    #[module(skip)]
    head_dim: usize,
}

/// What all layers share in one forward pass.
#[derive(Debug, Clone)]
pub struct Shared {
    /// Rotations of queries and keys.
    pub rotary: Rotary,
    /// Who sees whom.
    pub mask: AttentionMask,
}

impl TextDecoder {
    /// A decoder with fresh weights.
    ///
    /// # Panics
    /// If the configuration has no rotary settings, which [`check`](super::Qwen3VlConfig::check) would have said.
    pub(super) fn new(config: &TextConfig, tied: bool, device: &Device) -> Self {
        let (hidden, bias, head_dim) = (config.hidden_size, config.attention_bias, config.head_dim);
        let theta = config.rope_theta().expect("checked");
        let sections = config.mrope_section().expect("checked");
        let linear = |from, to| LinearConfig::new(from, to).with_bias(bias).init(device);
        let norm = |channels| RmsNorm::new(channels, config.rms_norm_eps, device);
        let layer = |_| DecoderLayer {
            norm1: norm(hidden),
            attn: TextAttention {
                q: linear(hidden, config.num_attention_heads * head_dim),
                k: linear(hidden, config.num_key_value_heads * head_dim),
                v: linear(hidden, config.num_key_value_heads * head_dim),
                o: linear(config.num_attention_heads * head_dim, hidden),
                q_norm: norm(head_dim),
                k_norm: norm(head_dim),
                head_dim,
            },
            norm2: norm(hidden),
            mlp: SwiGlu::new(hidden, config.intermediate_size, false, device),
        };
        let head = LinearConfig::new(hidden, config.vocab_size).with_bias(false);
        Self {
            embed: EmbeddingConfig::new(config.vocab_size, hidden).init(device),
            layers: (0..config.num_hidden_layers).map(layer).collect(),
            norm: norm(hidden),
            head: (!tied).then(|| head.init(device)),
            frequencies: RotaryFrequencies::interleaved(theta, head_dim, sections),
        }
    }

    /// Rotations and mask of a batch without cache.
    pub fn shared(&self, input: &VlmInput) -> Shared {
        let attn = &self.layers[0].attn;
        let groups = attn.q.weight.dims()[1] / attn.k.weight.dims()[1];
        let dtype = self.embed.weight.dtype();
        Shared {
            rotary: self.frequencies.at(input.position_ids.clone()),
            mask: AttentionMask::causal(input.segments.clone(), groups, dtype),
        }
    }

    /// Rotations and mask of new tokens after cached ones.
    pub fn shared_cached(&self, input: &VlmInput, cache: &mut KvCache) -> Shared {
        Shared { rotary: self.frequencies.at(input.position_ids.clone()), mask: cache.extend(input.segments.clone()) }
    }

    /// Embeddings, image features in the place of those of the image tokens.
    ///
    /// # Shapes
    /// - output: `[batch, seq, hidden]`
    pub fn embed(&self, input: &VlmInput) -> Tensor<3> {
        let x = self.embed.forward(input.input_ids.clone());
        match &input.visual {
            Some(visual) => update(x, visual, features(visual).embeds.clone(), IndexingUpdateOp::Assign),
            None => x,
        }
    }

    /// Layer `layer` and what DeepStack adds after it.
    ///
    /// # Shapes
    /// - x, output: `[batch, seq, hidden]`
    pub fn layer(
        &self,
        layer: usize,
        x: Tensor<3>,
        shared: &Shared,
        visual: Option<&VisualTokens>,
        cache: Option<&mut KvCache>,
    ) -> Tensor<3> {
        let x = self.layers[layer].forward(x, shared, cache.map(|cache| (cache, layer)));
        match visual.and_then(|visual| Some((visual, features(visual).deepstack.get(layer)?))) {
            Some((visual, level)) => update(x, visual, level.clone(), IndexingUpdateOp::Add),
            None => x,
        }
    }

    /// Logits.
    ///
    /// # Shapes
    /// - hidden: `[n, hidden]`
    /// - output: `[n, vocab]`
    pub fn logits(&self, hidden: Tensor<2>) -> Tensor<2> {
        match &self.head {
            Some(head) => head.forward(hidden),
            None => linear(hidden, self.embed.weight.val().transpose(), None),
        }
    }
}

/// The features of the image tokens.
///
/// # Panics
/// If there are none.
pub(super) fn features(visual: &VisualTokens) -> &VisualFeatures {
    visual.features.as_ref().expect("image tokens need the features of their images")
}

/// Writes features to, or adds them at, the image tokens.
fn update(x: Tensor<3>, visual: &VisualTokens, features: Tensor<2>, op: IndexingUpdateOp) -> Tensor<3> {
    let [batch, seq, hidden] = x.dims();
    let x = x.reshape([batch * seq, hidden]).select_assign(0, visual.positions.clone(), features, op);
    x.reshape([batch, seq, hidden])
}

impl DecoderLayer {
    /// `cache`: where the keys and values of the tokens before are, and which layer this is.
    ///
    /// # Shapes
    /// - x, output: `[batch, seq, hidden]`
    pub fn forward(&self, x: Tensor<3>, shared: &Shared, cache: Option<(&mut KvCache, usize)>) -> Tensor<3> {
        let x = x.clone() + self.attn.forward(self.norm1.forward(x), shared, cache);
        x.clone() + self.mlp.forward(self.norm2.forward(x))
    }
}

impl TextAttention {
    fn forward(&self, x: Tensor<3>, shared: &Shared, cache: Option<(&mut KvCache, usize)>) -> Tensor<3> {
        let [batch, seq, _] = x.dims();
        let heads = |x: Tensor<3>| {
            let n_heads = x.dims()[2] / self.head_dim;
            x.reshape([batch, seq, n_heads, self.head_dim])
        };
        let q = shared.rotary.apply(self.q_norm.forward(heads(self.q.forward(x.clone()))));
        let k = shared.rotary.apply(self.k_norm.forward(heads(self.k.forward(x.clone())))).swap_dims(1, 2);
        let v = heads(self.v.forward(x)).swap_dims(1, 2);
        let [k, v] = match cache {
            Some((cache, layer)) => cache.append(layer, k, v),
            None => [k, v],
        };
        self.o.forward(attention(q, k, v, Some(&shared.mask)))
    }
}
