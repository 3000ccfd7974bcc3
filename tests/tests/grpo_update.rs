//! Gradients of an update: equal to those of the loss as it is defined, however the batch is
//! divided.

// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used)]

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use burn::train::TrainStep;
use seethink::core::{Group, Purpose, Rng, Trainable};
use seethink::models::qwen3_vl::Qwen3Vl;
use seethink::models::{Processor, PromptInput, Side, TokenRow, VisionLanguageModel, VisualFeatures, VlmInput};
use seethink::rollout::{DrawKey, Generator, Prompt, PromptFormat, Sampling};
use seethink::train::{
    ActivationMemory, GroupInput, LogProbs, MicroBatch, Objective, Policy, PolicyLoss, StepOutput, TrainBatch, k3,
};
use seethink_tests::ending::Ending;
use seethink_tests::gradients::flat;
use seethink_tests::tiny;

/// Tolerance relative to the norm of all gradients: two orders of summation in `f32`.
const SAME: f64 = 5e-6;
const LOSS: PolicyLoss = PolicyLoss { clip_low: 0.2, clip_high: 0.3, dual_clip: 3.0, kl_coef: 0.1 };

/// Completions of one policy, trained on another, with a third as the reference.
struct World {
    policy: Policy<Qwen3Vl>,
    processor: Ending,
    prompts: Vec<PromptInput>,
    features: Vec<Option<VisualFeatures>>,
    groups: Vec<Group>,
    /// Advantages, `[group][completion]`.
    advantages: Vec<Vec<f32>>,
    reference: Policy<Qwen3Vl>,
}

impl World {
    fn new() -> Self {
        let (processor, model) = (tiny::processor(), tiny::model(3));
        let problems = tiny::problems(2);
        let prompts = PromptFormat::default().encode_all(&processor, &problems.iter().collect::<Vec<_>>()).unwrap();
        let asked: Vec<Prompt<'_>> =
            problems.iter().zip(&prompts).map(|(problem, input)| Prompt::new(problem.id, input)).collect();
        let generator =
            Generator { model: &model, processor: &processor, sampling: Sampling::plain(10), max_batch: 64 };
        let key = DrawKey { seed: 1, purpose: Purpose::Rollout, step: 0 };
        let rollouts = generator.generate(&asked, 3, key, &mut |_, _| true).unwrap();
        let mut rng = Rng::new(1, Purpose::World, &[]);
        let mut groups = rollouts.groups;
        // Ratios from a third to three: every clip holds somewhere.
        for completion in groups.iter_mut().flat_map(|group| &mut group.completions) {
            completion.log_probs.iter_mut().for_each(|log_prob| *log_prob += rng.normal() as f32 * 0.6);
        }
        let advantages = groups.iter().map(|_| (0..3).map(|_| rng.normal() as f32).collect()).collect();
        Self {
            policy: Policy { model: model.train() },
            processor,
            prompts,
            features: rollouts.features,
            groups,
            advantages,
            reference: Policy { model: tiny::model(4) },
        }
    }

    fn log_probs(&self, chunk: usize) -> LogProbs {
        LogProbs { temperature: 0.8, forbidden: self.processor.forbidden_token_ids().to_vec(), chunk }
    }

    /// Gradients and metrics of the update, with groups packed into micro-batches of at most so
    /// many tokens.
    fn step(
        &self,
        policy: &Policy<Qwen3Vl>,
        trainable: Trainable,
        max_tokens: usize,
        chunk: usize,
        max_grad_norm: f64,
    ) -> (GradientsParams, StepOutput) {
        let pack = |keep_features: bool| {
            let inputs = self.groups.iter().zip(&self.prompts).zip(self.features.iter().zip(&self.advantages));
            let inputs = inputs.map(|((group, prompt), (features, advantages))| {
                GroupInput::of_completions(
                    prompt,
                    features.as_ref().filter(|_| keep_features),
                    &group.completions,
                    advantages.clone(),
                )
            });
            MicroBatch::pack(&inputs.collect::<Vec<_>>(), max_tokens)
        };
        let mut micro_batches = pack(!trainable.sees_gradients_in_vision());
        let pad_token = self.processor.pad_token_id();
        // The reference has its own vision side.
        for (batch, seen) in micro_batches.iter_mut().zip(pack(false)) {
            batch.targets.reference_log_probs = self.reference.log_probs(&seen, &self.log_probs(chunk), pad_token);
        }
        let batch = TrainBatch { trainable, max_grad_norm, ..self.batch(micro_batches, LOSS, chunk) };
        let output = TrainStep::step(policy, batch);
        (output.grads, output.item)
    }

