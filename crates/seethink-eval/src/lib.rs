//! Evaluation: generating answers, in process or through an endpoint, and measuring them.
//!
//! [`Evaluator`] answers a [`Benchmark`] with a model in process and scores the answers with the
//! training reward. A [`Solver`] is either such a model or one behind an OpenAI-compatible
//! [`Endpoint`]; pass rates ([`pass_rate`]), the synthesis of perception problems ([`perception`])
//! and the [`judge`] of wrong answers use it. [`statistics`] has confidence intervals and tests of
//! the measurements.

mod benchmark;
mod endpoint;
pub mod judge;
mod outcome;
mod parallel;
pub mod pass_rate;
pub mod perception;
mod solver;
pub mod statistics;

pub use benchmark::{Answer, Benchmark, EvaluationError, Evaluator, capabilities, metrics};
pub use endpoint::{Endpoint, EndpointError, EndpointOptions};
pub use outcome::Outcome;
pub use solver::{InProcess, Remote, SolveError, Solver};
