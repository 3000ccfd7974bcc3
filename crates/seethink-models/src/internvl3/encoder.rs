//! The vision encoder (InternViT): tiles of one size, learned positions, a class token, and scaled
//! residual branches.

use super::config::{Config, VisionConfig};
use super::layout::TileLayout;
use super::projector::Projector;
use crate::{Encoder, PixelTensor};
use burn::module::{Module, Param};
use burn::nn::{Initializer, LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::activation::gelu;
use burn::tensor::{Device, Tensor};
use seethink_nn::{HeadShape, RmsNorm, linear, self_attention};

/// Vision encoder (InternViT): patches to patch features.
#[derive(Module, Debug)]
pub struct VisionEncoder {
    /// Patch embedding: a convolution whose kernel is its stride, so a linear layer on the
    /// flattened patch.
    pub patch_embed: Linear,
    /// Class token before the patches of every tile, `[1, 1, width]`.
    pub cls_token: Param<Tensor<3>>,
    /// Position embeddings of the class token and then of the patches of a tile, row by row,
    /// `[1, 1 + patches, width]`.
    pub position_embeddings: Param<Tensor<3>>,
    /// Pre-norm blocks.
    pub blocks: Vec<EncoderBlock>,
    /// Norm after the last block, in models that do not pool.
    pub norm: Option<LayerNorm>,
}

/// Encoder block: `x += lambda_1 · attn(norm1(x)); x += lambda_2 · mlp(norm2(x))`.
#[derive(Module, Debug)]
pub struct EncoderBlock {
    /// Norm before attention.
    pub norm1: Norm,
    /// Attention within each tile.
    pub attn: EncoderAttention,
    /// Scale of the attention's output, `[width]`.
    pub lambda_1: Param<Tensor<1>>,
    /// Norm before the MLP.
    pub norm2: Norm,
    /// MLP on each patch.
    pub mlp: EncoderMlp,
    /// Scale of the MLP's output, `[width]`.
    pub lambda_2: Param<Tensor<1>>,
}

/// Norm of the blocks: layer norm in the small encoder, RMS norm in the large one.
#[derive(Module, Debug)]
pub enum Norm {
    /// Layer norm, with bias.
    Layer(LayerNorm),
    /// RMS norm.
    Rms(RmsNorm),
}

/// Attention among the patches of a tile; nothing is masked.
#[derive(Module, Debug)]
pub struct EncoderAttention {
    /// Query projection.
    pub q: Linear,
    /// Key projection.
    pub k: Linear,
    /// Value projection.
    pub v: Linear,
    /// Output projection.
    pub proj: Linear,
    /// Query norm over all heads together; only in the large encoder.
    pub q_norm: Option<RmsNorm>,
    /// Key norm over all heads together; only in the large encoder.
    pub k_norm: Option<RmsNorm>,
    #[module(skip)]
    n_heads: usize,
}

/// MLP: `fc2(gelu(fc1(x)))`, the exact form of GELU.
#[derive(Module, Debug)]
pub struct EncoderMlp {
    /// Up projection.
    pub fc1: Linear,
    /// Down projection.
    pub fc2: Linear,
}

impl VisionEncoder {
    /// Creates an encoder with fresh weights.
    pub(super) fn new(config: &VisionConfig, device: &Device) -> Self {
        let width = config.hidden_size;
        let linear = |from, to, bias| LinearConfig::new(from, to).with_bias(bias).init(device);
        let zeros = |n| Initializer::Zeros.init([1, n, width], device);
        let scale = || Initializer::Constant { value: config.layer_scale_init_value }.init([width], device);
        let norm = || match config.norm_type.as_str() {
            "rms_norm" => Norm::Rms(RmsNorm::new(width, config.layer_norm_eps, device)),
            _ => Norm::Layer(layer_norm(width, config.layer_norm_eps, device)),
        };
        let head_norm = || config.use_qk_norm.then(|| RmsNorm::new(width, config.layer_norm_eps, device));
        let block = |_| EncoderBlock {
            norm1: norm(),
            attn: EncoderAttention {
                q: linear(width, width, config.attention_bias),
                k: linear(width, width, config.attention_bias),
                v: linear(width, width, config.attention_bias),
                proj: linear(width, width, true),
                q_norm: head_norm(),
                k_norm: head_norm(),
                n_heads: config.num_attention_heads,
            },
            lambda_1: scale(),
            norm2: norm(),
            mlp: EncoderMlp {
                fc1: linear(width, config.intermediate_size, true),
                fc2: linear(config.intermediate_size, width, true),
            },
            lambda_2: scale(),
        };
        let [rows, columns] = config.grid();
        Self {
            patch_embed: linear(config.patch_len(), width, true),
            cls_token: zeros(1),
            position_embeddings: zeros(1 + rows * columns),
            blocks: (0..config.num_hidden_layers).map(block).collect(),
            norm: (!config.use_mean_pooling).then(|| layer_norm(width, config.layer_norm_eps, device)),
        }
    }
}

impl Encoder for VisionEncoder {
    type Family = Config;
    type Projector = Projector;
    type Layout = TileLayout;

    /// Layout of the tiles.
    ///
    /// # Panics
    /// If the tiles are of another size than the table of positions, or of several sizes.
    fn layout(&self, pixels: &PixelTensor) -> TileLayout {
        let [_, rows, columns] = pixels.grids[0];
        let n_positions = self.position_embeddings.dims()[1];
        for grid in &pixels.grids {
            assert_eq!(grid[1..], [rows, columns], "all tiles are of one size");
        }
        let n_patches = rows * columns;
        assert_eq!(n_patches + 1, n_positions, "a tile of {n_patches} patches in a model for {}", n_positions - 1);
        TileLayout { n_tiles: pixels.grids.iter().map(|grid| grid[0]).sum(), rows, columns }
    }

    /// Embeds patches, puts the class token before those of each tile and adds positions: the input
    /// of the first block.
    ///
    /// # Shapes
    /// - patches: `[n_tiles · patches, patch_len]`
    /// - output: `[n_tiles · (1 + patches), width]`
    fn embed(&self, patches: Tensor<2>, layout: &TileLayout) -> Tensor<2> {
        let patches = self.patch_embed.forward(patches);
        let (len, width) = (layout.len(), patches.dims()[1]);
        let patches = patches.reshape([layout.n_tiles, len - 1, width]);
        let cls = self.cls_token.val().expand([layout.n_tiles, 1, width]);
        let x = Tensor::cat(vec![cls, patches], 1) + self.position_embeddings.val();
        x.reshape([layout.n_tiles * len, width])
    }

    fn n_blocks(&self) -> usize {
        self.blocks.len()
    }

    fn block(&self, index: usize, x: Tensor<2>, layout: &TileLayout) -> Tensor<2> {
        self.blocks[index].forward(x, layout)
    }

    /// Applies the final norm, if the model has one, and drops the class tokens.
    fn finish(&self, x: Tensor<2>, layout: &TileLayout) -> Tensor<2> {
        let x = match &self.norm {
            Some(norm) => norm.forward(x),
            None => x,
        };
        let [_, width] = x.dims();
        let len = layout.len();
        let patches = x.reshape([layout.n_tiles, len, width]).narrow(1, 1, len - 1);
        patches.reshape([layout.n_tiles * (len - 1), width])
    }
}

fn layer_norm(width: usize, epsilon: f64, device: &Device) -> LayerNorm {
    LayerNormConfig::new(width).with_epsilon(epsilon).init(device)
}

impl Norm {
    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Layer(norm) => norm.forward(x),
            Self::Rms(norm) => norm.forward(x),
        }
    }
}

