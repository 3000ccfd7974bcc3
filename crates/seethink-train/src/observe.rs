//! Observers of a run.

use crate::metrics::StepRecord;
use burn::train::logger::{EvaluationProgressLogger, TrainingProgressLogger};
use burn::train::metric::MetricDefinition;
use burn::train::renderer::{
    EvaluationName, MetricState, MetricsRenderer, MetricsRendererEvaluation, MetricsRendererTraining,
};
use seethink_curriculum::Stage;

/// Event of a run.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// A stage begins, or goes on after a resume.
    Stage {
        /// Index of the stage.
        index: usize,
        /// The stage.
        stage: &'a Stage,
        /// Number of steps of the stage, where that is known beforehand.
        steps: Option<usize>,
    },
    /// Completions are being sampled.
    Generating {
        /// Number of completions finished.
        done: usize,
        /// Number of completions of this step.
        wanted: usize,
    },
    /// The model is being updated.
    Updating,
    /// The model is being validated.
    Validating,
    /// A step is done.
    Step {
        /// Metrics of the step.
        record: &'a StepRecord,
        /// Number of steps done in this stage.
        stage_step: usize,
        /// Number of steps of this stage over all visits to it, where that is known beforehand.
        planned_steps: Option<usize>,
    },
    /// A checkpoint was written.
    Checkpoint {
        /// Step of the checkpoint.
        step: usize,
    },
}

/// Observer: receives every event of a run.
pub type Observer = dyn FnMut(Event<'_>) + Send;

/// Progress callback of fine-tuning: receives examples seen in this epoch, examples in an epoch,
/// and the loss in nats a token: the mean over the last batches of training, or over the whole
/// validation so far.
pub type SftProgress = dyn FnMut(SftSplit, usize, usize, f64) + Send + Sync;

/// Data split that a loss was measured on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SftSplit {
    /// Trained examples.
    Train,
    /// Held-out examples.
    Validation,
}

/// Batches that the training loss is averaged over.
const RECENT: usize = 32;

/// burn renderer that passes the loss to a callback and displays nothing.
pub(crate) struct LossListener {
    listener: Box<SftProgress>,
    split: SftSplit,
    n_items: usize,
    /// Losses of the batches of this split so far.
    losses: Vec<f64>,
}

impl LossListener {
    pub(crate) fn new(listener: Box<SftProgress>) -> Self {
        Self { listener, split: SftSplit::Train, n_items: 0, losses: Vec::new() }
    }

    /// Creates a renderer without callback, for GRPO runs, which have an observer.
    pub(crate) fn silent() -> Self {
        Self::new(Box::new(|_, _, _, _| {}))
    }

    fn update(&mut self, state: MetricState) {
        if let MetricState::Numeric(_, Some(entry)) = state {
            self.losses.push(entry.current());
        }
    }
}

impl MetricsRendererTraining for LossListener {
    fn update_train(&mut self, state: MetricState) {
        self.update(state);
    }

    fn update_valid(&mut self, state: MetricState) {
        self.update(state);
    }
}

impl MetricsRendererEvaluation for LossListener {
    fn update_test(&mut self, _: EvaluationName, _: MetricState) {}
}

impl TrainingProgressLogger for LossListener {
    fn start(&mut self, _: usize, _: usize, _: Option<usize>, _: Option<&str>) {}
    fn update_epoch(&mut self, _: usize) {}

    fn start_split(&mut self, split: &str, n_items: usize) {
        self.split = if split == "train" { SftSplit::Train } else { SftSplit::Validation };
        self.n_items = n_items;
        self.losses.clear();
    }

    fn update_split(&mut self, n_done: usize) {
        let recent = match self.split {
            SftSplit::Train => &self.losses[self.losses.len().saturating_sub(RECENT)..],
            SftSplit::Validation => &self.losses,
        };
        let loss = recent.iter().sum::<f64>() / recent.len() as f64;
        (self.listener)(self.split, n_done, self.n_items, loss);
    }

    fn end_split(&mut self) {}
    fn end(&mut self) {}
    fn log_event_training(&mut self, _: String) {}
}

impl EvaluationProgressLogger for LossListener {
    fn start_global_progress(&mut self, _: usize) {}
    fn start_test(&mut self, _: &str, _: usize) {}
    fn update_test_progress(&mut self, _: usize) {}
    fn end_test(&mut self) {}
    fn end_global_progress(&mut self) {}
    fn log_event_evaluation(&mut self, _: String) {}
}

impl MetricsRenderer for LossListener {
    fn manual_close(&mut self) {}
    fn register_metric(&mut self, _: MetricDefinition) {}
}
