//! GRPO: sample a group of completions per problem, reinforce those that beat the group's mean.
//!
//! [`Grpo`] is an extension of burn's learner: it plugs into `SupervisedTraining` as a strategy, so
//! burn's metrics, dashboard, file logger, checkpointer and interrupter do their work. The loop
//! itself is in `run.rs`, its rollouts in `rollout.rs`, its updates in `update.rs`.
//!
//! A stage may be visited several times ([`Epochs::OverWholePlan`](seethink_curriculum::Epochs),
//! adaptive policies). What is trained and the overrides hold whenever a batch is the stage's. The
//! optimiser is reset and the reference taken at its first visit only, and its learning-rate
//! schedule runs over all its visits together.
//!
//! # Source
//! EasyR1 at `b44b311`, as used by arXiv 2605.20177. One engine samples and trains, so the
//! log-probabilities taken while sampling are the old ones of the update and are not computed
//! again.

mod rollout;
mod run;
mod step;
mod update;

use crate::checkpoint::{CheckpointFolder, SaveAlways};
use crate::metrics::{KeyMetric, Metrics};
use crate::observe::{LossListener, Observer};
use crate::optim::SharedRate;
use crate::policy::{NoData, Policy};
use crate::{GrpoConfig, StageConfig, TrainError};
use burn::lr_scheduler::module_lr_scheduler::ModuleLrScheduler;
use burn::tensor::Device;
use burn::train::{
    Interrupter, Learner, SupervisedLearningStrategy, SupervisedTraining, SupervisedTrainingEventProcessor,
    TrainLoader, TrainingComponents, TrainingStrategy, ValidLoader,
};
use run::{METRICS, Outcome, Run, StageSettings};
use seethink_curriculum::{Course, Stage};
use seethink_models::{ForwardCost, Processor, VisionLanguageModel};
use seethink_reward::Reward;
use seethink_rollout::Problems;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Time of a validation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment<'a> {
    /// Steps done.
    pub step: usize,
    /// Stage of the last step; `None` before the first.
    pub stage: Option<&'a str>,
    /// True if the stage has just ended.
    pub end_of_stage: bool,
}

