//! Update of the policy from the groups of a step.

use super::Grpo;
use super::run::{Run, StageSettings};
use super::step::{Cut, MiniBatch, Step};
use crate::log_prob::LogProbs;
use crate::metrics::Metrics;
use crate::observe::Event;
use crate::policy::{Objective, Policy, TrainBatch};
use crate::{OptimizerConfig, TrainError};
use burn::module::Module;
use burn::train::Learner;
use seethink_curriculum::GroupOutcome;
use seethink_models::VisionLanguageModel;
use std::time::Instant;

impl<M: VisionLanguageModel> Run<M> {
    /// Returns whether any stage has a KL term.
    pub(super) fn needs_reference(&self) -> bool {
        self.settings.iter().any(|stage| stage.config.loss.kl_coef > 0.0)
    }

    /// Takes the current policy as the reference, where one is needed.
    pub(super) fn take_reference(&mut self, learner: &Learner<Policy<M>>) -> Result<(), TrainError> {
        if self.needs_reference() {
            let policy = learner.model().valid();
            self.checkpoints.save_reference(self.state.step, policy.clone().into_record())?;
            self.reference = Some(policy);
        }
        self.state.reference_step = self.state.step;
        self.state.vision_changed = false;
        Ok(())
    }

    /// Updates the policy: one optimiser step per mini-batch. Returns the metrics, averaged over
    /// them.
    pub(super) fn update(&mut self, learner: &mut Learner<Policy<M>>, stage: usize, step: &Step) -> Metrics {
        let begun = Instant::now();
        (self.grpo.observer)(Event::Updating);
        let Grpo { processor, curriculum, .. } = &self.grpo;
        let &StageSettings { ref config, trainable, .. } = &self.settings[stage];
        let loss = config.loss;
        let log_probs = LogProbs {
            temperature: config.sampling.log_prob_temperature(),
            forbidden: processor.forbidden_token_ids().to_vec(),
            chunk: config.memory.logit_chunk,
        };
        let pad_token = processor.pad_token_id();
        let vision_learns = trainable.sees_gradients_in_vision();
        let weight = |group: &GroupOutcome| curriculum.curriculum().weight(group);
        let cut = |keep_features| {
            let (mini_batch, max_tokens) = (config.mini_batch, config.memory.micro_batch_tokens);
            let advantages_only = loss.kl_coef == 0.0;
            step.mini_batches(Cut { mini_batch, max_tokens, keep_features, advantages_only }, weight)
        };
        let mut batches = cut(!vision_learns);
        if let Some(reference) = self.reference.as_ref().filter(|_| loss.kl_coef > 0.0) {
            // Same rows, same order; the reference encodes images itself where its vision side
            // differs.
            let seen = cut(!self.state.vision_changed);
            let micro_batches = batches.iter_mut().flat_map(|batch| &mut batch.micro_batches);
            for (micro_batch, seen) in micro_batches.zip(seen.iter().flat_map(|batch| &batch.micro_batches)) {
                micro_batch.targets.reference_log_probs = reference.log_probs(seen, &log_probs, pad_token);
                self.state.ledger.add_forward(&self.cost, seen);
            }
        }
        self.state.vision_changed |= vision_learns;
        let reference_secs = begun.elapsed().as_secs_f64();

        let learning_rate = self.learning_rate(&config.optimizer);
        self.rate.set(learning_rate);
        learner.lr_step();
        let n_updates = batches.len() as f64;
        let mut metrics = Metrics::new();
        for MiniBatch { micro_batches, n_left_out } in batches {
            micro_batches.iter().for_each(|batch| self.state.ledger.add_update(&self.cost, batch, trainable));
            self.state.ledger.updates += 1;
            let output = learner.train_step(TrainBatch {
                micro_batches,
                n_left_out,
                objective: Objective::Policy(loss),
                trainable,
                log_probs: log_probs.clone(),
                pad_token,
                max_grad_norm: config.optimizer.max_grad_norm,
                activations: config.memory.activations,
            });
            learner.optimizer_step(output.grads);
            for (key, value) in output.item.metrics {
                *metrics.entry(key).or_default() += value / n_updates;
            }
        }
        metrics.insert("update/learning_rate".into(), learning_rate);
        metrics.insert("time/reference_secs".into(), reference_secs);
        metrics.insert("time/update_secs".into(), begun.elapsed().as_secs_f64() - reference_secs);
        metrics
    }

    fn learning_rate(&self, optimizer: &OptimizerConfig) -> f64 {
        let total = self.planned_steps().zip(self.state.stage).map(|(steps, stage)| steps[stage]);
        // Without a known number of steps there is no end to decay towards.
        optimizer.learning_rate * total.map_or(1.0, |total| optimizer.schedule.factor(self.state.stage_step(), total))
    }
}
