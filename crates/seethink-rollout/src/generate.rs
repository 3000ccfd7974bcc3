//! Batched generation with a key-value cache.

use crate::sampler::{Draw, Sampler};
use crate::{CapacityError, Load, Sampling};
use burn::tensor::{Int, Tensor, TensorData};
use seethink_core::{Completion, FinishReason, Group, ProblemId, Purpose, Rng, SettingError};
use seethink_models::{
    Pixels, Processor, ProcessorError, PromptInput, Side, TokenRow, VisionLanguageModel, VisualFeatures, VlmInput,
};
use seethink_nn::{KvCache, in_pool};

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
    /// the row was waiting to leave (never in the memory of the processor).
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
    /// Most sequences that decode together, except that all completions of a prompt begin
    /// together. Memory grows with it; results do not depend on it beyond the rounding of
    /// log-probabilities.
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
        let (sequences, features) = self.decode(prompts, n, key, &mut |sequences| {
            let done = sequences.iter().filter(|sequence| sequence.finish.is_some()).count();
            progress(done, sequences.len())
        })?;
        let mut rollouts = Rollouts { features, ..Rollouts::default() };
        for (prompt, sequences) in prompts.iter().zip(sequences.chunks(n)) {
            let completions =
                sequences.iter().map(|sequence| self.completion(prompt.problem, sequence)).collect::<Result<_, _>>()?;
            rollouts.groups.push(Group { problem: prompt.problem, completions });
            rollouts.n_read.push(sequences.iter().map(|sequence| sequence.n_read).collect());
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
        let (sequences, _) = self.decode(prompts, 1, key, &mut |sequences| observe(&sequences[0].tokens))?;
        self.completion(prompt.problem, &sequences[0])
    }

    /// Checks that the settings are in range and the sequences have positions.
    fn check(&self, prompts: &[Prompt<'_>]) -> Result<(), RolloutError> {
        self.sampling.check()?;
        let prompt = prompts.iter().map(|prompt| prompt.input.tokens.len()).max().unwrap_or(0);
        let load = Load { prompts: prompts.len(), prompt, rows: prompts.len(), max_tokens: self.sampling.max_tokens };
        Ok(load.check_positions(self.model.max_positions())?)
    }

    /// Encodes the images of all prompts in one pass; `None` for prompts without images.
    pub fn encode_images(&self, prompts: &[Prompt<'_>]) -> Vec<Option<VisualFeatures>> {
        // Images of one size are encoded together where they follow one another.
        let mut by_size: Vec<usize> = (0..prompts.len()).collect();
        by_size.sort_by_key(|&p| &prompts[p].input.pixels.grids);
        let pixels = Pixels::concat(by_size.iter().map(|&p| &prompts[p].input.pixels));
        let mut features = vec![None; prompts.len()];
        if pixels.grids.is_empty() {
            return features;
        }
        let all = self.model.encode_images(pixels.to_tensor(&self.model.device()));
        let mut start = 0;
        for p in by_size {
            let rows = start..start + prompts[p].input.image_tokens.len();
            start = rows.end;
            features[p] = (!rows.is_empty()).then(|| all.rows(rows));
        }
        features
    }

    /// Decodes `n` sequences of each prompt; sequence `p * n + c` is completion `c` of prompt `p`.
    /// Also returns the image features of each prompt.
    ///
    /// As many prompts as [`max_batch`](Self::max_batch) has room for are prefilled and decoded
    /// together. Where rows of the cache have lengths of their own, the prompts that are left take
    /// the room of sequences that finish; elsewhere they wait until all have finished.
    fn decode(
        &self,
        prompts: &[Prompt<'_>],
        n: usize,
        key: DrawKey,
        progress: &mut dyn FnMut(&[Sequence]) -> bool,
    ) -> Result<(Vec<Sequence>, Vec<Option<VisualFeatures>>), RolloutError> {
        let device = self.model.device();
        let sampler =
            Sampler::new(self.sampling, self.processor.forbidden_token_ids(), self.model.vocab_size(), &device);
        let mut sequences: Vec<Sequence> =
            prompts.iter().flat_map(|prompt| (0..n).map(|c| Sequence::new(prompt, c))).collect();
        if self.sampling.penalises() {
            sequences.iter_mut().enumerate().for_each(|(s, sequence)| sequence.remember(&prompts[s / n].input.tokens));
        }
        let (mut features, mut waiting) = (Vec::new(), prompts);
        let mut batch: Option<Batch> = None;
        loop {
            let room = self.room(batch.as_ref(), n).min(waiting.len());
            in_pool(&device, || {
                if let Some(batch) = &mut batch {
                    let logits = self.step(batch, &mut sequences);
                    self.sample(&sampler, logits, 1, &batch.rows, &mut sequences, key);
                }
                if room > 0 {
                    let first = (prompts.len() - waiting.len()) * n;
                    let admitted = waiting.split_off(..room).expect("no more than are waiting");
                    let (new, logits) = self.prefill(admitted, n, first, &mut features);
                    self.sample(&sampler, logits, n, &new.rows, &mut sequences, key);
                    match &mut batch {
                        Some(batch) => batch.join(new),
                        None => batch = Some(new),
                    }
                }
                batch = batch.take().and_then(|batch| batch.without_finished(&sequences));
            });
            if !progress(&sequences) {
                return Err(RolloutError::Interrupted);
            }
            if batch.is_none() && waiting.is_empty() {
                return Ok((sequences, features));
            }
        }
    }

    /// Number of prompts that may be prefilled now.
    fn room(&self, batch: Option<&Batch>, n: usize) -> usize {
        let whole = (self.max_batch / n).max(1);
        match batch {
            None => whole,
            Some(batch) if batch.cache.has_rows_of_their_own() => {
                let room = self.max_batch.saturating_sub(batch.rows.len()) / n;
                // Few prompts at a time would make poor use of the processor.
                if room * 4 >= whole { room } else { 0 }
            }
            Some(_) => 0,
        }
    }

    /// Reads prompts, whose image features it adds to `features`. Returns a batch with `n` rows of
    /// each, the first of which belongs to the sequence `first`, and the logits of their first
    /// tokens, one row per prompt.
    fn prefill(
        &self,
        prompts: &[Prompt<'_>],
        n: usize,
        first: usize,
        features: &mut Vec<Option<VisualFeatures>>,
    ) -> (Batch, Tensor<2>) {
        let of_images = self.encode_images(prompts);
        let rows: Vec<TokenRow> = prompts.iter().map(|prompt| TokenRow::prompt(prompt.input)).collect();
        let longest = rows.iter().map(|row| row.tokens.len()).max().unwrap_or(0);
        let visual = VisualFeatures::concat(of_images.iter().flatten());
        let pad = self.processor.pad_token_id();
        let input = VlmInput::from_rows(&rows, pad, Side::Left, visual, &self.model.device());
        let mut cache = self.model.empty_cache(prompts.len(), longest + self.sampling.max_tokens);
        let hidden = self.model.hidden_states_cached(input, &mut cache);
        let logits = self.logits(hidden.narrow(1, longest - 1, 1));
        cache.repeat(n);
        features.extend(of_images);
        (Batch { cache, rows: (first..first + prompts.len() * n).collect() }, logits)
    }

    /// Reads the last token of each sequence of a batch; returns the logits of the next.
    fn step(&self, batch: &mut Batch, sequences: &mut [Sequence]) -> Tensor<2> {
        batch.rows.iter().for_each(|&s| sequences[s].n_read += 1);
        let input = self.next_tokens(batch.rows.iter().map(|&s| &sequences[s]), batch.rows.len());
        self.logits(self.model.hidden_states_cached(input, &mut batch.cache))
    }

    /// Samples a token for each of the sequences `rows`; `n` of them share a row of logits.
    fn sample(
        &self,
        sampler: &Sampler,
        logits: Tensor<2>,
        n: usize,
        rows: &[usize],
        sequences: &mut [Sequence],
        key: DrawKey,
    ) {
        let of_rows: Vec<Draw<'_>> = rows
            .iter()
            .enumerate()
            .map(|(row, &s)| Draw { row: row / n, seen: &sequences[s].seen, uniform: sequences[s].uniform(key) })
            .collect();
        let draws = sampler.sample(logits, &of_rows);
        for (&s, (token, log_prob)) in rows.iter().zip(draws) {
            let stop = self.processor.eos_token_ids().contains(&token);
            sequences[s].push(token, log_prob, stop, self.sampling.max_tokens);
            if self.sampling.penalises() {
                sequences[s].remember(&[token]);
            }
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

    /// Logits, `[batch, vocab]`, from hidden states `[batch, 1, hidden]`.
    fn logits(&self, hidden: Tensor<3>) -> Tensor<2> {
        self.model.lm_head(hidden.squeeze_dim::<2>(1))
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

/// Sequences that decode together.
struct Batch {
    cache: KvCache,
    /// Sequence of each row of the cache.
    rows: Vec<usize>,
}

impl Batch {
    fn join(&mut self, other: Self) {
        self.cache.join(other.cache);
        self.rows.extend(other.rows);
    }

    /// Drops rows whose sequences have finished; `None` if all have. Where dropping a row copies the
    /// others, rows leave when a quarter of them can.
    fn without_finished(mut self, sequences: &[Sequence]) -> Option<Self> {
        let unfinished = |&row: &usize| sequences[self.rows[row]].finish.is_none();
        let keep: Vec<usize> = (0..self.rows.len()).filter(unfinished).collect();
        if keep.is_empty() {
            return None;
        }
        if self.cache.has_rows_of_their_own() || keep.len() * 4 <= self.rows.len() * 3 {
            self.cache.select(&keep);
            self.rows = keep.iter().map(|&row| self.rows[row]).collect();
        }
        Some(self)
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
