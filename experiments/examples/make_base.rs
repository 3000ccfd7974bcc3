//! Training of a small base model of the digits world: tokenizer, random weights, supervised
//! fine-tuning on narrow pictures until the model reads the digits that it was shown, then briefly
//! on wide ones, which sets how well it sees. The phases are those of a recipe.
//!
//! `cargo run --release --example make_base -- --family FAMILY --seed SEED --out DIR` trains one and
//! prints its levels.

use anyhow::{Context, Result, ensure};
use clap::Parser;
use experiments::base;
use experiments::gates::Tests;
use seethink::burn::module::Module;
use seethink::core::{Capability, Problem, Purpose, Rng};
use seethink::data::Split;
use seethink::data::digits::{DigitsConfig, DigitsWorld, GlyphSet, Pictures};
use seethink::models::{AnyBackbone, VlmProcessor, WeightDtype};
use seethink::prelude::*;
use seethink::run::config::BaseFamily;
use seethink::train::{ActivationMemory, Decay, Interrupter, MemoryConfig, Schedule, Sft, SftData};
use serde::Deserialize;
use std::collections::BTreeMap;
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
    /// File of the recipe, instead of that of the models that ship.
    #[arg(long)]
    recipe: Option<PathBuf>,
    /// Accuracy of perception at which a phase in wide pictures is over, instead of the recipe's levels.
    #[arg(long)]
    sight: Option<f64>,
    /// Folder of a model to begin with, instead of random weights.
    #[arg(long)]
    from: Option<PathBuf>,
    /// Number of examples per update.
    #[arg(long, default_value_t = 32)]
    batch: usize,
    /// Number of test problems of each capability.
    #[arg(long, default_value_t = 500)]
    test: usize,
    /// Device to compute on, for example flex, cuda:1 or auto.
    #[arg(long, default_value = "auto")]
    device: String,
}

/// Phase of supervised fine-tuning: pictures, rate and numbers of examples.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Phase {
    /// Whether pictures are wide; else they are narrow.
    #[serde(default)]
    wide: bool,
    /// Peak learning rate, after a short warm-up and before a cosine decay.
    learning_rate: f64,
    /// Number of pictures of single digits.
    #[serde(default)]
    single: u64,
    /// Number of captioned pictures.
    #[serde(default)]
    captions: u64,
    /// Number of perception problems.
    #[serde(default)]
    perception: u64,
    /// Number of problems of textual reasoning.
    #[serde(default)]
    textual: u64,
    /// Number of problems of visual reasoning.
    #[serde(default)]
    visual: u64,
    /// Number of narrow pictures of perception and of visual reasoning each, among wide ones.
    #[serde(default)]
    replay: u64,
    /// Accuracies at which the phase is over, all of them, on its own digits in narrow pictures or on
    /// validation digits in wide ones; until then it is repeated with other examples. A phase that
    /// begins with them is left out.
    #[serde(default)]
    until: BTreeMap<Capability, f64>,
    /// Largest number of repetitions.
    #[serde(default = "once")]
    at_most: usize,
}

fn once() -> usize {
    1
}

impl Phase {
    /// Draws the examples of the phase in a random order; every number gives others.
    fn examples(&self, number: usize, seed: u64) -> Result<Vec<Problem>> {
        let world = world(if self.wide { Pictures::WIDE } else { Pictures::NARROW })?;
        let narrow = self::world(Pictures::NARROW)?;
        let first = 1_000_000 * number as u64;
        let draw = |n: u64, problem: &dyn Fn(u64) -> Problem| (first..first + n).map(problem).collect::<Vec<_>>();
        let of = |n, capability: &Capability| draw(n, &|index| world.problem(GlyphSet::Base, capability, index, seed));
        let mut all = draw(self.single, &|index| world.single(GlyphSet::Base, index, seed));
        all.extend(draw(self.captions, &|index| world.caption(GlyphSet::Base, index, seed)));
        all.extend(of(self.perception, &Capability::PERCEPTION));
        all.extend(of(self.textual, &Capability::TEXTUAL_REASONING));
        all.extend(of(self.visual, &Capability::VISUAL_REASONING));
        for capability in [Capability::PERCEPTION, Capability::VISUAL_REASONING] {
            let replayed = first + 500_000..first + 500_000 + self.replay;
            all.extend(replayed.map(|index| narrow.problem(GlyphSet::Base, &capability, index, seed)));
        }
        Rng::new(seed, Purpose::FineTuning, &[number as u64, all.len() as u64]).shuffle(&mut all);
        Ok(all)
    }
}

fn world(pictures: Pictures) -> Result<DigitsWorld> {
    Ok(DigitsWorld::new(DigitsConfig { pictures, ..experiments::gates::world()? })?)
}

fn main() -> Result<()> {
    let args = Args::parse();
    ensure!(!args.out.exists(), "{} exists; nothing is overwritten", args.out.display());
    let recipe = match &args.recipe {
        Some(path) => std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?,
        None => include_str!("../assets/digits-base/recipe.ron").to_owned(),
    };
    let mut recipe: Vec<Phase> = ron::from_str(&recipe).context("the recipe is a list of phases")?;
    if let Some(level) = args.sight {
        let sees = |phase: &&mut Phase| phase.wide && phase.until.contains_key(&Capability::PERCEPTION);
        recipe.iter_mut().filter(sees).for_each(|phase| phase.until = [(Capability::PERCEPTION, level)].into());
    }
    let device = device(&args.device)?;
    let (narrow, wide) = (world(Pictures::NARROW)?, world(Pictures::WIDE)?);

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
    let mut number = 0;
    for phase in &recipe {
        println!("{phase:?}");
        let goal = if phase.wide { &tests } else { &own };
        for done in 0..=phase.at_most {
            if !phase.until.is_empty() {
                let reached: BTreeMap<Capability, f64> =
                    Capability::ALL.into_iter().zip(goal.accuracy(&model, processor.clone())?).collect();
                println!("{reached:?}");
                if phase.until.iter().all(|(capability, level)| reached.get(capability) >= Some(level)) {
                    break;
                }
            }
            if done < phase.at_most {
                model = fine_tune(model, &processor, &args, phase.learning_rate, phase.examples(number, args.seed)?)?;
                number += 1;
            }
        }
        model.save_pretrained_with(&args.out, WeightDtype::Bf16).context("cannot save the weights")?;
        let model = AnyBackbone::from_pretrained(&args.out, &device)?;
        println!("narrow pictures of its own digits: {}", own.levels(&model, processor.clone())?);
        println!("wide pictures of other digits: {}", tests.levels(&model, processor.clone())?);
    }
    Ok(())
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
