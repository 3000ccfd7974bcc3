//! The training loop.

use super::step::{Sampled, Step};
use super::{BankedGroup, Grpo, Moment};
use crate::checkpoint::{CheckpointFolder, RunState, Unmeasured};
use crate::log_prob::LogProbs;
use crate::metrics::{Metrics, MetricsFile, StepOutput, StepRecord};
use crate::observe::Event;
use crate::optim::SharedRate;
use crate::policy::{Objective, Policy, TrainBatch};
use crate::{GrpoConfig, OptimizerConfig, TrainError};
use burn::data::dataloader::Progress;
use burn::lr_scheduler::module_lr_scheduler::ModuleLrScheduler;
use burn::module::Module;
use burn::train::{EventProcessorTraining, Interrupter, Learner, LearnerEvent, TrainingComponents, TrainingItem};
use seethink_core::{Problem, ProblemId, Purpose};
use seethink_curriculum::{Batch, GroupKey, GroupOutcome, Stage};
use seethink_models::{ForwardCost, Processor, PromptInput, VisionLanguageModel, VisualFeatures};
use seethink_rollout::{DrawKey, Generator, Prompt, RolloutError, Rollouts};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Instant;

/// Name of the metrics file in the folder of a run.
pub(super) const METRICS: &str = "metrics.jsonl";

/// Outcome of the training loop.
#[derive(Default)]
pub(super) struct Outcome {
    /// Steps done, earlier ones of a resumed run included.
    pub(super) steps: usize,
    /// True if the curriculum is over.
    pub(super) finished: bool,
}

/// A run in progress.
pub(super) struct Run<M: VisionLanguageModel> {
    grpo: Grpo<M>,
    checkpoints: CheckpointFolder,
    metrics: MetricsFile,
    rate: SharedRate,
    cost: ForwardCost,
    state: RunState,
    /// Reference policy of the KL term, without gradient tracking; `None` where no stage has a KL
    /// term.
    reference: Option<Policy<M>>,
    /// True if the state has not changed since the last checkpoint.
    saved: bool,
    started: Instant,
    elapsed_before: f64,
}

impl<M: VisionLanguageModel> Run<M> {
    pub(super) fn new(
        mut grpo: Grpo<M>,
        folder: &Path,
        checkpoints: CheckpointFolder,
        rate: SharedRate,
        cost: ForwardCost,
        resumed: Option<RunState>,
    ) -> Result<Self, TrainError> {
        let n_stages = grpo.stages().len();
        let saved = resumed.is_some();
        let state = match resumed {
            Some(state) => {
                check_same_run(&state, &grpo, folder)?;
                grpo.curriculum.load_record(&state.curriculum)?;
                state
            }
            None => RunState::new(grpo.seed, grpo.config.clone(), n_stages, grpo.curriculum.to_record()),
        };
        let n_reported = state.step + usize::from(state.unmeasured.is_none());
        let metrics = MetricsFile::open(&folder.join(METRICS), n_reported)?;
        let elapsed_before = state.elapsed_secs;
        let started = Instant::now();
        Ok(Self { grpo, checkpoints, metrics, rate, cost, state, reference: None, saved, started, elapsed_before })
    }

    /// Training loop: draw from the curriculum, roll out, score, compare within groups, update,
    /// report to the curriculum.
    pub(super) fn train(
        &mut self,
        learner: &mut Learner<Policy<M>>,
        burn: &mut TrainingComponents<Policy<M>>,
    ) -> Result<Outcome, TrainError> {
        let resumed = self.saved;
        if resumed {
            self.restore(learner)?;
        }
        let mut plan = self.next_plan();
        // From here on a run can be resumed, wherever it stops.
        self.checkpoint(learner, burn)?;
        if let Some(batch) = plan.as_ref().filter(|batch| resumed && self.state.stage == Some(batch.stage)) {
            self.announce_stage(batch.stage, burn);
        }
        // The base model of a new run, or a step whose validation was interrupted.
        let mut running = match self.state.unmeasured.take() {
            Some(step) => self.conclude(step, learner, burn)?,
            None => true,
        };
        while running && !burn.interrupter.should_stop() {
            let Some(batch) = &plan else { break };
            let begun = Instant::now();
            if self.state.stage != Some(batch.stage) {
                self.enter_stage(batch.stage, learner, burn)?;
            }
            let stage = self.grpo.stages()[batch.stage].clone();
            let step = match self.collect(learner, batch, &stage, &burn.interrupter) {
                Ok(step) => step,
                Err(TrainError::Rollout(RolloutError::Interrupted)) => break,
                Err(error) => {
                    self.checkpoint(learner, burn)?;
                    return Err(error);
                }
            };
            let mut metrics = step.metrics();
            metrics.insert("time/rollout_secs".into(), begun.elapsed().as_secs_f64());
            metrics.extend(self.update(learner, &stage, &step));
            self.grpo.curriculum.observe(&step.outcomes());
            self.fill_bank(&step, batch.stage);
            let figures = self.grpo.curriculum.curriculum().metrics().into_iter();
            metrics.extend(figures.map(|(key, value)| (format!("curriculum/{key}"), value)));
            self.advance(&step);
            metrics.insert("time/step_secs".into(), begun.elapsed().as_secs_f64());

            let trained_stage = batch.stage;
            plan = self.next_plan();
            let end_of_stage = plan.as_ref().is_none_or(|next| next.stage != trained_stage);
            running = self.conclude(Unmeasured { metrics, end_of_stage }, learner, burn)?;
        }
        self.checkpoint(learner, burn)?;
        Ok(Outcome { steps: self.state.step, finished: running && plan.is_none() })
    }

