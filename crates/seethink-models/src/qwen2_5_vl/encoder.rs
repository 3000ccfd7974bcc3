//! Vision encoder: patches of any grid, and 2-D rotary attention within windows or, in some blocks,
//! within images.

use super::config::{Config, NORM_EPS, VisionConfig};
use super::layout::ImageLayout;
use super::projector::Projector;
use super::windows::windows;
use crate::vision_attention::{ImageRuns, VisionAttention, grid_angles, merge_order};
use crate::{Encoder, PixelTensor};
use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor, TensorData};
use seethink_nn::{RmsNorm, SwiGlu};

/// Vision encoder: patches to patch features.
#[derive(Module, Debug)]
pub struct VisionEncoder {
    /// Patch embedding: a convolution whose kernel is its stride, so a linear layer on the
    /// flattened patch.
    pub patch_embed: Linear,
    /// Pre-norm blocks.
    pub blocks: Vec<EncoderBlock>,
    #[module(skip)]
    merge_size: usize,
    /// Side of a window, in merged cells.
    #[module(skip)]
    window_side: usize,
    #[module(skip)]
    head_dim: usize,
}

/// Encoder block: `x += attn(norm1(x)); x += mlp(norm2(x))`.
#[derive(Module, Debug)]
pub struct EncoderBlock {
    /// Norm before attention.
    pub norm1: RmsNorm,
    /// Attention within each window or image.
    pub attn: VisionAttention,
    /// Norm before the MLP.
    pub norm2: RmsNorm,
    /// MLP on each patch.
    pub mlp: SwiGlu,
    #[module(skip)]
    sees_image: bool,
}

impl VisionEncoder {
    /// Creates an encoder with fresh weights.
    pub(super) fn new(config: &VisionConfig, device: &Device) -> Self {
        let width = config.hidden_size;
        let norm = || RmsNorm::new(width, NORM_EPS, device);
        let block = |index| EncoderBlock {
            norm1: norm(),
            attn: VisionAttention::new(width, config.num_heads, device),
            norm2: norm(),
            mlp: SwiGlu::new(width, config.intermediate_size, true, device),
            sees_image: config.fullatt_block_indexes.contains(&index),
        };
        Self {
            patch_embed: LinearConfig::new(config.patch_len(), width).with_bias(false).init(device),
            blocks: (0..config.depth).map(block).collect(),
            merge_size: config.spatial_merge_size,
            window_side: config.window_side(),
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
        let (merge, in_cell) = (self.merge_size, self.merge_size.pow(2));
        let (mut images, mut in_windows) = (ImageRuns::default(), ImageRuns::default());
        let (mut order, mut places) = (Vec::new(), Vec::new());
        for &[frames, rows, columns] in &pixels.grids {
            let of_image: Vec<_> = merge_order(rows, columns, merge).collect();
            let windows = windows(rows / merge, columns / merge, self.window_side);
            for _ in 0..frames {
                let start = order.len();
                images.push(1, rows * columns);
                windows.sizes.iter().for_each(|&(n, cells)| in_windows.push(n, cells * in_cell));
                let patches = windows.cells.iter().flat_map(|cell| cell * in_cell..(cell + 1) * in_cell);
                for patch in patches {
                    order.push(start + patch);
                    places.push(of_image[patch]);
                }
            }
        }
        let mut cells = vec![0i64; order.len() / in_cell];
        for (row, patch) in order.iter().step_by(in_cell).enumerate() {
            cells[patch / in_cell] = row as i64;
        }
        let indices = |values: Vec<i64>| {
            let n = values.len();
            Tensor::from_data(TensorData::new(values, [n]), &device)
        };
        ImageLayout {
            patches: indices(order.iter().map(|&patch| patch as i64).collect()),
            cells: indices(cells),
            order,
            images,
            windows: in_windows,
            rotary: grid_angles(&places, self.head_dim, &device),
        }
    }

    /// Embeds patches and sorts them by windows: the input of the first block.
    ///
    /// # Shapes
    /// - patches: `[n_patches, patch_len]`
    /// - output: `[n_patches, width]`
    fn embed(&self, patches: Tensor<2>, layout: &ImageLayout) -> Tensor<2> {
        self.patch_embed.forward(patches.select(0, layout.patches.clone()))
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
        let runs = if self.sees_image { &layout.images } else { &layout.windows };
        let x = x.clone() + self.attn.forward(self.norm1.forward(x), &layout.rotary, runs);
        self.mlp.forward(self.norm2.forward(x.clone()), Some(x))
    }
}
