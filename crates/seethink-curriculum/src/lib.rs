//! What to train on next: the [`Curriculum`] trait, its axes and every policy.
//!
//! A policy sees a [`Corpus`] (metadata only) and says which problems make up the next batch and to which [`Stage`] they
//! belong; the trainer applies a stage when the batch's stage changes, and knows nothing else about curricula.
//! The static policies compose from three choices that are always spelled out: which capabilities when ([`Merged`],
//! [`Staged`]), in which [`Order`] within a stage, and how often ([`Epochs`], [`LastBatch`]).
//!
//! Everything here is pure and runs on the CPU: no tensors, no files, no clock, and every draw comes from
//! [`seethink_core::Rng`], so that a policy is tested without a model and resumes bit for bit.
//!
//! # Examples
//! ```
//! use seethink_core::{Capability, ProblemId};
//! use seethink_curriculum::{Corpus, CorpusEntry, CurriculumConfig, Epochs, LastBatch, Order, Staged};
//!
//! let corpus = Corpus::new((0..12).map(|i| CorpusEntry {
//!     id: ProblemId(i),
//!     capability: Capability::ALL[i as usize % 3].clone(),
//!     pass_rate: None,
//!     tags: Default::default(),
//! }))?;
//! let config = CurriculumConfig::Staged(Staged {
//!     stages: Staged::paper_stages(),
//!     order: Order::Shuffled,
//!     epochs: Epochs::PerStage(2),
//!     last_batch: LastBatch::Drop,
//! });
//! let mut curriculum = config.build(&corpus, 7)?;
//! let mut stages = Vec::new();
//! while let Some(batch) = curriculum.next_batch(&corpus, 2) {
//!     stages.push(batch.stage);
//! }
//! assert_eq!(stages, [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]);
//! # Ok::<(), seethink_curriculum::CurriculumError>(())
//! ```

mod config;
mod corpus;
mod curriculum;
mod epochs;
mod error;
mod fingerprint;
mod merged;
mod order;
mod planned;
mod record;
mod stage;
mod staged;

#[cfg(test)]
mod checks;

pub use config::CurriculumConfig;
pub use corpus::{Corpus, CorpusEntry};
pub use curriculum::{BatchPlan, Curriculum, GroupOutcome};
pub use epochs::{Epochs, LastBatch};
pub use error::CurriculumError;
pub use merged::Merged;
pub use order::Order;
pub use record::CurriculumRecord;
pub use stage::{Length, Stage, StageOverrides};
pub use staged::Staged;
