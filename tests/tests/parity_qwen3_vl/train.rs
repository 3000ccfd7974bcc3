//! Loss, gradients and one optimiser step.

use crate::fixtures::{Case, Tensors, close, cross_entropy, gradients_as_model, json, model, path, saved};
use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::Tensor;
use seethink_models::VisionLanguageModel;
use seethink_models::qwen3_vl::Qwen3Vl;

/// The reference's own noise is 7.6e-7.
const LOSS: f32 = 1e-5;
/// The reference's own noise is up to 2.9e-6, on gradients of up to about 2.
const GRADIENT: f32 = 3e-5;
/// Of a gradient's norm, relative; `f32` sums of up to 1e5 squares.
const GRADIENT_NORM: f64 = 1e-5;
/// Of a parameter's norm after the step. The first step of AdamW moves every value by the learning rate whatever the size of
/// its gradient, so that gradients near zero go either way: the reference's own noise is up to 1e-6.
const NORM_AFTER: f64 = 3e-5;

fn norm(values: &[f32]) -> f64 {
    values.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt()
}

#[test]
fn loss_gradients_and_one_step() {
    let (case, reference) = (Case::read("batch"), json("train.json"));
    let tensors = Tensors::read(&path("train.safetensors"));
    let model = model().train();
    let mut loss = 0.0;
    let labels = tensors.ints("labels");
    let grads = model.backward(case.input(&model), case.pixels.clone(), &mut cross_entropy(&model, labels, &mut loss));
    close("loss", &[loss], &[reference["loss"].as_f64().unwrap() as f32], LOSS);

    let found = saved(&gradients_as_model(&model, &grads));
    check_gradients(&found, &tensors, &reference);
    let global = found.names().map(|name| norm(found.floats(name)).powi(2)).sum::<f64>().sqrt();
    let expected = reference["grad_global_norm_before_clip"].as_f64().unwrap();
    println!("global gradient norm: off by {:.2e} of it", (global / expected - 1.0).abs());
    assert!((global / expected - 1.0).abs() < GRADIENT_NORM, "global norm {global} instead of {expected}");

    let optimizer = AdamWConfig::new().with_epsilon(1e-8).with_weight_decay(0.01);
    let stepped = optimizer.init().step(1e-3, model.clone(), scaled(&model, grads, 1.0 / global));
    check_step(&saved(&stepped), &reference);

    let mut after = 0.0;
    stepped.backward(case.input(&model), case.pixels.clone(), &mut cross_entropy(&stepped, labels, &mut after));
    close("loss after the step", &[after], &[reference["loss_after_step"].as_f64().unwrap() as f32], 10.0 * LOSS);
}

fn check_gradients(found: &Tensors, tensors: &Tensors, reference: &serde_json::Value) {
    let rows: Vec<usize> = serde_json::from_value(reference["grad_rows"].clone()).unwrap();
    let kinds = reference["saved_grads"].as_object().unwrap();
    assert!(kinds.len() > 10);
    for (name, kind) in kinds {
        let values = found.floats(name);
        let width = values.len() / found.shape(name)[0];
        let (key, values) = match kind.as_str().unwrap() {
            "full" => (format!("grad.{name}"), values.to_vec()),
            "first8" => (format!("grad.{name}.first8"), values[..8 * width].to_vec()),
            "rows" => {
                let rows = rows.iter().flat_map(|row| values[row * width..][..width].to_vec());
                (format!("grad.{name}.rows"), rows.collect())
            }
            other => panic!("unknown kind {other}"),
        };
        close(&key, &values, tensors.floats(&key), GRADIENT);
    }
    let params = reference["params"].as_object().unwrap();
    assert_eq!(params.len(), found.names().count());
    let mut worst: f64 = 0.0;
    for (name, figures) in params {
        let (found, expected) = (norm(found.floats(name)), figures["grad_norm"].as_f64().unwrap());
        let off = (found - expected).abs() / (expected + 1e-2);
        worst = worst.max(off);
        assert!(off <= GRADIENT_NORM, "{name}: gradient norm {found} instead of {expected}");
    }
    println!("gradient norms: off by {worst:.2e} of them, allowed {GRADIENT_NORM:.0e}");
}

fn check_step(found: &Tensors, reference: &serde_json::Value) {
    let ill: Vec<String> = serde_json::from_value(reference["ill_conditioned_updates"].clone()).unwrap();
    let mut worst: f64 = 0.0;
    for (name, figures) in reference["params"].as_object().unwrap().iter().filter(|(name, _)| !ill.contains(name)) {
        let (found, expected) = (norm(found.floats(name)), figures["norm_after"].as_f64().unwrap());
        worst = worst.max((found - expected).abs());
        assert!((found - expected).abs() <= NORM_AFTER, "{name}: norm {found} after the step instead of {expected}");
    }
    println!("norms after the step: off by {worst:.2e}, allowed {NORM_AFTER:.0e}");
}

/// All gradients times a factor.
fn scaled(model: &Qwen3Vl, grads: GradientsParams, factor: f64) -> GradientsParams {
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
