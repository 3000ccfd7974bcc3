//! Benchmarks: held-out accuracy per capability, measured with the training reward.

use crate::outcome::Outcome;
use seethink_core::{Capability, FinishReason, Problem, Purpose, is_right};
use seethink_data::digits::Sight;
use seethink_models::{Processor, PromptInput, VisionLanguageModel};
use seethink_reward::Reward;
use seethink_rollout::{
    Capacity, CapacityError, DrawKey, Generator, Load, Prompt, PromptError, PromptFormat, RolloutError, Sampling,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Errors of an evaluation.
#[derive(Debug, thiserror::Error)]
pub enum EvaluationError {
    /// A problem cannot be encoded.
    #[error(transparent)]
    Prompt(#[from] PromptError),
    /// Prompts and completions exceed the capacity of the model or of the memory.
    #[error("no room for the {benchmark} problems (evaluation.sampling.max_tokens)")]
    Capacity {
        /// Name of the benchmark.
        benchmark: &'static str,
        /// Capacity and demand.
        source: CapacityError,
    },
    /// Generation failed or was interrupted.
    #[error(transparent)]
    Rollout(#[from] RolloutError),
}

/// Benchmark: problems of several capabilities, encoded once.
pub struct Benchmark {
    /// Name of the benchmark, prefix of its metric keys.
    name: &'static str,
    problems: Vec<Problem>,
    prompts: Vec<PromptInput>,
}

impl Benchmark {
    /// Encodes the problems.
    ///
    /// # Errors
    /// If a problem cannot be encoded.
    pub fn new(
        name: &'static str,
        problems: Vec<Problem>,
        format: &PromptFormat,
        processor: &dyn Processor,
    ) -> Result<Self, PromptError> {
        let prompts = format.encode_all(processor, &problems.iter().collect::<Vec<_>>())?;
        Ok(Self { name, problems, prompts })
    }

    /// Checks that a model has room for the longest prompt and completion, and for a whole decode
    /// batch.
    ///
    /// # Errors
    /// If there is not enough room; the error has the numbers.
    pub fn check_room(
        &self,
        model: &impl VisionLanguageModel,
        max_tokens: usize,
        decode_batch: usize,
    ) -> Result<(), EvaluationError> {
        let prompt = self.prompts.iter().map(|prompt| prompt.tokens.len()).max().unwrap_or(0);
        let rows = decode_batch.clamp(1, self.prompts.len().max(1));
        let load = Load { prompts: rows, prompt, rows, max_tokens };
        Capacity::of(model).check(load).map_err(|source| EvaluationError::Capacity { benchmark: self.name, source })
    }
}

/// Evaluator: answers benchmarks and scores the answers.
pub struct Evaluator {
    /// Processor of the backbone for text and images.
    pub processor: Arc<dyn Processor>,
    /// Reward that scores completions.
    pub reward: Arc<dyn Reward>,
    /// Sampling settings of the completions, one per problem.
    pub sampling: Sampling,
    /// Seed of the sampling.
    pub seed: u64,
    /// Maximum number of sequences decoded together.
    pub decode_batch: usize,
}

/// Answer of a model to a problem, with its score.
pub struct Answer<'a> {
    /// Problem that was asked.
    pub problem: &'a Problem,
    /// Completion of the model.
    pub completion: String,
    /// Length of the completion, tokens.
    pub n_tokens: usize,
    /// True if the completion reached the maximum length.
    pub truncated: bool,
    /// Accuracy part of the score.
    pub accuracy: f32,
    /// Format part of the score.
    pub format: f32,
}

impl Answer<'_> {
    /// Outcome of the answer, with the kind of error where the digits world can tell.
    pub fn outcome(&self) -> Outcome {
        if is_right(self.accuracy) {
            return Outcome::Right;
        }
        match Sight::of(self.problem, &self.completion) {
            None => Outcome::Wrong,
            Some(Sight::Wrong) => Outcome::Misread,
            Some(Sight::Right) => Outcome::Misreasoned,
            Some(Sight::Unstated) => Outcome::Unread,
        }
    }
}

impl Evaluator {
    /// Answers every problem of a benchmark once; `progress` receives the numbers of completions
    /// finished and wanted, and stops the evaluation by returning `false`.
    ///
    /// # Errors
    /// If generation fails or is stopped.
    pub fn answer<'a, M: VisionLanguageModel>(
        &self,
        model: &M,
        benchmark: &'a Benchmark,
        progress: &mut dyn FnMut(usize, usize) -> bool,
    ) -> Result<Vec<Answer<'a>>, EvaluationError> {
        let generator =
            Generator { model, processor: &*self.processor, sampling: self.sampling, max_batch: self.decode_batch };
        // The draws do not depend on the step: two measurements of equal weights are equal.
        let key = DrawKey { seed: self.seed, purpose: Purpose::Evaluation, step: 0 };
        let problems = benchmark.problems.iter();
        let prompts: Vec<Prompt<'_>> =
            problems.zip(&benchmark.prompts).map(|(problem, input)| Prompt::new(problem.id, input)).collect();
        let rollouts = generator.generate(&prompts, 1, key, progress)?;
        let completions = rollouts.groups.into_iter().flat_map(|group| group.completions);
        Ok(benchmark
            .problems
            .iter()
            .zip(completions)
            .map(|(problem, completion)| {
                let score = self.reward.score(problem, (&completion).into());
                Answer {
                    problem,
                    n_tokens: completion.tokens.len(),
                    truncated: completion.finish == FinishReason::Length,
                    accuracy: score.part("accuracy").unwrap_or(score.value),
                    format: score.part("format").unwrap_or_default(),
                    completion: completion.text,
                }
            })
            .collect())
    }
}

/// Metrics `<benchmark>/<capability>/{accuracy, format, length, truncated, n}` of some answers.
pub fn metrics(benchmark: &Benchmark, answers: &[Answer<'_>]) -> BTreeMap<String, f64> {
    let mut metrics = BTreeMap::new();
    for capability in capabilities(answers) {
        let answers: Vec<_> = answers.iter().filter(|answer| answer.problem.capability == capability).collect();
        let n = answers.len() as f64;
        let mut insert =
            |key: &str, value: f64| metrics.insert(format!("{}/{capability}/{key}", benchmark.name), value);
        insert("n", n);
        insert("accuracy", answers.iter().map(|answer| f64::from(answer.accuracy)).sum::<f64>() / n);
        insert("format", answers.iter().map(|answer| f64::from(answer.format)).sum::<f64>() / n);
        insert("length", answers.iter().map(|answer| answer.n_tokens as f64).sum::<f64>() / n);
        insert("truncated", answers.iter().filter(|answer| answer.truncated).count() as f64 / n);
    }
    metrics
}

/// Capabilities of the answered problems, sorted.
pub fn capabilities(answers: &[Answer<'_>]) -> Vec<Capability> {
    let mut capabilities: Vec<_> = answers.iter().map(|answer| answer.problem.capability.clone()).collect();
    capabilities.sort();
    capabilities.dedup();
    capabilities
}
