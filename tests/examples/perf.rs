//! Worker of the comparison with PyTorch (`tests/perf/compare.py`): does one piece of work at a
//! time and prints how long it took.
//!
//! `perf WORK FOLDER` makes the model of W1, W2 or W3 with random weights, writes it with its
//! prompts into the folder, and then does what the lines of its input say: `rollout`, `decode 32`,
//! `log_probs`, `update`, `step`, `matmul`, the first, third, fourth and fifth also with
//! `unshared`, which repeats the prompt for every completion, as PyTorch does. Each answer is a
//! line of JSON.

// A measurement fails as tests do.
#![allow(clippy::unwrap_used)]

use burn::tensor::{Distribution, Tensor};
use burn::train::Learner;
use seethink::core::ProblemId;
use seethink::data::digits::{DigitsConfig, DigitsWorld};
use seethink::data::png_base64;
use seethink::models::qwen3_vl::{Qwen3Vl, Qwen3VlConfig};
use seethink::models::{ForwardCost, Pixels, Processor, PromptInput, VlmProcessor};
use seethink::prelude::*;
use seethink::rollout::{DrawKey, Prompt};
use seethink::train::{
    ActivationMemory, GroupInput, LogProbs, MicroBatch, Objective, Policy, Schedule, TrainBatch, group_advantages,
};
use seethink_tests::ending::Ending;
use seethink_tests::learner::learner;
use serde_json::{Value, json};
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The allocator of the programs, so that the figures are theirs.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Seed of weights, prompts and draws.
const SEED: u64 = 1;
/// Side of the square matrices whose product is the peak that shares are of.
const MATMUL: usize = 2048;

/// Work to be compared.
struct Work {
    config: Value,
    n_prompts: usize,
    group_size: usize,
    /// Tokens of a prompt; `None` for problems with pictures.
    prompt: Option<usize>,
    /// Tokens of a completion.
    completion: usize,
    /// Tokens decoded in the measurements of decoding alone.
    decoded: usize,
    /// Sequences that PyTorch handles at a time.
    torch_rows: usize,
}

impl Work {
    fn named(name: &str) -> Self {
        let base: Value = serde_json::from_str(&std::fs::read_to_string(base().join("config.json")).unwrap()).unwrap();
        let with = |text: Value| {
            let mut config = base.clone();
            let hidden = text["hidden_size"].clone();
            config["text_config"].as_object_mut().unwrap().extend(text.as_object().unwrap().clone());
            config["vision_config"]["out_hidden_size"] = hidden;
            config
        };
        match name {
            "W1" => Self {
                config: base.clone(),
                n_prompts: 32,
                group_size: 8,
                prompt: None,
                completion: 64,
                decoded: 64,
                torch_rows: 64,
            },
            "W2" => Self {
                config: with(json!({
                    "vocab_size": 8192, "hidden_size": 256, "intermediate_size": 704, "num_hidden_layers": 6,
                    "num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 32,
                })),
                n_prompts: 1,
                group_size: 8,
                prompt: Some(64),
                completion: 192,
                decoded: 64,
                torch_rows: 8,
            },
            "W3" => Self {
                config: with(json!({
                    "vocab_size": 49_152, "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
                    "num_attention_heads": 9, "num_key_value_heads": 3, "head_dim": 64, "initializer_range": 0.02,
                    "rope_scaling": {"rope_type": "default", "mrope_section": [12, 10, 10], "mrope_interleaved": true},
                })),
                n_prompts: 1,
                group_size: 4,
                prompt: Some(64),
                completion: 192,
                decoded: 16,
                torch_rows: 4,
            },
            other => panic!("the work is `{other}`, expected W1, W2 or W3"),
        }
    }

    /// Prompts of the groups.
    fn prompts(&self, processor: &VlmProcessor) -> Vec<Asked> {
        let Some(length) = self.prompt else {
            let world = DigitsWorld::new(DigitsConfig::default()).unwrap();
            let problems: Vec<Problem> =
                world.problems(Split::Train, &Capability::VISUAL_REASONING, SEED).take(self.n_prompts).collect();
            let format = PromptFormat { system: None, suffix: String::new() };
            let inputs = format.encode_all(processor, &problems.iter().collect::<Vec<_>>()).unwrap();
            return problems.iter().zip(inputs).map(|(problem, input)| Asked::of(problem, input)).collect();
        };
        // The question of the same length is for TRL, which takes no tokens.
        let question = "a ".repeat(length / 2);
        (0..self.n_prompts)
            .map(|prompt| Asked { input: text(prompt, length), question: question.clone(), images: Vec::new() })
            .collect()
    }
}

/// Prompt of a group, and what it was made of.
struct Asked {
    input: PromptInput,
    question: String,
    /// Pictures as PNG in base64.
    images: Vec<String>,
}

impl Asked {
    fn of(problem: &Problem, input: PromptInput) -> Self {
        let png = |image: &ImageSource| match image {
            ImageSource::Pixels(image) => png_base64(image).unwrap(),
            other => panic!("{other:?} is no picture in memory"),
        };
        let question = problem.prompt.replace(Problem::IMAGE_PLACEHOLDER, "");
        Self { input, question, images: problem.images.iter().map(png).collect() }
    }
}

