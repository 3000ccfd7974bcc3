//! Batched generation with a key-value cache.

use crate::{CapacityError, Load, Sampling, TokenSampler};
use burn::tensor::{Int, Tensor, TensorData};
use rayon::prelude::*;
use seethink_core::{Completion, FinishReason, Group, ProblemId, Purpose, Rng, SettingError};
use seethink_models::{
    Pixels, Processor, ProcessorError, PromptInput, Side, TokenRow, VisionLanguageModel, VisualFeatures, VlmInput,
};

/// Key of the random draws of one call, so that they can be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrawKey {
    /// Seed of the run.
    pub seed: u64,
    /// Purpose of the completions.
    pub purpose: Purpose,
    /// Training step, or number of the evaluation.
    pub step: u64,
}

/// A prompt to be answered.
#[derive(Debug, Clone)]
pub struct Prompt<'a> {
    /// Problem id, which enters the key of the draws.
    pub problem: ProblemId,
    /// Model input: tokens, positions and patches.
    pub input: &'a PromptInput,
    /// Number of completions that the prompt has already: the index of the next one, which enters
    /// the key of its draws.
    pub n_before: usize,
}

impl<'a> Prompt<'a> {
    /// A prompt without completions.
    pub fn new(problem: ProblemId, input: &'a PromptInput) -> Self {
        Self { problem, input, n_before: 0 }
    }
}

/// Completions of a call to a generator.
#[derive(Debug, Clone, Default)]
pub struct Rollouts {
    /// One group per prompt, in order.
    pub groups: Vec<Group>,
    /// Number of tokens that the row of each completion has read while it was in the batch,
    /// `[prompt][completion]`: all of the completion but its last, and then that one as often as
    /// the row was waiting to leave.
    pub n_read: Vec<Vec<u32>>,
    /// Image features of each prompt that has images, as the policy that generated saw them.
    pub features: Vec<Option<VisualFeatures>>,
}

impl Rollouts {
    /// Number of tokens generated over all completions.
    pub fn n_tokens(&self) -> usize {
        self.groups.iter().flat_map(|group| &group.completions).map(|completion| completion.tokens.len()).sum()
    }
}

/// Progress callback: receives completions finished and wanted; returning `false` stops the call.
pub type ProgressCallback<'a> = dyn FnMut(usize, usize) -> bool + 'a;

