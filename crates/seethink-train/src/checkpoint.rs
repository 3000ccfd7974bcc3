//! Checkpoints of a run, to resume from and to export.
//!
//! burn's checkpointer writes model, optimiser and scheduler; [`RunState`] holds the rest. Every
//! file is written under a temporary name, flushed to the disk and renamed, and then the folder is
//! flushed, by burn as by us. So a file that exists is whole, after a power cut as after a kill,
//! and a checkpoint counts only when all its files exist.

use crate::bank::BankedGroup;
use crate::metrics::Metrics;
use crate::policy::Policy;
use crate::{GrpoConfig, Ledger, TrainError};
use burn::module::Module;
use burn::store::ModuleRecord;
use burn::train::checkpoint::{
    Checkpoint, Checkpointer, CheckpointerError, CheckpointingAction, CheckpointingStrategy, FileCheckpointer,
};
use seethink_curriculum::CurriculumRecord;
use seethink_models::VisionLanguageModel;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// State of a run beside weights and moments, for an exact resume. All draws are functions of the
/// step, so no random generator has a state to save.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunState {
    /// Format of this record.
    pub version: u32,
    /// Seed of the run.
    pub seed: u64,
    /// Settings of the run.
    pub config: GrpoConfig,
    /// Steps done.
    pub step: usize,
    /// Index of the stage of the last step.
    pub stage: Option<usize>,
    /// Steps done in each stage, over all visits to it.
    pub stage_steps: Vec<usize>,
    /// Validation that is still due for the last step.
    pub unmeasured: Option<Unmeasured>,
    /// State of the curriculum.
    pub curriculum: CurriculumRecord,
    /// Groups that the curriculum may ask for again.
    pub bank: Vec<BankedGroup>,
    /// Step at which the reference policy was taken.
    pub reference_step: usize,
    /// True if the vision side may have changed since `reference_step`.
    pub vision_changed: bool,
    /// Costs so far.
    pub ledger: Ledger,
    /// Training time so far, seconds.
    pub elapsed_secs: f64,
}

/// A step whose validation is due: it is measured and reported before the next step.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unmeasured {
    /// Metrics of the step so far.
    pub metrics: Metrics,
    /// True if the step was the last of its stage.
    pub end_of_stage: bool,
}

impl Unmeasured {
    /// Removes the metrics that JSON cannot represent (not finite).
    pub(crate) fn finite(mut self) -> Self {
        self.metrics.retain(|_, value| value.is_finite());
        self
    }
}

impl RunState {
    /// Format version that this build writes and reads.
    pub const VERSION: u32 = 5;

    /// Initial state, before the first step, with the validation of the base model still due.
    pub fn new(seed: u64, config: GrpoConfig, n_stages: usize, curriculum: CurriculumRecord) -> Self {
        Self {
            version: Self::VERSION,
            seed,
            config,
            step: 0,
            stage: None,
            stage_steps: vec![0; n_stages],
            unmeasured: Some(Unmeasured::default()),
            curriculum,
            bank: Vec::new(),
            reference_step: 0,
            vision_changed: false,
            ledger: Ledger::default(),
            elapsed_secs: 0.0,
        }
    }

    /// Steps done in the stage of the last step.
    pub fn stage_step(&self) -> usize {
        self.stage.map_or(0, |stage| self.stage_steps[stage])
    }

    /// First setting in which this run differs from one with this seed and these settings, and both
    /// values. Settings that change no step may differ.
    pub(crate) fn difference(&self, seed: u64, config: &GrpoConfig) -> serde_json::Result<Option<String>> {
        const FREE: [&str; 3] = ["memory", "checkpoint_every", "validate_every"];
        if self.seed != seed {
            return Ok(Some(format!("seed {}, not {seed}", self.seed)));
        }
        // JSON may round: both configurations go through it.
        let config: GrpoConfig = serde_json::from_str(&serde_json::to_string(config)?)?;
        let (then, now) = (serde_json::to_value(&self.config)?, serde_json::to_value(&config)?);
        let keys = then.as_object().into_iter().flat_map(|settings| settings.keys());
        let key = keys.filter(|key| !FREE.contains(&key.as_str())).find(|key| then[*key] != now[*key]);
        Ok(key.map(|key| format!("grpo.{key} {}, not {}", then[key], now[key])))
    }
}

