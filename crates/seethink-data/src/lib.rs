//! Problems: data sets on disk, question synthesis from captions, and the built-in digits
//! world.
//!
//! Rows of JSON lines (`jsonl.rs`) and parquet (`table.rs`) become problems in one place
//! (`source.rs`); a [`Dataset`] checks the rows once.

mod dataset;
pub mod digits;
pub mod digits_v1;
mod error;
mod id;
mod image;
mod image_value;
mod journal;
mod jsonl;
mod ordering;
mod pass_rates;
pub mod perception;
mod prompt;
mod reader;
mod row;
mod source;
mod split;
#[cfg(feature = "parquet")]
mod table;
#[cfg(not(feature = "parquet"))]
#[path = "no_table.rs"]
mod table;
mod write;

pub use dataset::{
    CountTokens, Dataset, DatasetConfig, Duplicates, Entry, Overlong, OverlongAction, Report, TokenCounter,
};
pub use error::{DataError, Fault, ImageOutside};
pub use id::{content_id, digest};
pub use image::{Alpha, ImageLoader, ImageOrigin, LoadImageError, png_base64};
pub use ordering::Ordering;
pub use pass_rates::PassRateTable;
pub use prompt::{THINK_PROMPT, think_prompt};
pub use reader::ProblemReader;
pub use source::{Columns, DataSource};
pub use split::{Split, Splits};
pub use write::{try_write_problems, write_problems};
