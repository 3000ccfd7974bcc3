//! Categories to choose from, shared by the policies that weigh categories.

use crate::order::Order;
use crate::policies::walk::Walk;
use crate::policies::weights::choose;
use crate::{Categories, Corpus, Curriculum, CurriculumError, LastBatch, Partition, Progress, State};
use seethink_core::{ProblemId, Purpose, Rng};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Corpus in categories, each walked without end in a new random order in every epoch.
#[derive(Debug)]
pub(crate) struct Arms {
    corpus: Corpus,
    categories: Categories,
    walks: Vec<Walk>,
    seed: u64,
    /// Problems of each category drawn in the current step.
    n_taken: Vec<usize>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ArmsState {
    walks: Vec<State>,
}

impl Arms {
    pub(crate) fn new(
        policy: &'static str,
        corpus: &Corpus,
        by: &Partition,
        seed: u64,
    ) -> Result<Self, CurriculumError> {
        if corpus.is_empty() {
            return Err(CurriculumError::NoProblems { policy });
        }
        let categories = by.of(corpus)?;
        let walk = |category: usize| {
            let mut next = categories.members(category).iter().copied().peekable();
            let mut position = 0;
            let members = corpus.filter(|_| {
                position += 1;
                next.next_if_eq(&(position - 1)).is_some()
            });
            let levels = Arc::new(Order::Shuffled.levels(&members)?);
            Ok(Walk::new(members, levels, LastBatch::Keep, None, seed, [category as u64, u64::MAX]))
        };
        let walks = (0..categories.len()).map(walk).collect::<Result<Vec<_>, CurriculumError>>()?;
        let n_taken = vec![0; walks.len()];
        Ok(Self { corpus: corpus.clone(), categories, walks, seed, n_taken })
    }

    pub(crate) fn len(&self) -> usize {
        self.categories.len()
    }

    pub(crate) fn names(&self) -> &[String] {
        self.categories.names()
    }

    /// Category of a problem; `None` if the corpus lacks it.
    pub(crate) fn of(&self, problem: ProblemId) -> Option<usize> {
        self.corpus.position(problem).map(|position| self.categories.of(position))
    }

    /// Draws problems: for each, a category by weight among those with problems left in this step,
    /// and the next problem of its walk.
    pub(crate) fn draw(&mut self, progress: Progress, weights: &[f64], want: usize) -> Vec<ProblemId> {
        let mut rng = Rng::new(self.seed, Purpose::Curriculum, &[u64::MAX, progress.draws]);
        let mut open: Vec<f64> = weights.to_vec();
        let mut problems = Vec::with_capacity(want);
        while problems.len() < want {
            for (category, weight) in open.iter_mut().enumerate() {
                if self.n_taken[category] == self.categories.members(category).len() {
                    *weight = 0.0;
                }
            }
            let Some(category) = choose(&open, &mut rng) else { break };
            problems.extend(self.walks[category].draw(progress, 1).problems);
            self.n_taken[category] += 1;
        }
        problems
    }

    /// Ends a step.
    pub(crate) fn release(&mut self) {
        self.walks.iter_mut().for_each(|walk| walk.observe(&[]));
        self.n_taken.fill(0);
    }

    pub(crate) fn state(&self) -> State {
        State::new(&ArmsState { walks: self.walks.iter().map(Curriculum::state).collect() })
    }

    pub(crate) fn load_state(&mut self, state: &State) -> Result<(), CurriculumError> {
        let ArmsState { walks } = state.read()?;
        if walks.len() != self.walks.len() {
            let what = format!("{} categories, expected {}", walks.len(), self.walks.len());
            return Err(CurriculumError::StateOutOfRange { what });
        }
        let before: Vec<State> = self.walks.iter().map(Curriculum::state).collect();
        let loaded = self.walks.iter_mut().zip(&walks).try_for_each(|(walk, state)| walk.load_state(state));
        if loaded.is_err() {
            self.walks.iter_mut().zip(&before).try_for_each(|(walk, state)| walk.load_state(state))?;
        }
        self.release();
        loaded
    }
}
