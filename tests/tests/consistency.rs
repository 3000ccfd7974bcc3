//! Consistency: two ways to compute a result agree, in every family.

use seethink::burn::module::Module;
use seethink::burn::optim::GradientsParams;
use seethink::burn::tensor::{Device, Tensor};
use seethink::core::Trainable;
use seethink::models::{Activations, AnyBackbone, Part, PixelTensor, Side, TokenRow, VisionLanguageModel, VlmInput};
use seethink_tests::others::{Other, others};
use seethink_tests::parity::{Case, Reference, Tensors, cross_entropy, gradients_as_model, next_token_loss, saved};
use std::collections::BTreeMap;
use std::path::Path;

/// Tolerance between two orders of summation in `f32`, on hidden states of order 1 and logits of
/// order 10.
const SAME: f32 = 5e-5;

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

/// Asserts that values are within `tolerance`, and prints the largest difference.
fn close(what: &str, found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len(), "{what}: number of values");
    let off = found
        .iter()
        .zip(expected)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, |worst: f32, d| if d.is_nan() { f32::NAN } else { worst.max(d) });
    println!("{what}: off by {off:.2e}, allowed {tolerance:.0e}");
    assert!(off <= tolerance, "{what}: off by {off:.3e}, allowed {tolerance:.0e}");
}

fn batch(rows: &[TokenRow], side: Side) -> VlmInput {
    VlmInput::from_rows(rows, 0, side, None, &Device::default())
}

/// Two rows with an image each, the images, and labels.
fn two_rows(other: &Other) -> (VlmInput, PixelTensor, Vec<i64>) {
    let grids = [other.grids[0], other.grids[2]];
    let input = batch(&[other.row(grids[0], 5, 1), other.row(grids[1], 3, 2)], Side::Right);
    let labels = input.input_ids.clone().into_data().iter::<i64>().collect();
    (input, other.pixels(&grids, 3), labels)
}

fn gradients(model: &AnyBackbone, grads: &GradientsParams) -> Tensors {
    saved(&gradients_as_model(model, grads)).expect("there is room")
}

fn check_backward(name: &str, model: &AnyBackbone, input: &VlmInput, pixels: &PixelTensor, labels: &[i64]) {
    let mut loss = 0.0;
    let pulled = model.backward(
        input.clone(),
        Some(pixels.clone()),
        Activations::Kept,
        &mut cross_entropy(model, labels, &mut loss),
    );
    let features = model.encode_images(pixels.clone());
    let hidden = model.hidden_states(input.clone().with_features(features));
    let whole = next_token_loss(model, hidden, labels);
    close(&format!("{name}: loss"), &[loss], &[whole.clone().into_scalar()], SAME);
    let whole = GradientsParams::from_grads(whole.backward(), model);
    assert_eq!(pulled.len(), whole.len());
    let (pulled, whole) = (gradients(model, &pulled), gradients(model, &whole));
    for tensor in whole.names() {
        let [found, expected] = [&pulled, &whole].map(|tensors| tensors.floats(tensor).expect("both have it"));
        let largest = expected.iter().fold(1.0f32, |largest, x| largest.max(x.abs()));
        close(&format!("{name}: {tensor}"), found, expected, SAME * largest);
    }
}

#[test]
fn recompute_gives_the_gradients_of_one_graph() {
    for other in others() {
        let model = other.model(5).train();
        let (input, pixels, labels) = two_rows(&other);
        check_backward(other.name, &model, &input, &pixels, &labels);
        // Text alone, so that the vision side has no gradient.
        let text = batch(&[TokenRow { image_tokens: Vec::new(), ..other.row(other.grids[0], 5, 1) }], Side::Right);
        let labels: Vec<i64> = text.input_ids.clone().into_data().iter::<i64>().collect();
        let grads = model.backward(text, None, Activations::Recomputed, &mut cross_entropy(&model, &labels, &mut 0.0));
        assert!(!grads.is_empty());
    }
}

#[test]
fn recompute_of_the_fixtures_gives_the_gradients_of_one_graph() {
    for family in ["qwen2_5_vl", "qwen3_vl", "internvl3", "internvl3_5"] {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/models").join(family);
        let reference = Reference::open(&dir).expect("the fixtures are whole");
        let case = Case::read(&reference, "batch").expect("the fixtures are whole");
        let model =
            AnyBackbone::from_pretrained(&reference.checkpoint(), &Device::default()).expect("as above").train();
        let input = case.input(&model);
        let labels: Vec<i64> = input.input_ids.clone().into_data().iter::<i64>().collect();
        let labels: Vec<i64> = labels.iter().zip(&case.mask).map(|(id, mask)| id * mask + (mask - 1)).collect();
        check_backward(family, &model, &input, &case.pixels(&model).expect("the batch has images"), &labels);
    }
}

