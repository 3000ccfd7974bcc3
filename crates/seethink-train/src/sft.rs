//! Supervised fine-tuning: imitate the solutions of problems.
//!
//! burn's own training strategy runs it; this module supplies the batches and the learning rate.

use crate::batch::{GroupInput, MicroBatch};
use crate::log_prob::LogProbs;
use crate::metrics::KeyMetric;
use crate::observe::{LossListener, SftProgress};
use crate::policy::{Objective, Policy, TrainBatch};
use crate::{Ledger, OptimizerConfig, SftConfig, TrainError};
use burn::data::dataloader::{DataLoader, DataLoaderIterator, Progress};
use burn::data::dataset::DatasetError;
use burn::lr_scheduler::module_lr_scheduler::ModuleLrScheduler;
use burn::lr_scheduler::{LrScheduler, LrSchedulerRecord};
use burn::tensor::Device;
use burn::train::{ExecutionStrategy, Interrupter, Learner, SupervisedTraining, TrainingStrategy};
use rayon::prelude::*;
use seethink_core::{Problem, Purpose, Rng, Trainable};
use seethink_models::{ForwardCost, Processor, VisionLanguageModel};
use seethink_rollout::{PromptError, PromptFormat};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Examples of a fine-tuning run.
pub struct SftData {
    /// Training problems; each needs a solution.
    pub train: Vec<Problem>,
    /// Validation problems, measured after every epoch by cross entropy.
    pub validation: Vec<Problem>,
}

/// A supervised fine-tuning run, ready to start.
pub struct Sft {
    /// Settings.
    pub config: SftConfig,
    /// Seed of the order of examples.
    pub seed: u64,
    /// Processor of the backbone: text and pictures to model input.
    pub processor: Arc<dyn Processor>,
    /// The examples.
    pub data: SftData,
    /// Progress callback.
    pub progress: Box<SftProgress>,
}

impl Sft {
    /// Fine-tunes `model` on the solutions, each ended by the first end-of-sequence token, and
    /// returns it without gradient tracking, with what it cost. burn's metrics go into `folder`.
    /// `interrupter` stops it early; what was learnt so far is returned.
    ///
    /// # Errors
    /// If a problem has no solution, cannot be encoded or is longer than the model has positions
    /// for, or burn's learner stops.
    pub fn train<M: VisionLanguageModel>(
        self,
        model: M,
        folder: &Path,
        interrupter: Interrupter,
    ) -> Result<(M, Ledger), TrainError> {
        let Self { config, seed, processor, data, progress } = self;
        config.check()?;
        let (examples, max_positions) = (data.train.par_iter().chain(&data.validation), model.max_positions());
        examples.try_for_each(|problem| check_length(&config.prompt, &*processor, problem, max_positions))?;
        let model = model.valid().train();
        let device = model.device();
        let n_steps = config.epochs * data.train.len().div_ceil(config.batch);
        let spent = Arc::new(Mutex::new(Ledger::default()));
        let cost = ForwardCost::of(&model);
        let loader = |problems: Vec<Problem>, learns: bool| Examples {
            problems: problems.into(),
            learns: learns.then(|| (cost, spent.clone())),
            epoch: Arc::default(),
            processor: processor.clone(),
            config: config.clone(),
            seed,
        };
        let (train, validation) = (loader(data.train, true), loader(data.validation, false));
        let rate = SteppedRate { optimizer: config.optimizer, step: 0, n_steps };
        let learner = Learner::new(Policy { model }, config.optimizer.init(), ModuleLrScheduler::new(rate));
        let result = SupervisedTraining::<Policy<M>>::new(folder, Arc::new(train), Arc::new(validation))
            .metric_train_numeric(KeyMetric::new("update/loss", false))
            .metric_valid_numeric(KeyMetric::new("update/loss", false))
            .renderer(Box::new(LossListener::new(progress)))
            .with_application_logger(None)
            .with_interrupter(interrupter)
            .num_epochs(config.epochs)
            .with_training_strategy(TrainingStrategy::Default(ExecutionStrategy::SingleDevice(device)))
            .launch(learner);
        match result.error {
            Some(error) => Err(TrainError::Learner(error)),
            None => Ok((result.model.model, *spent.lock().unwrap_or_else(PoisonError::into_inner))),
        }
    }
}

/// Batches of solutions, in an order that is a function of seed and epoch.
#[derive(Clone)]
struct Examples {
    problems: Arc<[Problem]>,
    /// Cost and ledger of training examples, which are also shuffled; `None` for validation.
    learns: Option<(ForwardCost, Arc<Mutex<Ledger>>)>,
    epoch: Arc<AtomicU64>,
    processor: Arc<dyn Processor>,
    config: SftConfig,
    seed: u64,
}