impl EncoderBlock {
    /// # Shapes
    /// - x, output: `[n_tiles · (1 + patches), width]`
    pub fn forward(&self, x: Tensor<2>, layout: &TileLayout) -> Tensor<2> {
        let seen = self.attn.forward(self.norm1.forward(x.clone()), layout);
        let x = x + seen * self.lambda_1.val().unsqueeze();
        let thought = self.mlp.fc2.forward(gelu(self.mlp.fc1.forward(self.norm2.forward(x.clone()))));
        x + thought * self.lambda_2.val().unsqueeze()
    }
}

impl EncoderAttention {
    fn forward(&self, x: Tensor<2>, layout: &TileLayout) -> Tensor<2> {
        let [n, width] = x.dims();
        let shape = HeadShape { n_heads: self.n_heads, n_kv_heads: self.n_heads, d: width / self.n_heads };
        let qkv = linear(x, &[&self.q, &self.k, &self.v], None);
        let qkv = match (&self.q_norm, &self.k_norm) {
            (Some(q_norm), Some(k_norm)) => {
                let part = |index| qkv.clone().narrow(1, index * width, width);
                Tensor::cat(vec![q_norm.forward(part(0)), k_norm.forward(part(1)), part(2)], 1)
            }
            _ => qkv,
        };
        let qkv = qkv.reshape([layout.n_tiles, layout.len(), 3 * width]);
        let seen = self_attention(qkv, shape, None).reshape([n, width]);
        linear(seen, &[&self.proj], None)
    }
}
