//! One module per paper table, and what the runnable examples share.

pub mod base;
mod captions;
mod digest;
pub mod evaluation;
pub mod experiment;
pub mod findings;
pub mod job;
pub mod live;
pub mod report;
pub mod stages;
pub mod stamps;
pub mod tables;
