//! Backward passes: with all activations kept, or with those of each block computed again.

use super::Vlm;
use crate::family::{Encoder, Projector};
use crate::text::{Shared, features};
use crate::{PixelTensor, VisionLanguageModel, VisualFeatures, VisualTokens, VlmInput};
use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use seethink_nn::{accumulate, pull, pull_params};

/// Activations of the vision side's forward pass that its backward pass needs.
struct VisionTape<E: Encoder> {
    patches: Tensor<2>,
    layout: E::Layout,
    /// Input of each block, then the output of the last.
    hidden: Vec<Tensor<2>>,
}

/// Backward pass that keeps all activations.
pub(super) fn keeping<E: Encoder>(
    model: &Vlm<E>,
    input: VlmInput,
    pixels: Option<PixelTensor>,
    head: &mut dyn FnMut(Tensor<3>) -> (Tensor<3>, GradientsParams),
) -> GradientsParams {
    let input = match pixels {
        Some(pixels) => input.with_features(model.encode_images(pixels)),
        None => input,
    };
    let hidden = model.hidden_states(input);
    let (d, mut grads) = head(hidden.clone().inner());
    pull_params(model, hidden, d, &mut grads);
    grads
}

/// Backward pass that keeps the input of each block, and runs each block again.
pub(super) fn recomputing<E: Encoder>(
    model: &Vlm<E>,
    input: VlmInput,
    pixels: Option<PixelTensor>,
    head: &mut dyn FnMut(Tensor<3>) -> (Tensor<3>, GradientsParams),
) -> GradientsParams {
    let plain = model.valid();
    let (input, vision) = match pixels {
        Some(pixels) => {
            let (features, tape) = plain.encode_taped(pixels);
            (input.with_features(features), Some(tape))
        }
        None => (input, None),
    };
    let shared = plain.text.shared(&input);
    let visual = input.visual.as_ref();
    let mut hidden = vec![plain.text.embed(&input)];
    for layer in 0..plain.text.layers.len() {
        let next = plain.text.layer(layer, hidden[layer].clone(), &shared, visual, None);
        hidden.push(next);
    }

    let mut grads = GradientsParams::new();
    let last = hidden.pop().expect("the embeddings at least");
    let (d, of_head) = head(plain.text.norm.forward(last.clone()));
    accumulate(model, &mut grads, of_head);
    let d = pull(&model.text.norm, last, d, &mut grads, |norm, x| norm.forward(x));
    let (d, d_deepstack) = model.pull_layers(hidden, d, &shared, visual, &mut grads);
    if let (Some(tape), Some(visual)) = (vision, visual) {
        model.pull_vision(tape, at_images(d.clone(), visual), d_deepstack, &mut grads);
    }
    pull_params(&model.text.embed, model.text.embed(&input), d, &mut grads);
    grads
}

impl<E: Encoder> Vlm<E> {
    fn encode_taped(&self, pixels: PixelTensor) -> (VisualFeatures, VisionTape<E>) {
        let layout = self.vision.encoder.layout(&pixels);
        let patches = pixels.patches.cast(self.text.dtype());
        let mut hidden = Vec::with_capacity(self.vision.encoder.n_blocks() + 1);
        let features = self.vision.encode(patches.clone(), &layout, &mut |_, x| hidden.push(x.clone()));
        (features, VisionTape { patches, layout, hidden })
    }

    /// Backward pass through the decoder layers: gradients of the embeddings and of the DeepStack
    /// features.
    fn pull_layers(
        &self,
        mut inputs: Vec<Tensor<3>>,
        mut d: Tensor<3>,
        shared: &Shared,
        visual: Option<&VisualTokens>,
        grads: &mut GradientsParams,
    ) -> (Tensor<3>, Vec<Tensor<2>>) {
        let levels = visual.map_or(0, |visual| features(visual).deepstack.len());
        let mut d_deepstack = Vec::with_capacity(levels);
        for (index, layer) in self.text.layers.iter().enumerate().rev() {
            if let Some(visual) = visual.filter(|_| index < levels) {
                d_deepstack.push(at_images(d.clone(), visual));
            }
            let input = inputs.pop().expect("one per layer");
            d = pull(layer, input, d, grads, |layer, x| layer.forward(x, shared, None));
        }
        d_deepstack.reverse();
        (d, d_deepstack)
    }

    /// Backward pass through the projector and, if it learns, the encoder.
    fn pull_vision(
        &self,
        tape: VisionTape<E>,
        d_embeds: Tensor<2>,
        d_deepstack: Vec<Tensor<2>>,
        grads: &mut GradientsParams,
    ) {
        let VisionTape { patches, layout, mut hidden } = tape;
        let vision = &self.vision;
        let (encoder, projector) = (&vision.encoder, &vision.projector);
        let encoder_learns = vision.encoder_learns();
        if !encoder_learns && !vision.projector_learns() {
            return;
        }
        let mut output = hidden.pop().expect("the embedded patches at least");
        let mut d = pull(vision, output.clone(), d_embeds, grads, |vision, x| vision.project(x, &layout));
        for index in (0..encoder.n_blocks()).rev() {
            if let Some(level) = projector.deepstack_level(index) {
                let d_level = d_deepstack[level].clone();
                d = d + pull(projector, output, d_level, grads, |projector, x| projector.project_deepstack(level, x));
            }
            let input = hidden.pop().expect("one per block");
            if encoder_learns {
                d = pull(encoder, input.clone(), d, grads, |encoder, x| encoder.block(index, x, &layout));
            }
            output = input;
        }
        pull_params(encoder, encoder.embed(patches, &layout), d, grads);
    }
}

/// Rows of the image tokens.
fn at_images(x: Tensor<3>, visual: &VisualTokens) -> Tensor<2> {
    let [batch, seq, hidden] = x.dims();
    x.reshape([batch * seq, hidden]).select(0, visual.positions.clone())
}
