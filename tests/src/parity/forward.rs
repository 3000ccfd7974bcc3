//! Comparison of every intermediate result of a forward pass.

use super::case::{self, Case, values};
use super::reference::{Reference, get};
use super::table::Table;
use anyhow::Result;
use seethink::burn::tensor::activation::log_softmax;
use seethink::burn::tensor::{Int, Tensor};
use seethink::models::{AnyBackbone, Encoder, VisionLanguageModel};

pub(super) fn compare(reference: &Reference, model: &AnyBackbone, table: &mut Table) -> Result<()> {
    for name in case::NAMES {
        let case = Case::read(reference, name)?;
        compare_vision(&case, model, table)?;
        let mut failed = None;
        let input = case.input_with_features(model);
        let hidden = model.hidden_states_traced(input, &mut |index, x| {
            let what = format!("hidden_{index}");
            failed = failed.take().or(case.compare(table, "hidden states per layer", &what, x.clone(), &what).err());
        });
        failed.map_or(Ok(()), Err)?;
        case.compare(table, "after the final norm", "final_norm", hidden.clone(), "final_norm")?;
        let columns: Vec<i64> = get(reference.json("forward"), "_logit_columns")?;
        compare_logits(&case, model.lm_head(hidden.flatten(0, 1)), &columns, table)?;
    }
    Ok(())
}

fn compare_vision(case: &Case<'_>, model: &AnyBackbone, table: &mut Table) -> Result<()> {
    let Some(pixels) = case.pixels(model) else { return Ok(()) };
    let order = Order::of(model, &pixels, case)?;
    let mut blocks = Vec::new();
    let features = model.encode_images_traced(pixels, &mut |_, x| blocks.push(x.clone()));
    for (index, found) in blocks.into_iter().enumerate() {
        // The input of the first block has another name in every family; all blocks are traced for
        // one case.
        let names = match index {
            0 => ["vision.embeddings", "vision.embed_plus_pos", "vision.patch_embed"].map(str::to_owned).to_vec(),
            block => vec![format!("vision.block_{}", block - 1)],
        };
        if let Some(name) = names.iter().find(|name| case.has(name)) {
            let (found, expected) = order.align(index, &values(found), case.floats(name)?);
            let place = format!("{}.{name}", case.name());
            table.close("vision encoder per block", &place, &found, &expected, case.noise(name));
        }
    }
    let output = case.floats("vision.output")?;
    table.close("image features", case.name(), &values(features.embeds), output, case.noise("vision.output"));
    for (level, found) in features.deepstack.into_iter().enumerate() {
        let name = format!("vision.deepstack_{level}");
        let place = format!("{}.{name}", case.name());
        table.close("DeepStack features", &place, &values(found), case.floats(&name)?, case.noise(&name));
    }
    Ok(())
}

/// Order of the patches in the encoder's rows, ours and the reference's. Only families with windows
/// have another order than that of the pixel values, and the reference may store a part of the
/// rows.
struct Order {
    ours: Option<Vec<usize>>,
    theirs: Option<Vec<usize>>,
}

impl Order {
    fn of(model: &AnyBackbone, pixels: &seethink::models::PixelTensor, case: &Case<'_>) -> Result<Self> {
        let AnyBackbone::Qwen2_5Vl(model) = model else { return Ok(Self { ours: None, theirs: None }) };
        let ours = model.vision.encoder.layout(pixels).order().to_vec();
        let cells = case.ints("vision.window_index")?;
        let in_cell = ours.len() / cells.len();
        let theirs = cells.iter().flat_map(|&cell| (0..in_cell).map(move |i| cell as usize * in_cell + i)).collect();
        Ok(Self { ours: Some(ours), theirs: Some(theirs) })
    }

    /// Sorts both in the order of the pixel values. The reference's patch embedding (`index` 0) has
    /// that order already.
    fn align(&self, index: usize, found: &[f32], expected: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let back = |order: &Option<Vec<usize>>, values: &[f32]| match order {
            None => values.to_vec(),
            Some(order) => {
                let width = values.len() / order.len();
                let mut out = vec![0.0; values.len()];
                for (row, &patch) in order.iter().enumerate() {
                    out[patch * width..][..width].copy_from_slice(&values[row * width..][..width]);
                }
                out
            }
        };
        let theirs = if index == 0 { &None } else { &self.theirs };
        let (mut found, expected) = (back(&self.ours, found), back(theirs, expected));
        found.truncate(expected.len());
        (found, expected)
    }
}

fn compare_logits(case: &Case<'_>, logits: Tensor<2>, columns: &[i64], table: &mut Table) -> Result<()> {
    let (batch, seq) = (case.batch, case.seq);
    let logits = logits.cast(seethink::burn::tensor::DType::F32);
    let columns = Tensor::<1, Int>::from_ints(columns, &logits.device());
    let vocab = logits.dims()[1];
    let per_row = logits.clone().reshape([batch, seq, vocab]);
    case.compare(table, "logits", "logits_sel", per_row.clone().select(2, columns), "logits")?;
    let last = values(per_row.narrow(1, seq - 1, 1));
    table.close("logits", "logits_last", &last, case.floats("logits_last")?, case.noise("logits"));

    let log_probs = log_softmax(logits.clone(), 1);
    // log-sum-exp is the difference of logits and log_softmax, in any column.
    let logsumexp = logits.clone().narrow(1, 0, 1) - log_probs.clone().narrow(1, 0, 1);
    case.compare(table, "log-sum-exp of the logits", "logsumexp", logsumexp.reshape([batch, seq, 1]), "logits")?;

    if table.is_judged() {
        let argmax: Vec<i64> = logits.argmax(1).into_data().iter::<i64>().collect();
        let kept = |ids: &[i64]| -> Vec<i64> {
            ids.iter().zip(&case.mask).filter(|(_, mask)| **mask == 1).map(|(id, _)| *id).collect()
        };
        table.equal("most likely tokens", case.name(), &kept(&argmax), &kept(case.ints("argmax")?));
    }

    let ids = case.ints("input_ids")?;
    let log_probs = values(log_probs);
    let stored = case.floats("next_token_logprob")?;
    let (mut found, mut expected) = (Vec::new(), Vec::new());
    for row in 0..batch {
        for t in (0..seq - 1).filter(|t| case.mask[row * seq + t] == 1) {
            found.push(log_probs[(row * seq + t) * vocab + ids[row * seq + t + 1] as usize]);
            expected.push(stored[row * (seq - 1) + t]);
        }
    }
    table.close("log-probabilities of next tokens", case.name(), &found, &expected, case.noise("logits"));
    Ok(())
}
