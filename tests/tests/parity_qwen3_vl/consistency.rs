//! What can be computed in two ways comes out the same.

use crate::fixtures::{
    Case, close, cross_entropy, gradients_as_model, model, next_token_loss, other_config, saved, values,
};
use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use seethink_core::{Purpose, Rng, Trainable};
use seethink_models::qwen3_vl::Qwen3Vl;
use seethink_models::{PixelTensor, Pixels, Side, TokenRow, VisionLanguageModel, VlmInput};

/// Two orders of summation in `f32`, on hidden states of order 1 and logits of order 10.
const SAME: f32 = 5e-5;

/// A model with every option the other way round from the reference's checkpoint, and what it can be shown.
fn other() -> Qwen3Vl {
    other_config().init_seeded(5, &Device::default())
}

fn random_pixels(model: &Qwen3Vl, grids: &[[usize; 3]], seed: u64) -> PixelTensor {
    let mut pixels = Pixels { values: Vec::new(), grids: grids.to_vec() };
    let mut rng = Rng::new(seed, Purpose::World, &[]);
    let n = pixels.n_patches() * model.config().vision_config.patch_len();
    pixels.values = (0..n).map(|_| rng.normal() as f32).collect();
    pixels.to_tensor(&Device::default())
}

/// `[text, image of rows x columns cells, text]`.
fn row(image: [usize; 2], n_text: usize, seed: u64) -> TokenRow {
    let mut rng = Rng::new(seed, Purpose::World, &[1]);
    let mut row = TokenRow { tokens: vec![3, 4], position_ids: vec![[0; 3], [1; 3]], ..TokenRow::default() };
    for cell in 0..image[0] * image[1] {
        row.image_tokens.push(row.tokens.len());
        row.tokens.push(1);
        row.position_ids.push([2, 2 + (cell / image[1]) as i64, 2 + (cell % image[1]) as i64]);
    }
    for i in 0..n_text as i64 {
        row.tokens.push(2 + rng.below(38) as u32);
        row.position_ids.push([2 + image[0].max(image[1]) as i64 + i; 3]);
    }
    row.segments = vec![0; row.tokens.len()];
    row
}

fn batch(rows: &[TokenRow], side: Side) -> VlmInput {
    VlmInput::from_rows(rows, 0, side, None, &Device::default())
}

fn check_backward(model: &Qwen3Vl, input: &VlmInput, pixels: &PixelTensor, labels: &[i64]) {
    let mut loss = 0.0;
    let pulled = model.backward(input.clone(), Some(pixels.clone()), &mut cross_entropy(model, labels, &mut loss));
    let features = model.encode_images(pixels.clone());
    let hidden = model.hidden_states(input.clone().with_features(features));
    let whole = next_token_loss(model, hidden, labels);
    close("loss", &[loss], &[whole.clone().into_scalar()], SAME);
    let whole = GradientsParams::from_grads(whole.backward(), model);
    assert_eq!(pulled.len(), whole.len());
    let (pulled, whole) = (saved(&gradients_as_model(model, &pulled)), saved(&gradients_as_model(model, &whole)));
    for name in whole.names() {
        close(name, pulled.floats(name), whole.floats(name), SAME);
    }
}

#[test]
fn recompute_gives_the_gradients_of_one_graph() {
    let (case, tied) = (Case::read("batch"), model().train());
    let labels: Vec<i64> =
        case.tensors.ints("batch.input_ids").iter().zip(&case.mask).map(|(id, m)| id * m + (m - 1)).collect();
    let pixels = case.pixels.as_ref().expect("the batch has images");
    check_backward(&tied, &case.input(&tied), pixels, &labels);

    let untied = other().train();
    let rows = [row([1, 2], 5, 1), row([2, 1], 3, 2)];
    let input = batch(&rows, Side::Right);
    let labels: Vec<i64> = input.input_ids.clone().try_into_vec_as().expect("ids");
    let pixels = random_pixels(&untied, &[[1, 2, 4], [1, 4, 2]], 3);
    check_backward(&untied, &input, &pixels, &labels);
}

