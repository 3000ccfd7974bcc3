//! The vision encoder: patches of any grid, learned positions interpolated to it, and 2-D rotary attention within each image.

use super::config::VisionConfig;
use crate::PixelTensor;
use burn::module::Module;
use burn::nn::{Embedding, EmbeddingConfig, LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::activation::gelu_approximate;
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use seethink_nn::{Rotary, attention};

/// ε of every layer norm on the vision side; no configuration has it.
pub(super) const NORM_EPS: f64 = 1e-6;

/// Base of the rotary frequencies; no configuration has it.
const ROPE_THETA: f64 = 10_000.0;

/// Patches to patch features.
#[derive(Module, Debug)]
pub struct VisionEncoder {
    /// A convolution whose kernel is its stride, so a linear layer on the flattened patch.
    pub patch_embed: Linear,
    /// A square table of positions, row-major.
    pub pos_embed: Embedding,
    /// Pre-norm blocks.
    pub blocks: Vec<VisionBlock>,
    #[module(skip)]
    merge_size: usize,
    #[module(skip)]
    table_side: usize,
}

/// `x += attn(norm1(x)); x += mlp(norm2(x))`.
#[derive(Module, Debug)]
pub struct VisionBlock {
    /// Before attention.
    pub norm1: LayerNorm,
    /// Attention within each image.
    pub attn: VisionAttention,
    /// Before the MLP.
    pub norm2: LayerNorm,
    /// Patch by patch.
    pub mlp: VisionMlp,
}

/// Attention among the patches of an image; nothing is masked.
#[derive(Module, Debug)]
pub struct VisionAttention {
    /// Queries, keys and values, in this order.
    pub qkv: Linear,
    /// Output projection.
    pub proj: Linear,
    #[module(skip)]
    n_heads: usize,
}

/// `fc2(gelu(fc1(x)))`, the tanh form of GELU.
#[derive(Module, Debug)]
pub struct VisionMlp {
    /// Up.
    pub fc1: Linear,
    /// Down.
    pub fc2: Linear,
}

/// What the grids of a batch of images say, made once per forward pass.
#[derive(Debug, Clone)]
pub struct ImageLayout {
    /// Runs of images of one size: first patch, number of images, patches per image.
    runs: Vec<[usize; 3]>,
    rotary: Rotary,
    /// The four neighbours of each patch in the position table, `[4 · n_patches]`.
    neighbours: Tensor<1, Int>,
    /// Their bilinear weights, `[4, n_patches, 1]`.
    weights: Tensor<3>,
}

impl VisionEncoder {
    /// An encoder with fresh weights.
    pub(super) fn new(config: &VisionConfig, device: &Device) -> Self {
        let width = config.hidden_size;
        let linear = |from, to| LinearConfig::new(from, to).init(device);
        let norm = || LayerNormConfig::new(width).with_epsilon(NORM_EPS).init(device);
        let block = |_| VisionBlock {
            norm1: norm(),
            attn: VisionAttention {
                qkv: linear(width, 3 * width),
                proj: linear(width, width),
                n_heads: config.num_heads,
            },
            norm2: norm(),
            mlp: VisionMlp {
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
        }
    }

    /// Where the patches of these images lie.
    ///
    /// # Panics
    /// If a side of a grid is no multiple of the merge size.
    pub fn layout(&self, pixels: &PixelTensor) -> ImageLayout {
        let device = pixels.patches.device().inner();
        let head_dim = self.patch_embed.weight.dims()[1] / self.blocks.first().map_or(1, |block| block.attn.n_heads);
        let mut runs: Vec<[usize; 3]> = Vec::new();
        let (mut angles, mut neighbours, mut weights) =
            (Vec::new(), [const { Vec::new() }; 4], [const { Vec::new() }; 4]);
        let mut n_patches = 0;
        for &[frames, rows, columns] in &pixels.grids {
            let merge = self.merge_size;
            assert!(
                rows % merge == 0 && columns % merge == 0,
                "a grid of {rows}x{columns} patches does not merge by {merge}"
            );
            // Frames of a video do not see each other either.
            match runs.last_mut() {
                Some([_, n_images, size]) if *size == rows * columns => *n_images += frames,
                _ => runs.push([n_patches, frames, rows * columns]),
            }
            n_patches += frames * rows * columns;
            let (ys, xs) = (table_coordinates(rows, self.table_side), table_coordinates(columns, self.table_side));
            for _ in 0..frames {
                for (y, x) in merge_order(rows, columns, merge) {
                    for position in [y, x] {
                        angles.extend(
                            (0..head_dim / 4)
                                .map(|k| position as f32 * ROPE_THETA.powf(-4.0 * k as f64 / head_dim as f64) as f32),
                        );
                    }
                    let corners = bilinear(ys[y], xs[x], self.table_side);
                    for (corner, (index, weight)) in corners.into_iter().enumerate() {
                        neighbours[corner].push(index);
                        weights[corner].push(weight);
                    }
                }
            }
        }
        let angles = TensorData::new(angles, [1, n_patches, head_dim / 2]);
        let weights = TensorData::new(weights.concat(), [4, n_patches, 1]);
        ImageLayout {
            runs,
            rotary: Rotary::new(Tensor::from_data(angles, (&device, DType::F32))),
            neighbours: Tensor::from_data(TensorData::new(neighbours.concat(), [4 * n_patches]), &device),
            weights: Tensor::from_data(weights, (&device, DType::F32)),
        }
    }

    /// Embeds patches and adds their positions: the input of the first block.
    ///
    /// # Shapes
    /// - patches: `[n_patches, patch_len]`
    /// - output: `[n_patches, width]`
    pub fn embed(&self, patches: Tensor<2>, layout: &ImageLayout) -> Tensor<2> {
        let patches = self.patch_embed.forward(patches);
        let [n_patches, width] = patches.dims();
        let table = self.pos_embed.weight.val();
        let weights = layout.weights.clone().cast(table.dtype());
        let corners = table.select(0, layout.neighbours.clone()).reshape([4, n_patches, width]);
        patches + (corners * weights).sum_dim(0).squeeze_dim::<2>(0)
    }
}

impl VisionBlock {
    /// # Shapes
    /// - x, output: `[n_patches, width]`
    pub fn forward(&self, x: Tensor<2>, layout: &ImageLayout) -> Tensor<2> {
        let x = x.clone() + self.attn.forward(self.norm1.forward(x), layout);
        x.clone() + self.mlp.forward(self.norm2.forward(x))
    }
}

impl VisionAttention {
    /// # Shapes
    /// - x, output: `[n_patches, width]`
    pub fn forward(&self, x: Tensor<2>, layout: &ImageLayout) -> Tensor<2> {
        let [n_patches, width] = x.dims();
        let (heads, d) = (self.n_heads, width / self.n_heads);
        let qkv = self.qkv.forward(x).reshape([1, n_patches, 3 * heads, d]);
        let qk = layout.rotary.apply(qkv.clone().narrow(2, 0, 2 * heads));
        let run = |&[start, n_images, size]: &[usize; 3]| {
            let part = |x: &Tensor<4>, head| {
                let part = x.clone().narrow(1, start, n_images * size).narrow(2, head, heads);
                part.reshape([n_images, size, heads, d])
            };
            let (q, k, v) = (part(&qk, 0), part(&qk, heads), part(&qkv, 2 * heads));
            attention(q, k.swap_dims(1, 2), v.swap_dims(1, 2), None).reshape([n_images * size, width])
        };
        let mut runs: Vec<Tensor<2>> = layout.runs.iter().map(run).collect();
        let out = if runs.len() == 1 { runs.remove(0) } else { Tensor::cat(runs, 0) };
        self.proj.forward(out)
    }
}

impl VisionMlp {
    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        self.fc2.forward(gelu_approximate(self.fc1.forward(x)))
    }
}

/// Row and column of each patch in the order of the rows of `pixel_values`: merged cells row by row, and the patches of a cell
/// row by row.
fn merge_order(rows: usize, columns: usize, merge: usize) -> impl Iterator<Item = (usize, usize)> {
    let cells = move |n: usize| 0..n / merge;
    cells(rows).flat_map(move |cell_row| {
        cells(columns).flat_map(move |cell_column| {
            (0..merge * merge).map(move |i| (cell_row * merge + i / merge, cell_column * merge + i % merge))
        })
    })
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
    fn patches_come_cell_by_cell() {
        let order: Vec<_> = merge_order(2, 4, 2).collect();
        assert_eq!(order, [(0, 0), (0, 1), (1, 0), (1, 1), (0, 2), (0, 3), (1, 2), (1, 3)]);
    }

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
