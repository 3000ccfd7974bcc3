//! Checks before a run that need the model, the problems and the curriculum: settings that would
//! hang a run, or be ignored in it.

use crate::{GrpoConfig, TrainError};
use seethink_curriculum::Curriculum;
use seethink_models::{Processor, VisionLanguageModel};
use seethink_rollout::{Capacity, Load, Problems};
use std::collections::BTreeMap;

impl GrpoConfig {
    /// Checks these settings and their overrides in each stage against the model, the problems and
    /// the curriculum.
    ///
    /// The longest prompt and the longest completion of a stage need as many positions as the model
    /// has, and the key-value cache of the groups that decode together has to fit into memory
    /// ([`Capacity`] says how much there is). The check is of the cache alone: gradients, moments
    /// and activations come on top. A warm-up needs a stage whose number of steps is known.
    ///
    /// # Errors
    /// If a stage has no room or no known number of steps to warm up in, or a prompt cannot be
    /// measured.
    pub fn check_run(
        &self,
        curriculum: &dyn Curriculum,
        problems: &Problems,
        processor: &dyn Processor,
        model: &impl VisionLanguageModel,
    ) -> Result<(), TrainError> {
        let stages = curriculum.stages();
        self.check(stages)?;
        let has_plan = curriculum.planned_steps(Some(self.rollout_batch)).is_some();
        let capacity = Capacity::of(model);
        // Most stages have the same suffix.
        let mut longest_by_suffix = BTreeMap::new();
        stages.iter().try_for_each(|stage| {
            let settings = self.of_stage(stage)?.grpo;
            let Self { prompt: format, sampling, group_size, rollout_batch, memory, optimizer, .. } = settings;
            if !has_plan && optimizer.schedule.warmup > 0.0 {
                return Err(TrainError::WarmupOfUnknownSteps { stage: stage.name.clone() });
            }
            let prompt = match longest_by_suffix.get(&format.suffix) {
                Some(&longest) => longest,
                None => {
                    let longest = problems.longest_prompt(&format, processor)?;
                    longest_by_suffix.insert(format.suffix, longest);
                    longest
                }
            };
            let groups = (memory.decode_batch / group_size).clamp(1, rollout_batch);
            let rows = groups * group_size;
            let load = Load { prompts: groups, prompt, rows, max_tokens: sampling.max_tokens };
            capacity.check(load).map_err(|source| TrainError::Capacity { stage: stage.name.clone(), source })
        })
    }
}
