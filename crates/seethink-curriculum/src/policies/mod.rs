//! Policies that draw problems, one per file.

pub(crate) mod adarft;
mod arms;
mod by_weight;
pub(crate) mod dump;
pub(crate) mod e2h;
pub(crate) mod fg_expo;
pub(crate) mod ladder;
pub(crate) mod merged;
pub(crate) mod pools;
pub(crate) mod review;
pub(crate) mod sec;
pub(crate) mod staged;
pub(crate) mod vas;
pub(crate) mod walk;
pub(crate) mod weights;
