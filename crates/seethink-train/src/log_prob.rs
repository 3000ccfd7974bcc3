//! Log-probabilities of given tokens, without ever holding `[batch, seq, vocab]`.

use burn::tensor::{DType, Gradients, Int, Tensor, TensorData};
use seethink_models::VisionLanguageModel;
use seethink_nn::token_log_probs;
use std::ops::Range;

/// Logit of forbidden tokens, in the place of minus infinity: far below any logit, and finite so
/// that its gradient is zero instead of undefined.
const FORBIDDEN: f32 = -1e9;

/// Computation of log-probabilities from logits; the same for rollouts, reference and update.
#[derive(Debug, Clone, PartialEq)]
pub struct LogProbs {
    /// Temperature: divides the logits.
    pub temperature: f32,
    /// Tokens that the policy can never sample, left out of the normalisation.
    pub forbidden: Vec<u32>,
    /// Tokens projected onto the vocabulary at a time.
    pub chunk: usize,
}

impl LogProbs {
    /// Log-probability of each id, given the hidden state before it.
    ///
    /// # Shapes
    /// - hidden: `[n, hidden]`
    /// - ids: `[n]`
    /// - output: `[n]`, nats
    pub fn of<M: VisionLanguageModel>(&self, model: &M, hidden: Tensor<2>, ids: Tensor<1, Int>) -> Tensor<1> {
        let bias = self.bias(model, &hidden);
        let parts = self
            .chunks(ids.dims()[0])
            .map(|(start, len)| {
                self.chunk_log_probs(
                    model,
                    hidden.clone().narrow(0, start, len),
                    ids.clone().narrow(0, start, len),
                    &bias,
                )
            })
            .collect();
        Tensor::cat(parts, 0)
    }

    /// Pulls a gradient with respect to log-probabilities back to the hidden states, chunk by
    /// chunk, so that each chunk's logits are computed once.
    ///
    /// `gradient` gets the range of a chunk and its log-probabilities (nats, no gradient tracking),
    /// and returns the derivative of the loss with respect to them, both `[len]`. `visit` gets the
    /// gradients that each chunk leaves on `model` (its head). `model` tracks gradients; the other
    /// tensors do not.
    ///
    /// # Shapes
    /// - hidden, output: `[n, hidden]`
    /// - ids: `[n]`
    pub fn backward<M: VisionLanguageModel>(
        &self,
        model: &M,
        hidden: Tensor<2>,
        ids: Tensor<1, Int>,
        gradient: &mut dyn FnMut(Range<usize>, Tensor<1>) -> Tensor<1>,
        visit: &mut dyn FnMut(Gradients),
    ) -> Tensor<2> {
        let ids = ids.autodiff();
        let bias = self.bias(model, &hidden).autodiff();
        let parts = self
            .chunks(hidden.dims()[0])
            .map(|(start, len)| {
                let rows = hidden.clone().narrow(0, start, len).autodiff().require_grad();
                let log_probs = self.chunk_log_probs(model, rows.clone(), ids.clone().narrow(0, start, len), &bias);
                let grad = gradient(start..start + len, log_probs.clone().inner());
                let mut gradients = (log_probs * grad.autodiff()).sum().backward();
                let rows_grad = rows.grad_remove(&mut gradients).expect("the head reads every hidden state");
                visit(gradients);
                rows_grad
            })
            .collect();
        Tensor::cat(parts, 0)
    }

    fn chunk_log_probs<M: VisionLanguageModel>(
        &self,
        model: &M,
        hidden: Tensor<2>,
        ids: Tensor<1, Int>,
        bias: &Tensor<1>,
    ) -> Tensor<1> {
        token_log_probs(model.lm_head(hidden), bias.clone(), ids, self.temperature)
    }

    /// Bias of the logits, `[vocab]`: zero where a token is allowed.
    fn bias<M: VisionLanguageModel>(&self, model: &M, like: &Tensor<2>) -> Tensor<1> {
        let mut bias = vec![0.0f32; model.vocab_size()];
        for &id in &self.forbidden {
            if let Some(entry) = bias.get_mut(id as usize) {
                *entry = FORBIDDEN;
            }
        }
        Tensor::from_data(TensorData::new(bias, [model.vocab_size()]), (&like.device(), DType::F32))
    }

    fn chunks(&self, n: usize) -> impl Iterator<Item = (usize, usize)> + use<> {
        let chunk = self.chunk.max(1);
        (0..n).step_by(chunk).map(move |start| (start, chunk.min(n - start)))
    }
}