/// The checkpoint folder of a run.
#[derive(Debug, Clone)]
pub struct CheckpointFolder(PathBuf);

const RECORDS: [&str; 3] = ["model", "optim", "scheduler"];
const STATE: &str = "state";
const REFERENCE: &str = "reference";

impl CheckpointFolder {
    /// Opens the folder `checkpoint` in the folder of a run; creates it if it does not exist.
    ///
    /// # Errors
    /// If the folder cannot be created.
    pub fn new(run: &Path) -> Result<Self, TrainError> {
        let folder = Self::of(run);
        let create = || {
            std::fs::create_dir_all(&folder.0)?;
            seethink_files::sync_folder(run)
        };
        create().map_err(|source| TrainError::File { doing: "cannot create", path: folder.0.clone(), source })?;
        Ok(folder)
    }

    /// Opens the folder `checkpoint` in the folder of a run to read from it; creates nothing.
    pub fn of(run: &Path) -> Self {
        Self(run.join("checkpoint"))
    }

    /// Returns whether no checkpoint was ever saved here.
    pub(crate) fn is_empty(&self) -> bool {
        std::fs::read_dir(&self.0).is_ok_and(|mut entries| entries.next().is_none())
    }

    /// Writes a state under its step, `state.step`.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(crate) fn save_state(&self, state: &RunState) -> Result<(), TrainError> {
        let text = serde_json::to_string_pretty(state).map_err(std::io::Error::from);
        text.and_then(|text| self.write_state(state.step, &text)).map_err(|source| TrainError::File {
            doing: "cannot write",
            path: self.state_path(state.step),
            source,
        })
    }

    fn write_state(&self, step: usize, text: &str) -> std::io::Result<()> {
        seethink_files::write(&self.state_path(step), text.as_bytes())
    }

    /// Reads the state of the last complete checkpoint.
    ///
    /// # Errors
    /// If there is none, or its state cannot be read.
    pub fn latest(&self) -> Result<RunState, TrainError> {
        self.state(self.find(None)?)
    }

    /// Finds a complete checkpoint, of `step` or the last, and returns its step.
    ///
    /// # Errors
    /// If there is none; the error lists the steps of those that there are.
    pub fn find(&self, step: Option<usize>) -> Result<usize, TrainError> {
        let steps =
            self.steps().map_err(|source| TrainError::File { doing: "cannot list", path: self.0.clone(), source })?;
        let last = *steps.last().ok_or_else(|| TrainError::NoCheckpoint(self.0.clone()))?;
        match step {
            Some(step) if !steps.contains(&step) => Err(TrainError::NoStep { path: self.0.clone(), step, steps }),
            step => Ok(step.unwrap_or(last)),
        }
    }

    /// Loads the weights of the complete checkpoint at `step` into a model of the same
    /// architecture.
    ///
    /// # Errors
    /// If the file cannot be read, or its weights do not fit the model.
    pub fn load_model<M: VisionLanguageModel>(&self, model: M, step: usize) -> Result<M, TrainError> {
        let policy = Policy { model }.try_load_record(self.load("model", step)?);
        Ok(self.record("model", step, policy.map_err(CheckpointerError::Record))?.model)
    }

    /// Steps of the complete checkpoints, in ascending order.
    fn steps(&self) -> std::io::Result<Vec<usize>> {
        let entries = match std::fs::read_dir(&self.0) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let states = entries.filter_map(|entry| match numbered(&entry.ok()?.path()) {
            Some((STATE, step)) => Some(step),
            _ => None,
        });
        let mut steps: Vec<usize> = states.filter(|&step| self.is_complete(step)).collect();
        steps.sort_unstable();
        Ok(steps)
    }

    /// Returns whether burn has written all its records of this step.
    fn is_complete(&self, step: usize) -> bool {
        RECORDS.iter().all(|name| self.record_path(name, step).exists())
    }

    fn state(&self, step: usize) -> Result<RunState, TrainError> {
        let path = self.state_path(step);
        let text = std::fs::read_to_string(&path).map_err(|source| TrainError::File {
            doing: "cannot read",
            path: path.clone(),
            source,
        })?;
        let unreadable = |error: serde_json::Error| TrainError::Checkpoint {
            path: path.clone(),
            problem: format!("cannot be read: {error}"),
        };
        // A record of another version need not have the same fields.
        let json: serde_json::Value = serde_json::from_str(&text).map_err(unreadable)?;
        if json["version"] != RunState::VERSION {
            let problem = format!("is of version {}, expected {}", json["version"], RunState::VERSION);
            return Err(TrainError::Checkpoint { path, problem });
        }
        serde_json::from_value(json).map_err(unreadable)
    }

    /// Deletes the files that neither the checkpoint of `state` nor the last complete one before it
    /// needs, and files that a crash left half written.
    ///
    /// The one before is kept because burn may still be writing the newer one. A file that stays
    /// behind only takes room, so failures are passed over.
    pub(crate) fn prune(&self, state: &RunState) {
        let Ok(entries) = std::fs::read_dir(&self.0) else { return };
        let files: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        let steps = files.iter().filter_map(|path| numbered(path)).filter(|(name, _)| *name == STATE);
        let before = steps.map(|(_, step)| step).filter(|&step| step < state.step && self.is_complete(step)).max();
        let Ok(before) = before.map(|step| self.state(step)).transpose() else { return };
        let kept = || before.iter().chain([state]);
        for path in files {
            let Some((name, step)) = numbered(&path) else {
                if unfinished(&path).is_some_and(|step| step < state.step) {
                    let _ = std::fs::remove_file(path);
                }
                continue;
            };
            let needed = match name {
                REFERENCE => kept().any(|state| state.reference_step == step),
                _ => kept().any(|state| state.step == step),
            };
            if !needed {
                let _ = std::fs::remove_file(path);
            }
        }
    }

    /// Writes the reference policy that was taken at `step`.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(crate) fn save_reference(&self, step: usize, record: ModuleRecord) -> Result<(), TrainError> {
        self.record(REFERENCE, step, self.checkpointer(REFERENCE).save(step, record))
    }

    /// Reads the reference policy that was taken at `step`.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(crate) fn load_reference(&self, step: usize) -> Result<ModuleRecord, TrainError> {
        self.load(REFERENCE, step)
    }

    /// Reads a record of the checkpoint at `step`.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(crate) fn load<R: Checkpoint>(&self, name: &'static str, step: usize) -> Result<R, TrainError> {
        self.record(name, step, self.checkpointer(name).restore(step))
    }

    /// Creates a checkpointer of burn that writes here.
    pub(crate) fn checkpointer(&self, name: &'static str) -> FileCheckpointer {
        FileCheckpointer::new(&self.0, name)
    }

    fn record<T>(
        &self,
        name: &'static str,
        step: usize,
        result: Result<T, CheckpointerError>,
    ) -> Result<T, TrainError> {
        result.map_err(|source| TrainError::Record { name, step, source })
    }

    fn state_path(&self, step: usize) -> PathBuf {
        self.0.join(format!("{STATE}-{step}.json"))
    }

    fn record_path(&self, name: &str, step: usize) -> PathBuf {
        self.0.join(format!("{name}-{step}.bpk"))
    }
}

