//! Vision encoder: patches of any grid, learned positions interpolated to it, and 2-D rotary
//! attention within each image.

use super::config::{Config, NORM_EPS, VisionConfig};
use super::layout::ImageLayout;
use super::projector::Projector;
use crate::vision_attention::{ImageRuns, VisionAttention, grid_angles, merge_order};
use crate::{Encoder, PixelTensor};
use burn::module::Module;
use burn::nn::{Embedding, EmbeddingConfig, LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::activation::gelu_approximate;
use burn::tensor::{DType, Device, Tensor, TensorData};

/// Vision encoder: patches to patch features.
#[derive(Module, Debug)]
pub struct VisionEncoder {
    /// Patch embedding: a convolution whose kernel is its stride, so a linear layer on the
    /// flattened patch.
    pub patch_embed: Linear,
    /// Position embeddings: a square table, row-major.
    pub pos_embed: Embedding,
    /// Pre-norm blocks.
    pub blocks: Vec<EncoderBlock>,
    #[module(skip)]
    merge_size: usize,
    #[module(skip)]
    table_side: usize,
    #[module(skip)]
    head_dim: usize,
}

/// Encoder block: `x += attn(norm1(x)); x += mlp(norm2(x))`.
#[derive(Module, Debug)]
pub struct EncoderBlock {
    /// Norm before attention.
    pub norm1: LayerNorm,
    /// Attention within each image.
    pub attn: VisionAttention,
    /// Norm before the MLP.
    pub norm2: LayerNorm,
    /// MLP on each patch.
    pub mlp: EncoderMlp,
}

/// MLP: `fc2(gelu(fc1(x)))`, the tanh form of GELU.
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
        let linear = |from, to| LinearConfig::new(from, to).init(device);
        let norm = || LayerNormConfig::new(width).with_epsilon(NORM_EPS).init(device);
        let block = |_| EncoderBlock {
            norm1: norm(),
            attn: VisionAttention::new(width, config.num_heads, device),
            norm2: norm(),
            mlp: EncoderMlp {
                fc1: linear(width, config.intermediate_size),
                fc2: linear(config.intermediate_size, width),
            },
        };
        Self {
            patch_embed: linear(config.patch_len(), width),
            pos_embed: EmbeddingConfig::new(config.num_position_embeddings, width).init(device),
            blocks: (0..config.depth).map(block).collect(),
            merge_size: config.spatial_merge_size,
            table_side: config.table_side(),
            head_dim: width / config.num_heads,
        }
    }
}

impl Encoder for VisionEncoder {
    type Family = Config;
    type Projector = Projector;
    type Layout = ImageLayout;

    fn layout(&self, pixels: &PixelTensor) -> ImageLayout {
        let device = pixels.patches.device().inner();
        let mut runs = ImageRuns::default();
        let (mut places, mut neighbours, mut weights) =
            (Vec::new(), [const { Vec::new() }; 4], [const { Vec::new() }; 4]);
        for &[frames, rows, columns] in &pixels.grids {
            runs.push(frames, rows * columns);
            let (ys, xs) = (table_coordinates(rows, self.table_side), table_coordinates(columns, self.table_side));
            for _ in 0..frames {
                for (y, x) in merge_order(rows, columns, self.merge_size) {
                    places.push((y, x));
                    let corners = bilinear(ys[y], xs[x], self.table_side);
                    for (corner, (index, weight)) in corners.into_iter().enumerate() {
                        neighbours[corner].push(index);
                        weights[corner].push(weight);
                    }
                }
            }
        }
        let n_patches = places.len();
        let weights = TensorData::new(weights.concat(), [4, n_patches, 1]);
        ImageLayout {
            runs,
            rotary: grid_angles(&places, self.head_dim, &device),
            neighbours: Tensor::from_data(TensorData::new(neighbours.concat(), [4 * n_patches]), &device),
            weights: Tensor::from_data(weights, (&device, DType::F32)),
        }
    }

    /// Embeds patches and adds their positions: the input of the first block.
    ///
    /// # Shapes
    /// - patches: `[n_patches, patch_len]`
    /// - output: `[n_patches, width]`
    fn embed(&self, patches: Tensor<2>, layout: &ImageLayout) -> Tensor<2> {
        let patches = self.patch_embed.forward(patches);
        let [n_patches, width] = patches.dims();
        let table = self.pos_embed.weight.val();
        let weights = layout.weights.clone().cast(table.dtype());
        let corners = table.select(0, layout.neighbours.clone()).reshape([4, n_patches, width]);
        patches + (corners * weights).sum_dim(0).squeeze_dim::<2>(0)
    }

    fn n_blocks(&self) -> usize {
        self.blocks.len()
    }

    fn block(&self, index: usize, x: Tensor<2>, layout: &ImageLayout) -> Tensor<2> {
        self.blocks[index].forward(x, layout)
    }
}

impl EncoderBlock {
    /// # Shapes
    /// - x, output: `[n_patches, width]`
    pub fn forward(&self, x: Tensor<2>, layout: &ImageLayout) -> Tensor<2> {
        let x = x.clone() + self.attn.forward(self.norm1.forward(x), &layout.rotary, &layout.runs);
        x.clone() + self.mlp.forward(self.norm2.forward(x))
    }
}

impl EncoderMlp {
    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        self.fc2.forward(gelu_approximate(self.fc1.forward(x)))
    }
}

/// `n` coordinates spread over `0..side`, both ends included; a single one is 0.
///
/// Counted from the nearer end, as `torch.linspace` does, so that both round alike.
fn table_coordinates(n: usize, side: usize) -> Vec<f32> {
    let last = (side - 1) as f32;
    let step = if n > 1 { last / (n - 1) as f32 } else { 0.0 };
    (0..n).map(|i| if i < n / 2 || n == 1 { step * i as f32 } else { last - step * (n - 1 - i) as f32 }).collect()
}

/// Indices and weights of the four table cells around a point.
fn bilinear(y: f32, x: f32, side: usize) -> [(i64, f32); 4] {
    let split = |c: f32| (c as usize, (c as usize + 1).min(side - 1), c - c.floor());
    let ((y0, y1, dy), (x0, x1, dx)) = (split(y), split(x));
    let at = |y: usize, x: usize, weight| ((y * side + x) as i64, weight);
    [at(y0, x0, (1.0 - dy) * (1.0 - dx)), at(y0, x1, (1.0 - dy) * dx), at(y1, x0, dy * (1.0 - dx)), at(y1, x1, dy * dx)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinates_span_the_table() {
        assert_eq!(table_coordinates(1, 6), [0.0]);
        assert_eq!(table_coordinates(2, 6), [0.0, 5.0]);
        assert_eq!(table_coordinates(4, 7), [0.0, 2.0, 4.0, 6.0]);
    }

    #[test]
    fn bilinear_weights_average_the_neighbours() {
        assert_eq!(bilinear(1.0, 2.0, 3)[0], (5, 1.0));
        let corners = bilinear(0.5, 1.25, 3);
        assert_eq!(corners.map(|(index, _)| index), [1, 2, 4, 5]);
        assert_eq!(corners.map(|(_, weight)| weight), [0.375, 0.125, 0.375, 0.125]);
    }
}
