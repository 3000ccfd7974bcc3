//! Training of a small base model of the digits world: tokenizer, random weights, supervised
//! fine-tuning on single digits and on narrow pictures until the model reads the digits that it was
//! shown, then briefly on wide ones, which sets how well it sees.
//!
//! `cargo run --release --example make_base -- --family FAMILY --out DIR` trains one and prints its
//! levels. No model of this world ships with the programs; those that do are of `digits-v1`
//! (`make_base_v1`).

use anyhow::{Context, Result, ensure};
use clap::Parser;
use experiments::base;
use experiments::gates::{Levels, Tests};
use seethink::burn::module::Module;
use seethink::core::{Capability, Problem, Purpose, Rng};
use seethink::data::Split;
use seethink::data::digits::{DigitsConfig, DigitsWorld, GlyphSet, Pictures};
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
    /// Folder of a model that has gone through the first phase, instead of the first phase.
    #[arg(long)]
    from: Option<PathBuf>,
    /// Number of single digits, in narrow pictures, in a phase before the first.
    #[arg(long, default_value_t = 16_000)]
    single: usize,
    /// Number of captions of narrow pictures among the examples of the first phase.
    #[arg(long, default_value_t = 16_000)]
    captions: usize,
    /// Number of examples of the first phase: textual, visual reasoning and perception in narrow
    /// pictures, in these shares.
    #[arg(long, default_value_t = 160_000)]
    narrow: usize,
    /// Shares of the first phase, in percent.
    #[arg(long, value_delimiter = ',', default_value = "45,15,40")]
    shares: Vec<usize>,
    /// Number of examples of the second phase: mostly perception in wide pictures.
    #[arg(long, default_value_t = 4_500)]
    wide: usize,
    /// Number of single digits, in wide pictures, among the examples of the second phase.
    #[arg(long, default_value_t = 3_000)]
    wide_single: usize,
    /// Peak learning rate of the first phase, after a short warm-up and before a cosine decay.
    #[arg(long, default_value_t = 2e-3)]
    learning_rate: f64,
    /// Peak learning rate of the second phase.
    #[arg(long, default_value_t = 1e-3)]
    wide_learning_rate: f64,
    /// Number of examples per update.
    #[arg(long, default_value_t = 128)]
    batch: usize,
    /// Number of test problems of each capability.
    #[arg(long, default_value_t = 500)]
    test: usize,
    /// Device to compute on, for example flex, cuda:1 or auto.
    #[arg(long, default_value = "auto")]
    device: String,
}

