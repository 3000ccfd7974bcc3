//! Comparison of greedy completions, with the cache.

use super::case::{Case, values};
use super::reference::{Reference, get};
use super::table::Table;
use crate::ending::Ending;
use anyhow::{Context, Result};
use seethink::burn::tensor::activation::log_softmax;
use seethink::burn::tensor::{DType, Int, Tensor};
use seethink::core::{ProblemId, Purpose};
use seethink::models::{AnyBackbone, Side, TokenRow, VisionLanguageModel, VlmInput, VlmProcessor};
use seethink::rollout::{DrawKey, Generator, Prompt, Sampling};
use serde_json::Value;

/// Tolerance between log-probabilities of decoding and those of one pass.
const CACHE: f64 = 1e-4;

pub(super) fn compare(
    reference: &Reference,
    model: &AnyBackbone,
    processor: &VlmProcessor,
    table: &mut Table,
) -> Result<()> {
    let cases = reference.json("generate").as_object().context("generate.json is no object")?;
    for (name, expected) in cases {
        let batch = super::case::NAMES.into_iter().find(|batch| name.starts_with(batch));
        let case = Case::read(reference, batch.with_context(|| format!("generate.json: unknown batch {name}"))?)?;
        compare_case(&case, name, expected, model, processor, table)
            .with_context(|| format!("generate.json, {name}"))?;
    }
    Ok(())
}

fn compare_case(
    case: &Case<'_>,
    name: &str,
    expected: &Value,
    model: &AnyBackbone,
    processor: &VlmProcessor,
    table: &mut Table,
) -> Result<()> {
    let tokens: Vec<Vec<u32>> = get(expected, "tokens")?;
    let eos = if expected.get("eos_token_id").is_some() { get(expected, "eos_token_id")? } else { Vec::new() };
    let penalty = expected["repetition_penalty"].as_f64().unwrap_or(1.0) as f32;
    let sampling = Sampling { repetition_penalty: penalty, ..Sampling::greedy(tokens[0].len()) };
    let processor = Ending { inner: processor.clone(), eos, forbidden: Vec::new() };
    let prompts: Vec<Prompt<'_>> = case.prompts.iter().map(|input| Prompt::new(ProblemId(0), input)).collect();
    let generator = Generator { model, processor: &processor, sampling, max_batch: 64 };
    let key = DrawKey { seed: 0, purpose: Purpose::Rollout, step: 0 };
    let rollouts = generator.generate(&prompts, 1, key, &mut |_, _| true)?;
    let found: Vec<_> = rollouts.groups.iter().map(|group| &group.completions[0]).collect();

    if table.is_judged() {
        for (found, tokens) in found.iter().zip(&tokens) {
            // The reference fills a finished row with padding until all are done.
            let pad = expected["pad_token_id"].as_u64().unwrap_or(0) as u32;
            let mut padded = found.tokens.clone();
            padded.resize(tokens.len(), pad);
            table.equal("greedy tokens", name, &padded, tokens);
        }
        if expected.get("logprobs").is_some() {
            let log_probs: Vec<Vec<f32>> = get(expected, "logprobs")?;
            let sampled: Vec<f32> = found.iter().flat_map(|completion| completion.log_probs.clone()).collect();
            let noise = case.noise("logits");
            table.close("log-probabilities of greedy tokens", name, &sampled, &log_probs.concat(), noise);
        }
    }
    // Half precision chooses other tokens: for those tokens, both ways must agree.
    let sampled: Vec<f32> = found.iter().flat_map(|completion| completion.log_probs.clone()).collect();
    let completions: Vec<&[u32]> = found.iter().map(|completion| completion.tokens.as_slice()).collect();
    let whole = one_pass(case, model, &completions);
    table.within("cached decoding against one pass", name, &sampled, &whole, CACHE);
    Ok(())
}

/// Log-probabilities of completions, from one pass over prompts and completions.
fn one_pass(case: &Case<'_>, model: &AnyBackbone, completions: &[&[u32]]) -> Vec<f32> {
    let rows: Vec<TokenRow> = case
        .prompts
        .iter()
        .zip(completions)
        .map(|(prompt, tokens)| {
            let mut row = TokenRow::prompt(prompt);
            row.push_branch(0, prompt.next_position, tokens);
            row
        })
        .collect();
    let features = case.pixels(model).map(|pixels| model.encode_images(pixels));
    let input = VlmInput::from_rows(&rows, 0, Side::Right, features, &model.device());
    let hidden = model.hidden_states(input);
    let [batch, seq, _] = hidden.dims();
    let log_probs = log_softmax(model.lm_head(hidden.flatten(0, 1)).cast(DType::F32), 1);
    let mut places = (Vec::new(), Vec::new());
    for (row, (prompt, tokens)) in case.prompts.iter().zip(completions).enumerate() {
        for (i, &token) in tokens.iter().enumerate() {
            places.0.push((row * seq + prompt.tokens.len() + i - 1) as i64);
            places.1.push(i64::from(token));
        }
    }
    debug_assert_eq!(batch, completions.len());
    let ints = |values: &[i64]| Tensor::<1, Int>::from_ints(values, &log_probs.device());
    values(log_probs.clone().select(0, ints(&places.0)).gather(1, ints(&places.1).unsqueeze_dim(1)))
}