#[test]
fn features_can_be_constants() {
    let model = other().set_trainable(Trainable::LANGUAGE_MODEL).train();
    let input = batch(&[row([1, 2], 5, 1)], Side::Right);
    let pixels = random_pixels(&model, &[[1, 2, 4]], 3);
    let labels: Vec<i64> = input.input_ids.clone().try_into_vec_as().expect("ids");
    let (mut a, mut b) = (0.0, 0.0);
    let fresh = model.backward(input.clone(), Some(pixels.clone()), &mut cross_entropy(&model, &labels, &mut a));
    let kept = input.with_features(model.valid().encode_images(pixels));
    let kept = model.backward(kept, None, &mut cross_entropy(&model, &labels, &mut b));
    assert_eq!((a, fresh.len()), (b, kept.len()));
    let (fresh, kept) = (saved(&gradients_as_model(&model, &fresh)), saved(&gradients_as_model(&model, &kept)));
    for name in kept.names() {
        assert_eq!(fresh.floats(name), kept.floats(name), "{name}");
    }
}

#[test]
fn frozen_parts_get_no_gradient() {
    let parts = |name: &str| match name {
        name if name.contains("merger") => 1,
        name if name.starts_with("model.visual") => 0,
        _ => 2,
    };
    for learning in 0..3 {
        let trainable =
            Trainable { vision_encoder: learning == 0, projector: learning == 1, language_model: learning == 2 };
        let model = other().set_trainable(trainable).train();
        let input = batch(&[row([1, 2], 5, 1)], Side::Right);
        let pixels = random_pixels(&model, &[[1, 2, 4]], 3);
        let labels: Vec<i64> = input.input_ids.clone().try_into_vec_as().expect("ids");
        let grads = model.backward(input, Some(pixels), &mut cross_entropy(&model, &labels, &mut 0.0));
        let found = saved(&gradients_as_model(&model, &grads));
        for name in found.names() {
            let any = found.floats(name).iter().any(|&g| g != 0.0);
            assert_eq!(any, parts(name) == learning, "{name} while part {learning} learns");
        }
    }
}

#[test]
fn cached_steps_equal_one_pass() {
    let model = other();
    let rows = [row([1, 2], 6, 1), row([2, 2], 8, 2)];
    let pixels = random_pixels(&model, &[[1, 2, 4], [1, 4, 4]], 3);
    let input = batch(&rows, Side::Left).with_features(model.encode_images(pixels));
    let [n_rows, seq] = input.input_ids.dims();
    let whole = model.hidden_states(input.clone());
    let mut cache = model.empty_cache(n_rows, seq);
    // The images stand in the first chunk; then a chunk of several tokens, then single ones.
    let first = seq - 5;
    let mut start = 0;
    let mut chunks = Vec::new();
    for n in [first, 2, 1, 1, 1] {
        let mut chunk = VlmInput {
            input_ids: input.input_ids.clone().narrow(1, start, n),
            position_ids: input.position_ids.clone().narrow(2, start, n),
            segments: input.segments.clone().narrow(1, start, n),
            visual: input.visual.clone().filter(|_| start == 0),
        };
        if let Some(visual) = &mut chunk.visual {
            // Flat positions count in rows of the chunk.
            let row = visual.positions.clone().div_scalar(seq as i64);
            visual.positions = visual.positions.clone() - row.mul_scalar((seq - n) as i64);
        }
        chunks.push(model.hidden_states_cached(chunk, &mut cache));
        start += n;
    }
    let steps = Tensor::cat(chunks, 1);
    let tokens = seq - rows[0].tokens.len();
    close(
        "padded row",
        &values(steps.clone().narrow(0, 0, 1).narrow(1, tokens, seq - tokens)),
        &values(whole.clone().narrow(0, 0, 1).narrow(1, tokens, seq - tokens)),
        SAME,
    );
    close("full row", &values(steps.narrow(0, 1, 1)), &values(whole.narrow(0, 1, 1)), SAME);
}