    fn batch(&self, micro_batches: Vec<MicroBatch>, loss: PolicyLoss, chunk: usize) -> TrainBatch {
        TrainBatch {
            micro_batches,
            n_left_out: 0,
            objective: Objective::Policy(loss),
            trainable: Trainable::ALL,
            log_probs: self.log_probs(chunk),
            pad_token: self.processor.pad_token_id(),
            max_grad_norm: f64::INFINITY,
            activations: ActivationMemory::Auto,
        }
    }

    /// Mean loss over tokens as one graph, each completion in a row of its own.
    fn plain_loss(&self) -> Tensor<1> {
        let mut losses = Vec::new();
        for ((group, prompt), advantages) in self.groups.iter().zip(&self.prompts).zip(&self.advantages) {
            for (completion, &advantage) in group.completions.iter().zip(advantages) {
                let log_probs = self.plain_log_probs(&self.policy.model, prompt, &completion.tokens);
                let reference = self.plain_log_probs(&self.reference.model, prompt, &completion.tokens).autodiff();
                let n = completion.tokens.len();
                let vector = |values: Vec<f32>| {
                    Tensor::<1>::from_data(TensorData::new(values, [n]), &Device::default()).autodiff()
                };
                let terms =
                    LOSS.terms(log_probs.clone(), vector(completion.log_probs.clone()), vector(vec![advantage; n]));
                losses.push(terms.policy + k3(log_probs, reference) * LOSS.kl_coef);
            }
        }
        Tensor::cat(losses, 0).mean()
    }

    fn plain_log_probs(&self, model: &Qwen3Vl, prompt: &PromptInput, tokens: &[u32]) -> Tensor<1> {
        let device = Device::default();
        let mut row = TokenRow::prompt(prompt);
        let first = row.push_branch(0, prompt.next_position, tokens);
        let features = (!prompt.image_tokens.is_empty()).then(|| model.encode_images(prompt.pixels.to_tensor(&device)));
        let hidden = model.hidden_states(VlmInput::from_rows(&[row], 0, Side::Right, features, &device));
        let logits = model.lm_head(hidden.narrow(1, first - 1, tokens.len()).squeeze_dim(0)) / 0.8;
        let mut mask = vec![0.0f32; model.vocab_size()];
        self.processor.forbidden_token_ids().iter().for_each(|&id| mask[id as usize] = -1e9);
        let mask = Tensor::<2>::from_data(TensorData::new(mask, [1, model.vocab_size()]), &logits.device());
        let ids: Vec<i64> = tokens.iter().map(|&id| i64::from(id)).collect();
        let ids = Tensor::<2, Int>::from_data(TensorData::new(ids, [tokens.len(), 1]), &logits.device());
        log_softmax(logits + mask, 1).gather(1, ids).squeeze_dim(1)
    }
}

fn norm<'a>(values: impl IntoIterator<Item = &'a f32>) -> f64 {
    values.into_iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt()
}

/// Asserts that the norm of the difference is small relative to that of the expected gradients.
fn assert_same(what: &str, found: &[Option<Vec<f32>>], expected: &[Option<Vec<f32>>]) {
    let has = |all: &[Option<Vec<f32>>]| all.iter().map(Option::is_some).collect::<Vec<_>>();
    assert_eq!(has(found), has(expected), "{what}: which parameters have gradients");
    let (found, expected): (Vec<f32>, Vec<f32>) =
        (found.iter().flatten().flatten().copied().collect(), expected.iter().flatten().flatten().copied().collect());
    let difference: Vec<f32> = found.iter().zip(&expected).map(|(a, b)| a - b).collect();
    let off = norm(&difference) / norm(&expected);
    println!("{what}: off by {off:.1e} of {:.2}, allowed {SAME:.0e}", norm(&expected));
    assert!(off <= SAME, "{what}: off by {off:.2e}");
}

#[test]
fn an_update_has_the_gradients_of_the_loss_however_it_is_cut() {
    let world = World::new();
    let model = &world.policy.model;
    let loss = world.plain_loss();
    let expected = flat(model, &GradientsParams::from_grads(loss.clone().backward(), model));
    assert!(expected.iter().all(Option::is_some), "everything learns");
    let loss: f64 = loss.into_scalar::<f32>().into();
    for (max_tokens, chunk) in [(1, 4096), (700, 4096), (100_000, 4096), (100_000, 7), (1, 1)] {
        let what = format!("rows of {max_tokens}, chunks of {chunk}");
        let (gradients, output) = world.step(&world.policy, Trainable::ALL, max_tokens, chunk, f64::INFINITY);
        assert_same(&what, &flat(model, &gradients), &expected);
        assert!((output.metrics["update/loss"] - loss).abs() < 1e-6, "{what}: {output:?} for {loss}");
        assert!(output.metrics["grpo/kl"] > 0.1 && output.metrics["grpo/clip_fraction_high"] > 0.05, "{output:?}");
        let total = norm(expected.iter().flatten().flatten());
        assert!((output.metrics["update/grad_norm"] / total - 1.0).abs() < 1e-5, "{output:?} for {total}");
    }
}

