//! What a run has cost, counted while it goes on.

use crate::{Metrics, MicroBatch, Vision};
use seethink_core::Trainable;
use seethink_models::{ForwardCost, PromptInput};
use serde::{Deserialize, Serialize};
use std::ops::AddAssign;

/// What a run has cost so far. Validation is not among it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    /// Completions sampled.
    pub completions: u64,
    /// Tokens sampled.
    pub tokens_generated: u64,
    /// Tokens of the prompts that were sampled from, images included.
    pub tokens_prompt: u64,
    /// Image tokens among them.
    pub tokens_image: u64,
    /// Tokens that went through updates, prompts included.
    pub tokens_trained: u64,
    /// Optimiser steps.
    pub updates: u64,
    /// Floating-point operations of forward passes: rollouts, reference, updates and what the backward passes compute again
    /// ([`ForwardCost`] says what counts).
    pub forward_flops: f64,
    /// Floating-point operations of backward passes: twice those of the forward pass through every part that learns, and once
    /// those of a frozen decoder on the way to what learns before it.
    pub backward_flops: f64,
}

impl Ledger {
    /// Adds the sampling of completions of these lengths, after `n_prefills` passes over the prompt and its images.
    pub(crate) fn sample(&mut self, cost: &ForwardCost, prompt: &PromptInput, n_prefills: usize, lengths: &[u32]) {
        let n_prompt = prompt.tokens.len();
        self.completions += lengths.len() as u64;
        self.tokens_prompt += n_prompt as u64;
        self.tokens_image += prompt.image_tokens.len() as u64;
        self.forward_flops += n_prefills as f64 * (cost.images(prompt) + cost.tokens(0, n_prompt));
        for length in lengths.iter().map(|&length| length as usize) {
            self.tokens_generated += length as u64;
            // The last token is sampled and not read again.
            self.forward_flops += cost.tokens(n_prompt, length.saturating_sub(1)) + cost.distributions(length);
        }
    }

    /// Adds the images of a prompt, encoded again.
    pub(crate) fn look(&mut self, cost: &ForwardCost, prompt: &PromptInput) {
        self.forward_flops += cost.images(prompt);
    }

    /// Adds a forward pass over a micro-batch.
    pub(crate) fn read(&mut self, cost: &ForwardCost, batch: &MicroBatch) {
        let (vision, decoder) = passes(cost, batch);
        self.forward_flops += vision + decoder;
    }

    /// Adds the part of an optimiser step that a micro-batch is: a pass forward, one that computes blocks again, one backward.
    pub(crate) fn learn(&mut self, cost: &ForwardCost, batch: &MicroBatch, trainable: Trainable) {
        let (vision, decoder) = passes(cost, batch);
        self.tokens_trained += batch.n_tokens() as u64;
        self.forward_flops += 2.0 * (vision + decoder);
        self.backward_flops += if trainable.language_model { 2.0 } else { 1.0 } * decoder;
        if trainable.sees_gradients_in_vision() {
            self.backward_flops += 2.0 * vision;
        }
    }

    /// The figures by their metric keys.
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

/// Operations of a forward pass over a micro-batch: vision side, and decoder with its head.
fn passes(cost: &ForwardCost, batch: &MicroBatch) -> (f64, f64) {
    let n_image_tokens: usize = batch.rows.iter().map(|row| row.image_tokens.len()).sum();
    let vision = match &batch.vision {
        Vision::Pixels(pixels) => cost.patch * pixels.n_patches() as f64 + cost.image_token * n_image_tokens as f64,
        Vision::None | Vision::Features(_) => 0.0,
    };
    let rows = batch.rows.iter().map(|row| {
        let mut branches = row.segments.chunk_by(|a, b| a == b).map(<[i64]>::len);
        let n_prompt = branches.next().unwrap_or(0);
        cost.tokens(0, n_prompt) + branches.map(|length| cost.tokens(n_prompt, length)).sum::<f64>()
    });
    (vision, rows.sum::<f64>() + cost.distributions(batch.n_targets()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::GroupInput;
    use seethink_models::Pixels;

    /// One operation of each kind, so that the counts can be read off.
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
    fn sampling_reads_prompts_once_and_every_token_but_the_last() {
        let mut ledger = Ledger::default();
        ledger.sample(&UNIT, &prompt(), 1, &[3, 1]);
        assert_eq!((ledger.completions, ledger.tokens_generated), (2, 4));
        assert_eq!((ledger.tokens_prompt, ledger.tokens_image), (5, 2));
        assert_eq!(ledger.forward_flops, 8e6 + 2e4 + 500.0 + (200.0 + 3.0) + 1.0);
        assert_eq!(ledger.backward_flops, 0.0);
    }

    #[test]
    fn an_update_reads_twice_and_pays_backwards_for_what_learns() {
        let prompt = prompt();
        let group = GroupInput {
            prompt: &prompt,
            features: None,
            completions: vec![(&[7, 8], &[0.0; 2]), (&[9], &[0.0])],
            advantages: vec![1.0, -1.0],
        };
        let [batch] = &MicroBatch::pack(&[group], 100)[..] else { panic!("one batch") };
        let (vision, decoder) = (8e6 + 2e4, 800.0 + 3.0);
        let spent = |trainable| {
            let mut ledger = Ledger::default();
            ledger.learn(&UNIT, batch, trainable);
            assert_eq!((ledger.tokens_trained, ledger.forward_flops), (8, 2.0 * (vision + decoder)));
            ledger.backward_flops
        };
        assert_eq!(spent(Trainable::ALL), 2.0 * (vision + decoder));
        assert_eq!(spent(Trainable::LANGUAGE_MODEL), 2.0 * decoder);
        assert_eq!(spent(Trainable { language_model: false, ..Trainable::ALL }), 2.0 * vision + decoder);
    }

    #[test]
    fn a_branch_sees_the_prompt_and_itself() {
        let pairs = ForwardCost { patch: 0.0, image_token: 0.0, token: 0.0, distribution: 0.0, pair: 1.0 };
        // 5 · 6 / 2 in the prompt; 2 · 5 + 3 for the first branch, 5 + 1 for the second.
        assert_eq!(pairs.tokens(0, 5) + pairs.tokens(5, 2) + pairs.tokens(5, 1), 15.0 + 13.0 + 6.0);
    }
}
