//! Rollouts of a step: groups drawn, sampled, scored, admitted and replayed.

use super::Grpo;
use super::run::{Run, StageSettings};
use super::step::{Sampled, Step};
use crate::bank::BankedGroup;
use crate::observe::Event;
use crate::policy::Policy;
use crate::{GrpoConfig, TrainError};
use burn::module::Module;
use burn::train::{Interrupter, Learner};
use seethink_core::{Problem, ProblemId, Purpose};
use seethink_curriculum::{Batch, GroupKey};
use seethink_models::{Processor, PromptInput, VisionLanguageModel, VisualFeatures};
use seethink_rollout::{DrawKey, Generator, Prompt, Rollouts};
use std::collections::{BTreeMap, BTreeSet};

impl<M: VisionLanguageModel> Run<M> {
    /// Samples groups until as many are admitted as the batch has problems, the curriculum has no
    /// more, or the draws are used up; groups of earlier steps may fill the step up.
    pub(super) fn collect(
        &mut self,
        learner: &Learner<Policy<M>>,
        batch: &Batch,
        interrupter: &Interrupter,
    ) -> Result<Step, TrainError> {
        let policy = learner.model().valid();
        let mut step = Step::default();
        let mut problems = batch.problems.clone();
        for draw in 1..=self.grpo.config.max_draws {
            for group in self.sample(&policy, &problems, batch.stage, interrupter)? {
                step.admitted.push(self.grpo.curriculum.admit(&group.outcome));
                step.sampled.push(group);
            }
            let missing = batch.problems.len() - step.n_admitted();
            if missing == 0 || draw == self.grpo.config.max_draws {
                break;
            }
            problems = self.grpo.curriculum.draw(missing).problems;
            if problems.is_empty() {
                break;
            }
        }
        let places = self.grpo.config.rollout_batch.saturating_sub(step.n_admitted());
        if places > 0 {
            let keys = self.grpo.curriculum.replay(places);
            step.replayed = self.recall(&policy, &keys)?;
        }
        Ok(step)
    }

    /// Samples and scores completions for each problem, as many as the curriculum says.
    fn sample(
        &mut self,
        policy: &Policy<M>,
        problems: &[ProblemId],
        stage: usize,
        interrupter: &Interrupter,
    ) -> Result<Vec<Sampled>, TrainError> {
        // A larger number is a curriculum's mistake.
        const MOST: usize = 1024;
        let StageSettings { config, reward, .. } = &self.settings[stage];
        let Grpo { processor, problems: all, observer, curriculum, seed, .. } = &mut self.grpo;
        let problems = all.get(problems)?;
        let prompts = config.prompt.encode_all(&**processor, &problems.iter().collect::<Vec<_>>())?;
        let generator = generator(policy, &**processor, config);
        let key = DrawKey { seed: *seed, purpose: Purpose::Rollout, step: self.state.step as u64 };
        let sampled = problems.iter().zip(prompts);
        let mut sampled: Vec<Sampled> =
            sampled.map(|(problem, prompt)| Sampled::new(problem.id, self.state.step, prompt)).collect();
        loop {
            let mut groups_by_wanted: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
            for (index, group) in sampled.iter().enumerate() {
                let size = group.completions.len();
                let wanted = curriculum.extend(&group.outcome).unwrap_or(config.group_size.saturating_sub(size));
                groups_by_wanted.entry(wanted.min(MOST.saturating_sub(size))).or_default().push(index);
            }
            groups_by_wanted.remove(&0);
            if groups_by_wanted.is_empty() {
                return Ok(sampled);
            }
            for (wanted, indices) in groups_by_wanted {
                let prompt = |&index: &usize| Prompt {
                    problem: problems[index].id,
                    input: &sampled[index].prompt,
                    n_before: sampled[index].completions.len(),
                };
                let asked: Vec<Prompt<'_>> = indices.iter().map(prompt).collect();
                let rollouts = generator.generate(&asked, wanted, key, &mut |done, wanted| {
                    observer(Event::Generating { done, wanted });
                    !interrupter.should_stop()
                })?;
                let Rollouts { groups, n_read, features } = rollouts;
                let decoded = groups.into_iter().map(|group| group.completions).zip(n_read);
                for ((index, decoded), features) in indices.into_iter().zip(decoded).zip(features) {
                    sampled[index].features = features;
                    sampled[index].extend(decoded, &**reward, &problems[index]);
                }
            }
        }
    }

    /// Groups of earlier steps with their prompts, and with image features of the current policy.
    fn recall(&self, policy: &Policy<M>, keys: &[GroupKey]) -> Result<Vec<Sampled>, TrainError> {
        let Grpo { config, processor, problems, .. } = &self.grpo;
        let banked = keys.iter().filter_map(|key| self.state.bank.iter().find(|group| group.outcome.key == *key));
        let banked: Vec<&BankedGroup> = banked.collect();
        let asked = problems.get(&banked.iter().map(|group| group.group.problem).collect::<Vec<_>>())?;
        let encode = |(group, problem): (&&BankedGroup, &Problem)| {
            self.settings[group.stage].config.prompt.encode(&**processor, problem)
        };
        let prompts = banked.iter().zip(&asked).map(encode).collect::<Result<Vec<_>, _>>()?;
        let inputs: Vec<Prompt<'_>> =
            asked.iter().zip(&prompts).map(|(one, input)| Prompt::new(one.id, input)).collect();
        let features = generator(policy, &**processor, config).encode_images(&inputs);
        let recall = |((group, prompt), features): ((&BankedGroup, PromptInput), Option<VisualFeatures>)| Sampled {
            prompt,
            features,
            n_prefills: 0,
            completions: group.group.completions.clone(),
            n_read: Vec::new(),
            scores: Vec::new(),
            outcome: group.outcome.clone(),
        };
        Ok(banked.into_iter().zip(prompts).zip(features).map(recall).collect())
    }

    /// Keeps the groups that the curriculum may ask for again, and drops the others.
    pub(super) fn fill_bank(&mut self, step: &Step, stage: usize) {
        let wanted: BTreeSet<GroupKey> = self.grpo.curriculum.curriculum().banked().into_iter().collect();
        self.state.bank.retain(|group| wanted.contains(&group.outcome.key));
        let fresh = step.sampled.iter().filter(|group| wanted.contains(&group.outcome.key));
        self.state.bank.extend(fresh.map(|group| group.to_bank(stage)));
    }
}

/// Builds the rollout generator of a stage.
fn generator<'a, M: VisionLanguageModel>(
    policy: &'a Policy<M>,
    processor: &'a dyn Processor,
    config: &GrpoConfig,
) -> Generator<'a, M> {
    Generator { model: &policy.model, processor, sampling: config.sampling, max_batch: config.memory.decode_batch }
}
