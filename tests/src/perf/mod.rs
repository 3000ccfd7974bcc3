//! Worker of the comparisons with PyTorch (`tests/perf/compare.py`, `tests/gpu/run.sh`): does one
//! piece of work at a time and says how long it took.
//!
//! `kit perf WORK FOLDER` makes a model with random weights, writes it with its prompts into the
//! folder, loads it, and then does what the lines of its input say: `load`, `rollout`, `prefill`,
//! `decode 32`, `log_probs`, `gradients`, `update`, `step`, `matmul`; `rollout`, `log_probs`,
//! `update` and `step` also with `unshared`, which repeats the prompt for every completion, as
//! PyTorch does. `without NAME …` turns these fast paths off, and all others on, for what follows;
//! `KeptActivations` among them has blocks run again in the backward pass. Each answer is a line of
//! JSON.

// A measurement fails as tests do.
#![allow(clippy::unwrap_used)]

mod weights;
mod works;

use crate::ending::Ending;
use crate::learner::learner;
use burn::module::Module;
use burn::tensor::{Device, Distribution, Tensor};
use burn::train::Learner;
use seethink::core::ProblemId;
use seethink::data::png_base64;
use seethink::models::qwen3_vl::Qwen3Vl;
use seethink::models::{ForwardCost, Pixels, Processor, PromptInput, VlmProcessor, WeightDtype};
use seethink::nn::FastPath;
use seethink::prelude::*;
use seethink::rollout::{DrawKey, Prompt};
use seethink::train::{
    ActivationMemory, GroupInput, LogProbs, MicroBatch, Objective, Policy, Schedule, TrainBatch, group_advantages,
};
use serde_json::{Value, json};
use std::io::{BufRead, Write};
use std::path::Path;
use std::time::Instant;
use works::Work;

/// Seed of weights, prompts and draws.
const SEED: u64 = 1;

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
    device: Device,
    dtype: WeightDtype,
    processor: Ending,
    prompts: Vec<Asked>,
    learner: Learner<Policy<Qwen3Vl>>,
    activations: ActivationMemory,
    /// Measurement of loading the checkpoint.
    load: Value,
}