/// Folder of the embedded Qwen3-VL.
fn base() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../experiments/assets/digits-base/qwen3_vl")
}

/// Prompt of ordinary tokens.
fn text(prompt: usize, length: usize) -> PromptInput {
    let mut rng = Rng::new(SEED, Purpose::World, &[prompt as u64]);
    PromptInput {
        tokens: (0..length).map(|_| (500.0 * rng.uniform()) as u32).collect(),
        position_ids: (0..length as i64).map(|position| [position; 3]).collect(),
        next_position: length as i64,
        image_tokens: Vec::new(),
        pixels: Pixels::default(),
    }
}

/// Model and inputs of the measurements.
struct Worker {
    work: Work,
    model: Qwen3Vl,
    processor: Ending,
    prompts: Vec<Asked>,
    learner: Learner<Policy<Qwen3Vl>>,
}

impl Worker {
    fn new(name: &str, folder: &Path) -> Self {
        let work = Work::named(name);
        let inner = VlmProcessor::from_pretrained(&base()).unwrap();
        let config = Qwen3VlConfig::from_json(work.config.clone()).unwrap();
        let model = config.init_seeded(SEED, &device("auto").unwrap());
        model.save_pretrained(folder).unwrap();
        inner.save_pretrained(folder).unwrap();
        let prompts = work.prompts(&inner);
        let described = json!({
            "work": name,
            "group_size": work.group_size,
            "completion": work.completion,
            "decoded": work.decoded,
            "torch_rows": work.torch_rows,
            "matmul": MATMUL,
            "pad": inner.pad_token_id(),
            "forbidden": inner.forbidden_token_ids(),
            "prompts": prompts.iter().map(|Asked { input, question, images }| json!({
                "tokens": input.tokens, "pixels": input.pixels.values, "grids": input.pixels.grids,
                "question": question, "images": images,
            })).collect::<Vec<_>>(),
            "decode_prompts": (0..256).map(|prompt| text(prompt, 16).tokens).collect::<Vec<_>>(),
            "flops": flops(&model, &work, &prompts),
        });
        std::fs::write(folder.join("work.json"), described.to_string()).unwrap();
        let forbidden = inner.forbidden_token_ids().to_vec();
        let processor = Ending { inner, eos: Vec::new(), forbidden };
        let learner = learner(model.clone(), &optimizer());
        Self { work, model, processor, prompts, learner }
    }

    /// Groups of prompts and numbers of their completions; each completion with a prompt of its own
    /// if `unshared`.
    fn groups(&self, unshared: bool) -> (Vec<&PromptInput>, usize) {
        let n = self.work.group_size;
        match unshared {
            false => (self.prompts.iter().map(|prompt| &prompt.input).collect(), n),
            true => (self.prompts.iter().flat_map(|prompt| std::iter::repeat_n(&prompt.input, n)).collect(), 1),
        }
    }

    fn generate(&self, prompts: &[&PromptInput], n: usize, max_tokens: usize) -> Vec<Group> {
        let generator = Generator {
            model: &self.model,
            processor: &self.processor,
            sampling: Sampling::plain(max_tokens),
            max_batch: 256,
        };
        let prompts: Vec<Prompt<'_>> =
            prompts.iter().enumerate().map(|(id, input)| Prompt::new(ProblemId(id as u64), input)).collect();
        let key = DrawKey { seed: SEED, purpose: Purpose::Rollout, step: 0 };
        generator.generate(&prompts, n, key, &mut |_, _| true).unwrap().groups
    }

    fn log_prob_settings(&self) -> LogProbs {
        LogProbs { temperature: 1.0, forbidden: self.processor.forbidden.clone(), chunk: 1024 }
    }

    fn micro_batches(&self, groups: &[Group], unshared: bool) -> Vec<MicroBatch> {
        let (prompts, n) = self.groups(unshared);
        let all: Vec<&Completion> = groups.iter().flat_map(|group| &group.completions).collect();
        // Random weights solve nothing; every other completion is counted as right.
        let rewards: Vec<f32> = (0..self.work.group_size).map(|completion| (completion % 2) as f32).collect();
        let advantages = group_advantages(&rewards);
        let inputs: Vec<GroupInput<'_>> = prompts
            .iter()
            .zip(all.chunks(n))
            .enumerate()
            .map(|(at, (prompt, completions))| GroupInput {
                prompt,
                features: None,
                completions: completions.iter().map(|c| (c.tokens.as_slice(), c.log_probs.as_slice())).collect(),
                advantages: if n == 1 { vec![advantages[at % advantages.len()]] } else { advantages.clone() },
            })
            .collect();
        MicroBatch::pack(&inputs, 4096)
    }

    fn log_probs(&self, micro_batches: &[MicroBatch]) -> Vec<Vec<f32>> {
        let (policy, settings) = (Policy { model: self.model.clone() }, self.log_prob_settings());
        let pad = self.processor.pad_token_id();
        micro_batches.iter().map(|micro_batch| policy.log_probs(micro_batch, &settings, pad)).collect()
    }

