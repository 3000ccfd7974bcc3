//! Pass rates of problems, measured with a model in process.

use crate::core::{Problem, ProblemId, Purpose};
use crate::data::{DataError, PassRateTable};
use crate::models::VisionLanguageModel;
use crate::reward::Reward;
use crate::rollout::{DrawKey, Generator, Prompt, RolloutError};
use crate::train::{PromptFormat, TrainError};
use std::collections::BTreeMap;

/// What attempts are made with.
pub struct Attempts<'a, M> {
    /// The model, its processor and how it samples.
    pub generator: Generator<'a, M>,
    /// What surrounds a question.
    pub prompt: &'a PromptFormat,
    /// Its part `accuracy` says what is right.
    pub reward: &'a dyn Reward,
    /// Seed of every draw; an attempt depends on it, the problem and its number, and on nothing else.
    pub seed: u64,
    /// Attempts that each problem is to have.
    pub per_problem: usize,
}

/// Why a measurement stopped. What was measured before is in the table.
#[derive(Debug, thiserror::Error)]
pub enum AttemptError {
    /// A prompt could not be made.
    #[error(transparent)]
    Prompt(#[from] TrainError),
    /// Nothing could be generated, or it was interrupted.
    #[error(transparent)]
    Rollout(#[from] RolloutError),
    /// The table could not be written.
    #[error(transparent)]
    Table(#[from] DataError),
}

impl<M: VisionLanguageModel> Attempts<'_, M> {
    /// Makes the attempts that the table lacks, a batch of problems at a time. `progress` hears of problems done and wanted, and stops it by
    /// returning `false`.
    ///
    /// # Errors
    /// If a prompt, a completion or the table fails, or `progress` stops it.
    pub fn measure(
        &self,
        problems: &[Problem],
        table: &mut PassRateTable,
        progress: &mut dyn FnMut(usize, usize) -> bool,
    ) -> Result<(), AttemptError> {
        // Problems that have as many attempts already need as many more.
        let mut by_number: BTreeMap<usize, Vec<&Problem>> = BTreeMap::new();
        for problem in problems {
            let before = table.attempts(problem.id).len();
            if before < self.per_problem {
                by_number.entry(before).or_default().push(problem);
            }
        }
        let mut done = problems.len() - by_number.values().map(Vec::len).sum::<usize>();
        let key = DrawKey { seed: self.seed, purpose: Purpose::Evaluation, step: 0 };
        for (before, open) in by_number {
            let more = self.per_problem - before;
            for batch in open.chunks((self.generator.max_batch / more).max(1)) {
                let inputs = self.prompt.encode_all(self.generator.processor, batch)?;
                let ask = |(problem, input)| {
                    let problem: &&Problem = problem;
                    Prompt { problem: problem.id, input, n_before: before }
                };
                let asked: Vec<Prompt<'_>> = batch.iter().zip(&inputs).map(ask).collect();
                let rollouts =
                    self.generator.generate(&asked, more, key, &mut |_, _| progress(done, problems.len()))?;
                for (problem, group) in batch.iter().zip(rollouts.groups) {
                    let score = |text: &str| self.reward.score(problem, text);
                    let scores = group.completions.iter().map(|completion| score(&completion.text));
                    let right: Vec<bool> =
                        scores.map(|score| score.part("accuracy").unwrap_or(score.value) >= 0.5).collect();
                    table.push(problem.id, &right)?;
                }
                done += batch.len();
            }
        }
        progress(done, problems.len());
        Ok(())
    }
}

/// How many problems have how many right attempts of `per_problem`, `[right]`; problems with another number of attempts are left out.
pub fn histogram(table: &PassRateTable, problems: impl Iterator<Item = ProblemId>, per_problem: usize) -> Vec<usize> {
    let mut counts = vec![0; per_problem + 1];
    for problem in problems {
        let right = table.attempts(problem);
        if right.len() == per_problem {
            counts[right.iter().filter(|&&right| right).count()] += 1;
        }
    }
    counts
}
