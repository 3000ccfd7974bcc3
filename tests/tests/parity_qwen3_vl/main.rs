//! Qwen3-VL against the reference implementation, and against itself where one thing can be computed in two ways.
//!
//! The reference figures were made by transformers 4.57 in `f32` on a CPU; `fixtures/models/README.md` says how. They carry the
//! noise of `f32` arithmetic: next to each tolerance stands how far the reference is from its own `f64` run.

// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used)]

mod consistency;
mod fixtures;
mod forward;
mod generate;
mod train;
mod weights;
