//! Throughput benchmark: completion tokens per second of sampling, log-probabilities and training.
//!
//! `cargo bench -p seethink-tests --bench throughput [-- --quick]` measures one training step of
//! `configs/digits_v1/qwen3_vl/staged.ron` on the visual problems: the same prompts, completions and
//! settings for all three figures. The weights are random, so that the amount of work does not
//! depend on what a model has learned; nearly all completions are then as long as they may be.
//!
//! - `rollout`: images encoded, prompts prefilled, completions sampled;
//! - `log_probs`: one forward pass without gradients, as for the reference;
//! - `update`: loss, gradients, clipping and the optimiser.
//!
//! The unit is tokens of completions: prompts and images are work but are not counted.
//!
//! `-- matmul` measures one wide matrix product, in floating-point operations.

// A benchmark fails as tests do.
#![allow(clippy::unwrap_used, missing_docs)]

use burn::tensor::{Distribution, Tensor};
use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use seethink::data::digits_v1::DigitsWorld;
use seethink::models::VlmProcessor;
use seethink::models::qwen3_vl::Qwen3VlConfig;
use seethink::prelude::*;
use seethink::rollout::{DrawKey, Prompt};
use seethink::run::config::Generated;
use seethink::train::{
    ActivationMemory, GroupInput, LogProbs, MicroBatch, Objective, Policy, TrainBatch, group_advantages,
};
use seethink_tests::learner::learner;
use std::path::Path;
use std::time::Duration;

/// The allocator of the programs, so that the figures are theirs.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn throughput(criterion: &mut Criterion) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let config = RunConfig::load(root.join("configs/digits_v1/qwen3_vl/staged.ron"), &[]).unwrap();
    let grpo = config.grpo;
    let base = root.join("experiments/assets/digits-v1-base/qwen3_vl");
    let processor = VlmProcessor::from_pretrained(&base).unwrap();
    let model = Qwen3VlConfig::read(&base).unwrap().init_seeded(config.seed, &device("auto").unwrap());

    let DataConfig::DigitsV1(Generated { world, seed, .. }) = config.data else {
        panic!("the configuration has the digits world")
    };
    let world = DigitsWorld::new(world).unwrap();
    let problems: Vec<Problem> =
        world.problems(Split::Train, &Capability::VISUAL_REASONING, seed).take(grpo.rollout_batch).collect();
    let inputs = grpo.prompt.encode_all(&processor, &problems.iter().collect::<Vec<_>>()).unwrap();
    let prompts: Vec<Prompt<'_>> =
        problems.iter().zip(&inputs).map(|(problem, input)| Prompt::new(problem.id, input)).collect();
    let generator = Generator {
        model: &model,
        processor: &processor,
        sampling: grpo.sampling,
        max_batch: grpo.memory.decode_batch,
    };
    let key = DrawKey { seed: config.seed, purpose: Purpose::Rollout, step: 0 };
    let roll_out = || generator.generate(&prompts, grpo.group_size, key, &mut |_, _| true).unwrap();

    let rollouts = roll_out();
    // Random weights solve nothing; every other completion is counted as right.
    let rewards: Vec<f32> = (0..grpo.group_size).map(|completion| (completion % 2) as f32).collect();
    // The vision side learns, so image features are computed again instead of being kept from the
    // rollout.
    let groups: Vec<GroupInput<'_>> = inputs
        .iter()
        .zip(&rollouts.groups)
        .map(|(prompt, group)| GroupInput::of_completions(prompt, None, &group.completions, group_advantages(&rewards)))
        .collect();
    let mut micro_batches = MicroBatch::pack(&groups, grpo.memory.micro_batch_tokens);
    let log_probs = LogProbs {
        temperature: grpo.sampling.log_prob_temperature(),
        forbidden: processor.forbidden_token_ids().to_vec(),
        chunk: grpo.memory.logit_chunk,
    };
    let pad_token = processor.pad_token_id();
    let policy = Policy { model: model.clone() };
    let score = |micro_batch: &MicroBatch| policy.log_probs(micro_batch, &log_probs, pad_token);

    let mut group = criterion.benchmark_group("throughput");
    group.throughput(Throughput::Elements(rollouts.n_tokens() as u64));
    group.sampling_mode(SamplingMode::Flat).sample_size(10).warm_up_time(Duration::from_secs(1));
    group.measurement_time(Duration::from_secs(1));
    group.bench_function("rollout", |bencher| bencher.iter(roll_out));
    group.bench_function("log_probs", |bencher| bencher.iter(|| micro_batches.iter().map(score).collect::<Vec<_>>()));
    for micro_batch in &mut micro_batches {
        micro_batch.targets.reference_log_probs = score(micro_batch);
    }
    let batch = TrainBatch {
        n_left_out: 0,
        micro_batches,
        objective: Objective::Policy(grpo.loss),
        trainable: Trainable::ALL,
        log_probs: log_probs.clone(),
        pad_token,
        max_grad_norm: grpo.optimizer.max_grad_norm,
        activations: ActivationMemory::Auto,
    };
    let mut learner = learner(model, &grpo.optimizer);
    group.bench_function("update", |bencher| {
        bencher.iter(|| {
            let output = learner.train_step(batch.clone());
            learner.optimizer_step(output.grads);
        });
    });
    group.finish();
}

/// A matrix product of the width of a published backbone, which the small model does not have.
fn wide_matmul(criterion: &mut Criterion) {
    const WIDTH: usize = 2048;
    let device = device("auto").unwrap();
    let matrix = || Tensor::<2>::random([WIDTH, WIDTH], Distribution::Normal(0.0, 1.0), &device);
    let (left, right) = (matrix(), matrix());
    let mut group = criterion.benchmark_group("matmul");
    group.throughput(Throughput::Elements(2 * (WIDTH as u64).pow(3)));
    group.sampling_mode(SamplingMode::Flat).sample_size(10).measurement_time(Duration::from_secs(3));
    group.bench_function("2048", |bencher| bencher.iter(|| left.clone().matmul(right.clone()).into_data()));
    group.finish();
}

criterion_group!(benches, throughput, wide_matmul);
criterion_main!(benches);
