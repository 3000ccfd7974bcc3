//! Post-training of vision-language models by reinforcement learning, with the curriculum as a
//! first-class object.
//!
//! This crate is the façade: one module per crate of the workspace, one feature per backend,
//! [`run::device`] to choose among them at run time, [`run::RunConfig`] to describe a run,
//! [`run::Job`] to carry it out, and a [`prelude`].
//!
//! | feature | device | runs on |
//! |---|---|---|
//! | `flex` (default) | `flex` | the CPU, in pure Rust |
//! | `cuda` | `cuda`, `cuda:1` | NVIDIA GPUs |
//! | `rocm` | `rocm`, `rocm:1` | AMD GPUs |
//! | `metal` | `metal` | Apple GPUs |
//! | `vulkan` | `vulkan`, `vulkan:1` | any GPU with a Vulkan driver |
//! | `wgpu` | `wgpu`, `wgpu:1` | any GPU, through WGSL |
//! | `remote` | `remote:ws://host:port` | the devices of a burn server |
//!
//! The feature `parquet`, on by default too, reads problems from parquet files.
//!
//! # Examples
//!
//! A curriculum is a value, and its plan can be inspected without a model:
//! ```
//! use seethink::prelude::*;
//!
//! let problem = |id: u64| CorpusEntry {
//!     pass_rate: PassRate::new(id as f32 / 30.0).ok(),
//!     ..CorpusEntry::new(ProblemId(id), Capability::ALL[id as usize % 3].clone())
//! };
//! let corpus = Corpus::new((0..30).map(problem))?;
//! let staged = Staged {
//!     stages: Staged::paper_stages(),
//!     order: Order::EasyToHard,
//!     epochs: Epochs::PerStage(1),
//!     last_batch: LastBatch::Keep,
//! };
//! let mut course = CurriculumConfig::Staged(staged).build(&corpus, 1)?;
//! assert_eq!(course.curriculum().planned_steps(Some(5)), Some(vec![2, 2, 2]));
//! let first = course.draw(5);
//! assert_eq!(course.curriculum().stages()[first.stage].name, "perception");
//! assert_eq!(first.problems, [27, 24, 21, 18, 15].map(ProblemId));
//! # Ok::<(), CurriculumError>(())
//! ```
//!
//! A custom curriculum implements a trait. This one repeats a problem until a whole group solves
//! it:
//! ```
//! use seethink::prelude::*;
//!
//! #[derive(Debug)]
//! struct Mastery {
//!     open: Vec<ProblemId>,
//! }
//!
//! impl Curriculum for Mastery {
//!     fn draw(&mut self, _progress: Progress, want: usize) -> Batch {
//!         self.open.iter().copied().take(want).collect()
//!     }
//!     fn observe(&mut self, groups: &[GroupOutcome]) {
//!         let solved = |id| {
//!             groups.iter().any(|group| group.problem() == id && group.pass_rate() == Some(1.0))
//!         };
//!         self.open.retain(|&id| !solved(id));
//!     }
//!     fn state(&self) -> State {
//!         State::new(&self.open)
//!     }
//!     fn load_state(&mut self, state: &State) -> Result<(), CurriculumError> {
//!         self.open = state.read()?;
//!         Ok(())
//!     }
//! }
//!
//! # let corpus =
//! #     Corpus::new((1..4).map(|id| CorpusEntry::new(ProblemId(id), Capability::PERCEPTION)))?;
//! let open = corpus.iter().map(|entry| entry.id).collect();
//! let mut course = Course::new(Mastery { open }, &corpus);
//! assert_eq!(course.draw(8).problems.len(), 3);
//! # Ok::<(), CurriculumError>(())
//! ```

pub use burn;
pub use seethink_core as core;
pub use seethink_curriculum as curriculum;
pub use seethink_data as data;
pub use seethink_eval as eval;
pub use seethink_files as files;
pub use seethink_hub as hub;
pub use seethink_math as math;
pub use seethink_models as models;
pub use seethink_nn as nn;
pub use seethink_plot as plot;
pub use seethink_reward as reward;
pub use seethink_rollout as rollout;
pub use seethink_run as run;
pub use seethink_train as train;

pub mod prelude;

/// The README, whose Rust is compiled with the examples.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
