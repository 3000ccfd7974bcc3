//! Basic types: problems, capabilities, pass rates, completions, groups, and counter-based random
//! numbers.
//!
//! No tensors, no files, no clock: every crate may depend on this one, and it depends on no other.

mod completion;
mod problem;
mod random;
mod setting;
mod trainable;

pub use completion::{Completion, FinishReason, Group, is_right};
pub use problem::{Capability, Image, ImageError, ImageSource, PassRate, PassRateError, Problem, ProblemId};
pub use random::{Purpose, Rng};
pub use setting::SettingError;
pub use trainable::Trainable;
