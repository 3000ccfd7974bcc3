//! Training of a small base model of `digits-v1` that ships with the programs: tokenizer, random weights,
//! supervised fine-tuning, stopped early.
//!
//! `cargo run --release --example make_base_v1 -- --family FAMILY --out DIR` without other options
//! makes the committed model.

use anyhow::{Context, Result, ensure};
use clap::Parser;
use experiments::base;
use seethink::burn::module::Module;
use seethink::core::{Capability, Problem};
use seethink::data::digits_v1::{DigitsConfig, DigitsWorld};
use seethink::data::{Split, THINK_PROMPT};
use seethink::eval::{Benchmark, Evaluator, metrics};
use seethink::models::{AnyBackbone, VlmProcessor, WeightDtype};
use seethink::prelude::*;
use seethink::run::config::BaseFamily;
use seethink::train::{ActivationMemory, Decay, Interrupter, MemoryConfig, Schedule, Sft, SftData};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Trains the base model of the digits world.
#[derive(Parser)]
struct Args {
    /// Folder to write; it must not exist.
    #[arg(long)]
    out: PathBuf,
    /// Model family: qwen2_5_vl, qwen3_vl, internvl3 or internvl3_5.
    #[arg(long, default_value = "qwen3_vl")]
    family: BaseFamily,
    /// Seed of weights, problems and order.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Number of single cells to describe, in a first phase; 3,000 for qwen2_5_vl, which does not
    /// learn to read digits without them, and none for the others.
    #[arg(long)]
    cells: Option<usize>,
    /// Number of captions, and of option lists, in the second phase.
    #[arg(long, default_value_t = 7_000)]
    words: usize,
    /// Number of captions, and of option lists, repeated among the examples of the capabilities
    /// against forgetting.
    #[arg(long, default_value_t = 4_000)]
    replay: usize,
    /// Number of examples of each capability, with full working.
    #[arg(long, default_value_t = 16_000)]
    examples: usize,
    /// Number of examples of each capability in the last phase, many of them answered without
    /// working.
    #[arg(long, default_value_t = 1_500)]
    habits: usize,
    /// Peak learning rate, after a short warm-up and before a cosine decay.
    #[arg(long, default_value_t = 5e-4)]
    learning_rate: f64,
    /// Number of examples per update.
    #[arg(long, default_value_t = 8)]
    batch: usize,
    /// Number of test problems of each capability.
    #[arg(long, default_value_t = 300)]
    test: usize,
    /// Device to compute on, for example flex, cuda:1 or auto.
    #[arg(long, default_value = "auto")]
    device: String,
}

fn main() -> Result<()> {
    let args = Args::parse();
    ensure!(!args.out.exists(), "{} exists; nothing is overwritten", args.out.display());
    let device = device(&args.device)?;
    let world = DigitsWorld::new(DigitsConfig::default())?;
    let of = |capability| world.problems(Split::Train, capability, args.seed).take(2000);
    let after = format!("\n{THINK_PROMPT}");
    let vocabulary = base::Vocabulary::of(Capability::ALL.iter().flat_map(of), &after, 768, &["<think>", "</think>"]);
    base::write_blank(args.family, &vocabulary, &args.out)?;
    let processor = Arc::new(VlmProcessor::from_pretrained(&args.out)?);
    let json = serde_json::from_slice(&std::fs::read(args.out.join("config.json"))?)?;
    let model = AnyBackbone::init_seeded(json, args.seed, &device)?;
    println!("{} parameters", model.num_params());

    let problems = |split, first: usize, n: usize| -> Vec<Problem> {
        let of = |capability| world.problems(split, capability, args.seed).skip(first).take(n);
        Capability::ALL.iter().flat_map(of).collect()
    };
    let memory = MemoryConfig {
        decode_batch: 512,
        micro_batch_tokens: 4096,
        logit_chunk: 4096,
        activations: ActivationMemory::Auto,
    };
    let config = SftConfig {
        prompt: PromptFormat::default(),
        batch: args.batch,
        epochs: 1,
        optimizer: OptimizerConfig {
            learning_rate: args.learning_rate,
            betas: (0.9, 0.99),
            epsilon: 1e-8,
            weight_decay: 0.01,
            max_grad_norm: 1.0,
            schedule: Schedule { warmup: 0.05, decay: Decay::Cosine, floor: 0.1 },
        },
        memory,
    };
    let words = |first, n| -> Vec<Problem> {
        let captions = world.captions(Split::Train, args.seed).skip(first).take(n);
        captions.chain(base::lookups(&world, args.seed).skip(first).take(n)).collect()
    };
    let mut examples = problems(Split::Train, 0, args.examples);
    examples.extend(words(args.words, args.replay));
    let habits = problems(Split::Train, args.examples, args.habits).into_iter();
    let habits = base::of_mixed_habits(habits, args.seed).collect();
    let mut model = model;
    let n_cells = args.cells.unwrap_or(if args.family == BaseFamily::Qwen2_5Vl { 3_000 } else { 0 });
    let cells: Vec<Problem> = base::cells(&world, args.seed).take(n_cells).collect();
    let lessons = [cells, words(0, args.words), examples, habits];
    for train in lessons.into_iter().filter(|lesson| !lesson.is_empty()) {
        let data = SftData { train, validation: problems(Split::Validation, 0, 100) };
        model = fine_tune(model, &processor, config.clone(), args.seed, data)?;
    }
    model.save_pretrained_with(&args.out, WeightDtype::Bf16).context("cannot save the weights")?;

    let evaluator = Evaluator {
        processor: processor.clone(),
        reward: Arc::new(AnswerReward::default()),
        sampling: Sampling::greedy(96),
        seed: args.seed,
        decode_batch: memory.decode_batch,
    };
    let test = Benchmark::new("test", problems(Split::Test, 0, args.test), &config.prompt, &*processor)?;
    let started = Instant::now();
    let answers = evaluator.answer(&AnyBackbone::from_pretrained(&args.out, &device)?, &test, &mut |_, _| true)?;
    for (key, value) in metrics(&test, &answers) {
        println!("{key:<40} {value:.3}");
    }
    println!("evaluated in {:.1} s", started.elapsed().as_secs_f64());
    Ok(())
}

/// Runs one phase of supervised fine-tuning, with a line of progress every few seconds.
fn fine_tune(
    model: AnyBackbone,
    processor: &Arc<VlmProcessor>,
    config: SftConfig,
    seed: u64,
    data: SftData,
) -> Result<AnyBackbone> {
    let started = Instant::now();
    let mut last = started;
    let progress = move |split, done: usize, total: usize, loss: f64| {
        if last.elapsed().as_secs() >= 5 || done == total {
            last = Instant::now();
            println!("{split:?} {done}/{total}  loss {loss:.4}  {:.0} s", started.elapsed().as_secs_f64());
        }
    };
    let log = tempfile::tempdir()?;
    let sft = Sft { config, seed, processor: processor.clone(), data, progress: Box::new(progress) };
    Ok(sft.train(model, log.path(), Interrupter::new())?.0)
}
