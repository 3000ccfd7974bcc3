//! The fast paths of the processor, one after the other turned off: the same completions, the same
//! gradients. A test program of its own, because paths are of the whole process.

// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used)]

use burn::module::Module;
use burn::train::TrainStep;
use seethink::core::{Completion, Purpose, Trainable};
use seethink::models::Processor;
use seethink::nn::FastPath;
use seethink::rollout::{DrawKey, Generator, Prompt, PromptFormat, Sampling};
use seethink::train::{
    ActivationMemory, GroupInput, LogProbs, MicroBatch, Objective, Policy, PolicyLoss, TrainBatch, group_advantages,
};
use seethink_tests::gradients::flat;
use seethink_tests::tiny;

/// Completions of a small model, and the gradients of an update from them.
fn step() -> (Vec<Completion>, Vec<f32>) {
    let (processor, model) = (tiny::processor(), tiny::model(3));
    let problems = tiny::problems(2);
    let inputs = PromptFormat::default().encode_all(&processor, &problems.iter().collect::<Vec<_>>()).unwrap();
    let prompts: Vec<Prompt<'_>> =
        problems.iter().zip(&inputs).map(|(problem, input)| Prompt::new(problem.id, input)).collect();
    let generator = Generator { model: &model, processor: &processor, sampling: Sampling::plain(10), max_batch: 64 };
    let key = DrawKey { seed: 1, purpose: Purpose::Rollout, step: 0 };
    let rollouts = generator.generate(&prompts, 3, key, &mut |_, _| true).unwrap();
    let groups = rollouts.groups.iter().zip(&inputs);
    let groups: Vec<GroupInput<'_>> = groups
        .map(|(group, prompt)| {
            GroupInput::of_completions(prompt, None, &group.completions, group_advantages(&[0.0, 1.0, 0.5]))
        })
        .collect();
    let batch = TrainBatch {
        micro_batches: MicroBatch::pack(&groups, 700),
        n_left_out: 0,
        objective: Objective::Policy(PolicyLoss { kl_coef: 0.0, ..PolicyLoss::default() }),
        trainable: Trainable::ALL,
        log_probs: LogProbs { temperature: 1.0, forbidden: processor.forbidden_token_ids().to_vec(), chunk: 64 },
        pad_token: processor.pad_token_id(),
        max_grad_norm: 1.0,
        activations: ActivationMemory::Auto,
    };
    let policy = Policy { model: model.train() };
    let gradients = flat(&policy.model, &policy.step(batch).grads);
    let completions = rollouts.groups.into_iter().flat_map(|group| group.completions).collect();
    (completions, gradients.into_iter().flatten().flatten().collect())
}

#[test]
fn nothing_depends_on_a_fast_path_but_roundings() {
    let (completions, gradients) = step();
    let norm = |values: &[f32]| values.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
    let mut without_difference = Vec::new();
    for path in FastPath::ALL {
        FastPath::keep_off(&[path]);
        let (found, found_gradients) = step();
        for (found, expected) in found.iter().zip(&completions) {
            assert_eq!(found.tokens, expected.tokens, "without {path:?}");
            for (found, expected) in found.log_probs.iter().zip(&expected.log_probs) {
                assert!((found - expected).abs() < 1e-5, "without {path:?}: {found} instead of {expected}");
            }
        }
        let difference: Vec<f32> = found_gradients.iter().zip(&gradients).map(|(a, b)| a - b).collect();
        let off = norm(&difference) / norm(&gradients);
        println!("without {path:?}: gradients off by {off:.1e}");
        assert!(off < 5e-6, "without {path:?}: gradients off by {off:.1e}");
        if found == completions && found_gradients == gradients {
            without_difference.push(path);
        }
    }
    FastPath::keep_off(&[]);
    // Roundings show that something else was computed. The same sums are taken in the same order by
    // threads that are awake.
    assert_eq!(without_difference, [FastPath::AwakeThreads]);
}
