//! Supervised fine-tuning before the first step: the baseline for a first stage of
//! reinforcement learning.

use crate::RunError;
use crate::config::{Imitated, RunConfig};
use crate::report::{self, Meter, RunCosts};
use seethink_core::Capability;
use seethink_data::Split;
use seethink_models::{AnyBackbone, VlmProcessor};
use seethink_train::{Interrupter, Sft, SftData};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Fine-tunes a model on captions or solutions, if configured, and records the cost in the run folder.
///
/// This fine-tuning is not part of checkpoints: a run that is stopped before its first step starts
/// again.
///
/// # Errors
/// If the examples cannot be read, a step fails, or `interrupter` stops it.
pub(crate) fn imitate(
    model: AnyBackbone,
    config: &RunConfig,
    processor: Arc<VlmProcessor>,
    folder: &Path,
    interrupter: &Interrupter,
) -> Result<AnyBackbone, RunError> {
    let Some(tuning) = &config.captions else { return Ok(model) };
    let begun = Instant::now();
    let (what, train) = match tuning.of {
        Imitated::Captions => ("captions", config.data.captions(tuning.pictures)?),
        Imitated::Perception => {
            let mut problems = config.problems(Split::Train, None, &processor)?;
            problems.retain(|problem| problem.capability == Capability::PERCEPTION);
            problems.truncate(tuning.pictures);
            for problem in &mut problems {
                problem.solution.get_or_insert_with(|| format!("\\boxed{{{}}}", problem.answer));
            }
            ("perception", problems)
        }
    };
    let sft = Sft {
        config: tuning.sft(&config.grpo),
        seed: config.seed,
        processor,
        data: SftData { train, validation: Vec::new() },
        progress: Box::new(|_, _, _, _| ()),
    };
    println!("{what}: {} pictures, {} times", sft.data.train.len(), tuning.epochs);
    let (model, spent) = sft.train(model, &folder.join("captions"), interrupter.clone())?;
    if interrupter.should_stop() {
        return Err(RunError::StoppedEarly);
    }
    let secs = begun.elapsed().as_secs_f64();
    let ledger = RunCosts::from(spent).with(Meter::WallSecs, secs).with(Meter::UpdateSecs, secs);
    report::write_json(&folder.join(report::CAPTIONS), &ledger)?;
    Ok(model)
}
