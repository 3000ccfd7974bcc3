//! Layers that the backbones share: attention with a key-value cache, rotary positions, norms,
//! MLPs, and block recompute.
//!
//! Everything is composed of burn's operators, so it runs on every device that burn has. On the
//! processor, in `f32`, the fused operators of this crate take their place and compute the same.

mod attention;
mod cache;
mod fast_path;
mod fused;
pub mod host;
mod kernels;
mod linear;
mod log_prob;
mod mlp;
mod norm;
mod pool;
#[cfg(test)]
mod properties;
mod recompute;
mod rotary;

pub use attention::{AttentionMask, self_attention};
pub use cache::{CacheShape, KvCache};
pub use fast_path::FastPath;
pub use kernels::heads::HeadShape;
pub use kernels::softmax::SoftmaxWeights;
pub use linear::{linear, matmul};
pub use log_prob::token_log_probs;
pub use mlp::SwiGlu;
pub use norm::RmsNorm;
pub use pool::in_pool;
pub use recompute::{accumulate, pull, pull_params, tracks_gradients};
pub use rotary::{DynamicScaling, Rotary, RotaryFrequencies};
