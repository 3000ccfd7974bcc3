//! Gradients with little memory: every block's input is kept, and the backward pass runs each block again.

use crate::text::{Shared, features};
use crate::vision::{self, Vision};
use crate::vlm::Vlm;
use crate::{PixelTensor, VisualFeatures, VisualTokens, VlmInput};
use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use seethink_nn::{accumulate, pull, pull_params};

/// What the backward pass of the vision side needs of its forward pass.
struct VisionTape<V: Vision> {
    patches: Tensor<2>,
    layout: V::Layout,
    /// The input of each block, then the output of the last.
    hidden: Vec<Tensor<2>>,
}

/// See [`VisionLanguageModel::backward`](crate::VisionLanguageModel::backward).
pub(crate) fn backward<V: Vision>(
    model: &Vlm<V>,
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

impl<V: Vision> Vlm<V> {
    fn encode_taped(&self, pixels: PixelTensor) -> (VisualFeatures, VisionTape<V>) {
        let layout = self.vision.layout(&pixels);
        let patches = pixels.patches.cast(self.text.dtype());
        let mut hidden = Vec::with_capacity(self.vision.n_blocks() + 1);
        let features = vision::encode(&self.vision, patches.clone(), &layout, &mut |_, x| hidden.push(x.clone()));
        (features, VisionTape { patches, layout, hidden })
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
        tape: VisionTape<V>,
        d_embeds: Tensor<2>,
        d_deepstack: Vec<Tensor<2>>,
        grads: &mut GradientsParams,
    ) {
        let VisionTape { patches, layout, mut hidden } = tape;
        let vision = &self.vision;
        let learns = vision.learns();
        if !learns.encoder && !learns.projector {
            return;
        }
        let mut output = hidden.pop().expect("the embedded patches at least");
        let mut d = pull(vision, output.clone(), d_embeds, grads, |vision, x| vision.project(x, &layout));
        for index in (0..vision.n_blocks()).rev() {
            if let Some(level) = vision.deepstack_level(index) {
                let d_level = d_deepstack[level].clone();
                d = d + pull(vision, output, d_level, grads, |vision, x| vision.project_deepstack(level, x));
            }
            let input = hidden.pop().expect("one per block");
            if learns.encoder {
                d = pull(vision, input.clone(), d, grads, |vision, x| vision.block(index, x, &layout));
            }
            output = input;
        }
        pull_params(vision, vision.embed(patches, &layout), d, grads);
    }
}

/// The rows of the image tokens.
fn at_images(x: Tensor<3>, visual: &VisualTokens) -> Tensor<2> {
    let [batch, seq, hidden] = x.dims();
    x.reshape([batch * seq, hidden]).select(0, visual.positions.clone())
}
