//! The paper's tables, the small base models, and what the runnable examples share.

pub mod base;
pub mod experiment;
pub mod findings;
pub mod program;
pub mod tables;
