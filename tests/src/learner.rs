//! Learner for benchmarks of updates.

use seethink::burn::lr_scheduler::module_lr_scheduler::ModuleLrScheduler;
use seethink::burn::module::Module;
use seethink::burn::train::Learner;
use seethink::models::qwen3_vl::Qwen3Vl;
use seethink::train::{OptimizerConfig, Policy, SharedRate};

/// Creates a learner of `model` at the peak learning rate, with fresh moments.
pub fn learner(model: Qwen3Vl, optimizer: &OptimizerConfig) -> Learner<Policy<Qwen3Vl>> {
    let model = model.train();
    let device = model.text.embed.weight.device();
    let rate = SharedRate::default();
    rate.set(optimizer.learning_rate);
    let mut learner = Learner::new(Policy { model }, optimizer.init(), ModuleLrScheduler::new(rate));
    learner.fork(&device);
    learner.lr_step();
    learner
}
