//! Layers that the backbones share: attention with a key-value cache, rotary positions, norms,
//! MLPs, and block recompute.
//!
//! Everything is written with plain tensor operations, so it runs on every device that burn has.

mod attention;
mod cache;
mod mlp;
mod norm;
mod recompute;
mod rotary;

pub use attention::{AttentionMask, attention};
pub use cache::{CacheShape, KvCache};
pub use mlp::SwiGlu;
pub use norm::RmsNorm;
pub use recompute::{accumulate, pull, pull_params, tracks_gradients};
pub use rotary::{DynamicScaling, Rotary, RotaryFrequencies};
