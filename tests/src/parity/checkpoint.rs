//! Comparison of a real checkpoint with the output of `parity/reference.py`.

use super::case::values;
use super::reference::{get, read_json};
use super::{Settings, Table, pictures};
use crate::ending::Ending;
use anyhow::{Context, Result};
use seethink::burn::tensor::activation::log_softmax;
use seethink::burn::tensor::{DType, Int, Tensor};
use seethink::core::{Image, ImageSource, ProblemId, Purpose};
use seethink::data::{Alpha, ImageLoader};
use seethink::models::{
    AnyBackbone, PromptInput, Side, TemplateOptions, TokenRow, VisionLanguageModel, VlmInput, VlmProcessor,
};
use seethink::rollout::{DrawKey, Generator, Prompt, Sampling};
use serde_json::Value;
use std::path::Path;

/// Relative tolerance of norms and sampled values: sums of up to 1e8 terms in `f32`, in another
/// order.
const RELATIVE: f64 = 1e-3;
/// Tolerance of logits and log-probabilities.
const LOGITS: f64 = 5e-3;

/// Compares a checkpoint with the reference's results for it.
///
/// # Errors
/// If the checkpoint cannot be loaded, or the reference's file is malformed.
pub fn compare_checkpoint(dir: &Path, reference: &Path, settings: &Settings) -> Result<Table> {
    let facts = read_json(reference)?;
    let processor = VlmProcessor::from_pretrained(dir)?;
    let model = AnyBackbone::from_pretrained_as(dir, settings.dtype, &settings.device)?;
    let mut table = Table::new(model.display_name(), settings);
    let beside = reference.parent().unwrap_or(Path::new("."));
    for (name, case) in facts["cases"].as_object().context("`cases` is no object")? {
        compare_case(beside, name, case, &model, &processor, &mut table).with_context(|| format!("case {name}"))?;
    }
    Ok(table)
}

fn compare_case(
    dir: &Path,
    name: &str,
    case: &Value,
    model: &AnyBackbone,
    processor: &VlmProcessor,
    table: &mut Table,
) -> Result<()> {
    let messages = super::prompts::messages(case)?;
    let images = images(dir, case)?;
    let rendered = processor.render(&messages, &TemplateOptions::default())?;
    table.equal("rendered prompts", name, &[rendered], &[get::<String>(case, "prompt")?]);
    let prompt = processor.encode_with(&messages, &images, &TemplateOptions::default())?;
    table.equal("token ids of prompts", name, &prompt.tokens, &get::<Vec<u32>>(case, "input_ids")?);
    if case.get("position_ids").is_some() {
        let expected: [Vec<i64>; 3] = get(case, "position_ids")?;
        let found = [0, 1, 2].map(|axis| prompt.position_ids.iter().map(|position| position[axis]).collect::<Vec<_>>());
        table.equal("positions", name, &found, &expected);
    }
    compare_passes(name, case, model, &prompt, table)?;
    compare_greedy(name, case, model, processor, &prompt, table)
}

fn images(dir: &Path, case: &Value) -> Result<Vec<Image>> {
    // Transparency is dropped, as the reference does with Pillow's pictures.
    let loader = ImageLoader { alpha: Alpha::Drop, ..ImageLoader::default() };
    let pieces = case["messages"].as_array().into_iter().flatten().flat_map(|message| message["content"].as_array());
    let files = pieces.flatten().filter_map(|piece| piece["image"].as_str());
    files.map(|file| Ok(loader.load(&ImageSource::Path(dir.join(file)))?)).collect()
}