impl Examples {
    fn batch(&self, indices: &[usize]) -> Result<TrainBatch, TrainError> {
        let problems: Vec<&Problem> = indices.iter().map(|&i| &self.problems[i]).collect();
        let prompts = self.config.prompt.encode_all(&*self.processor, &problems)?;
        let solutions =
            problems.iter().map(|problem| solution(&*self.processor, problem)).collect::<Result<Vec<_>, _>>()?;
        let groups: Vec<GroupInput<'_>> = prompts
            .iter()
            .zip(&solutions)
            .map(|(prompt, solution)| GroupInput {
                prompt,
                features: None,
                completions: vec![(solution, &[])],
                advantages: Vec::new(),
            })
            .collect();
        let micro_batches = MicroBatch::pack(&groups, self.config.memory.micro_batch_tokens);
        if let Some((cost, spent)) = &self.learns {
            let mut spent = spent.lock().unwrap_or_else(PoisonError::into_inner);
            micro_batches.iter().for_each(|batch| spent.add_update(cost, batch, Trainable::ALL));
            spent.updates += 1;
        }
        Ok(TrainBatch {
            micro_batches,
            n_left_out: 0,
            objective: Objective::SupervisedFineTuning,
            trainable: Trainable::ALL,
            log_probs: LogProbs {
                temperature: 1.0,
                forbidden: self.processor.forbidden_token_ids().to_vec(),
                chunk: self.config.memory.logit_chunk,
            },
            pad_token: self.processor.pad_token_id(),
            max_grad_norm: self.config.optimizer.max_grad_norm,
            activations: self.config.memory.activations,
        })
    }
}

/// Tokens of the solution of a problem, with the end-of-sequence token.
fn solution(processor: &dyn Processor, problem: &Problem) -> Result<Vec<u32>, TrainError> {
    let solution =
        problem.solution.as_ref().ok_or(TrainError::Incomplete { problem: problem.id, missing: "solution" })?;
    let mut tokens =
        processor.encode_text(solution).map_err(|source| PromptError::Prompt { problem: problem.id, source })?;
    tokens.extend(processor.eos_token_ids().first());
    Ok(tokens)
}

/// # Errors
/// If there are no positions for a prompt and its solution.
fn check_length(
    format: &PromptFormat,
    processor: &dyn Processor,
    problem: &Problem,
    max_positions: usize,
) -> Result<(), TrainError> {
    let n_tokens = format.n_tokens(processor, problem)? + solution(processor, problem)?.len();
    if n_tokens > max_positions {
        return Err(TrainError::LongExample { problem: problem.id, n_tokens, max_positions });
    }
    Ok(())
}

impl DataLoader<TrainBatch> for Examples {
    fn iter<'a>(&'a self) -> Box<dyn DataLoaderIterator<TrainBatch> + 'a> {
        let mut order: Vec<usize> = (0..self.problems.len()).collect();
        if self.learns.is_some() {
            let epoch = self.epoch.fetch_add(1, Ordering::Relaxed);
            Rng::new(self.seed, Purpose::FineTuning, &[epoch]).shuffle(&mut order);
        }
        Box::new(Batches { examples: self, order, next: 0 })
    }

    fn num_items(&self) -> usize {
        self.problems.len()
    }

    /// Batches are made on the host.
    fn to_device(&self, _: &Device) -> Arc<dyn DataLoader<TrainBatch>> {
        Arc::new(self.clone())
    }

    fn slice(&self, start: usize, end: usize) -> Arc<dyn DataLoader<TrainBatch>> {
        Arc::new(Self { problems: self.problems[start..end].into(), ..self.clone() })
    }
}

struct Batches<'a> {
    examples: &'a Examples,
    order: Vec<usize>,
    next: usize,
}

impl Iterator for Batches<'_> {
    type Item = Result<TrainBatch, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        let indices = self.order.get(self.next..)?.chunks(self.examples.config.batch).next()?;
        self.next += indices.len();
        Some(self.examples.batch(indices).map_err(DatasetError::new))
    }
}

impl DataLoaderIterator<TrainBatch> for Batches<'_> {
    fn progress(&self) -> Progress {
        Progress::new(self.next, self.order.len(), Some("examples".into()))
    }
}

/// Learning-rate schedule over a whole run, as a burn scheduler.
#[derive(Debug, Clone)]
struct SteppedRate {
    optimizer: OptimizerConfig,
    step: usize,
    n_steps: usize,
}

impl LrScheduler for SteppedRate {
    fn step(&mut self) -> f64 {
        let rate = self.optimizer.learning_rate * self.optimizer.schedule.factor(self.step, self.n_steps);
        self.step += 1;
        rate
    }

    fn to_record(&self) -> LrSchedulerRecord {
        LrSchedulerRecord::new().with_scalar("step", self.step as u64)
    }

    fn load_record(&mut self, record: LrSchedulerRecord) {
        self.step = record.scalar::<u64>("step").map_or(self.step, |step| step as usize);
    }
}
