//! The engine of the static policies: stages walked in order, epochs drawn from counters.
//!
//! State is four counters. An epoch's order is a pure function of (seed, pass, stage, epoch), so a record needs no order
//! and a resumed run draws it again.

use crate::fingerprint::Fingerprint;
use crate::order::Levels;
use crate::{
    BatchPlan, Corpus, Curriculum, CurriculumError, CurriculumRecord, Epochs, LastBatch, Length, Order, Stage,
};
use seethink_core::{Purpose, Rng};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// What a static policy is made of.
pub(crate) struct Plan<'a> {
    pub(crate) policy: &'static str,
    pub(crate) stages: &'a [Stage],
    pub(crate) order: Order,
    pub(crate) epochs: Epochs,
    pub(crate) last_batch: LastBatch,
}

/// A plan over a corpus, and how far it has come.
pub(crate) struct Planned {
    policy: &'static str,
    stages: Vec<Stage>,
    lengths: Vec<Length>,
    pools: Vec<Levels>,
    passes: u32,
    last_batch: LastBatch,
    seed: u64,
    corpus: u64,
    settings: u64,
    cursor: Cursor,
    /// The order of the epoch that `drawn` names, kept because an epoch has many batches.
    order: Vec<u32>,
    drawn: Option<EpochKey>,
}

/// Where a plan stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cursor {
    /// Times that the whole plan has been walked.
    pass: u32,
    stage: usize,
    /// Epochs finished in this visit to the stage.
    epoch: u32,
    /// Batches drawn in this visit to the stage.
    steps: u32,
    /// Problems drawn in this epoch.
    position: usize,
}

/// What an epoch's order depends on besides the seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct EpochKey {
    pass: u32,
    stage: usize,
    epoch: u32,
}

impl Plan<'_> {
    /// Puts the plan to work on a corpus.
    ///
    /// # Errors
    /// If there are no stages, two share a name, one has no problems or no length, or a pass rate is missing.
    pub(crate) fn build(&self, corpus: &Corpus, seed: u64) -> Result<Planned, CurriculumError> {
        if self.stages.is_empty() {
            return Err(CurriculumError::NoStages);
        }
        let mut names = BTreeSet::new();
        if let Some(stage) = self.stages.iter().find(|stage| !names.insert(&stage.name)) {
            return Err(CurriculumError::DuplicateStage { name: stage.name.clone() });
        }
        let lengths = self.stages.iter().map(|stage| self.epochs.length(stage)).collect::<Result<_, _>>()?;
        let pools = self
            .stages
            .iter()
            .map(|stage| self.order.levels(corpus, pool(corpus, stage)?, &stage.name))
            .collect::<Result<_, _>>()?;
        Ok(Planned {
            policy: self.policy,
            stages: self.stages.to_vec(),
            lengths,
            pools,
            passes: self.epochs.passes(),
            last_batch: self.last_batch,
            seed,
            corpus: corpus.fingerprint(),
            settings: self.fingerprint(seed),
            cursor: Cursor::default(),
            order: Vec::new(),
            drawn: None,
        })
    }

    /// Of everything that decides which problems are drawn; what the trainer does with a stage does not.
    fn fingerprint(&self, seed: u64) -> u64 {
        let plan = format!("{:?} {:?} {:?}", self.order, self.epochs, self.last_batch);
        let start = Fingerprint::new().number(seed).field(plan.as_bytes());
        let stage = |hash: Fingerprint, stage: &Stage| {
            let named = hash.field(stage.name.as_bytes()).field(format!("{:?}", stage.length).as_bytes());
            let counted = named.number(stage.capabilities.len() as u64);
            stage.capabilities.iter().fold(counted, |hash, capability| hash.field(capability.as_str().as_bytes()))
        };
        self.stages.iter().fold(start, stage).finish()
    }
}

/// Indices of the problems that a stage draws from, ascending.
fn pool(corpus: &Corpus, stage: &Stage) -> Result<Vec<u32>, CurriculumError> {
    let wanted = |(capability, indices)| {
        (stage.capabilities.is_empty() || stage.capabilities.contains(capability)).then_some(indices)
    };
    let mut pool: Vec<u32> = corpus.capabilities().filter_map(wanted).flatten().copied().collect();
    if pool.is_empty() {
        let none =
            |names: Vec<String>, nothing: &str| if names.is_empty() { nothing.to_owned() } else { names.join(", ") };
        let available = corpus.capabilities().map(|(capability, indices)| format!("{capability} ({})", indices.len()));
        return Err(CurriculumError::EmptyStage {
            stage: stage.name.clone(),
            wanted: none(stage.capabilities.iter().map(|name| format!("`{name}`")).collect(), "every capability"),
            available: none(available.collect(), "no problems at all"),
        });
    }
    // Across capabilities the order is that of the ids, not of the capabilities' names.
    pool.sort_unstable();
    Ok(pool)
}

