//! Who watches a run.

use crate::metrics::StepRecord;
use burn::train::logger::{EvaluationProgressLogger, TrainingProgressLogger};
use burn::train::metric::MetricDefinition;
use burn::train::renderer::{
    EvaluationName, MetricState, MetricsRenderer, MetricsRendererEvaluation, MetricsRendererTraining,
};
use seethink_curriculum::Stage;

/// Something happened in a run.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// A stage begins, or goes on after a resume.
    Stage {
        /// Its index.
        index: usize,
        /// The stage.
        stage: &'a Stage,
        /// Steps that it will take, where that is known beforehand.
        steps: Option<usize>,
    },
    /// Completions are being sampled.
    Generating {
        /// Completions finished.
        done: usize,
        /// Completions of this step.
        wanted: usize,
    },
    /// The model is being updated.
    Updating,
    /// The model is being measured.
    Validating,
    /// A step is done.
    Step {
        /// Its metrics.
        record: &'a StepRecord,
        /// Steps done in this stage.
        stage_step: usize,
        /// Steps of this stage over all visits to it, where that is known beforehand.
        planned_steps: Option<usize>,
    },
    /// A checkpoint was written.
    Checkpoint {
        /// Its step.
        step: usize,
    },
}

/// Hears of every event of a run.
pub type Observer = dyn FnMut(Event<'_>) + Send;

/// Hears of fine-tuning: examples seen in this epoch, examples in an epoch, and the loss in nats a token: the mean over the
/// last batches of training, or over the whole validation so far.
pub type SftProgress = dyn FnMut(Split, usize, usize, f64) + Send + Sync;

/// What a loss was measured on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// Trained examples.
    Train,
    /// Held-out examples.
    Validation,
}

/// Batches that the training loss is averaged over.
const RECENT: usize = 32;

/// A burn renderer that hands the loss on, and shows nothing itself.
pub(crate) struct LossListener {
    listener: Box<SftProgress>,
    split: Split,
    n_items: usize,
    /// Of the batches of this split so far.
    losses: Vec<f64>,
}

impl LossListener {
    pub(crate) fn new(listener: Box<SftProgress>) -> Self {
        Self { listener, split: Split::Train, n_items: 0, losses: Vec::new() }
    }

    /// Shows nothing at all: the observer of a GRPO run does.
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
        self.split = if split == "train" { Split::Train } else { Split::Validation };
        self.n_items = n_items;
        self.losses.clear();
    }

    fn update_split(&mut self, n_done: usize) {
        let recent = match self.split {
            Split::Train => &self.losses[self.losses.len().saturating_sub(RECENT)..],
            Split::Validation => &self.losses,
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
