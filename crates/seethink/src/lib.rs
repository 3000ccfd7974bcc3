//! Post-training of vision-language models by reinforcement learning, with the curriculum as a first-class object.
//!
//! This crate is the façade: one module per crate of the workspace, one feature per backend, [`device()`] to choose among
//! them at run time, [`RunConfig`] to describe a run, and a [`prelude`].
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
//! # Examples
//!
//! What is trained when is a value, and can be looked at without a model:
//! ```
//! use seethink::prelude::*;
//!
//! let problem = |id: u64| CorpusEntry {
//!     id: ProblemId(id),
//!     capability: Capability::ALL[id as usize % 3].clone(),
//!     pass_rate: PassRate::new(id as f32 / 30.0).ok(),
//!     tags: Default::default(),
//! };
//! let corpus = Corpus::new((0..30).map(problem))?;
//! let staged = Staged {
//!     stages: Staged::paper_stages(),
//!     order: Order::EasyToHard,
//!     epochs: Epochs::PerStage(1),
//!     last_batch: LastBatch::Keep,
//! };
//! let mut curriculum = staged.build(&corpus, 1)?;
//! assert_eq!(curriculum.planned_steps(5), Some(vec![2, 2, 2]));
//! let first = curriculum.next_batch(&corpus, 5).expect("not over yet");
//! assert_eq!(curriculum.stages()[first.stage].name, "perception");
//! assert_eq!(first.problems, [27, 24, 21, 18, 15].map(ProblemId));
//! # Ok::<(), CurriculumError>(())
//! ```
//!
//! A policy of your own is a trait away. This one stays with a problem until a whole group solves it:
//! ```
//! use seethink::prelude::*;
//!
//! #[derive(Debug)]
//! struct Mastery {
//!     stages: Vec<Stage>,
//!     corpus: u64,
//!     open: Vec<ProblemId>,
//! }
//!
//! impl Curriculum for Mastery {
//!     fn stages(&self) -> &[Stage] {
//!         &self.stages
//!     }
//!     fn next_batch(&mut self, _corpus: &Corpus, size: usize) -> Option<BatchPlan> {
//!         let problems: Vec<_> = self.open.iter().copied().take(size).collect();
//!         (!problems.is_empty()).then_some(BatchPlan { stage: 0, problems })
//!     }
//!     fn observe(&mut self, outcomes: &[GroupOutcome]) {
//!         let solved = |id| outcomes.iter().any(|group| group.problem == id && group.pass_rate() == Some(1.0));
//!         self.open.retain(|&id| !solved(id));
//!     }
//!     fn to_record(&self) -> CurriculumRecord {
//!         CurriculumRecord::new("mastery", self.corpus, 0, &self.open)
//!     }
//!     fn load_record(&mut self, record: CurriculumRecord) -> Result<(), CurriculumError> {
//!         self.open = record.state("mastery", self.corpus, 0)?;
//!         Ok(())
//!     }
//! }
//!
//! # let entry = |id| CorpusEntry { id, capability: Capability::PERCEPTION, pass_rate: None, tags: Default::default() };
//! # let corpus = Corpus::new([1, 2, 3].map(ProblemId).map(entry))?;
//! let open = corpus.entries().iter().map(|entry| entry.id).collect();
//! let stages = vec![Stage::new("mastery", [])];
//! let mut curriculum: Box<dyn Curriculum> = Box::new(Mastery { stages, corpus: corpus.fingerprint(), open });
//! let group = |accuracies: Vec<f32>, problem| GroupOutcome { problem, rewards: accuracies.clone(), accuracies, mean_length: 9.0 };
//! curriculum.observe(&[group(vec![1.0, 1.0], ProblemId(1)), group(vec![1.0, 0.0], ProblemId(2))]);
//! assert_eq!(curriculum.next_batch(&corpus, 8).map(|batch| batch.problems), Some(vec![ProblemId(2), ProblemId(3)]));
//! # Ok::<(), CurriculumError>(())
//! ```

pub use burn;
pub use seethink_core as core;
pub use seethink_curriculum as curriculum;
pub use seethink_data as data;
pub use seethink_models as models;
pub use seethink_nn as nn;
pub use seethink_reward as reward;
pub use seethink_rollout as rollout;
pub use seethink_train as train;

pub mod config;
mod device;
pub mod hub;
pub mod prelude;

pub use config::{ConfigError, RunConfig};
pub use device::{DeviceError, backends, device};