#[test]
fn kept_features_give_the_gradients_of_a_frozen_vision_side() {
    for other in others() {
        let model = other.model(5).set_trainable(Trainable::LANGUAGE_MODEL).train();
        let (input, pixels, labels) = two_rows(&other);
        let (mut a, mut b) = (0.0, 0.0);
        let fresh = model.backward(
            input.clone(),
            Some(pixels.clone()),
            Activations::Recomputed,
            &mut cross_entropy(&model, &labels, &mut a),
        );
        let kept = input.with_features(model.valid().encode_images(pixels));
        let kept = model.backward(kept, None, Activations::Recomputed, &mut cross_entropy(&model, &labels, &mut b));
        assert_eq!((a, fresh.len()), (b, kept.len()), "{}", other.name);
        let (fresh, kept) = (gradients(&model, &fresh), gradients(&model, &kept));
        for name in kept.names() {
            assert_eq!(fresh.floats(name).ok(), kept.floats(name).ok(), "{}: {name}", other.name);
        }
    }
}

#[test]
fn frozen_parts_get_no_gradient() {
    for other in others() {
        let parts: BTreeMap<String, Part> =
            other.model(5).parameters().into_iter().map(|parameter| (parameter.name, parameter.part)).collect();
        for learning in [Part::VisionEncoder, Part::Projector, Part::LanguageModel] {
            let trainable = Trainable {
                vision_encoder: learning == Part::VisionEncoder,
                projector: learning == Part::Projector,
                language_model: learning == Part::LanguageModel,
            };
            let model = other.model(5).set_trainable(trainable).train();
            let (input, pixels, labels) = two_rows(&other);
            let grads = model.backward(
                input,
                Some(pixels),
                Activations::Recomputed,
                &mut cross_entropy(&model, &labels, &mut 0.0),
            );
            let found = gradients(&model, &grads);
            for name in found.names() {
                let any = found.floats(name).expect("just listed").iter().any(|&g| g != 0.0);
                // Softmax does not change when all scores of a row do, so these have no gradient
                // but for rounding.
                let shift_invariant = name.ends_with("attention.k_proj.bias");
                assert!(
                    shift_invariant || any == (parts[name] == learning),
                    "{}: {name} while {learning:?}",
                    other.name
                );
            }
        }
    }
}

#[test]
fn cached_steps_equal_one_pass() {
    for other in others() {
        let model = other.model(5);
        let grids = [other.grids[0], other.grids[2]];
        let rows = [other.row(grids[0], 6, 1), other.row(grids[1], 8, 2)];
        let input = batch(&rows, Side::Left).with_features(model.encode_images(other.pixels(&grids, 3)));
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
        for (i, row) in rows.iter().enumerate() {
            let n = row.tokens.len();
            let part = |x: &Tensor<3>| values(x.clone().narrow(0, i, 1).narrow(1, seq - n, n));
            close(&format!("{}: row {i}", other.name), &part(&steps), &part(&whole), SAME);
        }
    }
}

#[test]
fn a_repeated_prompt_equals_rows_of_their_own() {
    for other in others() {
        let model = other.model(5);
        let grids = [other.grids[0], other.grids[2]];
        let features = model.encode_images(other.pixels(&grids, 3));
        let prompts = [other.row(grids[0], 2, 1), other.row(grids[1], 3, 2)];
        let prefill = batch(&prompts, Side::Left).with_features(features.clone());
        let seq = prefill.input_ids.dims()[1];
        let mut cache = model.empty_cache(2, seq + 1);
        model.hidden_states_cached(prefill, &mut cache);
        cache.repeat(2);
        // The last row is finished and is removed.
        cache.select(&[0, 1, 2]);
        let next = |row: usize, token| {
            let mut next = TokenRow::default();
            next.push_branch(0, 100 + row as i64, &[token]);
            next
        };
        let tokens: [u32; 3] = [7, 8, 9];
        let new: Vec<TokenRow> = (0..3).map(|i| next(i / 2, tokens[i])).collect();
        let found = model.hidden_states_cached(batch(&new, Side::Left), &mut cache);

        let n = grids.map(|grid| other.n_tokens(grid));
        let levels = [features.rows(0..n[0]), features.rows(n[0]..n[0] + n[1])];
        for (i, &token) in tokens.iter().enumerate() {
            let mut alone = prompts[i / 2].clone();
            let last = alone.push_branch(0, 100 + (i / 2) as i64, &[token]);
            let alone = model.hidden_states(batch(&[alone], Side::Left).with_features(levels[i / 2].clone()));
            close(other.name, &values(found.clone().narrow(0, i, 1)), &values(alone.narrow(1, last, 1)), SAME);
        }
    }
}

