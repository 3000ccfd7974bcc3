//! Every intermediate result of a forward pass.

use crate::fixtures::{Case, close, json, model, values};
use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor};
use seethink_models::VisionLanguageModel;

/// The reference's own noise is up to 1.8e-5 here.
const VISION: f32 = 2e-4;
/// The reference's own noise is up to 6.2e-5, on values of up to about 30.
const HIDDEN: f32 = 5e-4;
/// The reference's own noise is up to 7.7e-6; an epsilon of 1e-5 instead of 1e-6 in the norms would be 1.6e-4.
const FINAL_NORM: f32 = 1e-4;
/// The reference's own noise is up to 2.5e-5.
const LOGITS: f32 = 1e-4;

fn check(name: &str) {
    let (case, model) = (Case::read(name), model());
    if let Some(pixels) = &case.pixels {
        let traced = name == "one_image";
        if traced {
            let embedded = model.vision.patch_embed.forward(pixels.patches.clone());
            close("patch_embed", &values(embedded), case.expected("vision.patch_embed"), VISION);
        }
        let features = model.encode_images_traced(pixels.clone(), &mut |index, x| {
            let name = match index {
                0 => "vision.embed_plus_pos".to_owned(),
                block => format!("vision.block_{}", block - 1),
            };
            if traced {
                close(&name, &values(x.clone()), case.expected(&name), VISION);
            }
        });
        close("vision.output", &values(features.embeds), case.expected("vision.output"), VISION);
        for (level, found) in features.deepstack.into_iter().enumerate() {
            let name = format!("vision.deepstack_{level}");
            close(&name, &values(found), case.expected(&name), VISION);
        }
    }

    let input = case.input_with_features(&model);
    let mut observed = 0;
    let hidden = model.hidden_states_traced(input, &mut |index, x| {
        observed += 1;
        case.compare(&format!("hidden_{index}"), x.clone(), HIDDEN);
    });
    assert_eq!(observed, model.config().text_config.num_hidden_layers + 1);
    case.compare("final_norm", hidden.clone(), FINAL_NORM);
    check_logits(&case, model.lm_head(hidden.flatten(0, 1)));
}

fn check_logits(case: &Case, logits: Tensor<2>) {
    let (batch, seq) = (case.batch(), case.seq);
    let columns = json("forward.json")["_logit_columns"].clone();
    let columns: Vec<i64> = serde_json::from_value(columns).unwrap();
    let columns = Tensor::<1, Int>::from_ints(columns.as_slice(), &logits.device());
    let vocab = logits.dims()[1];
    let per_row = logits.clone().reshape([batch, seq, vocab]);
    case.compare("logits_sel", per_row.clone().select(2, columns), LOGITS);
    let last = per_row.clone().narrow(1, seq - 1, 1);
    close("logits_last", &values(last), case.expected("logits_last"), LOGITS);

    let log_probs = log_softmax(logits.clone(), 1);
    // log-sum-exp is what log_softmax takes away, from any column.
    let logsumexp = logits.clone().narrow(1, 0, 1) - log_probs.clone().narrow(1, 0, 1);
    case.compare("logsumexp", logsumexp.reshape([batch, seq, 1]), LOGITS);

    let argmax: Vec<i64> = logits.argmax(1).try_into_vec_as().unwrap();
    let expected = case.tensors.ints(&case.key("argmax"));
    for i in (0..batch * seq).filter(|&i| case.mask[i] == 1) {
        assert_eq!(argmax[i], expected[i], "{}: argmax at {i}", case.name);
    }

    let ids = case.tensors.ints(&case.key("input_ids"));
    let log_probs = values(log_probs);
    let (mut found, mut expected) = (Vec::new(), Vec::new());
    for row in 0..batch {
        for t in (0..seq - 1).filter(|t| case.mask[row * seq + t] == 1) {
            found.push(log_probs[(row * seq + t) * vocab + ids[row * seq + t + 1] as usize]);
            expected.push(case.expected("next_token_logprob")[row * (seq - 1) + t]);
        }
    }
    close("next_token_logprob", &found, &expected, LOGITS);
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
