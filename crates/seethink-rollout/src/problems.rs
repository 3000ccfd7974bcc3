//! Problems of a run, in memory or in files.

use crate::{PromptError, PromptFormat};
use rayon::prelude::*;
use seethink_core::{Problem, ProblemId};
use seethink_data::{DataError, Dataset};
use seethink_models::Processor;
use std::collections::HashMap;
use std::sync::Arc;

/// The problems of a run, found by their ids.
#[derive(Debug, Clone)]
pub enum Problems {
    /// Problems in memory; pictures that are files stay there.
    Memory(HashMap<ProblemId, Problem>),
    /// Problems in the files of a data set, read when they are drawn.
    Files(Arc<Dataset>),
}

impl Problems {
    /// Problems with the given ids, in the order of the ids.
    ///
    /// # Errors
    /// If no problem has one of the ids, or its file cannot be read.
    pub fn get(&self, ids: &[ProblemId]) -> Result<Vec<Problem>, PromptError> {
        let unknown = PromptError::UnknownProblem;
        match self {
            Self::Memory(problems) => {
                ids.iter().map(|&id| problems.get(&id).cloned().ok_or_else(|| unknown(id))).collect()
            }
            Self::Files(dataset) => {
                let number = |&id: &ProblemId| dataset.number(id).ok_or_else(|| unknown(id));
                let mut numbers: Vec<usize> = ids.iter().map(number).collect::<Result<_, _>>()?;
                // Files are read from their beginnings to their ends.
                numbers.sort_unstable();
                numbers.dedup();
                let read = dataset.read(numbers).map(|problem| problem.map(|problem| (problem.id, problem)));
                Self::Memory(read.collect::<Result<_, DataError>>().map_err(Box::new)?).get(ids)
            }
        }
    }

    /// Length of the longest prompt, images included; tokens. 0 if there are no problems.
    ///
    /// If a data set has counted the tokens of its prompts, only its longest prompt is read.
    ///
    /// # Errors
    /// If a problem cannot be read, or cannot be a prompt.
    pub fn longest_prompt(&self, format: &PromptFormat, processor: &dyn Processor) -> Result<usize, PromptError> {
        match self {
            Self::Memory(problems) => problems
                .par_iter()
                .map(|(_, problem)| format.n_tokens(processor, problem))
                .try_reduce(|| 0, |a, b| Ok(a.max(b))),
            Self::Files(dataset) => {
                let counts: Option<Vec<u32>> =
                    (0..dataset.len()).map(|number| dataset.entry(number).n_tokens).collect();
                let asked = match counts {
                    Some(counts) => (0..counts.len()).max_by_key(|&number| counts[number]).into_iter().collect(),
                    None => (0..dataset.len()).collect::<Vec<_>>(),
                };
                dataset.read(asked).try_fold(0, |longest: usize, problem: Result<Problem, DataError>| {
                    Ok(longest.max(format.n_tokens(processor, &problem.map_err(Box::new)?)?))
                })
            }
        }
    }
}

impl FromIterator<Problem> for Problems {
    fn from_iter<I: IntoIterator<Item = Problem>>(problems: I) -> Self {
        Self::Memory(problems.into_iter().map(|problem| (problem.id, problem)).collect())
    }
}
