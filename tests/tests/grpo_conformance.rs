//! Conformance of GRPO's formulas with other implementations, and with definitions where these
//! leave gaps.
//!
//! `fixtures/grpo/README.md` names the sources of the figures; tolerances are the fixture's own
//! unless said.

// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used)]

use burn::module::{Module, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Int, Tensor, TensorData};
use seethink::train::{
    Decay, LogProbs, OptimizerConfig, PolicyLoss, PolicyTerms, Schedule, clip_global_norm, group_advantages, k3,
};
use seethink_tests::tiny;
use serde_json::Value;

/// A case of the fixture.
struct Case(Value);

impl Case {
    fn id(&self) -> &str {
        self.0["id"].as_str().unwrap()
    }

    fn number(&self, key: &str) -> f64 {
        self.0["params"][key].as_f64().unwrap()
    }

    /// `[row][column]`
    fn rows(&self, part: &str, key: &str) -> Vec<Vec<f32>> {
        serde_json::from_value(self.0[part][key].clone())
            .unwrap_or_else(|error| panic!("{}: {key}: {error}", self.id()))
    }

    /// Values of a padded tensor that the mask keeps, flat.
    fn tokens(&self, part: &str, key: &str, mask: &str) -> Vec<f32> {
        let (values, mask) = (self.rows(part, key), self.rows("inputs", mask));
        let kept = |(row, mask): (&Vec<f32>, &Vec<f32>)| {
            row.iter().zip(mask).filter(|(_, mask)| **mask == 1.0).map(|(value, _)| *value).collect::<Vec<_>>()
        };
        values.iter().zip(&mask).flat_map(kept).collect()
    }

    fn check(&self, what: &str, found: &[f32], expected: &[f32]) {
        let tolerance = self.0["tol"]["f32_abs"].as_f64().unwrap() as f32;
        close(&format!("{} {what}", self.id()), found, expected, tolerance);
    }
}

fn cases(suite: &str) -> Vec<Case> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/grpo/cases.jsonl");
    let text = std::fs::read_to_string(path).unwrap();
    let all: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let n_all = all.len();
    let cases: Vec<Case> = all.into_iter().filter(|case| case["suite"] == suite).map(Case).collect();
    println!("{suite}: {} of {n_all} cases", cases.len());
    assert!(!cases.is_empty(), "no case of {suite}");
    cases
}

fn close(what: &str, found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len(), "{what}: number of values");
    let off = found
        .iter()
        .zip(expected)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, |a: f32, b| if b.is_nan() { b } else { a.max(b) });
    println!("{what}: off by {off:.1e}, allowed {tolerance:.1e}");
    assert!(off <= tolerance, "{what}: off by {off:.3e}, allowed {tolerance:.1e}");
}

fn vector(values: &[f32]) -> Tensor<1> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), &Device::default())
}

/// Vector with respect to which a loss is differentiated.
fn variable(values: &[f32]) -> Tensor<1> {
    vector(values).autodiff().require_grad()
}

