//! Experiments: the paper's tables, the small base models, and the shared code of the examples.

pub mod base;
pub mod experiment;
pub mod exploration;
pub mod findings;
pub mod gates;
pub mod program;
pub mod tables;
