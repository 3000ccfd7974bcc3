//! What a run leaves behind to continue from.
//!
//! burn's checkpointer writes model, optimiser and scheduler; [`RunState`] holds the rest. Every file is written under a
//! temporary name and renamed, so a file that exists is whole, and a checkpoint counts only when all its files exist.

use crate::TrainError;
use burn::store::ModuleRecord;
use burn::train::checkpoint::{
    Checkpoint, Checkpointer, CheckpointerError, CheckpointingAction, CheckpointingStrategy,
};
use seethink_curriculum::CurriculumRecord;
use serde::{Deserialize, Serialize};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

/// Everything beside weights and moments that a resumed run needs. All draws are functions of the step, so no generator
/// state is among it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunState {
    /// Format of this record.
    pub version: u32,
    /// Seed of the run.
    pub seed: u64,
    /// Steps done.
    pub step: usize,
    /// Index of the stage of the last step.
    pub stage: Option<usize>,
    /// Steps done in that stage.
    pub stage_step: usize,
    /// State of the curriculum.
    pub curriculum: CurriculumRecord,
    /// Step at which the reference policy was taken.
    pub reference_step: usize,
    /// Tokens that went through updates so far, prompts included.
    pub tokens_trained: u64,
    /// Tokens sampled so far.
    pub tokens_generated: u64,
    /// Completions sampled so far.
    pub completions: u64,
    /// Training time so far, seconds.
    pub elapsed_secs: f64,
}

impl RunState {
    /// Written and read by this build.
    pub const VERSION: u32 = 1;

    /// The state before the first step.
    pub fn new(seed: u64, curriculum: CurriculumRecord) -> Self {
        Self {
            version: Self::VERSION,
            seed,
            step: 0,
            stage: None,
            stage_step: 0,
            curriculum,
            reference_step: 0,
            tokens_trained: 0,
            tokens_generated: 0,
            completions: 0,
            elapsed_secs: 0.0,
        }
    }
}

/// The checkpoint folder of a run.
#[derive(Debug, Clone)]
pub struct CheckpointFolder(PathBuf);

const RECORDS: [&str; 3] = ["model", "optim", "scheduler"];

impl CheckpointFolder {
    /// The folder `checkpoint` in the folder of a run, made if it is not there.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn new(run: &Path) -> Result<Self, TrainError> {
        let path = run.join("checkpoint");
        std::fs::create_dir_all(&path).map_err(|source| TrainError::File {
            doing: "cannot create",
            path: path.clone(),
            source,
        })?;
        Ok(Self(path))
    }

    /// Writes the state of `state.step`.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save_state(&self, state: &RunState) -> Result<(), TrainError> {
        let path = self.state_path(state.step);
        let text = serde_json::to_string_pretty(state).map_err(std::io::Error::from);
        text.and_then(|text| write_atomic(&path, text.as_bytes())).map_err(|source| TrainError::File {
            doing: "cannot write",
            path,
            source,
        })
    }

    /// The state of the last complete checkpoint.
    ///
    /// # Errors
    /// If there is none, or its state cannot be read.
    pub fn latest(&self) -> Result<RunState, TrainError> {
        let entries = std::fs::read_dir(&self.0).map_err(|source| TrainError::File {
            doing: "cannot list",
            path: self.0.clone(),
            source,
        })?;
        let step = entries
            .filter_map(|entry| {
                entry.ok()?.file_name().to_str()?.strip_prefix("state-")?.strip_suffix(".json")?.parse::<usize>().ok()
            })
            .filter(|&step| RECORDS.iter().all(|name| self.record_path(name, step).exists()))
            .max()
            .ok_or_else(|| TrainError::NoCheckpoint(self.0.clone()))?;
        let path = self.state_path(step);
        let text = std::fs::read_to_string(&path).map_err(|source| TrainError::File {
            doing: "cannot read",
            path: path.clone(),
            source,
        })?;
        let state: RunState = serde_json::from_str(&text).map_err(|error| TrainError::Checkpoint {
            path: path.clone(),
            problem: format!("cannot be read: {error}"),
        })?;
        if state.version != RunState::VERSION {
            let problem = format!("is of version {}, expected {}", state.version, RunState::VERSION);
            return Err(TrainError::Checkpoint { path, problem });
        }
        Ok(state)
    }

    /// Deletes states and references that no checkpoint up to `step` needs any more.
    ///
    /// A file that stays behind only takes room, so failures are passed over.
    pub(crate) fn prune(&self, step: usize, reference_step: usize) {
        let Ok(entries) = std::fs::read_dir(&self.0) else { return };
        let mut states = Vec::new();
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let number =
                |prefix: &str, suffix: &str| name.strip_prefix(prefix)?.strip_suffix(suffix)?.parse::<usize>().ok();
            if let Some(old) = number("state-", ".json").filter(|&old| old < step) {
                states.push((old, path));
            } else if number("reference-", ".bpk").is_some_and(|old| old + 1 < reference_step) {
                let _ = std::fs::remove_file(path);
            }
        }
        states.sort();
        states.pop();
        for (_, path) in states {
            let _ = std::fs::remove_file(path);
        }
    }

    /// Writes the reference policy that was taken at `step`.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save_reference(&self, step: usize, record: ModuleRecord) -> Result<(), TrainError> {
        AtomicCheckpointer::new(self, "reference").save(step, record).map_err(|error| TrainError::Record {
            name: "reference",
            step,
            source: error,
        })
    }

    /// Reads the reference policy that was taken at `step`.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn load_reference(&self, step: usize) -> Result<ModuleRecord, TrainError> {
        AtomicCheckpointer::new(self, "reference").restore(step).map_err(|error| TrainError::Record {
            name: "reference",
            step,
            source: error,
        })
    }

    /// A checkpointer of burn that writes here.
    pub fn checkpointer<R: Checkpoint>(&self, name: &'static str) -> AtomicCheckpointer<R> {
        debug_assert!(RECORDS.contains(&name));
        AtomicCheckpointer::new(self, name)
    }

    fn state_path(&self, step: usize) -> PathBuf {
        self.0.join(format!("state-{step}.json"))
    }

    fn record_path(&self, name: &str, step: usize) -> PathBuf {
        self.0.join(format!("{name}-{step}.bpk"))
    }
}

