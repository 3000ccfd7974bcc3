//! Weighted draws of single problems, with weights that outcomes change; shared by several
//! policies.

use crate::policies::weights::WeightTree;
use crate::{Corpus, CurriculumError, Progress};
use seethink_core::{ProblemId, Purpose, Rng};

/// Weighted problems, drawn without replacement within a step.
#[derive(Debug)]
pub(crate) struct ByWeight {
    corpus: Corpus,
    tree: WeightTree,
    seed: u64,
    /// Positions drawn in the current step, with their weights.
    taken: Vec<(u32, f64)>,
}

impl ByWeight {
    pub(crate) fn new(
        policy: &'static str,
        corpus: &Corpus,
        weights: impl ExactSizeIterator<Item = f64>,
        seed: u64,
    ) -> Result<Self, CurriculumError> {
        if corpus.is_empty() {
            return Err(CurriculumError::NoProblems { policy });
        }
        Ok(Self { corpus: corpus.clone(), tree: WeightTree::new(weights), seed, taken: Vec::new() })
    }

    pub(crate) fn position(&self, problem: ProblemId) -> Option<usize> {
        self.corpus.position(problem)
    }

    /// Draws problems by weight; fewer than `want` only if no weight is left.
    pub(crate) fn draw(&mut self, progress: Progress, want: usize) -> Vec<ProblemId> {
        let mut rng = Rng::new(self.seed, Purpose::Curriculum, &[u64::MAX, progress.draws]);
        let mut problems = Vec::with_capacity(want);
        while problems.len() < want {
            let Some(position) = self.tree.choose(&mut rng) else { break };
            problems.push(self.corpus.entry(position).id);
            self.take(position);
        }
        problems
    }

    /// Keeps a problem from being drawn in this step.
    pub(crate) fn take(&mut self, position: usize) {
        self.taken.push((position as u32, self.tree.get(position)));
        self.tree.set(position, 0.0);
    }

    /// Ends a step, so that its problems can be drawn again.
    pub(crate) fn release(&mut self) {
        for (position, weight) in self.taken.drain(..).rev() {
            self.tree.set(position as usize, weight);
        }
    }

    /// Sets a weight, between steps.
    pub(crate) fn set(&mut self, position: usize, weight: f64) {
        self.tree.set(position, weight);
    }
}