#[test]
fn a_repeated_prompt_equals_rows_of_their_own() {
    let model = other();
    let features = model.encode_images(random_pixels(&model, &[[1, 2, 4], [1, 4, 4]], 3));
    let prompts = [row([1, 2], 2, 1), row([2, 2], 3, 2)];
    let prefill = batch(&prompts, Side::Left).with_features(features.clone());
    let seq = prefill.input_ids.dims()[1];
    let mut cache = model.empty_cache(2, seq + 1);
    model.hidden_states_cached(prefill, &mut cache);
    cache.repeat(2);
    // The last row is finished: it leaves.
    cache.select(&[0, 1, 2]);
    let next = |row: usize, token| {
        let mut next = TokenRow::default();
        next.push_branch(0, 100 + row as i64, &[token]);
        next
    };
    let tokens: [u32; 3] = [7, 8, 9];
    let new: Vec<TokenRow> = (0..3).map(|i| next(i / 2, tokens[i])).collect();
    let found = model.hidden_states_cached(batch(&new, Side::Left), &mut cache);

    let levels = [features.rows(0..2), features.rows(2..6)];
    for (i, &token) in tokens.iter().enumerate() {
        let mut alone = prompts[i / 2].clone();
        let last = alone.push_branch(0, 100 + (i / 2) as i64, &[token]);
        let alone = model.hidden_states(batch(&[alone], Side::Left).with_features(levels[i / 2].clone()));
        close("row", &values(found.clone().narrow(0, i, 1)), &values(alone.narrow(1, last, 1)), SAME);
    }
}

#[test]
fn branches_of_one_row_equal_rows_of_their_own() {
    let model = other();
    let features = model.encode_images(random_pixels(&model, &[[1, 2, 4]], 3));
    let prompt = row([1, 2], 3, 1);
    let next = 2 + 2 + 3;
    let completions: [&[u32]; 2] = [&[7, 8, 9], &[10, 11]];

    let mut shared = prompt.clone();
    let starts: Vec<usize> =
        completions.iter().enumerate().map(|(i, tokens)| shared.push_branch(i as i64 + 1, next, tokens)).collect();
    let input = batch(&[shared], Side::Right).with_features(features.clone());
    let together = model.hidden_states(input);
    for (completion, start) in completions.iter().zip(starts) {
        let mut alone = prompt.clone();
        let from = alone.push_branch(0, next, completion);
        let alone = model.hidden_states(batch(&[alone], Side::Right).with_features(features.clone()));
        let n = completion.len();
        close("prompt", &values(together.clone().narrow(1, 0, from)), &values(alone.clone().narrow(1, 0, from)), SAME);
        close("branch", &values(together.clone().narrow(1, start, n)), &values(alone.narrow(1, from, n)), SAME);
    }
}

#[test]
fn images_do_not_see_each_other() {
    let model = other();
    let grids = [[1, 2, 4], [1, 2, 4], [1, 4, 4], [1, 2, 4]];
    let pixels = random_pixels(&model, &grids, 3);
    let together = model.encode_images(pixels.clone());
    let (mut patch, mut token) = (0, 0);
    for grid in grids {
        let (n, cells) = (grid[1] * grid[2], grid[1] * grid[2] / 4);
        let alone = PixelTensor { patches: pixels.patches.clone().narrow(0, patch, n), grids: vec![grid] };
        let alone = model.encode_images(alone);
        let part = together.rows(token..token + cells);
        close("embeds", &values(part.embeds), &values(alone.embeds), SAME);
        close("deepstack", &values(part.deepstack[0].clone()), &values(alone.deepstack[0].clone()), SAME);
        (patch, token) = (patch + n, token + cells);
    }
}

#[test]
fn random_weights_are_a_function_of_the_seed() {
    let (a, b, c) = (saved(&other()), saved(&other()), saved(&other_config().init_seeded(6, &Device::default())));
    let name = "model.language_model.layers.0.mlp.up_proj.weight";
    assert_eq!(a.floats(name), b.floats(name));
    assert_ne!(a.floats(name), c.floats(name));
    assert_ne!(a.floats(name)[..8], a.floats("model.language_model.layers.1.mlp.up_proj.weight")[..8]);
    let weights = a.floats(name);
    let std = (weights.iter().map(|w| w * w).sum::<f32>() / weights.len() as f32).sqrt();
    assert!((std - 0.3).abs() < 0.03, "deviation {std} instead of 0.3");
    assert!(a.floats("model.language_model.norm.weight").iter().all(|&w| w == 1.0));
    assert!(a.floats("model.visual.blocks.0.attn.qkv.bias").iter().all(|&b| b == 0.0));
}
