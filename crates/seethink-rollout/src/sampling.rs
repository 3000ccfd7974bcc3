//! Sampling: from logits to a token and its log-probability.

use seethink_core::SettingError;
use seethink_models::GenerationConfig;
use seethink_nn::SoftmaxWeights;
use serde::{Deserialize, Serialize};

/// Sampling settings.
///
/// Filters apply in the order of the reference: repetition penalty, temperature, top-k, top-p.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sampling {
    /// Temperature: divides the logits; 0 is greedy.
    pub temperature: f32,
    /// Nucleus (top-p) sampling: the smallest set of most likely tokens that holds this much
    /// probability; 1 keeps all.
    pub top_p: f32,
    /// Top-k sampling: this many most likely tokens; 0 keeps all.
    pub top_k: usize,
    /// Longest completion, tokens.
    pub max_tokens: usize,
    /// Repetition penalty: positive logits of tokens that occurred, in the prompt as well, are
    /// divided by it and negative ones multiplied; 1 changes nothing.
    #[serde(default = "no_penalty")]
    pub repetition_penalty: f32,
}

fn no_penalty() -> f32 {
    1.0
}

impl Sampling {
    /// Greedy decoding: the most likely token each time.
    pub fn greedy(max_tokens: usize) -> Self {
        Self { temperature: 0.0, ..Self::plain(max_tokens) }
    }

    /// Plain sampling from the policy's own distribution.
    pub fn plain(max_tokens: usize) -> Self {
        Self { temperature: 1.0, top_p: 1.0, top_k: 0, max_tokens, repetition_penalty: 1.0 }
    }

    /// Sampling settings from the `generation_config.json` of a checkpoint.
    pub fn from_config(config: &GenerationConfig, max_tokens: usize) -> Self {
        let GenerationConfig { do_sample, temperature, top_p, top_k, repetition_penalty } = *config;
        if do_sample {
            Self { temperature, top_p, top_k, max_tokens, repetition_penalty }
        } else {
            Self { repetition_penalty, ..Self::greedy(max_tokens) }
        }
    }

    /// Temperature at which log-probabilities are taken: the sampling temperature, or 1 where
    /// decoding is greedy.
    pub fn log_prob_temperature(&self) -> f32 {
        if self.temperature > 0.0 { self.temperature } else { 1.0 }
    }

    /// Returns whether a repetition penalty applies, so that sampling needs the tokens that occurred.
    pub fn penalises(&self) -> bool {
        self.repetition_penalty != 1.0
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// If a value is out of range.
    pub fn check(&self) -> Result<(), SettingError> {
        let Self { temperature, top_p, max_tokens, repetition_penalty, .. } = *self;
        let positive = repetition_penalty.is_finite() && repetition_penalty > 0.0;
        let wrong = |key, found: f32, expected| Err(SettingError::new(key, found, expected).within("sampling"));
        if !(temperature.is_finite() && temperature >= 0.0) {
            wrong("temperature", temperature, "a finite number of at least 0 (0 is greedy)")
        } else if !(top_p > 0.0 && top_p <= 1.0) {
            wrong("top_p", top_p, "a number in (0, 1]")
        } else if !positive {
            wrong("repetition_penalty", repetition_penalty, "a positive number (1 changes nothing)")
        } else if max_tokens == 0 {
            wrong("max_tokens", 0.0, "at least 1")
        } else {
            Ok(())
        }
    }
}

/// Sampler of tokens from rows of logits in the memory of the processor.
#[derive(Debug, Clone)]
pub struct TokenSampler {
    sampling: Sampling,
    forbidden: Vec<usize>,
}

impl TokenSampler {
    /// Creates a sampler that never chooses a forbidden token.
    pub fn new(sampling: Sampling, forbidden: &[u32]) -> Self {
        Self { sampling, forbidden: forbidden.iter().map(|&id| id as usize).collect() }
    }

