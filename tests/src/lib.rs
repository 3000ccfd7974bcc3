//! Code that tests of several files share; the tests themselves are in `tests/`.

pub mod ending;
pub mod gradients;
pub mod kit;
pub mod learner;
pub mod others;
pub mod parity;
pub mod perf;
pub mod server;
pub mod stamps;
pub mod tiny;