impl Planned {
    /// Moves the cursor off a finished epoch, stage or pass; false when everything is over.
    fn settle(&mut self, size: usize) -> bool {
        let at = &mut self.cursor;
        let left = self.pools[at.stage].len() - at.position;
        if left == 0 || (self.last_batch == LastBatch::Drop && left < size && at.position > 0) {
            at.epoch += 1;
            at.position = 0;
        }
        let over = match self.lengths[at.stage] {
            Length::Epochs(epochs) => at.epoch >= epochs,
            Length::Steps(steps) => at.steps >= steps,
        };
        if !over {
            return true;
        }
        let next = if at.stage + 1 < self.stages.len() { (at.pass, at.stage + 1) } else { (at.pass + 1, 0) };
        if next.0 < self.passes {
            *at = Cursor { pass: next.0, stage: next.1, ..Cursor::default() };
        }
        next.0 < self.passes
    }

    /// Draws the order of the cursor's epoch unless it is there already.
    fn draw_epoch(&mut self) {
        let Cursor { pass, stage, epoch, .. } = self.cursor;
        let key = EpochKey { pass, stage, epoch };
        if self.drawn != Some(key) {
            let rng = Rng::new(self.seed, Purpose::Curriculum, &[u64::from(pass), stage as u64, u64::from(epoch)]);
            self.pools[stage].draw(rng, &mut self.order);
            self.drawn = Some(key);
        }
    }
}

impl Curriculum for Planned {
    fn stages(&self) -> &[Stage] {
        &self.stages
    }

    fn next_batch(&mut self, corpus: &Corpus, size: usize) -> Option<BatchPlan> {
        assert!(size > 0, "a batch has at least one problem");
        assert_eq!(corpus.fingerprint(), self.corpus, "a curriculum draws from the corpus that it was built for");
        if !self.settle(size) {
            return None;
        }
        self.draw_epoch();
        let at = &mut self.cursor;
        let end = self.order.len().min(at.position + size);
        let problems = self.order[at.position..end].iter().map(|&index| corpus.entries()[index as usize].id).collect();
        at.position = end;
        at.steps += 1;
        Some(BatchPlan { stage: at.stage, problems })
    }

    fn planned_steps(&self, size: usize) -> Option<Vec<usize>> {
        let in_visit = |(length, pool): (&Length, &Levels)| match *length {
            Length::Epochs(epochs) => epochs as usize * self.last_batch.batches_per_epoch(pool.len(), size),
            Length::Steps(steps) => steps as usize,
        };
        Some(self.lengths.iter().zip(&self.pools).map(in_visit).map(|steps| steps * self.passes as usize).collect())
    }

    fn to_record(&self) -> CurriculumRecord {
        CurriculumRecord::new(self.policy, self.corpus, self.settings, &self.cursor)
    }

    fn load_record(&mut self, record: CurriculumRecord) -> Result<(), CurriculumError> {
        let cursor: Cursor = record.state(self.policy, self.corpus, self.settings)?;
        let fits = self.pools.get(cursor.stage).is_some_and(|pool| cursor.position <= pool.len());
        if !fits || cursor.pass >= self.passes {
            let sizes: Vec<usize> = self.pools.iter().map(Levels::len).collect();
            let what = format!("{cursor:?}, but there are {} passes over stages of {sizes:?} problems", self.passes);
            return Err(CurriculumError::StateOutOfRange { policy: self.policy.to_owned(), what });
        }
        self.cursor = cursor;
        Ok(())
    }

    /// `stage` (index), `epoch` (of the stage over all visits to it, with the fraction of the current one), `steps_in_stage`.
    fn metrics(&self) -> Vec<(&'static str, f64)> {
        let at = self.cursor;
        let fraction = at.position as f64 / self.pools[at.stage].len() as f64;
        let epoch = f64::from(at.pass) + f64::from(at.epoch) + fraction;
        vec![("stage", at.stage as f64), ("epoch", epoch), ("steps_in_stage", f64::from(at.steps))]
    }
}

impl fmt::Debug for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(self.policy).field("stages", &self.stages).field("at", &self.cursor).finish_non_exhaustive()
    }
}