    /// Samples a token and returns its id and log-probability.
    ///
    /// The log-probability is that of the policy at the sampling temperature over all allowed
    /// tokens: penalty, top-k and top-p choose the token but do not enter it, so that training can
    /// recompute it. Nats.
    ///
    /// # Shapes
    /// - `logits`: `[vocab]`; used as scratch
    /// - `seen`: ids that occurred in the prompt and the completion so far, each once; read where
    ///   there is a penalty
    /// - `uniform`: a draw in `[0, 1)`
    pub fn sample(&self, logits: &mut [f32], seen: &[u32], uniform: f64) -> (u32, f32) {
        for &id in &self.forbidden {
            if let Some(logit) = logits.get_mut(id) {
                *logit = f32::NEG_INFINITY;
            }
        }
        let temperature = self.sampling.log_prob_temperature();
        let weights = SoftmaxWeights::of(logits, temperature);
        let log_prob =
            |logit: f32| (f64::from(logit - weights.max) / f64::from(temperature) - weights.total().ln()) as f32;
        if !self.sampling.penalises() {
            let token = self.choose(logits, &weights, uniform);
            return (token as u32, log_prob(logits[token]));
        }
        let before: Vec<(usize, f32)> =
            seen.iter().filter_map(|&id| Some((id as usize, *logits.get(id as usize)?))).collect();
        let penalty = self.sampling.repetition_penalty;
        for &(id, logit) in &before {
            logits[id] = if logit > 0.0 { logit / penalty } else { logit * penalty };
        }
        let token = self.choose(logits, &SoftmaxWeights::of(logits, temperature), uniform);
        before.into_iter().for_each(|(id, logit)| logits[id] = logit);
        (token as u32, log_prob(logits[token]))
    }

    /// Chooses a token from logits and their weights.
    fn choose(&self, logits: &[f32], weights: &SoftmaxWeights, uniform: f64) -> usize {
        if self.sampling.temperature == 0.0 {
            argmax(logits)
        } else if self.sampling.top_k == 0 && self.sampling.top_p >= 1.0 {
            weights.inverse_cdf(uniform)
        } else {
            let weight = |id: usize| f64::from(weights.weights[id]);
            let mut kept = self.nucleus(logits, weights.total(), &weight);
            // In the order of their ids, as on any device.
            kept.sort_unstable();
            let kept_total: f64 = kept.iter().map(|&id| weight(id)).sum();
            inverse_cdf(kept.iter().map(|&id| (id, weight(id))), uniform * kept_total)
        }
    }