fn main() -> Result<()> {
    let args = Args::parse();
    ensure!(!args.out.exists(), "{} exists; nothing is overwritten", args.out.display());
    let device = device(&args.device)?;
    let wide = DigitsWorld::new(DigitsConfig::default())?;
    let narrow = DigitsWorld::new(DigitsConfig { pictures: Pictures::NARROW, ..DigitsConfig::default() })?;

    let words = Capability::ALL.iter().flat_map(|of| wide.problems(GlyphSet::Base, of, args.seed).take(1000));
    let vocabulary = base::Vocabulary::of(words, "", 384, &["<think>", "</think>", " \\boxed{"]);
    base::write_blank(args.family, &vocabulary, &args.out)?;
    let processor = Arc::new(VlmProcessor::from_pretrained(&args.out)?);
    let mut model = match &args.from {
        Some(folder) => AnyBackbone::from_pretrained(folder, &device)?,
        None => {
            let json = serde_json::from_slice(&std::fs::read(args.out.join("config.json"))?)?;
            AnyBackbone::init_seeded(json, args.seed, &device)?
        }
    };
    println!("{} parameters", model.num_params());
    let tests = Tests::new(&wide, Split::Validation, args.test, &*processor)?;
    let own = Tests::new(&narrow, GlyphSet::Base, args.test, &*processor)?;
    let evaluate = |model: &AnyBackbone| -> Result<Levels> { tests.levels(model, processor.clone()) };

    if args.from.is_none() {
        let shares = [Capability::TEXTUAL_REASONING, Capability::VISUAL_REASONING, Capability::PERCEPTION];
        if args.single > 0 {
            let singles =
                (0..args.single as u64).map(|index| narrow.single(GlyphSet::Base, index, args.seed)).collect();
            model = fine_tune(model, &processor, &args, args.learning_rate, singles)?;
        }
        let captions = narrow.captions(GlyphSet::Base, args.seed).take(args.captions).collect();
        let lesson = mix(
            shares
                .iter()
                .zip(&args.shares)
                .map(|(capability, share)| {
                    let n = args.narrow * share / 100;
                    (0..n as u64).map(|index| narrow.problem(GlyphSet::Base, capability, index, args.seed)).collect()
                })
                .chain([captions]),
            args.seed,
        );
        model = fine_tune(model, &processor, &args, args.learning_rate, lesson)?;
        println!("narrow pictures of its own digits: {}", own.levels(&model, processor.clone())?);
        println!("wide pictures of other digits: {}", evaluate(&model)?);
        model.save_pretrained_with(&args.out, WeightDtype::Bf16).context("cannot save the weights")?;
    }
    let of = |world: &DigitsWorld, capability: &Capability, percent: usize| -> Vec<Problem> {
        let first = 1_000_000;
        let range = first..first + (args.wide * percent / 100) as u64;
        range.map(|index| world.problem(GlyphSet::Base, capability, index, args.seed)).collect()
    };
    let lesson = mix(
        [
            of(&wide, &Capability::PERCEPTION, 58),
            of(&wide, &Capability::VISUAL_REASONING, 14),
            of(&wide, &Capability::TEXTUAL_REASONING, 14),
            of(&narrow, &Capability::PERCEPTION, 14),
            (0..args.wide_single as u64).map(|index| wide.single(GlyphSet::Base, index, args.seed)).collect(),
        ],
        args.seed,
    );
    if !lesson.is_empty() {
        model = fine_tune(model, &processor, &args, args.wide_learning_rate, lesson)?;
    }
    model.save_pretrained_with(&args.out, WeightDtype::Bf16).context("cannot save the weights")?;
    let model = AnyBackbone::from_pretrained(&args.out, &device)?;
    println!("narrow pictures of its own digits: {}", own.levels(&model, processor.clone())?);
    println!("wide pictures of other digits: {}", evaluate(&model)?);
    Ok(())
}

/// Joins the examples of several kinds in a random order.
fn mix(kinds: impl IntoIterator<Item = Vec<Problem>>, seed: u64) -> Vec<Problem> {
    let mut all: Vec<Problem> = kinds.into_iter().flatten().collect();
    Rng::new(seed, Purpose::FineTuning, &[all.len() as u64]).shuffle(&mut all);
    all
}

/// Runs one phase of supervised fine-tuning, with a line of progress every few seconds.
fn fine_tune(
    model: AnyBackbone,
    processor: &Arc<VlmProcessor>,
    args: &Args,
    learning_rate: f64,
    train: Vec<Problem>,
) -> Result<AnyBackbone> {
    let started = Instant::now();
    let mut last = started;
    let progress = move |split, done: usize, total: usize, loss: f64| {
        if last.elapsed().as_secs() >= 10 || done == total {
            last = Instant::now();
            println!("{split:?} {done}/{total}  loss {loss:.4}  {:.0} s", started.elapsed().as_secs_f64());
        }
    };
    let config = SftConfig {
        prompt: experiments::gates::PROMPT,
        batch: args.batch,
        epochs: 1,
        optimizer: OptimizerConfig {
            learning_rate,
            betas: (0.9, 0.95),
            epsilon: 1e-8,
            weight_decay: 0.01,
            max_grad_norm: 1.0,
            schedule: Schedule { warmup: 0.05, decay: Decay::Cosine, floor: 0.1 },
        },
        memory: MemoryConfig {
            decode_batch: 512,
            micro_batch_tokens: 2048,
            logit_chunk: 2048,
            activations: ActivationMemory::Auto,
        },
    };
    let (log, validation) = (tempfile::tempdir()?, train[..train.len().min(100)].to_vec());
    let data = SftData { train, validation };
    let sft = Sft { config, seed: args.seed, processor: processor.clone(), data, progress: Box::new(progress) };
    Ok(sft.train(model, log.path(), Interrupter::new())?.0)
}
