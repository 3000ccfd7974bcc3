//! Imitation of captions before the first step: what a first stage of reinforcement learning is compared with.

use crate::report::{self, Ledger, Meter};
use anyhow::Result;
use seethink::config::{CaptionTuning, RunConfig};
use seethink::models::{AnyBackbone, VlmProcessor};
use seethink::train::{Interrupter, Sft, SftData};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Fine-tunes a model on captions and notes in the run folder what it cost.
///
/// It does not take part in checkpoints: a run that is stopped before its first step begins again.
///
/// # Errors
/// If the captions cannot be read or a step fails.
pub(crate) fn imitate(
    model: AnyBackbone,
    tuning: &CaptionTuning,
    config: &RunConfig,
    processor: Arc<VlmProcessor>,
    folder: &Path,
) -> Result<AnyBackbone> {
    let begun = Instant::now();
    let sft = Sft {
        config: tuning.sft(&config.grpo),
        seed: config.seed,
        processor,
        data: SftData { train: config.data.captions(tuning.pictures)?, validation: Vec::new() },
        progress: Box::new(|_, _, _, _| ()),
    };
    println!("captions: {} pictures, {} times", sft.data.train.len(), tuning.epochs);
    let (model, spent) = sft.train(model, &folder.join("captions"), Interrupter::new())?;
    let secs = begun.elapsed().as_secs_f64();
    let ledger = Ledger::from(spent).with(Meter::WallSecs, secs).with(Meter::UpdateSecs, secs);
    report::write_json(&folder.join(report::CAPTIONS), &ledger)?;
    Ok(model)
}
