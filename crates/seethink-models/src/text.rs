//! Text decoder of all families: Qwen2 or Qwen3, image features among the embeddings, and DeepStack
//! features after the first layers where a family has them.

use crate::text_config::{TextConfig, TextKind};
use crate::{VisualFeatures, VisualTokens, VlmInput};
use burn::module::Module;
use burn::nn::{Embedding, EmbeddingConfig, Linear, LinearConfig};
use burn::tensor::{DType, Device, IndexingUpdateOp, Tensor};
use seethink_nn::{
    AttentionMask, CacheShape, HeadShape, KvCache, RmsNorm, Rotary, RotaryFrequencies, SwiGlu, linear, matmul,
    self_attention,
};

/// Text decoder: token ids and image features to hidden states and logits.
#[derive(Module, Debug)]
pub struct TextDecoder {
    /// Token embeddings, `[vocab, hidden]`.
    pub embed: Embedding,
    /// Pre-norm layers.
    pub layers: Vec<DecoderLayer>,
    /// Norm after the last layer.
    pub norm: RmsNorm,
    /// Language-model head, hidden states to logits; `None` where it is the embedding table.
    pub head: Option<Linear>,
    #[module(skip)]
    frequencies: RotaryFrequencies,
    #[module(skip)]
    heads: HeadShape,
}

/// Decoder layer: `x += attn(norm1(x)); x += mlp(norm2(x))`.
#[derive(Module, Debug)]
pub struct DecoderLayer {
    /// Norm before attention.
    pub norm1: RmsNorm,
    /// Causal attention.
    pub attn: TextAttention,
    /// Norm before the MLP.
    pub norm2: RmsNorm,
    /// MLP on each token.
    pub mlp: SwiGlu,
}

/// Grouped-query attention.
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
    /// Query norm per head, before the rotation; only in Qwen3.
    pub q_norm: Option<RmsNorm>,
    /// Key norm per head, before the rotation; only in Qwen3.
    pub k_norm: Option<RmsNorm>,
    #[module(skip)]
    heads: HeadShape,
}

/// Rotations and attention mask, which all layers share in one forward pass.
#[derive(Debug, Clone)]
pub struct Shared {
    /// Rotations of queries and keys.
    pub rotary: Rotary,
    /// Attention mask.
    pub mask: AttentionMask,
}

impl TextDecoder {
    /// Creates a decoder with fresh weights.
    pub(crate) fn new(
        config: &TextConfig,
        kind: TextKind,
        frequencies: RotaryFrequencies,
        tied: bool,
        device: &Device,
    ) -> Self {
        let (hidden, head_dim) = (config.hidden_size, config.head_dim());
        let (n_heads, n_kv_heads) = (config.num_attention_heads, config.n_kv_heads());
        let (inner_bias, outer_bias) = match kind {
            TextKind::Qwen2 => (true, false),
            TextKind::Qwen3 => (config.attention_bias, config.attention_bias),
        };
        let linear = |from, to, bias| LinearConfig::new(from, to).with_bias(bias).init(device);
        let norm = |channels| RmsNorm::new(channels, config.rms_norm_eps, device);
        let head_norm = || (kind == TextKind::Qwen3).then(|| norm(head_dim));
        let heads = HeadShape { n_heads, n_kv_heads, d: head_dim };
        let layer = |_| DecoderLayer {
            norm1: norm(hidden),
            attn: TextAttention {
                q: linear(hidden, n_heads * head_dim, inner_bias),
                k: linear(hidden, n_kv_heads * head_dim, inner_bias),
                v: linear(hidden, n_kv_heads * head_dim, inner_bias),
                o: linear(n_heads * head_dim, hidden, outer_bias),
                q_norm: head_norm(),
                k_norm: head_norm(),
                heads,
            },
            norm2: norm(hidden),
            mlp: SwiGlu::new(hidden, config.intermediate_size, false, device),
        };
        Self {
            embed: EmbeddingConfig::new(config.vocab_size, hidden).init(device),
            layers: (0..config.num_hidden_layers).map(layer).collect(),
            norm: norm(hidden),
            head: (!tied).then(|| linear(hidden, config.vocab_size, false)),
            frequencies,
            heads,
        }
    }

