//! Compositions: policies built from other policies.

pub(crate) mod band;
pub(crate) mod mix;
pub(crate) mod repeat;
pub(crate) mod replay;
pub(crate) mod sections;
pub(crate) mod warm_start;
pub(crate) mod with;

#[cfg(test)]
mod tests;
