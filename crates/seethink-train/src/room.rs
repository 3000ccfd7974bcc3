//! Refusals that take the model, the problems and the curriculum: what would hang, or be ignored, once a run is under way.

use crate::{GrpoConfig, Problems, PromptFormat, TrainError};
use rayon::prelude::*;
use seethink_core::Problem;
use seethink_curriculum::Curriculum;
use seethink_data::{DataError, ImageLoader};
use seethink_models::{Processor, VisionLanguageModel};
use seethink_rollout::{Capacity, Load};
use std::collections::BTreeMap;

impl GrpoConfig {
    /// Checks these settings, and what becomes of them in each stage, against what is to be trained on what.
    ///
    /// The longest prompt and the longest completion of a stage need as many positions as the model has, and the key-value cache of
    /// the groups that decode together has to fit into memory ([`Capacity`] says how much there is). The check is of the cache
    /// alone: gradients, moments and activations come on top. A warm-up needs a stage whose number of steps is known.
    ///
    /// # Errors
    /// If a stage has no room or no known number of steps to warm up in, or a prompt cannot be measured.
    pub fn check_run(
        &self,
        curriculum: &dyn Curriculum,
        problems: &Problems,
        processor: &dyn Processor,
        model: &impl VisionLanguageModel,
    ) -> Result<(), TrainError> {
        let stages = curriculum.stages();
        self.check(stages)?;
        if curriculum.planned_steps(Some(self.rollout_batch)).is_none() {
            let warm = stages.iter().find(|stage| self.of_stage(stage).optimizer.schedule.warmup > 0.0);
            if let Some(stage) = warm {
                return Err(TrainError::WarmupOfUnknownSteps { stage: stage.name.clone() });
            }
        }
        let capacity = Capacity::of(model);
        // Most stages ask alike.
        let mut longest_by_suffix = BTreeMap::new();
        stages.iter().try_for_each(|stage| {
            let Self { prompt: format, sampling, group_size, rollout_batch, memory, .. } = self.of_stage(stage);
            let prompt = match longest_by_suffix.get(&format.suffix) {
                Some(&longest) => longest,
                None => {
                    let longest = problems.longest_prompt(&format, processor)?;
                    longest_by_suffix.insert(format.suffix, longest);
                    longest
                }
            };
            let groups = (memory.decode_batch / group_size).clamp(1, rollout_batch);
            let load = Load { rows: groups * group_size, prompt, max_tokens: sampling.max_tokens };
            capacity.check(load).map_err(|source| TrainError::Capacity { stage: stage.name.clone(), source })
        })
    }
}

impl Problems {
    /// Length of the longest prompt, images included; tokens. 0 if there are no problems.
    ///
    /// Of a data set that has counted the tokens of its prompts, only the longest is read.
    ///
    /// # Errors
    /// If a problem cannot be read, or cannot be a prompt.
    pub fn longest_prompt(&self, format: &PromptFormat, processor: &dyn Processor) -> Result<usize, TrainError> {
        match self {
            Self::Memory(problems) => problems
                .par_iter()
                .map(|(_, problem)| format.n_tokens(processor, problem))
                .try_reduce(|| 0, |a, b| Ok(a.max(b))),
            Self::Files(dataset) => {
                let counts: Option<Vec<u32>> =
                    (0..dataset.len()).map(|number| dataset.entry(number).n_tokens).collect();
                let asked = match counts {
                    Some(counts) => (0..counts.len()).max_by_key(|&number| counts[number]).into_iter().collect(),
                    None => (0..dataset.len()).collect::<Vec<_>>(),
                };
                dataset.read(asked).try_fold(0, |longest: usize, problem: Result<Problem, DataError>| {
                    Ok(longest.max(format.n_tokens(processor, &problem.map_err(Box::new)?)?))
                })
            }
        }
    }
}

impl PromptFormat {
    /// Number of tokens of the prompt of a problem, images included; of these only the sizes are read.
    ///
    /// # Errors
    /// If the header of an image cannot be read, or the images do not match the placeholders; the error names the problem.
    pub fn n_tokens(&self, processor: &dyn Processor, problem: &Problem) -> Result<usize, TrainError> {
        let loader = ImageLoader::default();
        let size = |(index, image)| {
            loader.size(image).map_err(|source| TrainError::Image { problem: problem.id, index, source })
        };
        let sizes = problem.images.iter().enumerate().map(size).collect::<Result<Vec<_>, _>>()?;
        processor
            .n_prompt_tokens(&self.messages(problem), &sizes)
            .map_err(|source| TrainError::Prompt { problem: problem.id, source })
    }
}
