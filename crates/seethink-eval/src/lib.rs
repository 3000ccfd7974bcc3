//! Evaluation: asking models, in process or behind an endpoint, and measuring their answers.
//!
//! [`Evaluator`] answers a [`Benchmark`] with a model in process and scores it with the reward that trains.
//! A [`Solver`] is either such a model or one behind an OpenAI-compatible [`Endpoint`]; pass rates ([`pass_rate`]), the
//! synthesis of perception problems ([`perception`]) and the [`judge`] of wrong answers ask through it.
//! [`statistics`] has intervals and tests of what was measured.

mod benchmark;
mod endpoint;
pub mod judge;
mod outcome;
pub mod pass_rate;
pub mod perception;
mod solver;
pub mod statistics;

pub use benchmark::{Answer, Benchmark, EvaluationError, Evaluator, capabilities, metrics};
pub use endpoint::{Endpoint, EndpointError, EndpointOptions};
pub use outcome::Outcome;
pub use solver::{InProcess, Remote, SolveError, Solver};
