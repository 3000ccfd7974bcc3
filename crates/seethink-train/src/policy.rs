//! Policy model for burn's learner: one update step and one evaluation step.

use crate::ActivationMemory;
use crate::batch::{MicroBatch, Targets, Vision};
use crate::log_prob::LogProbs;
use crate::loss::{PolicyLoss, PolicyTerms, k3};
use crate::metrics::{Metrics, StepOutput};
use crate::optim::clip_global_norm;
use burn::data::dataloader::{DataLoader, DataLoaderIterator, Progress};
use burn::data::dataset::DatasetError;
use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Device, Int, Tensor, TensorData};
use burn::train::{InferenceStep, TrainOutput, TrainStep};
use seethink_core::Trainable;
use seethink_models::{PixelTensor, Side, VisionLanguageModel, VlmInput};
use seethink_nn::in_pool;
use std::ops::Range;
use std::sync::Arc;

/// Key of the loss, a mean over all tokens of a mini-batch; other metrics are means over those that
/// went through the model.
const LOSS: &str = "update/loss";

/// Training objective, averaged over all trained tokens of the mini-batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Objective {
    /// Cross entropy of the given tokens.
    SupervisedFineTuning,
    /// Clipped policy gradient and divergence from the reference.
    Policy(PolicyLoss),
}

/// A mini-batch: the data and settings of one optimiser step.
///
/// The result does not depend on the division into micro-batches: every token weighs one over the
/// number of trained tokens of the whole mini-batch.
#[derive(Debug, Clone)]
pub struct TrainBatch {
    /// Micro-batches, each a forward and backward pass.
    pub micro_batches: Vec<MicroBatch>,
    /// Number of tokens of groups that are left out, because they would move nothing: the loss is a
    /// mean over them too.
    pub n_left_out: usize,
    /// Training objective.
    pub objective: Objective,
    /// Parts of the model that learn.
    pub trainable: Trainable,
    /// Computation of log-probabilities from logits.
    pub log_probs: LogProbs,
    /// Padding token of short rows.
    pub pad_token: u32,
    /// Gradient clipping: gradients are scaled down to this norm.
    pub max_grad_norm: f64,
    /// Memory for the activations of a micro-batch.
    pub activations: ActivationMemory,
}

/// A backbone under training.
#[derive(Module, Debug)]
pub struct Policy<M: Module> {
    /// The backbone.
    pub model: M,
}

impl<M: VisionLanguageModel> Policy<M> {
    /// Log-probabilities of a micro-batch's trained tokens under this model, without gradients.
    /// Nats.
    pub fn log_probs(&self, batch: &MicroBatch, log_probs: &LogProbs, pad_token: u32) -> Vec<f32> {
        if batch.n_targets() == 0 {
            return Vec::new();
        }
        let device = self.model.device();
        in_pool(&device, || self.log_probs_in_pool(batch, log_probs, pad_token))
    }

    fn log_probs_in_pool(&self, batch: &MicroBatch, log_probs: &LogProbs, pad_token: u32) -> Vec<f32> {
        let device = self.model.device();
        let (input, pixels) = model_input(batch, pad_token, &device);
        let input = match pixels {
            None => input,
            Some(pixels) => input.with_features(self.model.encode_images(pixels)),
        };
        let hidden = self.model.hidden_states(input);
        let rows = gather_sources(&hidden, batch);
        log_probs.of(&self.model, rows, ids(batch, &device)).into_data().iter::<f32>().collect()
    }
}

impl<M: VisionLanguageModel> TrainStep for Policy<M> {
    type Input = TrainBatch;
    type Output = StepOutput;

    fn step(&self, batch: TrainBatch) -> TrainOutput<StepOutput> {
        in_pool(&self.model.device(), || self.gradients(batch))
    }
}

