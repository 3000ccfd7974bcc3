//! Walking a pool of problems in a static order, epoch by epoch.
//!
//! State is three counters. An epoch's order is a pure function of (seed, key, epoch), so a resumed run draws it again.

use crate::order::Levels;
use crate::{Batch, Corpus, Curriculum, CurriculumError, LastBatch, Metric, Progress, State};
use seethink_core::{Purpose, Rng};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// A pool under way.
pub(crate) struct Walk {
    corpus: Corpus,
    levels: Arc<Levels>,
    last_batch: LastBatch,
    /// Where it ends; `None` for never.
    epochs: Option<u32>,
    seed: u64,
    /// Tells the draws of one walk from those of others.
    key: [u64; 2],
    cursor: Cursor,
    /// The order of epoch `drawn`, kept because an epoch has many batches.
    order: Vec<u32>,
    drawn: Option<u32>,
}

/// Where a walk stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cursor {
    /// Epochs finished.
    epoch: u32,
    /// Problems drawn in this epoch.
    position: usize,
}

impl Walk {
    /// A walk over `levels` of `corpus`, which must not be empty.
    pub(crate) fn new(
        corpus: Corpus,
        levels: Arc<Levels>,
        last_batch: LastBatch,
        epochs: Option<u32>,
        seed: u64,
        key: [u64; 2],
    ) -> Self {
        let cursor = Cursor::default();
        Self { corpus, levels, last_batch, epochs, seed, key, cursor, order: Vec::new(), drawn: None }
    }
}

impl Curriculum for Walk {
    fn draw(&mut self, _: Progress, want: usize) -> Batch {
        let at = &mut self.cursor;
        let left = self.levels.len() - at.position;
        if left == 0 || (self.last_batch == LastBatch::Drop && left < want && at.position > 0) {
            *at = Cursor { epoch: at.epoch + 1, position: 0 };
        }
        if self.epochs.is_some_and(|epochs| at.epoch >= epochs) {
            return Batch::OVER;
        }
        if self.drawn != Some(at.epoch) {
            let key = [self.key[0], self.key[1], u64::from(at.epoch)];
            self.levels.draw(Rng::new(self.seed, Purpose::Curriculum, &key), &mut self.order);
            self.drawn = Some(at.epoch);
        }
        let start = at.position;
        at.position = self.order.len().min(start + want);
        self.order[start..at.position].iter().map(|&position| self.corpus.entry(position as usize).id).collect()
    }

    fn planned_steps(&self, want: Option<usize>) -> Option<Vec<usize>> {
        Some(vec![self.epochs? as usize * self.last_batch.batches_per_epoch(self.levels.len(), want?)])
    }

    fn state(&self) -> State {
        State::new(&self.cursor)
    }

    fn load_state(&mut self, state: &State) -> Result<(), CurriculumError> {
        let cursor: Cursor = state.read()?;
        if cursor.position > self.levels.len() {
            let what = format!("position {} of {} problems", cursor.position, self.levels.len());
            return Err(CurriculumError::StateOutOfRange { what });
        }
        self.cursor = cursor;
        Ok(())
    }

    /// `epoch`, with the fraction of the current one.
    fn metrics(&self) -> Vec<Metric> {
        let fraction = self.cursor.position as f64 / self.levels.len() as f64;
        vec![("epoch".into(), f64::from(self.cursor.epoch) + fraction)]
    }
}

impl fmt::Debug for Walk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Walk").field("at", &self.cursor).finish_non_exhaustive()
    }
}
