//! Projector, from patch features to image tokens: pixel shuffle and an MLP.

use super::config::Config;
use super::layout::TileLayout;
use burn::module::Module;
use burn::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::activation::gelu;
use burn::tensor::{Device, Tensor};

/// ε of the norm: the library's default, whatever the configuration says of other norms.
const NORM_EPS: f64 = 1e-5;

/// Projector: `fc2(gelu(fc1(norm(x))))` on squares of patches, the exact form of GELU.
#[derive(Module, Debug)]
pub struct Projector {
    /// Norm over a square of patches.
    pub norm: LayerNorm,
    /// Linear layer to the decoder's width.
    pub fc1: Linear,
    /// Linear layer within the decoder's width.
    pub fc2: Linear,
    /// Patches per side of a square.
    #[module(skip)]
    side: usize,
}

impl Projector {
    /// Creates a projector with fresh weights.
    pub(super) fn new(config: &Config, device: &Device) -> Self {
        let side = config.shuffle_side();
        let (width, hidden) = (config.vision_config.hidden_size * side.pow(2), config.text_config.hidden_size);
        Self {
            norm: LayerNormConfig::new(width).with_epsilon(NORM_EPS).init(device),
            fc1: LinearConfig::new(width, hidden).init(device),
            fc2: LinearConfig::new(hidden, hidden).init(device),
            side,
        }
    }

    /// Pixel shuffle: joins the patches of each square, row by row; squares of a tile row by row as
    /// well.
    ///
    /// # Shapes
    /// - x: `[n_tiles · rows · columns, width]`
    /// - output: `[n_image_tokens, side² · width]`
    fn shuffle(&self, x: Tensor<2>, &TileLayout { n_tiles, rows, columns }: &TileLayout) -> Tensor<2> {
        let (width, side) = (x.dims()[1], self.side);
        let x = x.reshape([n_tiles, rows / side, side, columns / side, side, width]).swap_dims(2, 3);
        x.reshape([n_tiles * rows / side * (columns / side), side * side * width])
    }
}

impl crate::Projector<TileLayout> for Projector {
    fn project(&self, x: Tensor<2>, layout: &TileLayout) -> Tensor<2> {
        self.fc2.forward(gelu(self.fc1.forward(self.norm.forward(self.shuffle(x, layout)))))
    }
}
