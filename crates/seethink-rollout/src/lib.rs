//! Generation: prefill, cached decode, batching, sampling, stopping.
//!
//! [`Generator`] answers a list of prompts with `n` completions each. Every image is encoded once
//! and every prompt is prefilled once; its keys and values then serve all completions of the group.
//! All groups of a batch decode together, and a finished sequence leaves the batch. Draws are
//! counter-based, so a completion depends on its key alone and not on what else is in the batch.

mod capacity;
mod device_sampler;
mod generate;
mod problems;
mod prompt;
mod sampler;
mod sampling;

pub use capacity::{Capacity, CapacityError, Load};
pub use generate::{DrawKey, Generator, ProgressCallback, Prompt, RolloutError, Rollouts};
pub use problems::Problems;
pub use prompt::{PromptError, PromptFormat};
pub use sampling::{Sampling, TokenSampler};
