//! Curricula: the [`Curriculum`] trait, its axes, and every policy that decides what to train on
//! next.
//!
//! A policy sees a [`Corpus`] (metadata only) and decides which problems make up the next batch and
//! to which [`Stage`] they belong; the trainer applies the settings of a stage when the batch's
//! stage changes, and knows nothing else about curricula. The static policies compose from three
//! choices that a configuration always states: the capabilities and their sequence ([`Merged`],
//! [`Staged`]), the [`Order`] within a stage, and the repetition ([`Epochs`], [`LastBatch`]).
//!
//! Everything here is pure and runs on the CPU: no tensors, no files, no clock, and every draw
//! comes from [`seethink_core::Rng`]. So a policy can be tested without a model, and resumes bit
//! for bit.
//!
//! # Examples
//! ```
//! use seethink_core::{Capability, ProblemId};
//! use seethink_curriculum::{
//!     Corpus, CorpusEntry, CurriculumConfig, Epochs, LastBatch, Order, Staged,
//! };
//!
//! let corpus = Corpus::new(
//!     (0..12).map(|i| CorpusEntry::new(ProblemId(i), Capability::ALL[i as usize % 3].clone())),
//! )?;
//! let config = CurriculumConfig::Staged(Staged {
//!     stages: Staged::paper_stages(),
//!     order: Order::Shuffled,
//!     epochs: Epochs::PerStage(2),
//!     last_batch: LastBatch::Drop,
//! });
//! let mut curriculum = config.build(&corpus, 7)?;
//! let mut stages = Vec::new();
//! loop {
//!     let batch = curriculum.draw(2);
//!     if batch.is_empty() {
//!         break;
//!     }
//!     stages.push(batch.stage);
//!     curriculum.observe(&[]);
//! }
//! assert_eq!(stages, [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]);
//! # Ok::<(), seethink_curriculum::CurriculumError>(())
//! ```

mod axis;
mod compose;
mod config;
mod corpus;
mod course;
mod curriculum;
mod epochs;
mod error;
mod fingerprint;
mod order;
mod overrides;
mod policies;
mod policy_config;
mod progress;
mod record;
mod rules;
mod simulation;
mod stage;

#[cfg(test)]
mod checks;

pub use axis::{Axis, Categories, Key, Partition};
pub use compose::band::Band;
pub use compose::mix::Mix;
pub use compose::repeat::Repeat;
pub use compose::replay::Replay;
pub use compose::sections::Sections;
pub use compose::warm_start::WarmStart;
pub use compose::with::{Ruled, With};
pub use config::CurriculumConfig;
pub use corpus::{Corpus, CorpusEntry};
pub use course::Course;
pub use curriculum::{Batch, Curriculum, GroupKey, GroupOutcome, Metric};
pub use epochs::{Epochs, LastBatch};
pub use error::CurriculumError;
pub use order::Order;
pub use overrides::{Overrides, Setting};
pub use policies::adarft::{AdaRft, Revisit};
pub use policies::dump::Dump;
pub use policies::e2h::{E2h, E2hSchedule};
pub use policies::fg_expo::FgExpo;
pub use policies::ladder::{Below, Ladder};
pub use policies::merged::Merged;
pub use policies::pools::{Pool, Pools};
pub use policies::review::Review;
pub use policies::sec::{Absent, Sec};
pub use policies::staged::Staged;
pub use policies::vas::Vas;
pub use progress::Progress;
pub use record::{CurriculumRecord, State};
pub use rules::{AdvantageGate, Favour, Filter, RuleConfig, Speed, Vcrl, Weight, ZeroVariance};
pub use simulation::{SimulatedLearner, SimulatedStep, Simulation, SkilledLearner};
pub use stage::{Length, Only, Quantity, Stage};