#[test]
fn branches_of_one_row_equal_rows_of_their_own() {
    for other in others() {
        let model = other.model(5);
        let features = model.encode_images(other.pixels(&other.grids[..1], 3));
        let prompt = other.row(other.grids[0], 3, 1);
        let next = 20;
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
            let part = |x: &Tensor<3>, start, n| values(x.clone().narrow(1, start, n));
            close(other.name, &part(&together, 0, from), &part(&alone, 0, from), SAME);
            let n = completion.len();
            close(other.name, &part(&together, start, n), &part(&alone, from, n), SAME);
        }
    }
}

#[test]
fn images_do_not_see_each_other() {
    for other in others() {
        let model = other.model(5);
        let pixels = other.pixels(&other.grids, 3);
        let together = model.encode_images(pixels.clone());
        let (mut patch, mut token) = (0, 0);
        for grid in other.grids {
            let (n, n_tokens) = (grid.iter().product(), other.n_tokens(grid));
            let alone = PixelTensor { patches: pixels.patches.clone().narrow(0, patch, n), grids: vec![grid] };
            let alone = model.encode_images(alone);
            let part = together.rows(token..token + n_tokens);
            close(other.name, &values(part.embeds), &values(alone.embeds), SAME);
            for (found, expected) in part.deepstack.into_iter().zip(alone.deepstack) {
                close(other.name, &values(found), &values(expected), SAME);
            }
            (patch, token) = (patch + n, token + n_tokens);
        }
    }
}

#[test]
fn rows_do_not_depend_on_their_order_or_padding() {
    for other in others() {
        let model = other.model(5);
        let rows: Vec<TokenRow> = (0..4).map(|i| other.row(other.grids[i], 2 + 3 * i, i as u64)).collect();
        let n = other.grids.map(|grid| other.n_tokens(grid));
        let features = model.encode_images(other.pixels(&other.grids, 3));
        let start = |row: usize| n[..row].iter().sum::<usize>();
        let of = |row: usize| features.rows(start(row)..start(row + 1));
        let alone: Vec<Vec<f32>> = (0..4)
            .map(|i| values(model.hidden_states(batch(&rows[i..=i], Side::Right).with_features(of(i)))))
            .collect();
        for (order, side) in [([0, 1, 2, 3], Side::Left), ([3, 1, 0, 2], Side::Left), ([2, 3, 1, 0], Side::Right)] {
            let parts = order.map(of);
            let features = seethink::models::VisualFeatures::concat(&parts).expect("four images");
            let shuffled: Vec<TokenRow> = order.iter().map(|&i| rows[i].clone()).collect();
            let found = model.hidden_states(batch(&shuffled, side).with_features(features));
            let seq = found.dims()[1];
            for (place, &i) in order.iter().enumerate() {
                let len = rows[i].tokens.len();
                let from = if side == Side::Left { seq - len } else { 0 };
                let row = values(found.clone().narrow(0, place, 1).narrow(1, from, len));
                close(other.name, &row, &alone[i], SAME);
            }
        }
    }
}

#[test]
fn random_weights_are_a_function_of_the_seed() {
    for other in others() {
        let [a, b, c] = [5, 5, 6].map(|seed| saved(&other.model(seed)).expect("there is room"));
        let name = a.names().find(|name| name.ends_with("layers.0.mlp.up_proj.weight")).expect("every decoder has it");
        let of = |tensors: &Tensors, name: &str| tensors.floats(name).expect("just listed").to_vec();
        assert_eq!(of(&a, name), of(&b, name));
        assert_ne!(of(&a, name), of(&c, name));
        assert_ne!(of(&a, name)[..8], of(&a, &name.replace("layers.0", "layers.1"))[..8]);
        let weights = of(&a, name);
        let std = (weights.iter().map(|w| w * w).sum::<f32>() / weights.len() as f32).sqrt();
        assert!((std - 0.3).abs() < 0.03, "deviation {std} instead of 0.3");
        for name in a.names() {
            let constant = |value: f32| of(&a, name).iter().all(|&x| x == value);
            if name.ends_with("bias") || name.ends_with("cls_token") || name.ends_with("position_embeddings") {
                assert!(constant(0.0), "{name}");
            } else if name.ends_with("layernorm.weight") || name.ends_with("_norm.weight") {
                assert!(constant(1.0), "{name}");
            } else if name.contains("lambda_") {
                assert!(constant(0.7), "{name}");
            }
        }
    }
}