fn compare_passes(
    name: &str,
    case: &Value,
    model: &AnyBackbone,
    prompt: &PromptInput,
    table: &mut Table,
) -> Result<()> {
    let device = model.device();
    let features = if prompt.pixels.grids.is_empty() {
        None
    } else {
        let sampled = &case["pixel_values"];
        let (stride, expected): (usize, Vec<f32>) = (get(sampled, "stride")?, get(sampled, "values")?);
        let shape: Vec<usize> = get(sampled, "shape")?;
        let found: Vec<f32> = (0..prompt.pixels.values.len())
            .step_by(stride)
            .map(|index| prompt.pixels.values[in_patches(index, &shape, prompt.pixels.grids[0])])
            .collect();
        table.within("pixel values", name, &found, &expected, pictures::TOLERANCE);
        let features = model.encode_images(prompt.pixels.to_tensor(&device));
        let found = values(features.embeds.clone());
        let output = &case["vision_output"];
        relative(table, "norm of the image features", name, norm(&found), get(output, "norm")?);
        let (stride, expected): (usize, Vec<f32>) = (get(output, "stride")?, get(output, "values")?);
        let sampled: Vec<f32> = found.iter().step_by(stride).copied().collect();
        let largest = found.iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
        table.within("image features", name, &sampled, &expected, RELATIVE * f64::from(largest));
        if case.get("deepstack_norms").is_some() {
            let expected: Vec<f64> = get(case, "deepstack_norms")?;
            for (level, expected) in features.deepstack.iter().zip(expected) {
                relative(table, "norms of DeepStack features", name, norm(&values(level.clone())), expected);
            }
        }
        Some(features)
    };
    let input = VlmInput::from_rows(&[TokenRow::prompt(prompt)], 0, Side::Right, features, &device);
    let mut norms = Vec::new();
    let hidden = model.hidden_states_traced(input, &mut |_, x| norms.push(norm(&values(x.clone()))));
    let expected: Vec<f64> = get(case, "hidden_norms")?;
    table.equal("number of layers", name, &[norms.len()], &[expected.len()]);
    for (layer, (found, expected)) in norms.into_iter().zip(expected).enumerate() {
        relative(table, "norms of hidden states", &format!("{name}, layer {layer}"), found, expected);
    }
    relative(table, "norm after the final norm", name, norm(&values(hidden.clone())), get(case, "final_norm")?);

    let seq = prompt.tokens.len();
    let logits = model.lm_head(hidden.flatten(0, 1)).cast(DType::F32);
    let last = values(logits.clone().narrow(0, seq - 1, 1));
    let (ids, expected): (Vec<usize>, Vec<f32>) =
        (get(&case["logits_last"], "ids")?, get(&case["logits_last"], "values")?);
    let found: Vec<f32> = ids.iter().map(|&id| last[id]).collect();
    table.within("largest logits", name, &found, &expected, LOGITS);
    let next: Vec<i64> = prompt.tokens[1..].iter().map(|&token| i64::from(token)).collect();
    let next = Tensor::<1, Int>::from_ints(next.as_slice(), &device).unsqueeze_dim(1);
    let found = values(log_softmax(logits.narrow(0, 0, seq - 1), 1).gather(1, next));
    table.within(
        "log-probabilities of the prompt",
        name,
        &found,
        &get::<Vec<f32>>(case, "next_token_logprob")?,
        LOGITS,
    );
    Ok(())
}

fn compare_greedy(
    name: &str,
    case: &Value,
    model: &AnyBackbone,
    processor: &VlmProcessor,
    prompt: &PromptInput,
    table: &mut Table,
) -> Result<()> {
    let greedy = &case["greedy"];
    let (tokens, margins): (Vec<u32>, Vec<f64>) = (get(greedy, "tokens")?, get(greedy, "margins")?);
    let processor = Ending { inner: processor.clone(), eos: Vec::new(), forbidden: Vec::new() };
    let sampling = Sampling::greedy(tokens.len());
    let generator = Generator { model, processor: &processor, sampling, max_batch: 1 };
    let key = DrawKey { seed: 0, purpose: Purpose::Evaluation, step: 0 };
    let rollouts = generator.generate(&[Prompt::new(ProblemId(0), prompt)], 1, key, &mut |_, _| true)?;
    // After a choice as close as rounding either token is right.
    let sure = margins.iter().position(|&margin| margin < LOGITS).unwrap_or(tokens.len());
    let found = &rollouts.groups[0].completions[0];
    table.equal("greedy tokens, while the choice is clear", name, &found.tokens[..sure], &tokens[..sure]);
    let expected: Vec<f32> = get(greedy, "logprobs")?;
    table.within("log-probabilities of greedy tokens", name, &found.log_probs[..sure], &expected[..sure], LOGITS);
    Ok(())
}

/// Index in our patches of the value that the reference, which keeps tiles as pictures
/// (`[tiles, 3, height, width]`), has at `index`. The patches of the reference are laid out like
/// ours.
fn in_patches(index: usize, shape: &[usize], [_, rows, columns]: [usize; 3]) -> usize {
    let &[_, _, height, width] = shape else { return index };
    let (patch_height, patch_width) = (height / rows, width / columns);
    let (x, y, plane) = (index % width, index / width % height, index / width / height);
    let patch = (plane / 3 * rows + y / patch_height) * columns + x / patch_width;
    ((patch * 3 + plane % 3) * patch_height + y % patch_height) * patch_width + x % patch_width
}

fn norm(values: &[f32]) -> f64 {
    values.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt()
}

fn relative(table: &mut Table, quantity: &'static str, place: &str, found: f64, expected: f64) {
    table.within(quantity, place, &[(found / expected) as f32], &[1.0], RELATIVE);
}
