//! Post-training of vision-language models by reinforcement learning, with the curriculum as a first-class object.

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
pub mod prelude;

pub use config::{ConfigError, RunConfig};
pub use device::{DeviceError, backends, device};
