//! Problems from disk, from captions, and from the built-in digits world.

pub mod digits;
mod error;
mod id;
mod image;
mod jsonl;
mod ordering;
mod pass_rates;
pub mod perception;
mod prompt;
mod split;

pub use error::{DataError, Fault};
pub use id::content_id;
pub use image::{Alpha, ImageLoader, ImageOrigin, LoadImageError};
pub use jsonl::{ProblemReader, write_problems};
pub use ordering::{Ordering, write_atomic};
pub use pass_rates::PassRateTable;
pub use prompt::{THINK_PROMPT, think_prompt};
pub use split::Split;
