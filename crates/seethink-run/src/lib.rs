//! Training runs: from a configuration to a finished run folder.
//!
//! [`RunConfig`] describes a run, and [`Job`] carries it out: base model, training in stages,
//! evaluation between stages, and a [`report`]. [`device()`] chooses among the backends that were
//! compiled in.

mod args;
mod base_models;
mod captions;
pub mod config;
mod device;
mod error;
mod job;
mod progress;
mod quick;
pub mod report;
mod stage_evaluation;

pub use args::{TrainArgs, interrupter};
pub use base_models::{BaseModels, NoBaseModels};
pub use config::{ConfigError, RunConfig};
pub use device::{DeviceError, backends, device};
pub use error::RunError;
pub use job::{Finished, Job, MakeCurriculum, OUTCOMES};