/// Writes records under a temporary name and renames them.
#[derive(Debug)]
pub struct AtomicCheckpointer<R> {
    folder: CheckpointFolder,
    name: &'static str,
    record: PhantomData<fn(R)>,
}

impl<R> AtomicCheckpointer<R> {
    fn new(folder: &CheckpointFolder, name: &'static str) -> Self {
        Self { folder: folder.clone(), name, record: PhantomData }
    }
}

impl<R: Checkpoint> Checkpointer<R> for AtomicCheckpointer<R> {
    fn save(&self, step: usize, record: R) -> Result<(), CheckpointerError> {
        let path = self.folder.record_path(self.name, step);
        let temporary = self.folder.record_path(&format!("tmp-{}", self.name), step);
        record.save(temporary.clone())?;
        std::fs::rename(temporary, path).map_err(CheckpointerError::IOError)
    }

    fn delete(&self, step: usize) -> Result<(), CheckpointerError> {
        match std::fs::remove_file(self.folder.record_path(self.name, step)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(CheckpointerError::IOError(error)),
            _ => Ok(()),
        }
    }

    fn restore(&self, step: usize) -> Result<R, CheckpointerError> {
        R::load(self.folder.record_path(self.name, step))
    }
}

/// Saves whenever it is asked and keeps the last few.
#[derive(Debug)]
pub(crate) struct KeepLast {
    pub(crate) n: usize,
    pub(crate) saved: Vec<usize>,
}

impl CheckpointingStrategy for KeepLast {
    fn checkpointing(
        &mut self,
        step: usize,
        _: &burn::train::metric::store::EventStoreClient,
    ) -> Vec<CheckpointingAction> {
        self.saved.push(step);
        let n_old = self.saved.len().saturating_sub(self.n);
        let old = self.saved.drain(..n_old).map(CheckpointingAction::Delete);
        // Saved first: there is never a moment without a checkpoint.
        std::iter::once(CheckpointingAction::Save).chain(old).collect()
    }
}

/// Writes a file under a temporary name and renames it.
pub(crate) fn write_atomic(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = PathBuf::from(temporary);
    std::fs::write(&temporary, bytes)?;
    std::fs::rename(temporary, path)
}
