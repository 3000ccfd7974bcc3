//! Families of backbones: configuration and vision side, an encoder made of blocks and a projector
//! into the decoder.

use crate::text_config::{TextConfig, TextKind};
use crate::weights::{Initial, Naming};
use crate::{CheckpointFiles, Pictures, PixelTensor, ProcessorError, Tokenizer, VisualFeatures};
use burn::module::{Module, ModuleDisplay};
use burn::tensor::{Device, Tensor};
use seethink_core::SettingError;
use seethink_nn::{RotaryFrequencies, tracks_gradients};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::fmt::Debug;

/// Family of backbones: configuration, vision side, names and image processing; everything else is
/// shared.
///
/// Implemented by the fields of `config.json` that the family reads, spelled as there.
pub trait Family: DeserializeOwned + Clone + Debug + PartialEq + Send + Sync + 'static {
    /// Vision encoder of the family, which names the projector.
    type Encoder: Encoder<Family = Self>;

    /// `model_type` of the family's checkpoints.
    const MODEL_TYPE: &'static str;

    /// Name of the class with which the reference loads the checkpoints.
    const ARCHITECTURE: &'static str;

    /// True if the outer `tie_word_embeddings` counts where the text's own flag is missing.
    const OUTER_TIE_FLAG: bool = true;

    /// Display name of the model, as its authors write it.
    fn display_name(&self) -> &'static str;

    /// Converts older layouts of the file to the layout of the fields.
    fn unify(_json: &mut Value) {}

    /// Configuration of the decoder.
    fn text(&self) -> &TextConfig;

    /// Kind of decoder, and its rotary frequencies.
    ///
    /// # Errors
    /// If the settings are missing or of a kind that is not implemented; the error has the path of
    /// the setting in the decoder's configuration.
    fn decoder(&self) -> Result<(TextKind, RotaryFrequencies), SettingError>;

    /// Checks that the vision side is consistent, fits the decoder, and is of a kind that is
    /// implemented.
    ///
    /// # Errors
    /// If it is not; the error has the path of the setting in `config.json`.
    fn check(&self) -> Result<(), SettingError>;

    /// Creates encoder and projector with fresh weights.
    fn vision(&self, device: &Device) -> VisionSide<Self::Encoder>;

    /// Naming of the modules in checkpoints.
    fn naming(&self) -> Naming;

    /// Initialisation of a parameter of the vision side; `None` where it is that of the decoder's
    /// parameters.
    fn initial(&self, name: &str) -> Option<Initial>;

    /// Image processing: pictures to patches and tokens.
    ///
    /// # Errors
    /// If the image settings are missing or cannot be implemented.
    fn pictures(&self, files: &CheckpointFiles, tokenizer: &Tokenizer) -> Result<Pictures, ProcessorError>;
}

/// Vision encoder: patches to patch features, block by block, so that training can run each block
/// again.
///
/// # Shapes
/// Hidden states are `[n_rows, width]`: a row per patch of all images (and per class token, in
/// encoders that have them).
pub trait Encoder: Module + ModuleDisplay + Clone + Debug + Send + Sync + 'static {
    /// Family of the encoder, with its configuration.
    type Family: Family<Encoder = Self>;

    /// Projector of the family: the encoder's output into the decoder.
    type Projector: Projector<Self::Layout>;

    /// Layout of a batch of images, from their grids, computed once per forward pass.
    type Layout: Clone + Debug;

    /// Computes the layout of the patches of these images.
    ///
    /// # Panics
    /// If the processor of this family makes no such grid.
    fn layout(&self, pixels: &PixelTensor) -> Self::Layout;

    /// Embeds patches: the input of the first block.
    fn embed(&self, patches: Tensor<2>, layout: &Self::Layout) -> Tensor<2>;

    /// Number of blocks.
    fn n_blocks(&self) -> usize;

    /// Runs block `index`.
    fn block(&self, index: usize, x: Tensor<2>, layout: &Self::Layout) -> Tensor<2>;

    /// Finishes the encoding: operations after the last block that are no part of the projector.
    ///
    /// # Shapes
    /// - output: `[n_patches, width]`
    fn finish(&self, x: Tensor<2>, _layout: &Self::Layout) -> Tensor<2> {
        x
    }
}

/// Projector: patch features to image tokens.
pub trait Projector<Layout>: Module + ModuleDisplay + Clone + Debug + Send + Sync + 'static {
    /// Projects the encoder's output to the embeddings of the image tokens.
    ///
    /// # Shapes
    /// - x: `[n_patches, width]`
    /// - output: `[n_image_tokens, hidden]`
    fn project(&self, x: Tensor<2>, layout: &Layout) -> Tensor<2>;

    /// DeepStack level that reads the output of a block.
    fn deepstack_level(&self, _block: usize) -> Option<usize> {
        None
    }

    /// Projects the output of a DeepStack block to the features that are added in the decoder.
    ///
    /// # Shapes
    /// - x: `[n_patches, width]`
    /// - output: `[n_image_tokens, hidden]`
    fn project_deepstack(&self, _level: usize, _x: Tensor<2>) -> Tensor<2> {
        unreachable!("asked for only where `deepstack_level` names a level")
    }
}

/// Vision side of a backbone: encoder and projector.
#[derive(Module, Debug)]
pub struct VisionSide<E: Encoder> {
    /// Vision encoder: patches to patch features.
    pub encoder: E,
    /// Projector: patch features to image tokens.
    pub projector: E::Projector,
}

impl<E: Encoder> VisionSide<E> {
    /// Encodes images, calling `observe` with the input of every block `i` as `i` and with the
    /// output of the last block as the number of blocks.
    pub(crate) fn encode(
        &self,
        patches: Tensor<2>,
        layout: &E::Layout,
        observe: &mut dyn FnMut(usize, &Tensor<2>),
    ) -> VisualFeatures {
        let mut x = self.encoder.embed(patches, layout);
        let mut deepstack = Vec::new();
        for index in 0..self.encoder.n_blocks() {
            observe(index, &x);
            x = self.encoder.block(index, x, layout);
            if let Some(level) = self.projector.deepstack_level(index) {
                deepstack.push(self.projector.project_deepstack(level, x.clone()));
            }
        }
        observe(self.encoder.n_blocks(), &x);
        VisualFeatures { embeds: self.project(x, layout), deepstack }
    }

    /// Projects the output of the last block to image tokens.
    pub(crate) fn project(&self, x: Tensor<2>, layout: &E::Layout) -> Tensor<2> {
        self.projector.project(self.encoder.finish(x, layout), layout)
    }

    /// Returns whether the encoder learns.
    pub(crate) fn encoder_learns(&self) -> bool {
        tracks_gradients(&self.encoder)
    }

    /// Returns whether the projector learns.
    pub(crate) fn projector_learns(&self) -> bool {
        tracks_gradients(&self.projector)
    }

    /// Freezes and unfreezes encoder and projector.
    pub(crate) fn set_learns(self, encoder: bool, projector: bool) -> Self {
        Self { encoder: self.encoder.set_require_grad(encoder), projector: self.projector.set_require_grad(projector) }
    }
}
