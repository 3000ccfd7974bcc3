//! Ledger of a run's costs, counted while the run goes on.

use crate::{Metrics, MicroBatch, Vision};
use seethink_core::Trainable;
use seethink_models::{ForwardCost, PromptInput};
use serde::{Deserialize, Serialize};
use std::ops::AddAssign;

/// Cost of a run so far: completions, tokens, floating-point operations. Validation is not counted.
///
/// A product of `[n, in]` with a weight `[in, out]` takes `n · in · out` multiplications and as
/// many additions, `2 · n · in · out` operations. Backwards, the gradient of the input is a product
/// of `[n, out]` with `[out, in]` and that of the weight one of `[in, n]` with `[n, out]`: as many
/// operations each. A frozen weight saves the second and not the first, which what learns before it
/// needs. In attention a token has two products with each token that it sees, of its query with a
/// key and of a weight with a value; both sides of both have gradients, whatever is frozen: twice
/// the forward pass, always. Hence
///
/// | | forward | backward |
/// |---|---|---|
/// | prefill | vision side and decoder, a head for the last token of the prompt | – |
/// | decoding | decoder and head, a token of each row that is still in the batch | – |
/// | reference | decoder and head; vision side if the policy's has moved | – |
/// | update: decoder | 2: blocks run again in the backward pass | attention 2, weights 2, frozen ones 1 |
/// | update: head | 1: a chunk goes back as soon as it was computed | 2, frozen 1 |
/// | update: vision side that learns | 2, a frozen encoder 1 | 2, a frozen projector 1, a frozen encoder 0 |
///
/// A prompt that is read again for more completions counts again, and so does the row of a finished
/// completion until it leaves the batch. Padding does not. [`ForwardCost`] says which products
/// count; the first of the vision encoder is taken like the others, though nobody needs the
/// gradient of pixels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    /// Completions sampled.
    pub completions: u64,
    /// Tokens sampled.
    pub tokens_generated: u64,
    /// Tokens of the prompts that were prefilled, images included, counted at every prefill.
    pub tokens_prompt: u64,
    /// Image tokens among `tokens_prompt`.
    pub tokens_image: u64,
    /// Tokens that went through updates, prompts included.
    pub tokens_trained: u64,
    /// Optimiser steps.
    pub updates: u64,
    /// Floating-point operations of forward passes: rollouts, reference, updates and the blocks
    /// that backward passes run again.
    pub forward_flops: f64,
    /// Floating-point operations of backward passes.
    pub backward_flops: f64,
}

impl Ledger {
    /// Adds the sampling of completions of these lengths, after `n_prefills` passes over the prompt
    /// and its images. `n_read`: tokens that the row of each completion has read while it was in
    /// the batch.
    pub(crate) fn add_rollout(
        &mut self,
        cost: &ForwardCost,
        prompt: &PromptInput,
        n_prefills: usize,
        lengths: &[u32],
        n_read: &[u32],
    ) {
        let n_prompt = prompt.tokens.len();
        self.completions += lengths.len() as u64;
        self.tokens_generated += lengths.iter().map(|&length| u64::from(length)).sum::<u64>();
        self.tokens_prompt += (n_prefills * n_prompt) as u64;
        self.tokens_image += (n_prefills * prompt.image_tokens.len()) as u64;
        let prefill = cost.images(prompt) + cost.tokens(0, n_prompt) + cost.distributions(1);
        self.forward_flops += n_prefills as f64 * prefill;
        for n_read in n_read.iter().map(|&n_read| n_read as usize) {
            self.forward_flops += cost.tokens(n_prompt, n_read) + cost.distributions(n_read);
        }
    }

    /// Adds another encoding of the images of a prompt.
    pub(crate) fn add_vision_forward(&mut self, cost: &ForwardCost, prompt: &PromptInput) {
        self.forward_flops += cost.images(prompt);
    }

    /// Adds a forward pass over a micro-batch.
    pub(crate) fn add_forward(&mut self, cost: &ForwardCost, batch: &MicroBatch) {
        self.forward_flops += Forward::over(cost, batch).sum();
    }

    /// Adds a micro-batch's part of an optimiser step: a forward pass and a backward pass. What is
    /// computed again to save memory is not counted, so that costs do not depend on the machine.
    pub(crate) fn add_update(&mut self, cost: &ForwardCost, batch: &MicroBatch, trainable: Trainable) {
        let forward = Forward::over(cost, batch);
        let Forward { encoder, projector, weights, attention, head } = forward;
        let products = |learns: bool| if learns { 2.0 } else { 1.0 };
        self.tokens_trained += batch.n_tokens() as u64;
        self.forward_flops += forward.sum();
        self.backward_flops += products(trainable.language_model) * (weights + head) + 2.0 * attention;
        if trainable.sees_gradients_in_vision() {
            self.backward_flops += products(trainable.projector) * projector;
        }
        if trainable.vision_encoder {
            self.backward_flops += 2.0 * encoder;
        }
    }

    /// Metrics of the ledger, by key.
    pub fn metrics(&self) -> Metrics {
        let count = |n: u64| n as f64;
        Metrics::from([
            ("rollout/completions".into(), count(self.completions)),
            ("tokens/generated".into(), count(self.tokens_generated)),
            ("tokens/prompt".into(), count(self.tokens_prompt)),
            ("tokens/image".into(), count(self.tokens_image)),
            ("tokens/trained".into(), count(self.tokens_trained)),
            ("update/steps".into(), count(self.updates)),
            ("flops/forward".into(), self.forward_flops),
            ("flops/backward".into(), self.backward_flops),
        ])
    }
}