impl Worker {
    /// Loads the model of a work; `folder` holds the embedded Qwen3-VL, which becomes that model.
    fn new(name: &str, folder: &Path, device: Device, dtype: WeightDtype) -> Self {
        let inner = VlmProcessor::from_pretrained(folder).unwrap();
        let base = serde_json::from_str(&std::fs::read_to_string(folder.join("config.json")).unwrap()).unwrap();
        let work = Work::named(name, base);
        weights::write(&work.config, dtype, folder);
        let mut loaded = None;
        let load = timed(&device, 0, || loaded = Some(Qwen3Vl::from_pretrained_as(folder, dtype, &device).unwrap()));
        let model = loaded.unwrap();
        let prompts = work.prompts(&inner);
        let described = json!({
            "work": name,
            "group_size": work.group_size,
            "completion": work.completion,
            "decoded": work.decoded,
            "torch_rows": work.torch_rows,
            "matmul": work.matmul,
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
        let learner = learner(model, &optimizer());
        Self { work, device, dtype, processor, prompts, learner, activations: ActivationMemory::Auto, load }
    }

    /// The model as it is now.
    fn policy(&self) -> Policy<Qwen3Vl> {
        self.learner.model().valid()
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

    fn generate(&self, policy: &Policy<Qwen3Vl>, prompts: &[&PromptInput], n: usize, max_tokens: usize) -> Vec<Group> {
        let generator = Generator {
            model: &policy.model,
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

    fn log_probs(&self, policy: &Policy<Qwen3Vl>, micro_batches: &[MicroBatch]) -> Vec<Vec<f32>> {
        let settings = self.log_prob_settings();
        let pad = self.processor.pad_token_id();
        micro_batches.iter().map(|micro_batch| policy.log_probs(micro_batch, &settings, pad)).collect()
    }

    /// Completions of all prompts, ready for an update. No copy of the model is left, so that its
    /// parameters can be updated in place.
    fn batch(&self, unshared: bool) -> TrainBatch {
        let policy = self.policy();
        let (prompts, n) = self.groups(unshared);
        let groups = self.generate(&policy, &prompts, n, self.work.completion);
        let mut micro_batches = self.micro_batches(&groups, unshared);
        let reference = self.log_probs(&policy, &micro_batches);
        for (micro_batch, reference) in micro_batches.iter_mut().zip(reference) {
            micro_batch.targets.reference_log_probs = reference;
        }
        TrainBatch {
            micro_batches,
            n_left_out: 0,
            objective: Objective::Policy(PolicyLoss { kl_coef: 0.01, ..PolicyLoss::default() }),
            trainable: Trainable::ALL,
            log_probs: self.log_prob_settings(),
            pad_token: self.processor.pad_token_id(),
            max_grad_norm: 1.0,
            activations: self.activations,
        }
    }

    fn update(&mut self, batch: TrainBatch) {
        let output = self.learner.train_step(batch);
        self.learner.optimizer_step(output.grads);
    }

    /// Does without the fast paths of these names, in what follows.
    fn do_without(&mut self, names: &str) {
        const KEPT_ACTIVATIONS: &str = "KeptActivations";
        let (kept, paths): (Vec<&str>, Vec<&str>) =
            names.split_whitespace().partition(|&name| name == KEPT_ACTIVATIONS);
        self.activations = if kept.is_empty() { ActivationMemory::Auto } else { ActivationMemory::Mebibytes(0) };
        FastPath::keep_off(&paths.iter().map(|name| name.parse().unwrap()).collect::<Vec<_>>());
    }

    /// Does a piece of work and returns its seconds, CPU seconds, tokens and peak of memory in MB.
    fn measure(&mut self, what: &str) -> Value {
        let (name, argument) = what.split_once(' ').unwrap_or((what, ""));
        let unshared = argument == "unshared";
        if name == "without" {
            self.do_without(argument);
            return json!({});
        }
        let (prompts, n) = self.groups(unshared);
        let completion = self.work.completion;
        let wanted = prompts.len() * n * completion;
        let device = self.device.clone();
        match name {
            "load" => self.load.clone(),
            "rollout" => {
                let policy = self.policy();
                timed(&device, wanted, || self.generate(&policy, &prompts, n, completion))
            }
            "prefill" => {
                let policy = self.policy();
                timed(&device, prompts[0].tokens.len(), || self.generate(&policy, &prompts[..1], 1, 1))
            }
            "decode" => {
                let rows: usize = argument.parse().expect("a number of sequences");
                let prompts: Vec<PromptInput> = (0..rows).map(|prompt| text(prompt, 16)).collect();
                let prompts: Vec<&PromptInput> = prompts.iter().collect();
                let (policy, decoded) = (self.policy(), self.work.decoded);
                timed(&device, rows * decoded, || self.generate(&policy, &prompts, 1, decoded))
            }
            "log_probs" => {
                let policy = self.policy();
                let groups = self.generate(&policy, &prompts, n, completion);
                let micro_batches = self.micro_batches(&groups, unshared);
                timed(&device, wanted, || self.log_probs(&policy, &micro_batches))
            }
            "gradients" => {
                let batch = self.batch(unshared);
                timed(&device, wanted, || self.learner.train_step(batch))
            }
            "update" => {
                let batch = self.batch(unshared);
                timed(&device, wanted, || self.update(batch))
            }
            "step" => timed(&device, wanted, || {
                let batch = self.batch(unshared);
                self.update(batch);
            }),
            "matmul" => {
                let side = [self.work.matmul; 2];
                let matrix = || {
                    Tensor::<2>::random(side, Distribution::Normal(0.0, 1.0), &device).cast(self.dtype.tensor_dtype())
                };
                let (left, right) = (matrix(), matrix());
                timed(&device, 1, || left.matmul(right))
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

/// Times a piece of work to its end on the device: seconds, CPU seconds, and the peak of memory in
/// MB.
fn timed<T>(device: &Device, tokens: usize, work: impl FnOnce() -> T) -> Value {
    device.sync().unwrap();
    // The kernel's peak is counted from here on.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let (start, cpu) = (Instant::now(), cpu_seconds());
    let result = work();
    device.sync().unwrap();
    let (seconds, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    drop(result);
    json!({ "seconds": seconds, "cpu": cpu, "tokens": tokens, "peak_mb": peak_mb() })
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

/// Answers the requests of standard input, one a line; `folder` holds the embedded Qwen3-VL, and
/// afterwards the model of the work and its prompts.
///
/// # Panics
/// If the work or a request has another name, or a measurement fails, for example for want of memory.
pub fn serve(name: &str, folder: &Path, device: Device, dtype: WeightDtype) {
    let mut worker = Worker::new(name, folder, device, dtype);
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        let what = line.unwrap();
        let mut answer = worker.measure(what.trim());
        answer["what"] = what.trim().into();
        println!("{answer}");
        std::io::stdout().flush().unwrap();
    }
}
