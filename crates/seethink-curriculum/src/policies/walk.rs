//! Walk: draws a pool of problems in a static order, epoch by epoch.
//!
//! The order of an epoch is a pure function of (seed, key, epoch), so that a resumed run draws it
//! again. State: epoch, position, and the problems of the epoch that were passed over because the
//! step that reached them had drawn them already.

use crate::order::Levels;
use crate::{Batch, Corpus, Curriculum, CurriculumError, GroupOutcome, LastBatch, Metric, Progress, State};
use seethink_core::{Purpose, Rng};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// Walk over a pool of problems.
pub(crate) struct Walk {
    corpus: Corpus,
    levels: Arc<Levels>,
    last_batch: LastBatch,
    /// Number of epochs; `None` for no end.
    epochs: Option<u32>,
    seed: u64,
    /// Key of the random draws, different for each walk.
    key: [u64; 2],
    cursor: Cursor,
    /// Order of epoch `drawn`, kept because an epoch has many batches.
    order: Vec<u32>,
    drawn: Option<u32>,
    /// Positions in the corpus drawn in the current step.
    taken: BTreeSet<u32>,
}

/// Place of a walk: epoch, and position in the epoch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cursor {
    /// Epochs finished.
    epoch: u32,
    /// Problems passed in this epoch.
    position: usize,
    /// Problems passed that this epoch has yet to draw, in its order.
    owed: Vec<u32>,
}

impl Walk {
    /// Starts a walk over `levels` of `corpus`, which must not be empty.
    pub(crate) fn new(
        corpus: Corpus,
        levels: Arc<Levels>,
        last_batch: LastBatch,
        epochs: Option<u32>,
        seed: u64,
        key: [u64; 2],
    ) -> Self {
        let (order, taken) = (Vec::new(), BTreeSet::new());
        Self { corpus, levels, last_batch, epochs, seed, key, cursor: Cursor::default(), order, drawn: None, taken }
    }

    /// Number of problems that the epoch has not drawn yet.
    fn left(&self) -> usize {
        self.levels.len() - self.cursor.position + self.cursor.owed.len()
    }
}

impl Curriculum for Walk {
    /// Draws the next problems of the epoch. Only the first draw of a step can leave out an
    /// incomplete last batch. A later draw that begins an epoch passes over the problems that the
    /// step has drawn already; the following steps draw these first.
    fn draw(&mut self, _: Progress, want: usize) -> Batch {
        let (left, all) = (self.left(), self.levels.len());
        let incomplete = self.taken.is_empty() && left < want && left < all;
        let at = &mut self.cursor;
        if left == 0 || (self.last_batch == LastBatch::Drop && incomplete) {
            *at = Cursor { epoch: at.epoch + 1, ..Cursor::default() };
        }
        if self.epochs.is_some_and(|epochs| at.epoch >= epochs) {
            return Batch::OVER;
        }
        if self.drawn != Some(at.epoch) {
            let key = [self.key[0], self.key[1], u64::from(at.epoch)];
            self.levels.draw(Rng::new(self.seed, Purpose::Curriculum, &key), &mut self.order);
            self.drawn = Some(at.epoch);
        }
        let mut drawn: Vec<u32> =
            at.owed.extract_if(.., |position| !self.taken.contains(position)).take(want).collect();
        while drawn.len() < want && at.position < all {
            let position = self.order[at.position];
            at.position += 1;
            if self.taken.contains(&position) { at.owed.push(position) } else { drawn.push(position) }
        }
        self.taken.extend(&drawn);
        drawn.into_iter().map(|position| self.corpus.entry(position as usize).id).collect()
    }

    fn observe(&mut self, _: &[GroupOutcome]) {
        self.taken.clear();
    }

    fn state(&self) -> State {
        State::new(&self.cursor)
    }

    fn load_state(&mut self, state: &State) -> Result<(), CurriculumError> {
        let cursor: Cursor = state.read()?;
        let all = self.levels.len();
        let owed = cursor.owed.iter().collect::<BTreeSet<_>>().len();
        let known = cursor.owed.iter().all(|&position| (position as usize) < all);
        if cursor.position > all || !known || owed != cursor.owed.len() || owed > cursor.position {
            return Err(CurriculumError::StateOutOfRange { what: format!("{cursor:?} in {all} problems") });
        }
        self.cursor = cursor;
        self.taken.clear();
        Ok(())
    }

    /// Metric `epoch`: epochs finished, plus the fraction of the current one.
    fn metrics(&self) -> Vec<Metric> {
        let fraction = 1.0 - self.left() as f64 / self.levels.len() as f64;
        vec![("epoch".into(), f64::from(self.cursor.epoch) + fraction)]
    }
}

impl fmt::Debug for Walk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Walk").field("at", &self.cursor).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Order;
    use crate::checks::three;

    /// Walk of two epochs over `n` problems.
    fn walk(n: usize) -> Walk {
        let corpus = three(n, 0, 0);
        let levels = Arc::new(Order::Shuffled.levels(&corpus).unwrap());
        Walk::new(corpus, levels, LastBatch::Keep, Some(2), 1, [0, 0])
    }

    #[test]
    fn what_a_step_passes_over_comes_first_in_the_next() {
        let mut walk = walk(5);
        let mut draw = |want: usize| {
            let problems = walk.draw(Progress::default(), want).problems;
            let epoch = walk.metrics()[0].1;
            if want == 2 {
                walk.observe(&[]);
            }
            (problems, epoch)
        };
        let (first, epoch) = draw(4);
        assert_eq!((first.len(), epoch), (4, 0.8));
        let (last, epoch) = draw(3);
        assert_eq!((last.len(), epoch), (1, 1.0), "an epoch ends with what is left");
        // The same step begins the next epoch, and has drawn all of its problems already.
        let (nothing, epoch) = draw(2);
        assert_eq!((nothing.len(), epoch), (0, 1.0));
        let (mut again, epoch) = draw(3);
        assert_eq!((again.len(), epoch), (3, 1.6));
        let (rest, epoch) = draw(2);
        assert_eq!((rest.len(), epoch), (2, 2.0));
        again.extend(rest);
        let mut all = [first, last].concat();
        all.sort_unstable();
        again.sort_unstable();
        assert_eq!(again, all);
        assert_eq!(draw(3).0, [], "two epochs");
    }

    #[test]
    fn a_place_outside_the_walk_is_refused_and_changes_nothing() {
        let mut walk = walk(5);
        let mut load = |position: usize, owed: &[u32]| {
            let place = Cursor { epoch: 1, position, owed: owed.to_vec() };
            let before = walk.cursor.clone();
            let loaded = walk.load_state(&State::new(&place));
            assert_eq!(walk.cursor, if loaded.is_ok() { place } else { before });
            loaded.is_ok()
        };
        assert!(load(0, &[]) && load(5, &[0, 1, 2, 3, 4]) && load(1, &[4]));
        assert!(!load(6, &[]), "five problems cannot have been passed six times");
        assert!(!load(3, &[5]), "there is no sixth");
        assert!(!load(3, &[2, 2]), "none is owed twice");
        assert!(!load(1, &[0, 1]), "what is owed was passed");
    }

    #[test]
    fn what_is_printed_of_a_walk_is_its_place() {
        let mut walk = walk(5);
        walk.draw(Progress::default(), 3);
        assert_eq!(format!("{walk:?}"), "Walk { at: Cursor { epoch: 0, position: 3, owed: [] }, .. }");
    }
}