    /// Size of the vocabulary: rows of the embedding table.
    pub fn vocab_size(&self) -> usize {
        self.embed.weight.dims()[0]
    }

    /// Number format of the weights and of all computations.
    pub fn dtype(&self) -> DType {
        self.embed.weight.dtype()
    }

    /// Creates an empty cache for `batch` rows of up to `max_seq` tokens.
    pub fn empty_cache(&self, batch: usize, max_seq: usize) -> KvCache {
        let shape = CacheShape { n_layers: self.layers.len(), batch, heads: self.heads, max_seq };
        KvCache::new(shape, self.dtype(), &self.embed.weight.device())
    }

    /// Rotations and mask of a batch without cache.
    pub fn shared(&self, input: &VlmInput) -> Shared {
        let n_read = input.segments.dims()[1];
        let groups = self.heads.n_heads / self.heads.n_kv_heads;
        Shared {
            rotary: self.frequencies.at(input.position_ids.clone(), n_read),
            mask: AttentionMask::causal(input.segments.clone(), groups),
        }
    }

    /// Rotations and mask of new tokens after cached ones.
    pub fn shared_cached(&self, input: &VlmInput, cache: &mut KvCache) -> Shared {
        let mask = cache.extend(input.segments.clone());
        Shared { rotary: self.frequencies.at(input.position_ids.clone(), cache.len()), mask }
    }

    /// Embeds tokens; image features replace the embeddings of the image tokens.
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

    /// Applies layer `layer`, and adds the DeepStack features after it.
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

    /// Logits of hidden states.
    ///
    /// # Shapes
    /// - hidden: `[n, hidden]`
    /// - output: `[n, vocab]`
    pub fn logits(&self, hidden: Tensor<2>) -> Tensor<2> {
        match &self.head {
            Some(head) => linear(hidden, &[head], None),
            None => matmul(hidden, self.embed.weight.val().transpose()),
        }
    }
}

/// Features of the image tokens.
///
/// # Panics
/// If there are no features.
pub(crate) fn features(visual: &VisualTokens) -> &VisualFeatures {
    visual.features.as_ref().expect("image tokens need the features of their images")
}

/// Writes features to, or adds them at, the image tokens.
fn update(x: Tensor<3>, visual: &VisualTokens, features: Tensor<2>, op: IndexingUpdateOp) -> Tensor<3> {
    let [batch, seq, hidden] = x.dims();
    let x = x.reshape([batch * seq, hidden]).select_assign(0, visual.positions.clone(), features, op);
    x.reshape([batch, seq, hidden])
}

impl DecoderLayer {
    /// `cache`: the key-value cache of the tokens before, and the index of this layer.
    ///
    /// # Shapes
    /// - x, output: `[batch, seq, hidden]`
    pub fn forward(&self, x: Tensor<3>, shared: &Shared, cache: Option<(&mut KvCache, usize)>) -> Tensor<3> {
        let x = self.attn.forward(self.norm1.forward(x.clone()), x, shared, cache);
        self.mlp.forward(self.norm2.forward(x.clone()), Some(x))
    }
}

impl TextAttention {
    /// Adds the attention's output to `residual`.
    fn forward(
        &self,
        x: Tensor<3>,
        residual: Tensor<3>,
        shared: &Shared,
        cache: Option<(&mut KvCache, usize)>,
    ) -> Tensor<3> {
        let qkv = linear(x, &[&self.q, &self.k, &self.v], None);
        let norms = self.q_norm.as_ref().zip(self.k_norm.as_ref()).map(|(q, k)| [q, k]);
        let qkv = shared.rotary.apply(qkv, self.heads, norms);
        let seen = match cache {
            Some((cache, layer)) => cache.attend(layer, qkv, &shared.mask),
            None => self_attention(qkv, self.heads, Some(&shared.mask)),
        };
        linear(seen, &[&self.o], Some(residual))
    }
}
