//! What answers problems: a model in process, or one behind an endpoint.

use crate::core::{Problem, Purpose};
use crate::data::ImageLoader;
use crate::endpoint::{Endpoint, EndpointError};
use crate::models::VisionLanguageModel;
use crate::rollout::{DrawKey, Generator, Prompt, RolloutError, Sampling};
use crate::train::{PromptFormat, TrainError};
use std::ops::Range;

/// Answers problems, several times each.
pub trait Solver {
    /// Problems that are answered together when each is answered `attempts` times, at least 1.
    fn batch(&self, attempts: usize) -> usize;

    /// The texts of the attempts of these numbers at each problem, `[problem][attempt]`. An attempt depends on the problem and its
    /// number alone, as far as that can be had.
    ///
    /// # Errors
    /// If a problem cannot be asked or answered, or `go_on` says no.
    fn solve(
        &self,
        problems: &[&Problem],
        attempts: Range<usize>,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<Vec<Vec<String>>, SolveError>;
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum SolveError {
    /// A prompt could not be made.
    #[error(transparent)]
    Prompt(#[from] TrainError),
    /// Nothing could be generated, or it was interrupted.
    #[error(transparent)]
    Rollout(#[from] RolloutError),
    /// The endpoint failed.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
}

/// A model in process.
pub struct InProcess<'a, M> {
    /// The model, its processor and how it samples.
    pub generator: Generator<'a, M>,
    /// What surrounds a question.
    pub prompt: &'a PromptFormat,
    /// Seed of every draw.
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
    ) -> Result<Vec<Vec<String>>, SolveError> {
        let inputs = self.prompt.encode_all(self.generator.processor, problems)?;
        let asked = problems.iter().zip(&inputs);
        let asked: Vec<Prompt<'_>> =
            asked.map(|(problem, input)| Prompt { problem: problem.id, input, n_before: attempts.start }).collect();
        let key = DrawKey { seed: self.seed, purpose: Purpose::Evaluation, step: 0 };
        let rollouts = self.generator.generate(&asked, attempts.len(), key, &mut |_, _| go_on())?;
        let texts =
            |group: crate::core::Group| group.completions.into_iter().map(|completion| completion.text).collect();
        Ok(rollouts.groups.into_iter().map(texts).collect())
    }
}

/// A model behind an endpoint. The seed of a request is the run's plus the number of its first attempt; servers may not heed it.
pub struct Remote<'a> {
    /// The endpoint.
    pub endpoint: &'a Endpoint,
    /// What surrounds a question.
    pub prompt: &'a PromptFormat,
    /// How it samples.
    pub sampling: Sampling,
    /// Seed of the run.
    pub seed: u64,
    /// Requests at the same time.
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
    ) -> Result<Vec<Vec<String>>, SolveError> {
        if !go_on() {
            return Err(RolloutError::Interrupted.into());
        }
        let seed = self.seed.wrapping_add(attempts.start as u64);
        let solve = |problem: &&Problem| {
            let loader = ImageLoader::default();
            let image = |(index, image)| {
                loader.load(image).map_err(|source| TrainError::Image { problem: problem.id, index, source })
            };
            let images = problem.images.iter().enumerate().map(image).collect::<Result<Vec<_>, _>>()?;
            let messages = self.prompt.messages(problem);
            Ok(self.endpoint.complete(&messages, &images, &self.sampling, attempts.len(), seed)?)
        };
        // Threads of their own: requests wait most of the time.
        std::thread::scope(|scope| {
            let threads: Vec<_> = problems.iter().map(|problem| scope.spawn(move || solve(problem))).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        })
    }
}