#[test]
fn groups_without_advantage_can_be_left_out_where_nothing_else_moves_them() {
    let mut world = World::new();
    // The last group, which has a picture, and two others.
    let flat_groups = [1, 3, world.groups.len() - 1];
    flat_groups.iter().for_each(|&group| world.advantages[group].fill(0.0));
    let step = |left_out: &[usize]| {
        let kept = (0..world.groups.len()).filter(|group| !left_out.contains(group));
        let inputs = kept.map(|group| {
            let (completions, advantages) = (&world.groups[group].completions, world.advantages[group].clone());
            GroupInput::of_completions(&world.prompts[group], None, completions, advantages)
        });
        let micro_batches = MicroBatch::pack(&inputs.collect::<Vec<_>>(), 700);
        let of_group =
            |&group: &usize| world.groups[group].completions.iter().map(|one| one.tokens.len()).sum::<usize>();
        let n_left_out = left_out.iter().map(of_group).sum();
        let loss = PolicyLoss { kl_coef: 0.0, ..LOSS };
        let output = TrainStep::step(&world.policy, TrainBatch { n_left_out, ..world.batch(micro_batches, loss, 64) });
        (flat(&world.policy.model, &output.grads), output.item.metrics["update/loss"])
    };
    let ((all, loss), (fewer, loss_of_fewer)) = (step(&[]), step(&flat_groups));
    assert_same("without the groups that move nothing", &fewer, &all);
    assert!(loss.abs() > 0.01 && (loss - loss_of_fewer).abs() < 1e-6, "{loss_of_fewer} instead of {loss}");
}

#[test]
fn an_update_does_not_depend_on_the_number_of_threads() {
    let world = World::new();
    let with_threads = |n: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
        let step = || world.step(&world.policy, Trainable::ALL, 700, 64, 1.0);
        pool.install(|| flat(&world.policy.model, &step().0))
    };
    let expected = with_threads(1);
    for n in [2, 3] {
        assert!(with_threads(n) == expected, "gradients differ between one thread and {n}");
    }
}

#[test]
fn a_frozen_vision_side_gets_no_gradient_and_the_rest_the_same() {
    let world = World::new();
    let model = &world.policy.model;
    let (all, _) = world.step(&world.policy, Trainable::ALL, 700, 64, f64::INFINITY);
    let all = flat(&model.text, &all);
    for max_tokens in [1, 100_000] {
        let (gradients, _) = world.step(&world.policy, Trainable::LANGUAGE_MODEL, max_tokens, 64, f64::INFINITY);
        assert!(flat(&model.vision.encoder, &gradients).iter().all(Option::is_none));
        assert!(flat(&model.vision.projector, &gradients).iter().all(Option::is_none));
        assert_same("language model", &flat(&model.text, &gradients), &all);
    }
}

#[test]
fn large_gradients_are_scaled_and_broken_ones_dropped() {
    let mut world = World::new();
    let (whole, before) = world.step(&world.policy, Trainable::ALL, 700, 64, f64::INFINITY);
    let (clipped, output) = world.step(&world.policy, Trainable::ALL, 700, 64, 0.01);
    assert_eq!(output.metrics["update/grad_norm"], before.metrics["update/grad_norm"], "the norm before clipping");
    assert_eq!(output.metrics["update/skipped"], 0.0);
    let scale = (0.01 / (before.metrics["update/grad_norm"] + 1e-6)) as f32;
    let model = &world.policy.model;
    let scaled =
        flat(model, &whole).into_iter().map(|g| g.map(|g| g.iter().map(|x| x * scale).collect())).collect::<Vec<_>>();
    assert_same("clipped", &flat(model, &clipped), &scaled);

    world.advantages[0][0] = f32::NAN;
    let (broken, output) = world.step(&world.policy, Trainable::ALL, 700, 64, 1.0);
    assert!(broken.is_empty());
    assert_eq!(output.metrics["update/skipped"], 1.0);
}
