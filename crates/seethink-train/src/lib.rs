//! SFT and GRPO on burn's Learner.
//!
//! [`Grpo`] post-trains a backbone by reinforcement learning from verifiable rewards, in the order
//! that a curriculum says; [`Sft`] imitates solutions. Both compute gradients in the same step
//! ([`Policy`]): rows that hold a whole group, decoder blocks recomputed in the backward pass, the
//! vocabulary taken in chunks.

mod advantage;
mod bank;
mod batch;
mod checkpoint;
mod config;
mod error;
mod grpo;
mod ledger;
mod log_prob;
mod loss;
mod metrics;
mod observe;
mod optim;
mod overrides;
mod policy;
mod room;
mod sft;

pub use advantage::group_advantages;
pub use bank::BankedGroup;
pub use batch::{GroupInput, MicroBatch, Targets, Vision};
pub use burn::train::Interrupter;
pub use checkpoint::{CheckpointFolder, RunState, Unmeasured};
pub use config::{ActivationMemory, GrpoConfig, MemoryConfig, SftConfig};
pub use error::TrainError;
pub use grpo::{Grpo, Moment, Trained, Validate};
pub use ledger::Ledger;
pub use log_prob::LogProbs;
pub use loss::{PolicyLoss, PolicyTerms, k3};
pub use metrics::{Metrics, MetricsFile, StepOutput, StepRecord};
pub use observe::{Event, Observer, SftProgress, SftSplit};
pub use optim::{Decay, OptimizerConfig, Schedule, SharedRate, clip_global_norm};
pub use overrides::{StageConfig, StageOverrides};
pub use policy::{Objective, Policy, TrainBatch};
pub use sft::{Sft, SftData};