    /// Concludes a finished step: validates where that is due, reports and saves.
    ///
    /// Returns `false` if the validation gave up because of an interruption; a resumed run repeats
    /// it.
    fn conclude(
        &mut self,
        step: Unmeasured,
        learner: &Learner<Policy<M>>,
        burn: &mut TrainingComponents<Policy<M>>,
    ) -> Result<bool, TrainError> {
        let stage = self.state.stage.map(|index| self.grpo.stages()[index].name.clone());
        let is_multiple = |n: usize, of: usize| of > 0 && n.is_multiple_of(of);
        let mut metrics = step.metrics.clone();
        self.saved = false;
        if stage.is_none() || step.end_of_stage || is_multiple(self.state.stage_step(), self.grpo.config.validate_every)
        {
            match self.validate(learner, stage.as_deref(), step.end_of_stage) {
                Ok(measured) => metrics.extend(measured),
                Err(error) => {
                    self.state.unmeasured = Some(step.finite());
                    if burn.interrupter.should_stop() {
                        tracing::info!(%error, "validation interrupted");
                        return Ok(false);
                    }
                    self.checkpoint(learner, burn)?;
                    return Err(error);
                }
            }
        }
        let Some(stage) = stage else {
            self.write("base", metrics)?;
            return Ok(true);
        };
        self.report(&stage, metrics, learner, burn)?;
        if step.end_of_stage || is_multiple(self.state.step, self.grpo.config.checkpoint_every) {
            self.checkpoint(learner, burn)?;
        }
        if step.end_of_stage {
            let epoch = self.state.stage.map_or(0, |index| index + 1);
            burn.interrupter.fail_on_error(burn.event_processor.process_train(LearnerEvent::EndSplit(epoch)));
            burn.interrupter.fail_on_error(burn.event_processor.process_train(LearnerEvent::EndEpoch(epoch)));
        }
        Ok(true)
    }

    /// Draws the next batch from the curriculum; `None` when the curriculum is over.
    fn next_plan(&mut self) -> Option<Batch> {
        // The record is of the moment before the draw: a resumed run draws the same batch again.
        self.state.curriculum = self.grpo.curriculum.to_record();
        let batch = self.grpo.curriculum.draw(self.grpo.config.rollout_batch);
        (!batch.is_empty()).then_some(batch)
    }

    /// Applies the settings of a stage. At later visits the optimiser and the reference go on as
    /// they are.
    fn enter_stage(
        &mut self,
        index: usize,
        learner: &mut Learner<Policy<M>>,
        burn: &mut TrainingComponents<Policy<M>>,
    ) -> Result<(), TrainError> {
        let stage = self.grpo.stages()[index].clone();
        let first = self.state.stage.is_none();
        let first_visit = self.state.stage_steps[index] == 0;
        if first_visit && stage.reset_optimizer && !first {
            let scheduler = ModuleLrScheduler::new(self.rate.clone());
            *learner = Learner::new(learner.model(), self.grpo.config.optimizer.init(), scheduler);
        }
        if first || (first_visit && stage.snapshot_reference) {
            self.take_reference(learner)?;
        }
        self.state.stage = Some(index);
        self.announce_stage(index, burn);
        Ok(())
    }

    fn announce_stage(&mut self, index: usize, burn: &mut TrainingComponents<Policy<M>>) {
        let steps = self.planned_steps().map(|steps| steps[index]);
        let event = LearnerEvent::StartSplit { epoch_number: index + 1, total_items: steps.unwrap_or(0) };
        burn.interrupter.fail_on_error(burn.event_processor.process_train(event));
        let Grpo { observer, curriculum, .. } = &mut self.grpo;
        observer(Event::Stage { index, stage: &curriculum.curriculum().stages()[index], steps });
    }

    /// Steps of each stage, where the curriculum knows them beforehand.
    fn planned_steps(&self) -> Option<Vec<usize>> {
        self.grpo.curriculum.curriculum().planned_steps(Some(self.grpo.config.rollout_batch))
    }

