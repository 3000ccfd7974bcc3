//! Greedy decoding with the cache.

use crate::fixtures::{Case, close, json, model, values};
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use seethink_models::{VisionLanguageModel, VlmInput};

/// The reference's cached and full passes differ by up to 8e-6.
const LOG_PROB: f32 = 1e-4;

fn check(name: &str) {
    let (case, model) = (Case::read(name), model());
    let expected = &json("generate.json")[name];
    let tokens: Vec<Vec<i64>> = serde_json::from_value(expected["tokens"].clone()).unwrap();
    let log_probs: Vec<Vec<f32>> = serde_json::from_value(expected["logprobs"].clone()).unwrap();
    let (batch, seq, n_new) = (case.batch(), case.seq, tokens[0].len());

    let positions = case.tensors.ints(&case.key("position_ids"));
    let next = |row: usize| {
        let seen = (0..3 * batch * seq).filter(|i| i / seq % batch == row && case.mask[i % (batch * seq)] == 1);
        seen.map(|i| positions[i]).max().unwrap() + 1
    };
    let starts: Vec<i64> = (0..batch).map(next).collect();

    let mut cache = model.empty_cache(batch, seq + n_new);
    let mut hidden = model.hidden_states_cached(case.input_with_features(&model), &mut cache).narrow(1, seq - 1, 1);
    for step in 0..n_new {
        let found = log_softmax(model.lm_head(hidden.squeeze_dim(1)), 1);
        let chosen = found.clone().argmax(1);
        let ids: Vec<i64> = chosen.clone().try_into_vec_as().unwrap();
        assert_eq!(ids, tokens.iter().map(|row| row[step]).collect::<Vec<_>>(), "{name}: step {step}");
        let expected: Vec<f32> = log_probs.iter().map(|row| row[step]).collect();
        close(&format!("{name} step {step}"), &values(found.gather(1, chosen.clone())), &expected, LOG_PROB);

        let places = [0; 3].iter().flat_map(|_| starts.iter().map(|start| start + step as i64)).collect::<Vec<_>>();
        let places = Tensor::from_data(TensorData::new(places, [3, batch, 1]), &Device::default());
        let segments = Tensor::<2, Int>::zeros([batch, 1], &Device::default());
        let input = VlmInput { input_ids: chosen, position_ids: places, segments, visual: None };
        hidden = model.hidden_states_cached(input, &mut cache);
    }
    assert_eq!(cache.len(), seq + n_new);
}

#[test]
fn one_image() {
    check("one_image");
}

#[test]
fn two_images() {
    check("two_images");
}

#[test]
fn a_left_padded_batch() {
    check("batch");
}

#[test]
fn text_only() {
    check("text_only");
}