fn constant(values: &[f32]) -> Tensor<1> {
    vector(values).autodiff()
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

fn mean(values: &[f32]) -> f32 {
    (values.iter().map(|&x| f64::from(x)).sum::<f64>() / values.len() as f64) as f32
}

#[test]
fn advantages() {
    for case in cases("adv.grpo") {
        let scores: Vec<f32> = case.rows("inputs", "token_level_rewards").iter().map(|row| row.iter().sum()).collect();
        let index: Vec<String> = serde_json::from_value(case.0["inputs"]["index"].clone()).unwrap();
        let mask = case.rows("inputs", "response_mask");
        let mut start = 0;
        let mut found = Vec::new();
        for group in index.chunk_by(|a, b| a == b) {
            let end = start + group.len();
            for (advantage, mask) in group_advantages(&scores[start..end]).iter().zip(&mask[start..end]) {
                found.extend(mask.iter().map(|m| m * advantage));
            }
            start = end;
        }
        case.check("advantages", &found, &case.rows("expected", "advantages").concat());
    }
}

/// Loss (the mean over tokens), its gradient, and the per-token terms.
fn policy_loss(
    loss: &PolicyLoss,
    log_probs: &[f32],
    old: &[f32],
    advantages: &[f32],
    reference: Option<&[f32]>,
) -> (f32, Vec<f32>, PolicyTerms) {
    let variable = variable(log_probs);
    let terms = loss.terms(variable.clone(), constant(old), constant(advantages));
    let total = match reference {
        None => terms.policy.clone(),
        Some(reference) => terms.policy.clone() + k3(variable.clone(), constant(reference)) * loss.kl_coef,
    };
    let total = total.mean();
    let mut gradients = total.clone().backward();
    (total.into_scalar(), values(variable.grad_remove(&mut gradients).unwrap()), terms)
}

#[test]
fn clipped_policy_loss_with_its_gradient_and_metrics() {
    for case in cases("policy_loss.default") {
        let input = |key| case.tokens("inputs", key, "response_mask");
        let loss = PolicyLoss {
            clip_low: case.number("clip_ratio_low"),
            clip_high: case.number("clip_ratio_high"),
            dual_clip: case.number("clip_ratio_dual"),
            kl_coef: 0.0,
        };
        let log_probs = input("log_probs");
        let (found, gradient, terms) =
            policy_loss(&loss, &log_probs, &input("old_log_probs"), &input("advantages"), None);
        let expected = &case.0["expected"];
        case.check("loss", &[found], &[expected["loss"].as_f64().unwrap() as f32]);
        case.check("gradient", &gradient, &case.tokens("expected", "grad_log_probs", "response_mask"));
        for (key, found) in [
            ("ppo_kl", -mean(&values(terms.log_ratio))),
            ("entropy_loss", -mean(&log_probs)),
            ("pg_clipfrac_higher", mean(&values(terms.clipped_high))),
            ("pg_clipfrac_lower", mean(&values(terms.clipped_low))),
        ] {
            case.check(key, &[found], &[expected["metrics"][key].as_f64().unwrap() as f32]);
        }
    }
}

/// TRL divides by the tokens of the whole batch, as we do, and has no dual clip.
#[test]
fn trls_loss_with_its_kl_term() {
    for case in cases("policy_loss_trl.dapo").into_iter().chain(cases("policy_loss_trl.bnpo")) {
        let mask = case.rows("inputs", "completion_mask");
        let advantages: Vec<f32> = serde_json::from_value(case.0["inputs"]["advantages"].clone()).unwrap();
        let advantages: Vec<f32> = advantages
            .iter()
            .zip(&mask)
            .flat_map(|(&a, mask)| std::iter::repeat_n(a, mask.iter().filter(|m| **m == 1.0).count()))
            .collect();
        let input = |key| case.tokens("inputs", key, "completion_mask");
        let loss = PolicyLoss {
            clip_low: case.number("epsilon"),
            clip_high: case.number("epsilon_high"),
            dual_clip: 1e9,
            kl_coef: case.number("beta"),
        };
        let reference = (loss.kl_coef > 0.0).then(|| input("ref_per_token_logps"));
        let (log_probs, old) = (input("per_token_logps"), input("old_per_token_logps"));
        let (found, gradient, _) = policy_loss(&loss, &log_probs, &old, &advantages, reference.as_deref());
        case.check("loss", &[found], &[case.0["expected"]["loss"].as_f64().unwrap() as f32]);
        case.check("gradient", &gradient, &case.tokens("expected", "grad_log_probs", "completion_mask"));
    }
}

/// Loss of one token and its derivative by the definition, in `f64`; the derivative is zero where a
/// clip holds.
fn definition(loss: &PolicyLoss, log_ratio: f64, advantage: f64) -> (f64, f64) {
    let ratio = log_ratio.exp();
    let clipped = ratio.clamp(1.0 - loss.clip_low, 1.0 + loss.clip_high);
    let (free, held) = (-advantage * ratio, -advantage * clipped);
    let bound = -advantage * loss.dual_clip;
    match (free >= held, advantage < 0.0) {
        (true, true) if free > bound => (bound, 0.0),
        (true, _) => (free, free),
        (false, true) if held > bound => (bound, 0.0),
        (false, _) => (held, 0.0),
    }
}

/// The fixture never reaches the dual clip: every region is compared with the definition here.
#[test]
fn every_region_of_the_clipped_loss() {
    let loss = PolicyLoss { clip_low: 0.2, clip_high: 0.3, dual_clip: 3.0, kl_coef: 0.0 };
    // Ratios 0.14 to 5, none on an edge (0.8, 1.3, 3).
    let log_ratios = [-2.0f32, -0.5, -0.1, 0.0, 0.1, 0.5, 1.0, 1.2, 1.6];
    let advantages = [-2.0f32, -0.5, 0.0, 0.7, 1.5];
    let pairs: Vec<(f32, f32)> = log_ratios.iter().flat_map(|&l| advantages.map(|a| (l, a))).collect();
    let log_ratios: Vec<f32> = pairs.iter().map(|&(l, _)| l).collect();
    let advantages: Vec<f32> = pairs.iter().map(|&(_, a)| a).collect();
    let old = vec![-3.0f32; pairs.len()];
    let log_probs: Vec<f32> = log_ratios.iter().map(|l| l - 3.0).collect();
    let (_, gradient, terms) = policy_loss(&loss, &log_probs, &old, &advantages, None);
    let (expected, slopes): (Vec<f32>, Vec<f32>) = pairs
        .iter()
        .map(|&(l, a)| definition(&loss, f64::from(l), f64::from(a)))
        .map(|(value, slope)| (value as f32, (slope / pairs.len() as f64) as f32))
        .unzip();
    // A rounding of `log_probs − old` is a relative error of 5e-7 of losses of up to 6.
    close("losses", &values(terms.policy), &expected, 5e-6);
    close("gradients", &gradient, &slopes, 2e-7);
    let dual: Vec<f32> = pairs.iter().map(|&(l, a)| f32::from(u8::from(a < 0.0 && l > 3f32.ln()))).collect();
    assert_eq!(dual.iter().sum::<f32>(), 4.0, "ratios of 3.3 and 5 with two negative advantages");
    assert_eq!(values(terms.clipped_low), dual);

    // Without a bound those four have the value of the clip alone.
    let off = PolicyLoss { dual_clip: 0.0, ..loss };
    let (_, gradient, terms) = policy_loss(&off, &log_probs, &old, &advantages, None);
    let far = PolicyLoss { dual_clip: 1e9, ..loss };
    let expected: Vec<(f64, f64)> = pairs.iter().map(|&(l, a)| definition(&far, f64::from(l), f64::from(a))).collect();
    let (expected, slopes): (Vec<f32>, Vec<f32>) =
        expected.into_iter().map(|(value, slope)| (value as f32, (slope / pairs.len() as f64) as f32)).unzip();
    close("losses without a bound", &values(terms.policy), &expected, 1e-5);
    close("gradients without a bound", &gradient, &slopes, 4e-7);
    assert!(values(terms.clipped_low).iter().all(|&held| held == 0.0));
}

#[test]
fn a_log_ratio_beyond_all_bounds_stays_finite() {
    let loss = PolicyLoss::default();
    let (found, gradient, _) = policy_loss(&loss, &[-200.0, 0.0], &[0.0, -200.0], &[1.0, -1.0], Some(&[0.0, -200.0]));
    assert!(found.is_finite() && gradient.iter().all(|g| g.is_finite()), "{found} {gradient:?}");
}

#[test]
fn k3_divergence() {
    for case in cases("kl.low_var_kl") {
        let log_probs = variable(&case.rows("inputs", "log_probs").concat());
        let kl = k3(log_probs.clone(), constant(&case.rows("inputs", "ref_log_probs").concat()));
        case.check("kl", &values(kl.clone()), &case.rows("expected", "kl").concat());
        let mut gradients = kl.sum().backward();
        let gradient = values(log_probs.grad_remove(&mut gradients).unwrap());
        case.check("gradient", &gradient, &case.rows("expected", "grad_log_probs_of_sum").concat());
    }
}

#[test]
fn log_probabilities_from_logits() {
    for case in cases("logprobs") {
        let logits: Vec<Vec<Vec<f32>>> = serde_json::from_value(case.0["inputs"]["logits"].clone()).unwrap();
        let labels: Vec<Vec<i64>> = serde_json::from_value(case.0["inputs"]["labels"].clone()).unwrap();
        let (logits, labels) = (logits.concat(), labels.concat());
        let (n, vocab) = (logits.len(), logits[0].len());
        // A head that is the identity makes hidden states logits.
        let mut model = tiny::config(vocab, vocab).init_seeded(1, &Device::default());
        model.text.embed.weight = Param::from_tensor(Tensor::eye(vocab, &Device::default()));
        let hidden = Tensor::from_data(TensorData::new(logits.concat(), [n, vocab]), &Device::default());
        let ids = Tensor::<1, Int>::from_data(TensorData::new(labels, [n]), &Device::default());
        for chunk in [1, 4, 100] {
            let log_probs = LogProbs { temperature: case.number("temperature") as f32, forbidden: Vec::new(), chunk };
            let found = values(log_probs.of(&model, hidden.clone(), ids.clone()));
            case.check(&format!("chunks of {chunk}"), &found, &case.rows("expected", "log_probs").concat());
        }
    }
}

#[test]
fn learning_rate_schedules() {
    for case in cases("lr_schedule") {
        let total = case.number("num_training_steps");
        let cosine = case.0["fn"].as_str().unwrap().contains("cosine");
        let schedule = Schedule {
            warmup: case.number("num_warmup_steps") / total,
            decay: if cosine { Decay::Cosine } else { Decay::Constant },
            floor: case.0["params"]["min_lr_ratio"].as_f64().unwrap_or(0.0),
        };
        let rates: Vec<f64> = serde_json::from_value(case.0["expected"]["lr_at_update"].clone()).unwrap();
        for (step, expected) in rates.into_iter().enumerate() {
            let peak = case.number("lr");
            let found = peak * schedule.factor(step, total as usize);
            // The fixture's absolute 1e-9 says little of rates of 1e-6.
            assert!((found - expected).abs() <= 1e-9 * peak, "{} step {step}: {found} for {expected}", case.id());
        }
    }
}

#[derive(Module, Debug)]
struct Weights {
    first: Param<Tensor<1>>,
    second: Param<Tensor<1>>,
}

impl Weights {
    fn new(first: &[f32], second: &[f32]) -> Self {
        Self { first: Param::from_tensor(vector(first)), second: Param::from_tensor(vector(second)) }.train()
    }

    fn gradients(&self, first: &[f32], second: &[f32]) -> GradientsParams {
        let mut gradients = GradientsParams::new();
        gradients.register(self.first.id, vector(first));
        gradients.register(self.second.id, vector(second));
        gradients
    }
}

#[test]
fn adamw() {
    for case in cases("optim.adamw") {
        let betas: (f32, f32) = serde_json::from_value(case.0["params"]["betas"].clone()).unwrap();
        let config = OptimizerConfig {
            learning_rate: case.number("lr"),
            betas,
            epsilon: case.number("eps") as f32,
            weight_decay: case.number("weight_decay") as f32,
            max_grad_norm: f64::INFINITY,
            schedule: Schedule::CONSTANT,
        };
        let start: Vec<f32> = serde_json::from_value(case.0["inputs"]["param"].clone()).unwrap();
        let mut weights = Weights::new(&start, &[0.0]);
        let mut optimizer = config.init();
        let expected = case.rows("expected", "params_after_each");
        for (step, (gradient, expected)) in case.rows("inputs", "grads").iter().zip(&expected).enumerate() {
            let gradients = weights.gradients(gradient, &[0.0]);
            weights = optimizer.step(config.learning_rate, weights, gradients);
            // The fixture's tolerance is wider than the steps of its smallest rate; the reference's
            // own rounding is not.
            let rounding = case.0["f32_err"].as_f64().unwrap() as f32;
            let what = format!("{} step {step}", case.id());
            close(&what, &values(weights.first.val().inner()), expected, 4.0 * rounding);
        }
    }
}

#[test]
fn gradients_are_clipped_by_the_norm_of_all_together() {
    let weights = Weights::new(&[0.0; 2], &[0.0; 1]);
    for (max_norm, factor) in [(13.0 / 2.0, 0.5), (20.0, 1.0), (f64::INFINITY, 1.0)] {
        let mut gradients = weights.gradients(&[3.0, 4.0], &[12.0]);
        assert_eq!(clip_global_norm(&weights, &mut gradients, max_norm), 13.0);
        let clipped = [gradients.get::<1>(weights.first.id), gradients.get::<1>(weights.second.id)];
        let clipped: Vec<f32> = clipped.into_iter().flat_map(|gradient| values(gradient.unwrap())).collect();
        // torch adds 1e-6 to the norm.
        close("clipped", &clipped, &[3.0 * factor, 4.0 * factor, 12.0 * factor], 1e-6);
    }
}
