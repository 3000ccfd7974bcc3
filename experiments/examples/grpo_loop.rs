//! GRPO in one file: sample a group of completions for each problem, score them, compare each with
//! its group, and raise the probability of the better ones. No configuration, no curriculum, no
//! learner: what to read first.
//!
//! `cargo run --release --example grpo_loop -- [STEPS]` trains the small Qwen3-VL that is embedded
//! in the examples on arithmetic about pictures of handwritten digits, and prints the mean reward
//! of every step.

use experiments::base;
use seethink::burn::module::Module;
use seethink::burn::optim::{AdamWConfig, GradientsAccumulator, GradientsParams};
use seethink::burn::tensor::activation::log_softmax;
use seethink::burn::tensor::{Int, Tensor, TensorData};
use seethink::data::digits_v1::{DigitsConfig, DigitsWorld};
use seethink::models::qwen3_vl::Qwen3Vl;
use seethink::models::{PromptInput, Side, TokenRow, VlmInput, VlmProcessor};
use seethink::prelude::*;
use seethink::rollout::{DrawKey, Prompt};
use seethink::run::config::{BaseFamily, ModelSource};
use std::error::Error;

/// Problems of a step.
const BATCH: usize = 16;
/// Completions of each problem.
const GROUP: usize = 8;
/// Longest completion, tokens.
const MAX_TOKENS: usize = 64;
const LEARNING_RATE: f64 = 1e-4;
/// The ratio of new to old probability is worth nothing beyond `1 ± CLIP`.
const CLIP: f32 = 0.2;

fn main() -> Result<(), Box<dyn Error>> {
    let steps = std::env::args().nth(1).map_or(Ok(20), |steps| steps.parse())?;
    let (model, processor) = embedded_model()?;
    train(model, &processor, steps, &mut |step, reward| println!("step {step:>3}  mean reward {reward:.3}"))
}

pub(crate) fn embedded_model() -> Result<(Qwen3Vl, VlmProcessor), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    base::unpack(&ModelSource::DigitsV1Base(BaseFamily::Qwen3Vl), folder.path())?;
    let model = Qwen3Vl::from_pretrained(folder.path(), &device("auto")?)?;
    Ok((model, VlmProcessor::from_pretrained(folder.path())?))
}

pub(crate) fn train(
    model: Qwen3Vl,
    processor: &VlmProcessor,
    steps: usize,
    report: &mut dyn FnMut(usize, f32),
) -> Result<(), Box<dyn Error>> {
    let world = DigitsWorld::new(DigitsConfig::default())?;
    let (format, reward) = (PromptFormat::default(), AnswerReward::default());
    let mut problems = world.problems(Split::Train, &Capability::VISUAL_REASONING, 1);
    let mut optimizer = AdamWConfig::new().init();
    // Parameters that gradients are taken of.
    let mut policy = model.train();

    for step in 0..steps {
        // Ask: each problem becomes the tokens and the patches of a prompt.
        let problems: Vec<Problem> = problems.by_ref().take(BATCH).collect();
        let prompts = format.encode_all(processor, &problems.iter().collect::<Vec<_>>())?;

        // Roll out: a group of completions of each prompt, by the policy as it is, without
        // gradients.
        let sampler = policy.valid();
        let sampling = Sampling::plain(MAX_TOKENS);
        let generator = Generator { model: &sampler, processor, sampling, max_batch: BATCH * GROUP };
        let asked: Vec<Prompt<'_>> =
            problems.iter().zip(&prompts).map(|(problem, prompt)| Prompt::new(problem.id, prompt)).collect();
        let key = DrawKey { seed: 1, purpose: Purpose::Rollout, step: step as u64 };
        let rollouts = generator.generate(&asked, GROUP, key, &mut |_, _| true)?;

        let n_tokens = rollouts.n_tokens();
        let (mut gradients, mut sum) = (GradientsAccumulator::new(), 0.0);
        for ((problem, prompt), group) in problems.iter().zip(&prompts).zip(&rollouts.groups) {
            // Score: what each completion earns.
            let rewards: Vec<f32> =
                group.completions.iter().map(|completion| reward.score(problem, completion.into()).value).collect();
            sum += rewards.iter().sum::<f32>();
            // Compare: with the other completions of the same problem. A group without differences
            // teaches nothing.
            let advantages = advantages(&rewards);
            if advantages.iter().all(|&advantage| advantage == 0.0) {
                continue;
            }
            // Update: the gradient of this group; every token of the step counts alike.
            let loss = policy_loss(&policy, processor, prompt, &group.completions, &advantages) / n_tokens as f32;
            gradients.accumulate(&policy, GradientsParams::from_grads(loss.backward(), &policy));
        }
        policy = optimizer.step(LEARNING_RATE, policy, gradients.grads());
        report(step, sum / (BATCH * GROUP) as f32);
    }
    Ok(())
}

/// Each reward minus the mean of its group, over the sample deviation of its group.
fn advantages(rewards: &[f32]) -> Vec<f32> {
    let n = rewards.len() as f32;
    let mean = rewards.iter().sum::<f32>() / n;
    let deviation = (rewards.iter().map(|reward| (reward - mean).powi(2)).sum::<f32>() / (n - 1.0)).sqrt();
    rewards.iter().map(|reward| (reward - mean) / (deviation + 1e-6)).collect()
}

/// `−Σ min(ratio · A, clip(ratio, 1 − ε, 1 + ε) · A)` over the tokens of a group, `ratio` that of
/// the probability of a token now and when it was sampled.
fn policy_loss(
    policy: &Qwen3Vl,
    processor: &VlmProcessor,
    prompt: &PromptInput,
    completions: &[Completion],
    advantages: &[f32],
) -> Tensor<1> {
    // One row: the prompt, then each completion as a branch that sees the prompt and itself.
    let mut row = TokenRow::prompt(prompt);
    let last_of_prompt = row.tokens.len() - 1;
    let (mut sources, mut ids, mut old, mut worth) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (i, (completion, &advantage)) in completions.iter().zip(advantages).enumerate() {
        let first = row.push_branch(i as i64 + 1, prompt.next_position, &completion.tokens);
        for (t, (&token, &log_prob)) in completion.tokens.iter().zip(&completion.log_probs).enumerate() {
            // A token is predicted where the one before it stands.
            sources.push(if t == 0 { last_of_prompt } else { first + t - 1 } as i64);
            ids.push(i64::from(token));
            old.push(log_prob);
            worth.push(advantage);
        }
    }
    let (n, device) = (ids.len(), policy.device());
    let integers = |values: Vec<i64>| Tensor::<1, Int>::from_data(TensorData::new(values, [n]), &device);
    let numbers = |values: Vec<f32>| Tensor::<1>::from_data(TensorData::new(values, [n]), &device);

    let features = policy.encode_images(prompt.pixels.to_tensor(&device));
    let input = VlmInput::from_rows(&[row], processor.pad_token_id(), Side::Right, Some(features), &device);
    let hidden = policy.hidden_states(input).squeeze_dim::<2>(0).select(0, integers(sources));
    let log_probs =
        log_softmax(policy.lm_head(hidden), 1).gather(1, integers(ids).unsqueeze_dim(1)).squeeze_dim::<1>(1);

    let (ratio, worth) = ((log_probs - numbers(old)).exp(), numbers(worth));
    let clipped = ratio.clone().clamp(1.0 - CLIP, 1.0 + CLIP) * worth.clone();
    -(ratio * worth).min_pair(clipped).sum()
}