    /// Returns whether any stage has a KL term.
    fn needs_reference(&self) -> bool {
        let config = &self.grpo.config;
        self.grpo.stages().iter().any(|stage| config.of_stage(stage).loss.kl_coef > 0.0)
    }

    /// Takes the current policy as the reference, where one is needed.
    fn take_reference(&mut self, learner: &Learner<Policy<M>>) -> Result<(), TrainError> {
        if self.needs_reference() {
            let policy = learner.model().valid();
            self.checkpoints.save_reference(self.state.step, policy.clone().into_record())?;
            self.reference = Some(policy);
        }
        self.state.reference_step = self.state.step;
        self.state.vision_changed = false;
        Ok(())
    }

    /// Samples groups until as many are admitted as the batch has problems, the curriculum has no
    /// more, or the draws are used up; groups of earlier steps may fill the step up.
    fn collect(
        &mut self,
        learner: &Learner<Policy<M>>,
        batch: &Batch,
        stage: &Stage,
        interrupter: &Interrupter,
    ) -> Result<Step, TrainError> {
        let policy = learner.model().valid();
        let mut step = Step::default();
        let mut problems = batch.problems.clone();
        for draw in 1..=self.grpo.config.max_draws {
            for group in self.sample(&policy, &problems, stage, interrupter)? {
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
        stage: &Stage,
        interrupter: &Interrupter,
    ) -> Result<Vec<Sampled>, TrainError> {
        // A larger number is a curriculum's mistake.
        const MOST: usize = 1024;
        let reward = self.grpo.reward_of(stage).clone();
        let Grpo { config, processor, problems: all, observer, curriculum, seed, .. } = &mut self.grpo;
        let config = config.of_stage(stage);
        let problems = all.get(problems)?;
        let prompts = config.prompt.encode_all(&**processor, &problems.iter().collect::<Vec<_>>())?;
        let generator = generator(policy, &**processor, &config);
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
                    sampled[index].extend(decoded, &*reward, &problems[index]);
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
            config.of_stage(&self.grpo.stages()[group.stage]).prompt.encode(&**processor, problem)
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
    fn fill_bank(&mut self, step: &Step, stage: usize) {
        let wanted: BTreeSet<GroupKey> = self.grpo.curriculum.curriculum().banked().into_iter().collect();
        self.state.bank.retain(|group| wanted.contains(&group.outcome.key));
        let fresh = step.sampled.iter().filter(|group| wanted.contains(&group.outcome.key));
        self.state.bank.extend(fresh.map(|group| group.to_bank(stage)));
    }

    /// Updates the policy: one optimiser step per mini-batch. Returns the metrics, averaged over
    /// them.
    fn update(&mut self, learner: &mut Learner<Policy<M>>, stage: &Stage, step: &Step) -> Metrics {
        let begun = Instant::now();
        (self.grpo.observer)(Event::Updating);
        let Grpo { config, processor, curriculum, .. } = &self.grpo;
        let GrpoConfig { loss, optimizer, .. } = config.of_stage(stage);
        let log_probs = LogProbs {
            temperature: config.sampling.log_prob_temperature(),
            forbidden: processor.forbidden_token_ids().to_vec(),
            chunk: config.memory.logit_chunk,
        };
        let pad_token = processor.pad_token_id();
        let vision_learns = stage.trainable.sees_gradients_in_vision();
        let weight = |group: &GroupOutcome| curriculum.curriculum().weight(group);
        let cut = |keep_features| {
            step.mini_batches(config.mini_batch, config.memory.micro_batch_tokens, keep_features, weight)
        };
        let mut batches = cut(!vision_learns);
        if let Some(reference) = self.reference.as_ref().filter(|_| loss.kl_coef > 0.0) {
            // Same rows, same order; the reference encodes images itself where its vision side
            // differs.
            let seen = cut(!self.state.vision_changed);
            for (micro_batch, seen) in batches.iter_mut().flatten().zip(seen.iter().flatten()) {
                micro_batch.targets.reference_log_probs = reference.log_probs(seen, &log_probs, pad_token);
                self.state.ledger.read(&self.cost, seen);
            }
        }
        self.state.vision_changed |= vision_learns;
        let reference_secs = begun.elapsed().as_secs_f64();

        let learning_rate = self.learning_rate(&optimizer);
        self.rate.set(learning_rate);
        learner.lr_step();
        let n_updates = batches.len() as f64;
        let mut metrics = Metrics::new();
        for micro_batches in batches {
            micro_batches.iter().for_each(|batch| self.state.ledger.learn(&self.cost, batch, stage.trainable));
            self.state.ledger.updates += 1;
            let output = learner.train_step(TrainBatch {
                micro_batches,
                objective: Objective::Policy(loss),
                trainable: stage.trainable,
                log_probs: log_probs.clone(),
                pad_token,
                max_grad_norm: optimizer.max_grad_norm,
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

    fn advance(&mut self, step: &Step) {
        self.state.step += 1;
        if let Some(stage) = self.state.stage {
            self.state.stage_steps[stage] += 1;
        }
        self.state.ledger += step.ledger(&self.cost);
    }

    fn elapsed_secs(&self) -> f64 {
        self.elapsed_before + self.started.elapsed().as_secs_f64()
    }

    fn validate(
        &mut self,
        learner: &Learner<Policy<M>>,
        stage: Option<&str>,
        end_of_stage: bool,
    ) -> Result<Metrics, TrainError> {
        let Some(validate) = &mut self.grpo.validate else { return Ok(Metrics::new()) };
        let begun = Instant::now();
        (self.grpo.observer)(Event::Validating);
        let moment = Moment { step: self.state.step, stage, end_of_stage };
        let mut metrics = validate.validate(&learner.model().valid().model, moment).map_err(TrainError::Validation)?;
        metrics.insert("time/validation_secs".into(), begun.elapsed().as_secs_f64());
        Ok(metrics)
    }

    /// Reports a finished step to the metrics file, burn and the observer.
    fn report(
        &mut self,
        stage: &str,
        metrics: Metrics,
        learner: &Learner<Policy<M>>,
        burn: &mut TrainingComponents<Policy<M>>,
    ) -> Result<(), TrainError> {
        let planned_steps = self.planned_steps().zip(self.state.stage).map(|(steps, stage)| steps[stage]);
        let progress = Progress::new(self.state.stage_step(), planned_steps.unwrap_or(0), Some("steps".into()));
        let output = StepOutput { metrics: metrics.clone() };
        let item = TrainingItem::new(output, progress, Some(self.state.step), Some(learner.lr_current()));
        burn.interrupter.fail_on_error(burn.event_processor.process_train(LearnerEvent::ProcessedItem(item)));
        let record = self.write(stage, metrics)?;
        (self.grpo.observer)(Event::Step { record: &record, stage_step: self.state.stage_step(), planned_steps });
        Ok(())
    }

    /// Appends a line to the metrics file.
    fn write(&mut self, stage: &str, mut metrics: Metrics) -> Result<StepRecord, TrainError> {
        let state = &self.state;
        metrics.extend(state.ledger.metrics());
        metrics.insert("time/elapsed_secs".into(), self.elapsed_secs());
        let record = StepRecord { step: state.step, stage: stage.to_owned(), metrics };
        self.metrics.push(&record)?;
        Ok(record)
    }

    /// Saves a checkpoint, unless this step is saved already.
    fn checkpoint(
        &mut self,
        learner: &Learner<Policy<M>>,
        burn: &mut TrainingComponents<Policy<M>>,
    ) -> Result<(), TrainError> {
        if self.saved {
            return Ok(());
        }
        self.state.elapsed_secs = self.elapsed_secs();
        if let Some(checkpointer) = &mut burn.checkpointer {
            checkpointer.checkpoint(learner, self.state.step, &burn.event_store);
            self.checkpoints.save_state(&self.state)?;
            self.checkpoints.prune(&self.state);
            self.saved = true;
            (self.grpo.observer)(Event::Checkpoint { step: self.state.step });
        }
        Ok(())
    }

    /// Restores weights, moments and reference from the checkpoint.
    fn restore(&mut self, learner: &mut Learner<Policy<M>>) -> Result<(), TrainError> {
        learner.load_model(self.checkpoints.load("model", self.state.step)?);
        learner.load_optim(self.checkpoints.load("optim", self.state.step)?);
        if self.state.stage.is_some() && self.needs_reference() {
            let record = self.checkpoints.load_reference(self.state.reference_step)?;
            self.reference = Some(learner.model().valid().load_record(record));
        }
        Ok(())
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

/// Refuses the checkpoint of another run; the curriculum checks its own record.
fn check_same_run<M>(state: &RunState, grpo: &Grpo<M>, folder: &Path) -> Result<(), TrainError> {
    let wrong = |problem| Err(TrainError::Checkpoint { path: folder.to_owned(), problem });
    let n_stages = grpo.stages().len();
    match state.difference(grpo.seed, &grpo.config) {
        Err(error) => wrong(format!("has settings that cannot be compared: {error}")),
        Ok(Some(difference)) => wrong(format!("is of a run with {difference}")),
        Ok(None) if state.stage_steps.len() != n_stages => {
            wrong(format!("is of a run with {} stages, not {n_stages}", state.stage_steps.len()))
        }
        Ok(None) if state.bank.iter().any(|group| group.stage >= n_stages) => {
            wrong(format!("banks a group of a stage that there is not: there are {n_stages}"))
        }
        Ok(None) => Ok(()),
    }
}
