//! Gradients with little memory: every block's input is kept, and the backward pass runs each block again.

use super::text::features;
use super::{ImageLayout, Qwen3Vl, Shared};
use crate::{PixelTensor, VisualFeatures, VisualTokens, VlmInput};
use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use seethink_nn::{accumulate, pull, pull_params, tracks_gradients};

/// What the backward pass of the vision side needs of its forward pass.
struct VisionTape {
    pixels: PixelTensor,
    layout: ImageLayout,
    /// The input of each block, then the output of the last.
    hidden: Vec<Tensor<2>>,
}

/// See [`VisionLanguageModel::backward`](crate::VisionLanguageModel::backward).
pub(super) fn backward(
    model: &Qwen3Vl,
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

impl Qwen3Vl {
    fn encode_taped(&self, pixels: PixelTensor) -> (VisualFeatures, VisionTape) {
        let mut hidden = Vec::with_capacity(self.vision.blocks.len() + 1);
        let features = self.encode_images_traced(pixels.clone(), &mut |_, x| hidden.push(x.clone()));
        let layout = self.vision.layout(&pixels);
        (features, VisionTape { pixels, layout, hidden })
    }

    /// Through the decoder layers: gradients of the embeddings and of the DeepStack features.
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

    /// Through the projector and, if it learns, the encoder.
    fn pull_vision(
        &self,
        tape: VisionTape,
        d_embeds: Tensor<2>,
        d_deepstack: Vec<Tensor<2>>,
        grads: &mut GradientsParams,
    ) {
        let VisionTape { pixels, layout, mut hidden } = tape;
        let encoder_learns = tracks_gradients(&self.vision);
        if !encoder_learns && !tracks_gradients(&self.projector) {
            return;
        }
        let output = hidden.pop().expect("the embedded patches at least");
        let mut d = pull(&self.projector.merger, output.clone(), d_embeds, grads, |merger, x| merger.forward(x));
        let mut output = output;
        for (index, block) in self.vision.blocks.iter().enumerate().rev() {
            if let Some(level) = self.deepstack_level(index) {
                let merger = &self.projector.deepstack[level];
                d = d + pull(merger, output, d_deepstack[level].clone(), grads, |merger, x| merger.forward(x));
            }
            let input = hidden.pop().expect("one per block");
            if encoder_learns {
                d = pull(block, input.clone(), d, grads, |block, x| block.forward(x, &layout));
            }
            output = input;
        }
        pull_params(&self.vision, self.vision.embed(pixels.patches, &layout), d, grads);
    }
}

/// The rows of the image tokens.
fn at_images(x: Tensor<3>, visual: &VisualTokens) -> Tensor<2> {
    let [batch, seq, hidden] = x.dims();
    x.reshape([batch * seq, hidden]).select(0, visual.positions.clone())
}