/// Errors of generation.
#[derive(Debug, thiserror::Error)]
pub enum RolloutError {
    /// Sampling settings out of range.
    #[error(transparent)]
    Sampling(#[from] SettingError),
    /// Sequences without room in the decoder or the key-value cache.
    #[error(transparent)]
    Capacity(#[from] CapacityError),
    /// Tokens could not be turned into text.
    #[error("a completion of problem {problem} could not be decoded")]
    Decode {
        /// Problem of the completion.
        problem: ProblemId,
        /// Error of the tokenizer.
        source: ProcessorError,
    },
    /// The progress callback returned `false`.
    #[error("generation was interrupted")]
    Interrupted,
}

/// Generator of completions: answers prompts with a model.
#[derive(Clone, Copy)]
pub struct Generator<'a, M> {
    /// The policy, without gradient tracking.
    pub model: &'a M,
    /// Processor: special tokens, and decoding of tokens to text.
    pub processor: &'a dyn Processor,
    /// Sampling settings.
    pub sampling: Sampling,
    /// Most sequences that decode together, except that all completions of a prompt do. Memory
    /// grows with it; results do not depend on it beyond the rounding of log-probabilities.
    pub max_batch: usize,
}

impl<M: VisionLanguageModel> Generator<'_, M> {
    /// Generates `n` completions of each prompt.
    ///
    /// `progress` receives the numbers of completions finished and wanted, after every decoding
    /// step.
    ///
    /// # Errors
    /// If the settings are out of range, the model has no positions for the longest prompt and
    /// completion, a completion cannot be decoded, or `progress` returns `false`.
    ///
    /// # Panics
    /// If `n` is zero.
    pub fn generate(
        &self,
        prompts: &[Prompt<'_>],
        n: usize,
        key: DrawKey,
        progress: &mut ProgressCallback<'_>,
    ) -> Result<Rollouts, RolloutError> {
        assert!(n > 0, "at least one completion per prompt");
        self.check(prompts)?;
        let wanted = prompts.len() * n;
        let mut rollouts = Rollouts::default();
        for batch in prompts.chunks((self.max_batch / n).max(1)) {
            let finished = rollouts.groups.len() * n;
            let features = self.encode_images(batch);
            let sequences = self.decode(batch, n, key, &features, &mut |sequences| {
                let done = sequences.iter().filter(|sequence| sequence.finish.is_some()).count();
                progress(finished + done, wanted)
            })?;
            for (prompt, sequences) in batch.iter().zip(sequences.chunks(n)) {
                let completions = sequences
                    .iter()
                    .map(|sequence| self.completion(prompt.problem, sequence))
                    .collect::<Result<_, _>>()?;
                rollouts.groups.push(Group { problem: prompt.problem, completions });
                rollouts.n_read.push(sequences.iter().map(|sequence| sequence.n_read).collect());
            }
            rollouts.features.extend(features);
        }
        Ok(rollouts)
    }

    /// Streams one completion of one prompt: `observe` sees the tokens so far after every step.
    ///
    /// # Errors
    /// As [`generate`](Self::generate), with `observe` in the place of `progress`.
    pub fn stream(
        &self,
        prompt: &Prompt<'_>,
        key: DrawKey,
        observe: &mut dyn FnMut(&[u32]) -> bool,
    ) -> Result<Completion, RolloutError> {
        let prompts = std::slice::from_ref(prompt);
        self.check(prompts)?;
        let features = self.encode_images(prompts);
        let sequences = self.decode(prompts, 1, key, &features, &mut |sequences| observe(&sequences[0].tokens))?;
        self.completion(prompt.problem, &sequences[0])
    }

    /// Checks that the settings are in range and the sequences have positions.
    fn check(&self, prompts: &[Prompt<'_>]) -> Result<(), RolloutError> {
        self.sampling.check()?;
        let prompt = prompts.iter().map(|prompt| prompt.input.tokens.len()).max().unwrap_or(0);
        let load = Load { rows: prompts.len(), prompt, max_tokens: self.sampling.max_tokens };
        Ok(load.check_positions(self.model.max_positions())?)
    }

    /// Encodes the images of all prompts in one pass; `None` for prompts without images.
    pub fn encode_images(&self, prompts: &[Prompt<'_>]) -> Vec<Option<VisualFeatures>> {
        let pixels = Pixels::concat(prompts.iter().map(|prompt| &prompt.input.pixels));
        if pixels.grids.is_empty() {
            return vec![None; prompts.len()];
        }
        let all = self.model.encode_images(pixels.to_tensor(&self.model.device()));
        let mut start = 0;
        prompts
            .iter()
            .map(|prompt| {
                let rows = start..start + prompt.input.image_tokens.len();
                start = rows.end;
                (!rows.is_empty()).then(|| all.rows(rows))
            })
            .collect()
    }

    /// Prefills each prompt once, then decodes `n` sequences of each; sequence `p * n + c` is
    /// completion `c` of prompt `p`.
    fn decode(
        &self,
        prompts: &[Prompt<'_>],
        n: usize,
        key: DrawKey,
        features: &[Option<VisualFeatures>],
        progress: &mut dyn FnMut(&[Sequence]) -> bool,
    ) -> Result<Vec<Sequence>, RolloutError> {
        let device = self.model.device();
        let pad = self.processor.pad_token_id();
        let rows: Vec<TokenRow> = prompts.iter().map(|prompt| TokenRow::prompt(prompt.input)).collect();
        let longest = rows.iter().map(|row| row.tokens.len()).max().unwrap_or(0);
        let input =
            VlmInput::from_rows(&rows, pad, Side::Left, VisualFeatures::concat(features.iter().flatten()), &device);

        let mut cache = self.model.empty_cache(prompts.len(), longest + self.sampling.max_tokens);
        let hidden = self.model.hidden_states_cached(input, &mut cache);
        let prompt_logits = self.logits(hidden.narrow(1, longest - 1, 1));
        cache.repeat(n);

        let mut sequences: Vec<Sequence> =
            prompts.iter().flat_map(|prompt| (0..n).map(|c| Sequence::new(prompt, c))).collect();
        let sampler = TokenSampler::new(self.sampling, self.processor.forbidden_token_ids());
        if sampler.penalises() {
            sequences.iter_mut().enumerate().for_each(|(s, sequence)| sequence.remember(&prompts[s / n].input.tokens));
        }
        let vocab = self.model.vocab_size();
        // Row `i` of the cache belongs to sequence `active[i]`.
        let mut active: Vec<usize> = (0..sequences.len()).collect();
        let mut logits: Vec<f32> =
            prompt_logits.chunks(vocab).flat_map(|row| std::iter::repeat_n(row, n)).flatten().copied().collect();
        loop {
            let draws: Vec<(u32, f32)> = logits
                .par_chunks_mut(vocab)
                .zip(&active)
                .map(|(row, &s)| sampler.sample(row, &sequences[s].seen, sequences[s].uniform(key)))
                .collect();
            for (&s, (token, log_prob)) in active.iter().zip(draws) {
                let stop = self.processor.eos_token_ids().contains(&token);
                sequences[s].push(token, log_prob, stop, self.sampling.max_tokens);
                if sampler.penalises() {
                    sequences[s].remember(&[token]);
                }
            }
            // Dropping a row copies the cache, so rows leave when a quarter of them can.
            let keep: Vec<usize> = (0..active.len()).filter(|&row| sequences[active[row]].finish.is_none()).collect();
            if !progress(&sequences) {
                return Err(RolloutError::Interrupted);
            }
            if keep.is_empty() {
                return Ok(sequences);
            }
            if keep.len() * 4 <= active.len() * 3 {
                cache.select(&keep);
                active = keep.iter().map(|&row| active[row]).collect();
            }
            active.iter().for_each(|&s| sequences[s].n_read += 1);
            let input = self.next_tokens(active.iter().map(|&s| &sequences[s]), active.len());
            logits = self.logits(self.model.hidden_states_cached(input, &mut cache));
        }
    }

    /// Last token of each sequence, as a batch of one column.
    fn next_tokens<'s>(&self, sequences: impl Iterator<Item = &'s Sequence>, batch: usize) -> VlmInput {
        let device = self.model.device();
        let (ids, positions): (Vec<i64>, Vec<i64>) = sequences.map(Sequence::last).unzip();
        let position_ids = Tensor::<1, Int>::from_data(TensorData::new(positions, [batch]), &device);
        VlmInput {
            input_ids: Tensor::from_data(TensorData::new(ids, [batch, 1]), &device),
            position_ids: position_ids.reshape([1, batch, 1]).repeat_dim(0, 3),
            segments: Tensor::zeros([batch, 1], &device),
            visual: None,
        }
    }

    /// Logits on the host, `[batch * vocab]`, from hidden states `[batch, 1, hidden]`.
    fn logits(&self, hidden: Tensor<3>) -> Vec<f32> {
        self.model.lm_head(hidden.squeeze_dim::<2>(1)).into_data().iter::<f32>().collect()
    }

    fn completion(&self, problem: ProblemId, sequence: &Sequence) -> Result<Completion, RolloutError> {
        let text =
            self.processor.decode(&sequence.tokens).map_err(|source| RolloutError::Decode { problem, source })?;
        Ok(Completion {
            tokens: sequence.tokens.clone(),
            log_probs: sequence.log_probs.clone(),
            text,
            finish: sequence.finish.unwrap_or(FinishReason::Length),
        })
    }
}

/// Completion being generated.
struct Sequence {
    problem: ProblemId,
    index: usize,
    first_position: i64,
    tokens: Vec<u32>,
    log_probs: Vec<f32>,
    finish: Option<FinishReason>,
    /// Number of tokens that the row of the sequence has read.
    n_read: u32,
    /// Ids that occurred, in order, each once; kept only for a repetition penalty.
    seen: Vec<u32>,
}

impl Sequence {
    fn new(prompt: &Prompt<'_>, index: usize) -> Self {
        Self {
            problem: prompt.problem,
            index: prompt.n_before + index,
            first_position: prompt.input.next_position,
            tokens: Vec::new(),
            log_probs: Vec::new(),
            finish: None,
            n_read: 0,
            seen: Vec::new(),
        }
    }

    /// Uniform draw for the next token: a function of the key, the problem, the completion and the
    /// position alone.
    fn uniform(&self, key: DrawKey) -> f64 {
        let position = self.tokens.len() as u64;
        Rng::new(key.seed, key.purpose, &[key.step, self.problem.0, self.index as u64, position]).uniform()
    }

    fn remember(&mut self, tokens: &[u32]) {
        for token in tokens {
            if let Err(place) = self.seen.binary_search(token) {
                self.seen.insert(place, *token);
            }
        }
    }

    /// Appends a token; a finished sequence that is still in the batch stays as it is.
    fn push(&mut self, token: u32, log_prob: f32, stop: bool, max_tokens: usize) {
        if self.finish.is_some() {
            return;
        }
        self.tokens.push(token);
        self.log_probs.push(log_prob);
        if stop {
            self.finish = Some(FinishReason::Stop);
        } else if self.tokens.len() == max_tokens {
            self.finish = Some(FinishReason::Length);
        }
    }

    /// Last token and its rotary position.
    fn last(&self) -> (i64, i64) {
        let index = self.tokens.len() - 1;
        (i64::from(self.tokens[index]), self.first_position + index as i64)
    }
}
