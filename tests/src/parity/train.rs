//! Comparison of loss, gradients and one optimiser step.

use super::case::Case;
use super::reference::{Reference, Tensors, get};
use super::table::Table;
use anyhow::{Context, Result, bail};
use seethink::burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use seethink::burn::optim::{AdamWConfig, GradientsParams};
use seethink::burn::tensor::activation::log_softmax;
use seethink::burn::tensor::{DType, Int, Tensor};
use seethink::models::{Activations, AnyBackbone, VisionLanguageModel, WeightDtype};
use serde_json::Value;

pub(super) fn compare(reference: &Reference, model: &AnyBackbone, table: &mut Table) -> Result<()> {
    let (facts, tensors) = (reference.json("train"), reference.tensors("train"));
    let case = Case::read(reference, "batch")?;
    let model = model.clone().train();
    let labels = tensors.ints("labels")?;
    let step = |model: &AnyBackbone, activations| {
        let mut loss = 0.0;
        let mut head = cross_entropy(model, labels, &mut loss);
        let grads = model.backward(case.input(model), case.pixels(model), activations, &mut head);
        drop(head);
        (loss, grads)
    };
    let (loss, grads) = step(&model, Activations::Recomputed);
    // What is kept instead of computed again differs by its rounding alone: burn normalises layers
    // by another operator where gradients are tracked.
    let kept = saved(&gradients_as_model(&model, &step(&model, Activations::Kept).1))?;
    let recomputed = saved(&gradients_as_model(&model, &grads))?;
    for name in recomputed.names() {
        let (kept, recomputed) = (kept.floats(name)?, recomputed.floats(name)?);
        let scale = recomputed.iter().fold(0.0f32, |max, x| max.max(x.abs()));
        let tolerance = f64::from(1e-4 * scale + 1e-6);
        table.within("gradients with kept activations", name, kept, recomputed, tolerance);
    }
    let expected: f64 = get(facts, "loss")?;
    let noise = |key: &str, expected: f64| facts[key].as_f64().map_or(0.0, |exact| (exact - expected).abs());
    table.close("loss", "batch", &[loss], &[expected as f32], noise("loss_f64", expected));

    let found = saved(&gradients_as_model(&model, &grads))?;
    compare_gradients(&found, tensors, facts, table)?;
    let norms = found.names().map(|name| Ok(norm(found.floats(name)?).powi(2))).collect::<Result<Vec<f64>>>()?;
    let global = norms.iter().sum::<f64>().sqrt();
    let clip: f64 = get(facts, "clip")?;
    let optimizer = &facts["optimizer"];
    let adam =
        AdamWConfig::new().with_epsilon(get(optimizer, "eps")?).with_weight_decay(get(optimizer, "weight_decay")?);
    let scaled = scaled(&model, grads, (clip / global).min(1.0));
    let stepped = adam.init().step(get::<f64>(optimizer, "lr")?, model.clone(), scaled);
    compare_step(&saved(&stepped)?, facts, table)?;

    let expected: f64 = get(facts, "loss_after_step")?;
    // The step depends on signs: noise in a gradient moves a weight, and the loss is steep in some
    // weights.
    let noise = noise("loss_after_step_f64", expected).max(1e-6 * expected);
    table.close("loss after the step", "batch", &[step(&stepped, Activations::Kept).0], &[expected as f32], noise);
    Ok(())
}

fn norm(values: &[f32]) -> f64 {
    values.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt()
}

/// Tolerance of two norms of `n` values where `f32` is off by up to `noise` in a value: a norm is
/// off by no more than the norm of the differences, which is at most `noise · √n`, and so are both
/// norms.
fn norm_tolerance(noise: f64, n: usize) -> f64 {
    2.0 * noise * (n as f64).sqrt()
}

fn compare_gradients(found: &Tensors, tensors: &Tensors, facts: &Value, table: &mut Table) -> Result<()> {
    let rows: Vec<usize> = get(facts, "grad_rows")?;
    let params = facts["params"].as_object().context("`params` is no object")?;
    for (name, kind) in facts["saved_grads"].as_object().context("`saved_grads` is no object")? {
        let values = found.floats(name)?;
        let width = values.len() / found.shape(name)?[0];
        let (key, values) = match kind.as_str() {
            Some("full") => (format!("grad.{name}"), values.to_vec()),
            Some("first8") => (format!("grad.{name}.first8"), values[..values.len().min(8 * width)].to_vec()),
            Some("rows") => {
                let rows = rows.iter().flat_map(|row| values[row * width..][..width].to_vec());
                (format!("grad.{name}.rows"), rows.collect())
            }
            other => bail!("saved_grads: unknown kind {other:?}"),
        };
        // A sum over all tokens of differences that nearly cancel is noisier than the differences.
        let noise = 3.0 * params[name]["noise_grad_max_abs"].as_f64().unwrap_or(0.0);
        table.close("gradients", &key, &values, tensors.floats(&key)?, noise);
    }
    let names: Vec<&str> = params.keys().map(String::as_str).collect();
    let mut sorted = names.clone();
    sorted.sort_unstable();
    table.equal("names of parameters", "all", &found.names().collect::<Vec<_>>(), &sorted);
    for name in names {
        let (values, expected) = (found.floats(name)?, get::<f64>(&params[name], "grad_norm")?);
        let scale = expected + 1e-2;
        let off = ((norm(values) - expected) / scale) as f32;
        let noise = params[name]["noise_grad_max_abs"].as_f64().unwrap_or(0.0);
        let tolerance = norm_tolerance(noise, values.len()) / scale;
        table.within("gradient norms, relative", name, &[1.0 + off], &[1.0], tolerance.max(2e-6));
    }
    Ok(())
}