impl AddAssign for Ledger {
    fn add_assign(&mut self, other: Self) {
        self.completions += other.completions;
        self.tokens_generated += other.tokens_generated;
        self.tokens_prompt += other.tokens_prompt;
        self.tokens_image += other.tokens_image;
        self.tokens_trained += other.tokens_trained;
        self.updates += other.updates;
        self.forward_flops += other.forward_flops;
        self.backward_flops += other.backward_flops;
    }
}

/// Operations of a forward pass over a micro-batch, by the parts of the model.
struct Forward {
    encoder: f64,
    projector: f64,
    /// Operations of the decoder with its weights.
    weights: f64,
    /// Operations of the decoder's attention, of tokens with each other.
    attention: f64,
    head: f64,
}

impl Forward {
    fn over(cost: &ForwardCost, batch: &MicroBatch) -> Self {
        let n_image_tokens: usize = batch.rows.iter().map(|row| row.image_tokens.len()).sum();
        let (n_patches, n_projected) = match &batch.vision {
            Vision::Pixels(pixels) => (pixels.n_patches(), n_image_tokens),
            Vision::None | Vision::Features(_) => (0, 0),
        };
        let attention = batch.rows.iter().map(|row| {
            let mut branches = row.segments.chunk_by(|a, b| a == b).map(<[i64]>::len);
            let n_prompt = branches.next().unwrap_or(0);
            cost.attention(0, n_prompt) + branches.map(|length| cost.attention(n_prompt, length)).sum::<f64>()
        });
        Self {
            encoder: cost.patch * n_patches as f64,
            projector: cost.image_token * n_projected as f64,
            weights: cost.token * batch.n_tokens() as f64,
            attention: attention.sum(),
            head: cost.distributions(batch.n_targets()),
        }
    }

    fn sum(&self) -> f64 {
        self.encoder + self.projector + self.weights + self.attention + self.head
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::GroupInput;
    use seethink_models::Pixels;

    /// Cost of each kind of operation as a power of ten, so that the counts can be read off.
    const UNIT: ForwardCost = ForwardCost { patch: 1e6, image_token: 1e4, token: 100.0, distribution: 1.0, pair: 0.0 };

    fn prompt() -> PromptInput {
        PromptInput {
            tokens: vec![0; 5],
            position_ids: vec![[0; 3]; 5],
            next_position: 5,
            image_tokens: vec![1, 2],
            pixels: Pixels { values: vec![0.0; 8], grids: vec![[1, 2, 4]] },
        }
    }

    #[test]
    fn sampling_reads_prompts_as_often_as_they_are_prefilled_and_rows_as_long_as_they_stay() {
        let mut ledger = Ledger::default();
        // The row of the second completion, of one token, is read from twice before it leaves.
        ledger.add_rollout(&UNIT, &prompt(), 1, &[3, 1], &[2, 2]);
        assert_eq!((ledger.completions, ledger.tokens_generated), (2, 4));
        assert_eq!((ledger.tokens_prompt, ledger.tokens_image), (5, 2));
        assert_eq!(ledger.forward_flops, 8e6 + 2e4 + 500.0 + 1.0 + 4.0 * 101.0);
        assert_eq!(ledger.backward_flops, 0.0);
        let mut twice = Ledger::default();
        twice.add_rollout(&UNIT, &prompt(), 2, &[3, 1], &[2, 2]);
        assert_eq!((twice.completions, twice.tokens_prompt, twice.tokens_image), (2, 10, 4));
        assert_eq!(twice.forward_flops - ledger.forward_flops, 8e6 + 2e4 + 500.0 + 1.0);
    }

    #[test]
    fn an_update_pays_backwards_for_what_learns() {
        let prompt = prompt();
        let group = GroupInput {
            prompt: &prompt,
            features: None,
            completions: vec![(&[7, 8], &[0.0; 2]), (&[9], &[0.0])],
            advantages: vec![1.0, -1.0],
        };
        let [batch] = &MicroBatch::pack(&[group], 100)[..] else { panic!("one batch") };
        let cost = ForwardCost { pair: 1e-3, ..UNIT };
        // 15 pairs in the prompt, 13 and 6 in the branches.
        let (encoder, projector, weights, attention, head) = (8e6, 2e4, 800.0, 0.034, 3.0);
        let spent = |[vision_encoder, projector, language_model]: [bool; 3]| {
            let mut ledger = Ledger::default();
            ledger.add_update(&cost, batch, Trainable { vision_encoder, projector, language_model });
            assert_eq!(ledger.tokens_trained, 8);
            [ledger.forward_flops, ledger.backward_flops]
        };
        let once = encoder + projector + weights + attention + head;
        let cases = [
            ([true; 3], 2.0 * (encoder + projector + weights + head)),
            ([false, false, true], 2.0 * (weights + head)),
            ([false, true, false], 2.0 * projector + weights + head),
            ([true, false, false], 2.0 * encoder + projector + weights + head),
        ];
        for (trainable, backward) in cases {
            let expected = [once, backward + 2.0 * attention];
            let close = spent(trainable).into_iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-8 * b);
            assert!(close, "{trainable:?}: {:?}, expected {expected:?}", spent(trainable));
        }
    }
}