impl<M: VisionLanguageModel> Policy<M> {
    /// Gradients and metrics of a mini-batch.
    fn gradients(&self, batch: TrainBatch) -> TrainOutput<StepOutput> {
        let n_seen = batch.micro_batches.iter().map(MicroBatch::n_targets).sum::<usize>();
        let n_tokens = n_seen + batch.n_left_out;
        let device = self.model.device().inner();
        let model = self.model.clone().set_trainable(batch.trainable);
        let mut gradients = GradientsAccumulator::new();
        let mut sums = Sums::default();
        for micro_batch in batch.micro_batches.iter().filter(|micro_batch| micro_batch.n_targets() > 0) {
            let (input, pixels) = model_input(micro_batch, batch.pad_token, &device);
            let mut head = |hidden: Tensor<3>| {
                let [rows, seq, width] = hidden.dims();
                let sources = source_indices(micro_batch, seq, &device);
                let hidden = hidden.reshape([rows * seq, width]).select(0, sources.clone());
                let ids = ids(micro_batch, &device);
                let mut of_head = GradientsAccumulator::new();
                let grad = batch.log_probs.backward(
                    &model,
                    hidden,
                    ids,
                    &mut |tokens, log_probs| {
                        let targets = &micro_batch.targets;
                        token_gradients(&batch.objective, targets, tokens, log_probs, &mut sums) / n_tokens as f64
                    },
                    &mut |gradients| of_head.accumulate(&model, GradientsParams::from_grads(gradients, &model)),
                );
                let whole = Tensor::zeros([rows * seq, width], (&device, grad.dtype())).select_assign(
                    0,
                    sources,
                    grad,
                    burn::tensor::IndexingUpdateOp::Add,
                );
                (whole.reshape([rows, seq, width]), of_head.grads())
            };
            let n_tokens = micro_batch.rows.len() * input.segments.dims()[1];
            let activations = batch.activations.of(&model, n_tokens);
            gradients.accumulate(&model, model.backward(input, pixels, activations, &mut head));
        }
        let mut metrics = sums.read();
        for (key, sum) in &mut metrics {
            *sum /= if key == LOSS { n_tokens } else { n_seen }.max(1) as f64;
        }
        let mut grads = gradients.grads();
        let norm = clip_global_norm(&model, &mut grads, batch.max_grad_norm);
        if !norm.is_finite() {
            // An update from such gradients would destroy the weights.
            tracing::warn!(norm, "the gradient norm is not finite: update skipped");
            grads = GradientsParams::new();
        }
        metrics.insert("update/grad_norm".into(), norm);
        metrics.insert("update/skipped".into(), f64::from(u8::from(!norm.is_finite())));
        TrainOutput { grads, item: StepOutput { metrics } }
    }
}

impl<M: VisionLanguageModel> InferenceStep for Policy<M> {
    type Input = TrainBatch;
    type Output = StepOutput;

    fn step(&self, batch: TrainBatch) -> StepOutput {
        let (mut sum, mut n) = (0.0, 0);
        for micro_batch in &batch.micro_batches {
            let log_probs = self.log_probs(micro_batch, &batch.log_probs, batch.pad_token);
            sum -= log_probs.iter().map(|&log_prob| f64::from(log_prob)).sum::<f64>();
            n += log_probs.len();
        }
        StepOutput { metrics: Metrics::from([(LOSS.into(), sum / n.max(1) as f64)]) }
    }
}

