//! Supervised fine-tuning of a tiny random model.

// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used)]

use seethink::core::Problem;
use seethink::models::qwen3_vl::Qwen3Vl;
use seethink::rollout::PromptFormat;
use seethink::train::{
    ActivationMemory, Decay, Interrupter, MemoryConfig, OptimizerConfig, Schedule, Sft, SftConfig, SftData, SftSplit,
    TrainError,
};
use seethink_tests::tiny;
use std::error::Error;
use std::sync::{Arc, Mutex};

/// Progress reports of a run: split, examples seen, examples in an epoch, loss.
type Heard = Vec<(SftSplit, usize, usize, f64)>;

fn config() -> SftConfig {
    SftConfig {
        prompt: PromptFormat { system: None, suffix: String::new() },
        batch: 4,
        epochs: 3,
        optimizer: OptimizerConfig {
            learning_rate: 1e-2,
            betas: (0.9, 0.99),
            epsilon: 1e-8,
            weight_decay: 0.0,
            max_grad_norm: 1.0,
            schedule: Schedule { warmup: 0.1, decay: Decay::Cosine, floor: 0.1 },
        },
        memory: MemoryConfig {
            decode_batch: 8,
            micro_batch_tokens: 600,
            logit_chunk: 64,
            activations: ActivationMemory::Auto,
        },
    }
}

fn run(config: SftConfig, seed: u64, train: Vec<Problem>) -> (Result<Qwen3Vl, TrainError>, Heard) {
    let folder = tempfile::tempdir().unwrap();
    let heard = Arc::new(Mutex::new(Heard::new()));
    let listener = heard.clone();
    let sft = Sft {
        config,
        seed,
        processor: Arc::new(tiny::processor()),
        data: SftData { train, validation: tiny::problems(10).split_off(24) },
        progress: Box::new(move |split, done, total, loss| listener.lock().unwrap().push((split, done, total, loss))),
    };
    let model = sft.train(tiny::model(3), folder.path(), Interrupter::new()).map(|(model, _)| model);
    let heard = std::mem::take(&mut *heard.lock().unwrap());
    (model, heard)
}

/// Loss of the last held-out batch after each epoch.
fn held_out(heard: &Heard) -> Vec<f64> {
    let ends = heard.iter().filter(|(split, done, total, _)| *split == SftSplit::Validation && done == total);
    ends.map(|(.., loss)| *loss).collect()
}

#[test]
fn the_loss_falls_and_everything_learns() {
    let (model, heard) = run(config(), 1, tiny::problems(8));
    let start = tiny::weights(&tiny::model(3));
    let trained = tiny::weights(&model.unwrap());
    assert!(start.iter().zip(&trained).all(|(a, b)| a != b), "every parameter moves");
    let train: Vec<f64> = heard.iter().filter(|heard| heard.0 == SftSplit::Train).map(|heard| heard.3).collect();
    let held_out = held_out(&heard);
    println!("train {:.2} to {:.2}, held out {held_out:.2?}", train[0], train[train.len() - 1]);
    // A uniform guess of 1072 tokens costs 6.98 nats.
    assert!(train[0] > 6.0 && train[train.len() - 1] < 4.5, "{train:?}");
    assert!(held_out.len() == 3 && held_out.is_sorted_by(|a, b| a > b), "{held_out:?}");
}

#[test]
fn a_run_is_a_function_of_its_seed_and_not_of_how_its_batches_are_cut() {
    let weights = |config, seed| tiny::weights(&run(config, seed, tiny::problems(8)).0.unwrap());
    let first = weights(config(), 1);
    assert!(first == weights(config(), 1));
    assert!(first != weights(config(), 2), "the seed orders the examples");
    let mut cut = config();
    (cut.memory.micro_batch_tokens, cut.memory.logit_chunk, cut.epochs) = (1, 7, 1);
    let whole = SftConfig { epochs: 1, ..config() };
    let (whole, cut) = (run(whole, 1, tiny::problems(8)).1, run(cut, 1, tiny::problems(8)).1);
    let off = held_out(&whole)[0] - held_out(&cut)[0];
    assert!(off.abs() < 1e-3, "held-out losses differ by {off:.1e} after six updates");
}

#[test]
fn what_cannot_be_learnt_is_named() {
    let mut problems = tiny::problems(1);
    problems[1].solution = None;
    let id = problems[1].id;
    let error = run(config(), 1, problems).0.unwrap_err();
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        message += &format!(": {error}");
        source = error.source();
    }
    assert!(message.contains(&format!("problem {id} has no solution")), "{message}");
    let error = run(SftConfig { batch: 0, ..config() }, 1, tiny::problems(1)).0.unwrap_err();
    assert!(error.to_string().contains("`sft.batch` is 0"), "{error}");
}