/// Compares the first step of AdamW, which moves every value by the learning rate, whatever the
/// size of its gradient, so that gradients near zero go either way, in the reference too: norms of
/// parameters are compared and not their values, with a tolerance of a twentieth of the learning
/// rate.
fn compare_step(found: &Tensors, facts: &Value, table: &mut Table) -> Result<()> {
    let ill: Vec<String> = get(facts, "ill_conditioned_updates")?;
    let rate: f64 = get(&facts["optimizer"], "lr")?;
    let params = facts["params"].as_object().context("`params` is no object")?;
    for (name, figures) in params.iter().filter(|(name, _)| !ill.contains(name)) {
        let (found, expected) = (norm(found.floats(name)?), get::<f64>(figures, "norm_after")?);
        let noise = figures["noise_norm_after"].as_f64().unwrap_or(0.0);
        let tolerance = (10.0 * noise).max(0.05 * rate);
        let off = (found - expected) as f32;
        table.within("parameter norms after AdamW", name, &[1.0 + off], &[1.0], tolerance);
    }
    Ok(())
}

/// Scales all gradients by a factor.
fn scaled(model: &AnyBackbone, grads: GradientsParams, factor: f64) -> GradientsParams {
    struct Scale(GradientsParams, f64);
    impl ModuleVisitor for Scale {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(grad) = self.0.remove::<D>(param.id) {
                self.0.register(param.id, grad.mul_scalar(self.1));
            }
        }
    }
    let mut scale = Scale(grads, factor);
    model.visit(&mut scale);
    scale.0
}

/// Mean cross entropy of next tokens as the `head` of a backward pass; the loss is stored in
/// `loss`.
pub fn cross_entropy<'a>(
    model: &'a impl VisionLanguageModel,
    labels: &'a [i64],
    loss: &'a mut f32,
) -> impl FnMut(Tensor<3>) -> (Tensor<3>, GradientsParams) + 'a {
    move |hidden| {
        let hidden = hidden.autodiff().require_grad();
        let mean = next_token_loss(model, hidden.clone(), labels);
        *loss = mean.clone().into_scalar();
        let mut grads = mean.backward();
        let of_hidden = hidden.grad_remove(&mut grads).expect("the loss depends on the hidden states");
        (of_hidden, GradientsParams::from_grads(grads, model))
    }
}

/// Mean cross entropy of the labelled next tokens; −100 is no label.
pub fn next_token_loss(model: &impl VisionLanguageModel, hidden: Tensor<3>, labels: &[i64]) -> Tensor<1> {
    let [batch, seq, channels] = hidden.dims();
    let labelled: Vec<i64> = (0..labels.len()).filter(|i| i % seq > 0 && labels[*i] >= 0).map(|i| i as i64).collect();
    let before: Vec<i64> = labelled.iter().map(|i| i - 1).collect();
    let targets: Vec<i64> = labelled.iter().map(|&i| labels[i as usize]).collect();
    let ints = |values: &[i64]| Tensor::<1, Int>::from_ints(values, &hidden.device());
    let logits = model.lm_head(hidden.clone().reshape([batch * seq, channels]).select(0, ints(&before)));
    let log_probs = log_softmax(logits.cast(DType::F32), 1);
    log_probs.gather(1, ints(&targets).unsqueeze_dim(1)).mean().neg()
}

/// Model whose parameters are the gradients, zero where there are none.
pub fn gradients_as_model<M: Module>(model: &M, grads: &GradientsParams) -> M {
    struct Replace<'a>(&'a GradientsParams);
    impl ModuleMapper for Replace<'_> {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let id = param.id;
            param.map(|value| self.0.get::<D>(id).unwrap_or_else(|| value.zeros_like()))
        }
    }
    model.valid().map(&mut Replace(grads))
}

/// Parameters by their names in the checkpoint, as `f32`.
///
/// # Errors
/// If a temporary file cannot be written.
pub fn saved(model: &AnyBackbone) -> Result<Tensors> {
    let dir = tempfile::tempdir()?;
    model.save_pretrained_with(dir.path(), WeightDtype::F32)?;
    Tensors::read(&dir.path().join("model.safetensors"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn norms_may_differ_by_the_noise_of_their_values_and_no_more() {
        let values: Vec<f32> = (0..1000).map(|i| (i as f32).sin()).collect();
        let noise = 1e-4;
        // The largest possible effect of noise: every value further from zero.
        let off = |by: f64| {
            let moved: Vec<f32> = values.iter().map(|x| x + (by as f32).copysign(*x)).collect();
            (norm(&moved) - norm(&values)).abs()
        };
        let tolerance = norm_tolerance(noise, values.len());
        assert!(off(noise) < tolerance / 2.0 && off(3.0 * noise) > tolerance, "{} and {tolerance}", off(noise));
    }
}
