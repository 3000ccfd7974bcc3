//! Log-probabilities of given tokens.

use crate::{FastPath, fused};
use burn::tensor::activation::log_softmax;
use burn::tensor::{DType, Int, Tensor};

/// Log-probability of each id under the softmax of `logits / temperature + bias`, in `f32`.
///
/// # Shapes
/// - logits: `[n, vocab]`
/// - bias: `[vocab]`, `f32`
/// - ids: `[n]`
/// - output: `[n]`, nats
pub fn token_log_probs(logits: Tensor<2>, bias: Tensor<1>, ids: Tensor<1, Int>, temperature: f32) -> Tensor<1> {
    if fused::applies(FastPath::LogProbs, &logits) {
        return fused::chosen_log_probs(logits, bias, ids, f64::from(temperature).recip());
    }
    let logits = logits.cast(DType::F32) / temperature + bias.unsqueeze();
    log_softmax(logits, 1).gather(1, ids.unsqueeze_dim(1)).squeeze_dim(1)
}
