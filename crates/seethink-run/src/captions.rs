//! Supervised fine-tuning on captions before the first step: the baseline for a first stage of
//! reinforcement learning.

use crate::RunError;
use crate::config::RunConfig;
use crate::report::{self, Meter, RunCosts};
use seethink_models::{AnyBackbone, VlmProcessor};
use seethink_train::{Interrupter, Sft, SftData};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Fine-tunes a model on captions, if configured, and records the cost in the run folder.
///
/// This fine-tuning is not part of checkpoints: a run that is stopped before its first step starts
/// again.
///
/// # Errors
/// If the captions cannot be read, a step fails, or `interrupter` stops it.
pub(crate) fn imitate(
    model: AnyBackbone,
    config: &RunConfig,
    processor: Arc<VlmProcessor>,
    folder: &Path,
    interrupter: &Interrupter,
) -> Result<AnyBackbone, RunError> {
    let Some(tuning) = &config.captions else { return Ok(model) };
    let begun = Instant::now();
    let sft = Sft {
        config: tuning.sft(&config.grpo),
        seed: config.seed,
        processor,
        data: SftData { train: config.data.captions(tuning.pictures)?, validation: Vec::new() },
        progress: Box::new(|_, _, _, _| ()),
    };
    println!("captions: {} pictures, {} times", sft.data.train.len(), tuning.epochs);
    let (model, spent) = sft.train(model, &folder.join("captions"), interrupter.clone())?;
    if interrupter.should_stop() {
        return Err(RunError::StoppedEarly);
    }
    let secs = begun.elapsed().as_secs_f64();
    let ledger = RunCosts::from(spent).with(Meter::WallSecs, secs).with(Meter::UpdateSecs, secs);
    report::write_json(&folder.join(report::CAPTIONS), &ledger)?;
    Ok(model)
}
