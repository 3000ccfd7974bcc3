//! Solvers of problems: a model in process, or one behind an endpoint.

use crate::endpoint::{Endpoint, EndpointError};
use crate::parallel::in_parallel;
use seethink_core::{Problem, Purpose};
use seethink_models::{ImageLimits, VisionLanguageModel};
use seethink_rollout::{DrawKey, Generator, Prompt, RolloutError, Sampling};
use seethink_rollout::{PromptError, PromptFormat};
use std::ops::Range;

/// Solver: answers problems, several times each.
pub trait Solver {
    /// Number of problems that are answered together when each is answered `attempts` times, at
    /// least 1.
    fn batch(&self, attempts: usize) -> usize;

    /// Makes the numbered attempts at each problem; `answered` receives the index of a problem and
    /// the texts, `[attempt]`. An attempt depends on the problem and its number alone, as far as
    /// the solver allows.
    ///
    /// # Errors
    /// If a problem cannot be asked or answered, or `go_on` returns `false`; `answered` has
    /// received the answers made before.
    fn solve(
        &self,
        problems: &[&Problem],
        attempts: Range<usize>,
        go_on: &mut dyn FnMut() -> bool,
        answered: &mut dyn FnMut(usize, Vec<String>),
    ) -> Result<(), SolveError>;
}

/// Errors of a solver.
#[derive(Debug, thiserror::Error)]
pub enum SolveError {
    /// A prompt could not be made.
    #[error(transparent)]
    Prompt(#[from] PromptError),
    /// Generation failed, or was interrupted.
    #[error(transparent)]
    Rollout(#[from] RolloutError),
    /// The endpoint failed.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
}

/// Solver with a model in process.
pub struct InProcess<'a, M> {
    /// Rollout generator: the model, its processor and its sampling settings.
    pub generator: Generator<'a, M>,
    /// Format of the prompt around a question.
    pub prompt: &'a PromptFormat,
    /// Seed of the sampling.
    pub seed: u64,
}

impl<M: VisionLanguageModel> Solver for InProcess<'_, M> {
    fn batch(&self, attempts: usize) -> usize {
        (self.generator.max_batch / attempts).max(1)
    }

    fn solve(
        &self,
        problems: &[&Problem],
        attempts: Range<usize>,
        go_on: &mut dyn FnMut() -> bool,
        answered: &mut dyn FnMut(usize, Vec<String>),
    ) -> Result<(), SolveError> {
        let inputs = self.prompt.encode_all(self.generator.processor, problems)?;
        let asked = problems.iter().zip(&inputs);
        let asked: Vec<Prompt<'_>> =
            asked.map(|(problem, input)| Prompt { problem: problem.id, input, n_before: attempts.start }).collect();
        let key = DrawKey { seed: self.seed, purpose: Purpose::Evaluation, step: 0 };
        let rollouts = self.generator.generate(&asked, attempts.len(), key, &mut |_, _| go_on())?;
        for (index, group) in rollouts.groups.into_iter().enumerate() {
            answered(index, group.completions.into_iter().map(|completion| completion.text).collect());
        }
        Ok(())
    }
}

/// Solver with a model behind an endpoint. The seed of a request is the run's plus the number of
/// its first attempt; servers may ignore it.
pub struct Remote<'a> {
    /// The endpoint.
    pub endpoint: &'a Endpoint,
    /// Format of the prompt around a question.
    pub prompt: &'a PromptFormat,
    /// Limits on the pixels of the images sent; the server decides on the number of tiles.
    pub images: ImageLimits,
    /// Sampling settings.
    pub sampling: Sampling,
    /// Seed of the run.
    pub seed: u64,
    /// Number of parallel requests.
    pub parallel: usize,
}

impl Solver for Remote<'_> {
    fn batch(&self, _: usize) -> usize {
        self.parallel.max(1)
    }

    fn solve(
        &self,
        problems: &[&Problem],
        attempts: Range<usize>,
        go_on: &mut dyn FnMut() -> bool,
        answered: &mut dyn FnMut(usize, Vec<String>),
    ) -> Result<(), SolveError> {
        if !go_on() {
            return Err(RolloutError::Interrupted.into());
        }
        let (n, seed) = (attempts.len(), self.seed.wrapping_add(attempts.start as u64));
        let solve = |problem: &Problem| -> Result<Vec<String>, SolveError> {
            let messages = self.prompt.messages(problem);
            let images: Vec<_> = PromptFormat::images(problem)?.iter().map(|image| self.images.fit(image)).collect();
            Ok(self.endpoint.complete(&messages, &images, &self.sampling, n, seed)?)
        };
        let results = in_parallel(problems, |problem| solve(problem));
        let mut first_error = Ok(());
        for (index, result) in results.into_iter().enumerate() {
            match result {
                Ok(texts) => answered(index, texts),
                Err(error) => first_error = first_error.and(Err(error)),
            }
        }
        first_error
    }
}
