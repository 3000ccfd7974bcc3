//! Projector, from patch features to image tokens: a merger for the encoder's output and one per
//! DeepStack level.

use super::config::{NORM_EPS, VisionConfig};
use super::layout::ImageLayout;
use burn::module::Module;
use burn::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::activation::gelu;
use burn::tensor::{Device, Tensor};

/// Projector: maps patch features into the decoder.
#[derive(Module, Debug)]
pub struct Projector {
    /// Merger of the last block's output: the embeddings of the image tokens.
    pub merger: Merger,
    /// Mergers of the outputs of the DeepStack blocks: added after the first decoder layers.
    pub deepstack: Vec<Merger>,
    /// Indices of the DeepStack blocks.
    #[module(skip)]
    deepstack_blocks: Vec<usize>,
}

/// Merger: joins the patches of a merged cell and maps them by `fc2(gelu(fc1(x)))`, the exact form
/// of GELU.
#[derive(Module, Debug)]
pub struct Merger {
    /// Norm over a patch, or over a merged cell.
    pub norm: LayerNorm,
    /// Linear layer on the merged cell.
    pub fc1: Linear,
    /// Linear layer to the decoder's width.
    pub fc2: Linear,
    /// True if patches are joined before the norm, as in the DeepStack mergers; the main merger
    /// normalises first.
    #[module(skip)]
    norm_after_joining: bool,
    #[module(skip)]
    merged_size: usize,
}

impl Projector {
    /// Creates a projector with fresh weights.
    pub(super) fn new(config: &VisionConfig, device: &Device) -> Self {
        let deepstack = &config.deepstack_visual_indexes;
        Self {
            merger: Merger::new(config, false, device),
            deepstack: deepstack.iter().map(|_| Merger::new(config, true, device)).collect(),
            deepstack_blocks: deepstack.clone(),
        }
    }
}

impl crate::Projector<ImageLayout> for Projector {
    fn project(&self, x: Tensor<2>, _: &ImageLayout) -> Tensor<2> {
        self.merger.forward(x)
    }

    fn deepstack_level(&self, block: usize) -> Option<usize> {
        self.deepstack_blocks.iter().position(|&index| index == block)
    }

    fn project_deepstack(&self, level: usize, x: Tensor<2>) -> Tensor<2> {
        self.deepstack[level].forward(x)
    }
}

impl Merger {
    fn new(config: &VisionConfig, norm_after_joining: bool, device: &Device) -> Self {
        let merged_size = config.merged_size();
        let channels = if norm_after_joining { merged_size } else { config.hidden_size };
        Self {
            norm: LayerNormConfig::new(channels).with_epsilon(NORM_EPS).init(device),
            fc1: LinearConfig::new(merged_size, merged_size).init(device),
            fc2: LinearConfig::new(merged_size, config.out_hidden_size).init(device),
            norm_after_joining,
            merged_size,
        }
    }

    /// # Shapes
    /// - x: `[n_patches, width]`, the patches of a cell side by side
    /// - output: `[n_image_tokens, hidden]`
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let [n_patches, width] = x.dims();
        let joined = [n_patches * width / self.merged_size, self.merged_size];
        let x = if self.norm_after_joining {
            self.norm.forward(x.reshape(joined))
        } else {
            self.norm.forward(x).reshape(joined)
        };
        self.fc2.forward(gelu(self.fc1.forward(x)))
    }
}
