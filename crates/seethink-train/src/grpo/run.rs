//! The training loop.

use super::step::Step;
use super::{Grpo, Moment};
use crate::checkpoint::{CheckpointFolder, RunState, Unmeasured};
use crate::metrics::{Metrics, MetricsFile, StepOutput, StepRecord};
use crate::observe::Event;
use crate::optim::SharedRate;
use crate::policy::Policy;
use crate::{GrpoConfig, TrainError};
use burn::data::dataloader::Progress;
use burn::lr_scheduler::module_lr_scheduler::ModuleLrScheduler;
use burn::module::Module;
use burn::train::{EventProcessorTraining, Learner, LearnerEvent, TrainingComponents, TrainingItem};
use seethink_core::Trainable;
use seethink_curriculum::Batch;
use seethink_models::{ForwardCost, VisionLanguageModel};
use seethink_reward::Reward;
use seethink_rollout::RolloutError;
use std::path::Path;
use std::sync::Arc;
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
    pub(super) grpo: Grpo<M>,
    /// Settings of each stage, `[stage]`.
    pub(super) settings: Vec<StageSettings>,
    pub(super) checkpoints: CheckpointFolder,
    metrics: MetricsFile,
    pub(super) rate: SharedRate,
    pub(super) cost: ForwardCost,
    pub(super) state: RunState,
    /// Reference policy of the KL term, without gradient tracking; `None` where no stage has a KL
    /// term.
    pub(super) reference: Option<Policy<M>>,
    /// True if the state has not changed since the last checkpoint.
    saved: bool,
    started: Instant,
    elapsed_before: f64,
}

/// Settings of a stage: those of the run with the stage's overrides.
pub(super) struct StageSettings {
    pub(super) config: GrpoConfig,
    pub(super) reward: Arc<dyn Reward>,
    /// Parts of the model that learn.
    pub(super) trainable: Trainable,
}

impl<M: VisionLanguageModel> Run<M> {
    pub(super) fn new(
        mut grpo: Grpo<M>,
        settings: Vec<StageSettings>,
        folder: &Path,
        checkpoints: CheckpointFolder,
        rate: SharedRate,
        cost: ForwardCost,
        resumed: Option<RunState>,
    ) -> Result<Self, TrainError> {
        let saved = resumed.is_some();
        let state = match resumed {
            Some(state) => {
                check_same_run(&state, &grpo, folder)?;
                grpo.curriculum.load_record(&state.curriculum)?;
                state
            }
            None => RunState::new(grpo.seed, grpo.config.clone(), settings.len(), grpo.curriculum.to_record()),
        };
        let n_reported = state.step + usize::from(state.unmeasured.is_none());
        let metrics = MetricsFile::open(&folder.join(METRICS), n_reported)?;
        let elapsed_before = state.elapsed_secs;
        let started = Instant::now();
        Ok(Self {
            grpo,
            settings,
            checkpoints,
            metrics,
            rate,
            cost,
            state,
            reference: None,
            saved,
            started,
            elapsed_before,
        })
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
            let step = match self.collect(learner, batch, &burn.interrupter) {
                Ok(step) => step,
                Err(TrainError::Rollout(RolloutError::Interrupted)) => break,
                Err(error) => {
                    self.checkpoint(learner, burn)?;
                    return Err(error);
                }
            };
            let mut metrics = step.metrics();
            metrics.insert("time/rollout_secs".into(), begun.elapsed().as_secs_f64());
            metrics.extend(self.update(learner, batch.stage, &step));
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
    pub(super) fn planned_steps(&self) -> Option<Vec<usize>> {
        self.grpo.curriculum.curriculum().planned_steps(Some(self.grpo.config.rollout_batch))
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