    fn update(&mut self, mut micro_batches: Vec<MicroBatch>, reference: Vec<Vec<f32>>) {
        for (micro_batch, reference) in micro_batches.iter_mut().zip(reference) {
            micro_batch.targets.reference_log_probs = reference;
        }
        let batch = TrainBatch {
            micro_batches,
            objective: Objective::Policy(PolicyLoss { kl_coef: 0.01, ..PolicyLoss::default() }),
            trainable: Trainable::ALL,
            log_probs: self.log_prob_settings(),
            pad_token: self.processor.pad_token_id(),
            max_grad_norm: 1.0,
            activations: ActivationMemory::Auto,
        };
        let output = self.learner.train_step(batch);
        self.learner.optimizer_step(output.grads);
    }

    /// Does a piece of work and returns its seconds, CPU seconds, completion tokens and peak of memory
    /// in MB.
    fn measure(&mut self, what: &str) -> Value {
        let (name, argument) = what.split_once(' ').unwrap_or((what, ""));
        let unshared = argument == "unshared";
        let (prompts, n) = self.groups(unshared);
        let (wanted, completion) = (prompts.len() * n, self.work.completion);
        match name {
            "rollout" => timed(wanted * completion, || drop(self.generate(&prompts, n, completion))),
            "decode" => {
                let rows: usize = argument.parse().expect("a number of sequences");
                let prompts: Vec<PromptInput> = (0..rows).map(|prompt| text(prompt, 16)).collect();
                let decoded = self.work.decoded;
                timed(rows * decoded, || drop(self.generate(&prompts.iter().collect::<Vec<_>>(), 1, decoded)))
            }
            "log_probs" => {
                let groups = self.generate(&prompts, n, completion);
                let micro_batches = self.micro_batches(&groups, unshared);
                timed(wanted * completion, || drop(self.log_probs(&micro_batches)))
            }
            "update" => {
                let groups = self.generate(&prompts, n, completion);
                let micro_batches = self.micro_batches(&groups, unshared);
                let reference = self.log_probs(&micro_batches);
                timed(wanted * completion, || self.update(micro_batches, reference))
            }
            "step" => timed(wanted * completion, || {
                let (prompts, n) = self.groups(unshared);
                let groups = self.generate(&prompts, n, completion);
                let micro_batches = self.micro_batches(&groups, unshared);
                let reference = self.log_probs(&micro_batches);
                self.update(micro_batches, reference);
            }),
            "matmul" => {
                let device = self.model.text.embed.weight.device();
                let matrix = || Tensor::<2>::random([MATMUL; 2], Distribution::Normal(0.0, 1.0), &device);
                let (left, right) = (matrix(), matrix());
                timed(1, || drop(left.matmul(right).into_data()))
            }
            other => panic!("no work is called `{other}`"),
        }
    }
}

/// Floating-point operations of the measurements, with shared prompts; a backward pass counts as
/// two forward passes, whatever is computed again in it.
fn flops(model: &Qwen3Vl, work: &Work, prompts: &[Asked]) -> Value {
    let cost = ForwardCost::of(model);
    let n = work.group_size;
    let forward: f64 = prompts
        .iter()
        .map(|Asked { input, .. }| {
            let length = input.tokens.len();
            cost.images(input)
                + cost.tokens(0, length)
                + n as f64 * (cost.tokens(length, work.completion) + cost.distributions(work.completion))
        })
        .sum();
    json!({ "log_probs": forward, "rollout": forward, "update": 3.0 * forward, "step": 5.0 * forward })
}

/// Settings of the optimiser, PyTorch's defaults but for the rate.
fn optimizer() -> OptimizerConfig {
    OptimizerConfig {
        learning_rate: 1e-6,
        betas: (0.9, 0.999),
        epsilon: 1e-8,
        weight_decay: 0.01,
        max_grad_norm: 1.0,
        schedule: Schedule::CONSTANT,
    }
}

/// Times a piece of work: seconds, CPU seconds, and the peak of memory in MB.
fn timed(tokens: usize, work: impl FnOnce()) -> Value {
    // The kernel's peak is counted from here on.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let (start, cpu) = (Instant::now(), cpu_seconds());
    work();
    let seconds = start.elapsed().as_secs_f64();
    json!({ "seconds": seconds, "cpu": cpu_seconds() - cpu, "tokens": tokens, "peak_mb": peak_mb() })
}

/// CPU time of this process, from `/proc`, in ticks of a hundredth of a second.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = stat.rsplit(')').next().unwrap_or_default();
    after.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// Largest resident memory, MB.
fn peak_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok()).unwrap_or(f64::NAN) / 1000.0
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, folder] = arguments.as_slice() else { panic!("expected: perf W1|W2|W3 FOLDER") };
    let folder = Path::new(folder);
    std::fs::create_dir_all(folder).unwrap();
    let mut worker = Worker::new(name, folder);
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        println!("{}", worker.measure(line.unwrap().trim()));
        std::io::stdout().flush().unwrap();
    }
}
