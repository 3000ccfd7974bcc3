//! Result of a run: a small file that is kept when the run folder is deleted.

use super::Scale;
use super::origin::Origin;
use anyhow::Result;
use seethink::core::Capability;
use seethink::eval::Outcome;
use seethink::eval::statistics::Counts;
use seethink::run::report::{self, Checkpoint, RunCosts};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// File name of a result in the folder of a run.
pub const RESULT: &str = "result.json";

/// Result of a run of an arm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunResult {
    /// Id of the arm.
    pub arm: String,
    /// Name of the backbone's folder.
    pub backbone: String,
    /// Seed of the run.
    pub seed: u64,
    /// Digest of the configuration: [`Task::digest`](super::run::Task::digest).
    pub config: String,
    /// Fingerprints of base model and code. `None` for runs made before fingerprints were recorded:
    /// they are shown as earlier findings, and never reused as the result of a run.
    pub origin: Option<Origin>,
    /// Commit of the working directory at the start of the program that made the run (or of the
    /// program that started that one, where a table made the run), with `+` where files had been
    /// changed or added; empty if unknown.
    pub commit: String,
    /// Last commit of the registration of the question that the run is to answer; `None` where there
    /// is none.
    #[serde(default)]
    pub registration: Option<String>,
    /// Digest of the test problems, by capability.
    pub problems: BTreeMap<String, String>,
    /// Test outcomes before training, by capability, a letter per problem
    /// ([`Outcome`](seethink::eval::Outcome)).
    pub before: BTreeMap<String, String>,
    /// Test outcomes at the end of training, by capability.
    pub after: BTreeMap<String, String>,
    /// Checkpoints: the base model, then the model after each stage.
    pub checkpoints: Vec<Checkpoint>,
    /// Validation over the course of training, where it was measured.
    #[serde(default)]
    pub curve: Vec<CurvePoint>,
    /// Mean completion length of each step, tokens.
    pub length: Vec<f32>,
    /// Costs of the run.
    pub total: RunCosts,
}

/// Validation after a step.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CurvePoint {
    /// Number of steps done.
    pub step: usize,
    /// Number of problems by capability and outcome, as the letter of an
    /// [`Outcome`](seethink::eval::Outcome).
    pub outcomes: BTreeMap<String, BTreeMap<char, usize>>,
}

impl CurvePoint {
    /// Share of an outcome among the problems of a capability.
    pub fn share(&self, capability: &Capability, outcome: Outcome) -> Option<f64> {
        let outcomes = self.outcomes.get(capability.as_str())?;
        let n = outcomes.get(&outcome.letter()).copied().unwrap_or(0);
        Some(n as f64 / outcomes.values().sum::<usize>() as f64)
    }
}

impl RunResult {
    /// Test accuracy in a capability at the end of training.
    pub fn accuracy(&self, capability: &Capability) -> Option<f64> {
        Some(Counts::of(self.after.get(capability.as_str())?).accuracy())
    }

    /// Test accuracy in a capability before training.
    pub fn accuracy_before(&self, capability: &Capability) -> Option<f64> {
        Some(Counts::of(self.before.get(capability.as_str())?).accuracy())
    }

    /// Returns whether the commit is that of a clean tree.
    pub fn is_of_clean_tree(&self) -> bool {
        !self.commit.is_empty() && self.commit.chars().all(|c| c.is_ascii_hexdigit())
    }

    /// Writes the result atomically.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        Ok(report::write_json(path, self)?)
    }

    /// Reads a result; `None` if there is none.
    ///
    /// # Errors
    /// If the file is broken.
    pub fn read(path: &Path) -> Result<Option<Self>> {
        if path.exists() { Ok(Some(report::read_json(path)?)) } else { Ok(None) }
    }
}

/// Environment variable by which a program passes its commit to the programs that it starts.
pub(super) const COMMIT: &str = "SEETHINK_COMMIT";

/// Commit of the working directory, or that passed by the parent program.
pub(crate) fn commit() -> String {
    if let Ok(commit) = std::env::var(COMMIT) {
        return commit;
    }
    let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else { return String::new() };
    let changed = git(&["status", "--porcelain"]).is_some_and(|changes| !changes.is_empty());
    commit + if changed { "+" } else { "" }
}

/// Page of the registered question.
const REGISTRATION: &str = "docs/preregistration.md";

/// Last commit of the registered question at micro scale; the others have none.
pub(super) fn registration(scale: Scale) -> Option<String> {
    let found = || git(&["log", "-1", "--format=%h", "--abbrev=12", "--", REGISTRATION]);
    (scale == Scale::Micro).then(found).flatten().filter(|commit| !commit.is_empty())
}

/// Output of git on the working directory, if it succeeds.
fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