/// Sums of metrics over some of the tokens each, left on the device until all are read at once.
#[derive(Default)]
struct Sums(Vec<(&'static str, Tensor<1>)>);

impl Sums {
    /// Total of each metric.
    fn read(self) -> Metrics {
        let mut totals = Metrics::new();
        if self.0.is_empty() {
            return totals;
        }
        let (keys, sums): (Vec<_>, Vec<_>) = self.0.into_iter().unzip();
        for (key, sum) in keys.into_iter().zip(Tensor::cat(sums, 0).into_data().iter::<f64>()) {
            *totals.entry(key.into()).or_default() += sum;
        }
        totals
    }
}

/// Derivative of the summed loss with respect to the log-probabilities of some of the targets; adds
/// the sums of the metrics.
///
/// # Shapes
/// - log_probs, output: `[n_tokens]`, no gradient tracking
fn token_gradients(
    objective: &Objective,
    targets: &Targets,
    tokens: Range<usize>,
    log_probs: Tensor<1>,
    sums: &mut Sums,
) -> Tensor<1> {
    let device = log_probs.device();
    let mut add = |key, values: Tensor<1>| sums.0.push((key, values.sum()));
    add("update/nll", log_probs.clone().neg());
    match objective {
        Objective::SupervisedFineTuning => {
            add(LOSS, log_probs.clone().neg());
            log_probs.ones_like().neg()
        }
        Objective::Policy(loss) => {
            let vector = |values: &[f32]| {
                let values = values[tokens.clone()].to_vec();
                Tensor::<1>::from_data(TensorData::new(values, [tokens.len()]), &device).autodiff()
            };
            let log_probs = log_probs.autodiff().require_grad();
            let old = vector(&targets.old_log_probs);
            let PolicyTerms { policy, log_ratio, clipped_high, clipped_low } =
                loss.terms(log_probs.clone(), old, vector(&targets.advantages));
            add("grpo/clip_fraction_high", clipped_high.inner());
            add("grpo/clip_fraction_low", clipped_low.inner());
            add("grpo/approx_kl", log_ratio.inner().neg());
            let total = if targets.reference_log_probs.is_empty() {
                policy
            } else {
                let kl = k3(log_probs.clone(), vector(&targets.reference_log_probs));
                add("grpo/kl", kl.clone().inner());
                policy + kl * loss.kl_coef
            };
            add(LOSS, total.clone().inner());
            let mut gradients = total.sum().backward();
            log_probs.grad_remove(&mut gradients).expect("the loss depends on every log-probability")
        }
    }
}

/// Model input of the batch on a device, and its images where the vision side learns.
fn model_input(batch: &MicroBatch, pad_token: u32, device: &Device) -> (VlmInput, Option<PixelTensor>) {
    let (features, pixels) = match &batch.vision {
        Vision::None => (None, None),
        Vision::Features(features) => (Some((**features).clone()), None),
        Vision::Pixels(pixels) => (None, Some(pixels.to_tensor(device))),
    };
    (VlmInput::from_rows(&batch.rows, pad_token, Side::Right, features, device), pixels)
}

/// Flat index of the hidden state that predicts each trained token.
fn source_indices(batch: &MicroBatch, seq: usize, device: &Device) -> Tensor<1, Int> {
    let targets = &batch.targets;
    let flat: Vec<i64> =
        targets.rows.iter().zip(&targets.columns).map(|(row, column)| (row * seq + column) as i64).collect();
    let n = flat.len();
    Tensor::from_data(TensorData::new(flat, [n]), device)
}

fn gather_sources(hidden: &Tensor<3>, batch: &MicroBatch) -> Tensor<2> {
    let [rows, seq, width] = hidden.dims();
    let sources = source_indices(batch, seq, &hidden.device());
    hidden.clone().reshape([rows * seq, width]).select(0, sources)
}

fn ids(batch: &MicroBatch, device: &Device) -> Tensor<1, Int> {
    let ids: Vec<i64> = batch.targets.ids.iter().map(|&id| i64::from(id)).collect();
    let n = ids.len();
    Tensor::from_data(TensorData::new(ids, [n]), device)
}

/// Empty data loader: the learner wants one, but the strategy draws from the curriculum.
pub(crate) struct NoData;

impl DataLoader<TrainBatch> for NoData {
    fn iter<'a>(&'a self) -> Box<dyn DataLoaderIterator<TrainBatch> + 'a> {
        Box::new(NoData)
    }

    fn num_items(&self) -> usize {
        0
    }

    fn to_device(&self, _: &Device) -> Arc<dyn DataLoader<TrainBatch>> {
        Arc::new(Self)
    }

    fn slice(&self, _: usize, _: usize) -> Arc<dyn DataLoader<TrainBatch>> {
        Arc::new(Self)
    }
}

impl Iterator for NoData {
    type Item = Result<TrainBatch, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        None
    }
}

impl DataLoaderIterator<TrainBatch> for NoData {
    fn progress(&self) -> Progress {
        Progress::new(0, 0, None)
    }
}
