//! One module per paper table, and what the runnable examples share.

pub mod base;
pub mod evaluation;
pub mod job;
pub mod live;
pub mod report;
pub mod stages;
pub mod stamps;