/// Validation between steps. Its metrics join those of the step.
pub trait Validate<M>: Send {
    /// Validates `model`, which does not track gradients.
    ///
    /// # Errors
    /// Any error of the measurement; training stops with it.
    fn validate(&mut self, model: &M, moment: Moment<'_>) -> Result<Metrics, Box<dyn std::error::Error + Send + Sync>>;
}

/// A GRPO run, ready to start.
pub struct Grpo<M> {
    /// Settings.
    pub config: GrpoConfig,
    /// Seed of all random draws.
    pub seed: u64,
    /// Processor of the backbone: text and pictures to model input.
    pub processor: Arc<dyn Processor>,
    /// Default reward; its part named `accuracy` is what the curriculum receives.
    pub reward: Arc<dyn Reward>,
    /// Rewards that stages may name instead of the default.
    pub rewards: BTreeMap<String, Arc<dyn Reward>>,
    /// Problems that the curriculum draws from.
    pub problems: Problems,
    /// Running curriculum, which decides the batches.
    pub curriculum: Course,
    /// Validation between steps.
    pub validate: Option<Box<dyn Validate<M>>>,
    /// Observer of progress.
    pub observer: Box<Observer>,
    /// True to show the metrics in burn's dashboard, which needs a terminal.
    pub dashboard: bool,
}

/// Result of a run.
#[derive(Debug)]
pub struct Trained<M> {
    /// The model, without gradient tracking.
    pub model: M,
    /// Steps done, earlier ones of a resumed run included.
    pub steps: usize,
    /// True if the run was stopped before the curriculum was over; its folder holds a checkpoint to
    /// resume from.
    pub interrupted: bool,
}

/// Metrics in burn's dashboard and file logger, and whether higher is better.
const SHOWN: [(&str, bool); 8] = [
    ("reward/mean", true),
    ("reward/accuracy", true),
    ("reward/format", true),
    ("rollout/length", false),
    ("grpo/kl", false),
    ("update/grad_norm", false),
    ("update/nll", false),
    ("update/learning_rate", false),
];

impl<M: VisionLanguageModel> Grpo<M> {
    /// Trains `model`, writing into the folder `folder`.
    ///
    /// With `resume` it continues from the last checkpoint in the folder, exactly: the same draws,
    /// the same updates. `interrupter` stops it cleanly, with a checkpoint; a validation that gives
    /// up because of it is made up for.
    ///
    /// # Errors
    /// If a setting is out of range, the model has no room for the prompts and completions, a
    /// problem cannot be encoded, a file cannot be read or written, the folder holds a run and
    /// `resume` is false, or it holds another run and `resume` is true.
    pub fn train(
        self,
        model: M,
        folder: &Path,
        resume: bool,
        interrupter: Interrupter,
    ) -> Result<Trained<M>, TrainError> {
        self.config.check_run(self.curriculum.curriculum(), &self.problems, &*self.processor, &model)?;
        let settings = self.stages().iter().map(|stage| self.settings_of(stage)).collect::<Result<_, _>>()?;
        let checkpoints = CheckpointFolder::new(folder)?;
        let occupied = !checkpoints.is_empty() || folder.join(METRICS).exists();
        if occupied && !resume {
            return Err(TrainError::OccupiedFolder(folder.to_owned()));
        }
        let resumed = if resume { Some(checkpoints.latest()?) } else { None };
        // burn begins its log files anew whenever it starts.
        let burn_folder = resumed.as_ref().map_or("burn".into(), |state| format!("burn-from-{}", state.step));
        let rate = SharedRate::default();
        let scheduler = ModuleLrScheduler::new(rate.clone());
        let model = model.valid().train();
        let (device, cost) = (model.device(), ForwardCost::of(&model));
        let learner = Learner::new(Policy { model }, self.config.optimizer.init(), scheduler);
        let mut training =
            SupervisedTraining::<Policy<M>>::new(folder.join(burn_folder), Arc::new(NoData), Arc::new(NoData))
                .with_custom_checkpointers(
                    checkpoints.checkpointer("model"),
                    checkpoints.checkpointer("optim"),
                    checkpoints.checkpointer("scheduler"),
                )
                .with_checkpointing_strategy(SaveAlways)
                .with_interrupter(interrupter)
                .num_epochs(self.stages().len());
        for (key, higher_is_better) in SHOWN {
            training = training.metric_train_numeric(KeyMetric::new(key, higher_is_better));
        }
        if !self.dashboard {
            training = training.renderer(Box::new(LossListener::silent())).with_application_logger(None);
        }
        let strategy = Arc::new(Strategy {
            run: Mutex::new(Some(Run::new(self, settings, folder, checkpoints, rate, cost, resumed)?)),
            device,
            outcome: Mutex::new(Ok(Outcome::default())),
        });
        let result = training.with_training_strategy(TrainingStrategy::Custom(strategy.clone())).launch(learner);
        let mut outcome = strategy.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        let Outcome { steps, finished } = std::mem::replace(&mut *outcome, Ok(Outcome::default()))?;
        match result.error {
            Some(error) => Err(TrainError::Learner(error)),
            None => Ok(Trained { model: result.model.model, steps, interrupted: !finished }),
        }
    }
}

impl<M> Grpo<M> {
    fn stages(&self) -> &[Stage] {
        self.curriculum.curriculum().stages()
    }

    /// Settings of a stage.
    ///
    /// # Errors
    /// If an override is wrong, or names a reward that there is not.
    fn settings_of(&self, stage: &Stage) -> Result<StageSettings, TrainError> {
        let StageConfig { grpo, reward } = self.config.of_stage(stage)?;
        let reward = match reward {
            None => self.reward.clone(),
            Some(reward) => match self.rewards.get(&reward) {
                Some(named) => named.clone(),
                None => {
                    let known = self.rewards.keys().cloned().collect::<Vec<_>>().join(", ");
                    return Err(TrainError::UnknownReward { stage: stage.name.clone(), reward, known });
                }
            },
        };
        Ok(StageSettings { config: grpo, reward, trainable: stage.trainable })
    }
}

/// Training strategy for burn: runs the loop and keeps its outcome.
struct Strategy<M: VisionLanguageModel> {
    run: Mutex<Option<Run<M>>>,
    device: Device,
    outcome: Mutex<Result<Outcome, TrainError>>,
}

impl<M: VisionLanguageModel> SupervisedLearningStrategy<Policy<M>> for Strategy<M> {
    /// burn's epochs are our stages.
    fn fit(
        &self,
        mut burn: TrainingComponents<Policy<M>>,
        mut learner: Learner<Policy<M>>,
        _train: TrainLoader<Policy<M>>,
        _valid: ValidLoader<Policy<M>>,
        _starting_epoch: usize,
    ) -> (Policy<M>, SupervisedTrainingEventProcessor<Policy<M>>) {
        learner.fork(&self.device);
        if let Some(mut run) = self.run.lock().unwrap_or_else(PoisonError::into_inner).take() {
            *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = run.train(&mut learner, &mut burn);
        }
        // The checkpointer writes in the background; dropping it waits until it is done.
        drop(burn.checkpointer.take());
        (learner.model(), burn.event_processor)
    }
}