/// Record name and step in the name of a checkpoint file.
fn numbered(path: &Path) -> Option<(&str, usize)> {
    let (name, step) = path.file_name()?.to_str()?.split_once('-')?;
    let extension = if name == STATE { ".json" } else { ".bpk" };
    Some((name, step.strip_suffix(extension)?.parse().ok()?))
}

/// Step in the name of an unfinished file: `model-3.bpk.4711-0.tmp` by burn, `state-3.json.partial`
/// by us.
fn unfinished(path: &Path) -> Option<usize> {
    let (name, rest) = path.file_name()?.to_str()?.split_once('-')?;
    let (step, rest) = rest.split_once('.')?;
    let is_ours = RECORDS.contains(&name) || [STATE, REFERENCE].contains(&name);
    let is_unfinished = rest.starts_with("bpk.") && rest.ends_with(".tmp") || rest == "json.partial";
    (is_ours && is_unfinished).then(|| step.parse().ok()).flatten()
}

/// Checkpointing strategy that saves whenever asked; [`CheckpointFolder`] deletes, because it knows
/// which files belong together.
#[derive(Debug)]
pub(crate) struct SaveAlways;

impl CheckpointingStrategy for SaveAlways {
    fn checkpointing(
        &mut self,
        _: usize,
        _: &burn::train::metric::store::EventStoreClient,
    ) -> Vec<CheckpointingAction> {
        vec![CheckpointingAction::Save]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seethink_files::{FileOperation, crash_after};

    /// A folder in which burn has written its records of these steps.
    fn folder(steps: &[usize]) -> (tempfile::TempDir, CheckpointFolder) {
        let run = tempfile::tempdir().expect("folder");
        let checkpoints = CheckpointFolder::new(run.path()).expect("folder");
        for (name, step) in RECORDS.iter().flat_map(|name| steps.iter().map(move |step| (name, *step))) {
            std::fs::write(checkpoints.record_path(name, step), "record").expect("file");
        }
        (run, checkpoints)
    }

    #[test]
    fn a_state_is_on_the_disk_before_it_counts_and_counts_when_it_is_written() {
        let (_run, checkpoints) = folder(&[1]);
        let (result, done) = crash_after(usize::MAX, || checkpoints.write_state(1, "{}"));
        result.expect("written");
        let at = |wanted: &dyn Fn(&FileOperation) -> bool| done.iter().position(wanted).expect("done");
        let synced = at(&|operation| matches!(operation, FileOperation::Sync(_)));
        let counts = at(&|operation| *operation == FileOperation::Rename(checkpoints.state_path(1)));
        let listed = at(&|operation| *operation == FileOperation::SyncFolder(checkpoints.0.clone()));
        assert!(synced < counts && counts < listed, "{done:?}");
    }

    #[test]
    fn the_folder_itself_is_on_the_disk() {
        let run = tempfile::tempdir().expect("folder");
        let (_, done) = crash_after(usize::MAX, || CheckpointFolder::new(run.path()));
        assert_eq!(done, [FileOperation::SyncFolder(run.path().to_owned())]);
    }

    #[test]
    fn a_crash_leaves_the_checkpoint_before_or_the_new_one() {
        for n in 0.. {
            let (_run, checkpoints) = folder(&[1, 2]);
            checkpoints.write_state(1, "{}").expect("written");
            let (result, done) = crash_after(n, || checkpoints.write_state(2, "{}"));
            let latest = checkpoints.find(None).ok();
            let counts = done.contains(&FileOperation::Rename(checkpoints.state_path(2)));
            assert_eq!(latest, Some(if counts { 2 } else { 1 }), "{done:?}");
            if result.is_ok() {
                break;
            }
        }
    }

    #[test]
    fn a_checkpoint_is_found_by_its_step_or_as_the_last_and_counts_only_if_complete() {
        let (run, checkpoints) = folder(&[2, 10]);
        assert!(matches!(checkpoints.find(None), Err(TrainError::NoCheckpoint(_))));
        for step in [2, 10, 12] {
            checkpoints.write_state(step, "{}").expect("written");
        }
        let of = CheckpointFolder::of(run.path());
        assert_eq!([None, Some(2), Some(10)].map(|step| of.find(step).expect("complete")), [10, 2, 10]);
        let message = of.find(Some(12)).expect_err("without records").to_string();
        assert!(message.contains("of step 12") && message.ends_with("expected one of 2, 10"), "{message}");

        let nowhere = run.path().join("nowhere");
        assert!(matches!(CheckpointFolder::of(&nowhere).find(None), Err(TrainError::NoCheckpoint(_))));
        assert!(!nowhere.exists());
    }

    #[test]
    fn files_of_a_crash_are_told_from_those_that_are_being_written() {
        let step = |name: &str| unfinished(Path::new(name));
        assert_eq!(step("checkpoint/model-3.bpk.4711-0.tmp"), Some(3));
        assert_eq!(step("state-12.json.partial"), Some(12));
        assert_eq!(step("model-3.bpk"), None);
        assert_eq!(step("notes-3.bpk.1-0.tmp"), None);
        assert_eq!(step("state-x.json.partial"), None);
    }
}