    /// Nucleus: the tokens that top-k and then top-p leave, most likely first.
    fn nucleus(&self, logits: &[f32], total: f64, weight: &impl Fn(usize) -> f64) -> Vec<usize> {
        let mut ids: Vec<usize> = (0..logits.len()).filter(|&id| logits[id] > f32::NEG_INFINITY).collect();
        ids.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
        let mut mass = total;
        if self.sampling.top_k > 0 && self.sampling.top_k < ids.len() {
            ids.truncate(self.sampling.top_k);
            mass = ids.iter().map(|&id| weight(id)).sum();
        }
        let mut before = 0.0;
        let keep = ids
            .iter()
            .take_while(|&&id| {
                let needed = before < f64::from(self.sampling.top_p) * mass;
                before += weight(id);
                needed
            })
            .count();
        ids.truncate(keep.max(1));
        ids
    }
}

fn argmax(logits: &[f32]) -> usize {
    (1..logits.len()).fold(0, |best, id| if logits[id] > logits[best] { id } else { best })
}

/// Inverse of the cumulative distribution: the first item whose running weight exceeds `threshold`;
/// the last one with weight where rounding leaves none.
fn inverse_cdf(items: impl Iterator<Item = (usize, f64)>, threshold: f64) -> usize {
    let mut running = 0.0;
    let mut last = 0;
    for (id, weight) in items {
        if weight > 0.0 {
            running += weight;
            last = id;
            if running > threshold {
                break;
            }
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frequencies(sampling: Sampling, forbidden: &[u32], logits: &[f32]) -> Vec<f64> {
        let sampler = TokenSampler::new(sampling, forbidden);
        let n = 4000;
        let mut counts = vec![0.0; logits.len()];
        for i in 0..n {
            let uniform = (f64::from(i) + 0.5) / f64::from(n);
            counts[sampler.sample(&mut logits.to_vec(), &[], uniform).0 as usize] += 1.0;
        }
        counts.into_iter().map(|count: f64| count / f64::from(n)).collect()
    }

    #[test]
    fn plain_sampling_follows_the_softmax() {
        let logits = [0.0f32, 1.0, 2.0];
        let total: f64 = logits.iter().map(|&l| f64::from(l).exp()).sum();
        for (frequency, &logit) in frequencies(Sampling::plain(1), &[], &logits).iter().zip(&logits) {
            assert!((frequency - f64::from(logit).exp() / total).abs() < 1e-3);
        }
    }

    #[test]
    fn forbidden_tokens_are_never_sampled_and_leave_the_normalisation() {
        let logits = [0.0f32, 50.0, 0.0];
        let frequencies = frequencies(Sampling::plain(1), &[1], &logits);
        assert_eq!(frequencies[1], 0.0);
        let (token, log_prob) = TokenSampler::new(Sampling::greedy(1), &[1]).sample(&mut logits.to_vec(), &[], 0.0);
        assert_eq!(token, 0);
        assert!((log_prob - 0.5f32.ln()).abs() < 1e-6);
    }

    #[test]
    fn top_k_and_top_p_cut_the_tail_but_not_the_log_probability() {
        let logits = [3.0f32, 2.0, 1.0, 0.0];
        let top_k = frequencies(Sampling { top_k: 2, ..Sampling::plain(1) }, &[], &logits);
        assert!(top_k[0] > 0.0 && top_k[1] > 0.0 && top_k[2] == 0.0 && top_k[3] == 0.0);
        // Probabilities are 0.644, 0.237, 0.087, 0.032: 0.6 needs one token, 0.7 two.
        let top_p = |p| frequencies(Sampling { top_p: p, ..Sampling::plain(1) }, &[], &logits);
        assert_eq!(top_p(0.6)[0], 1.0);
        assert!(top_p(0.7)[1] > 0.0 && top_p(0.7)[2] == 0.0);
        let sampler = TokenSampler::new(Sampling { top_k: 1, ..Sampling::plain(1) }, &[]);
        assert!((sampler.sample(&mut logits.to_vec(), &[], 0.5).1 - 0.6439f32.ln()).abs() < 1e-3);
    }

    #[test]
    fn log_probability_is_at_the_sampling_temperature() {
        let sampler = TokenSampler::new(Sampling { temperature: 0.5, ..Sampling::plain(1) }, &[]);
        let (token, log_prob) = sampler.sample(&mut [0.0, 1.0], &[], 0.999);
        assert_eq!(token, 1);
        assert!((f64::from(log_prob) - (1.0 / (1.0 + (-2.0f64).exp())).ln()).abs() < 1e-6);
    }

    #[test]
    fn what_occurred_is_penalised_in_the_choice_alone() {
        let sampler = TokenSampler::new(Sampling { repetition_penalty: 2.0, ..Sampling::greedy(1) }, &[]);
        // 3 becomes 1.5 and −1 becomes −2; an id beyond the table is ignored.
        let (token, log_prob) = sampler.sample(&mut [3.0, 2.0, -1.0], &[0, 2, 9], 0.0);
        let total = (3f32.exp() + 2f32.exp() + (-1f32).exp()).ln();
        assert_eq!(token, 1);
        assert!((log_prob - (2.0 - total)).abs() < 1e-6);
        assert_eq!(sampler.sample(&mut [3.0, 2.0, -1.0], &[], 0.0).0, 0);
    }

    #[test]
    fn a_checkpoints_settings_count_where_it_samples() {
        let mut config = GenerationConfig { temperature: 0.7, top_p: 0.8, top_k: 20, ..Default::default() };
        assert_eq!(Sampling::from_config(&config, 5), Sampling::greedy(5));
        (config.do_sample, config.repetition_penalty) = (true, 1.05);
        let expected = Sampling { temperature: 0.7, top_p: 0.8, top_k: 20, max_tokens: 5, repetition_penalty: 1.05 };
        assert_eq!(Sampling::from_config(&config, 5), expected);
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let bad = |sampling: Sampling| sampling.check().expect_err("bad").to_string();
        assert!(bad(Sampling { temperature: -1.0, ..Sampling::plain(1) }).contains("temperature"));
        assert!(bad(Sampling { top_p: 0.0, ..Sampling::plain(1) }).contains("top_p"));
        assert!(bad(Sampling { repetition_penalty: 0.0, ..Sampling::plain(1) }).contains("repetition_penalty"));
        assert!(bad(Sampling::plain(0)).contains("max_tokens"));
    }
}
