//! Everything that can be wrong with a corpus, a configuration or a record.

use crate::{Axis, Length};
use seethink_core::ProblemId;

/// Why a curriculum could not be built or continued.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CurriculumError {
    /// Two entries of a corpus have the same id.
    #[error(
        "problem {id} stands in the corpus twice, as entries {first} and {second} counted from 0; ids must be unique"
    )]
    DuplicateProblem {
        /// The id.
        id: ProblemId,
        /// Position of one entry, counted from 0.
        first: usize,
        /// Position of the other.
        second: usize,
    },
    /// A corpus beyond what an index can address.
    #[error("the corpus has {found} problems, but at most {} are supported", u32::MAX)]
    TooManyProblems {
        /// Problems given.
        found: usize,
    },
    /// A plan without stages.
    #[error("a staged curriculum needs at least one stage, but `stages` is empty")]
    NoStages,
    /// Two stages of the same name.
    #[error("two stages are named `{name}`; names must be unique")]
    DuplicateStage {
        /// The name.
        name: String,
    },
    /// A stage that no problem of the corpus belongs to.
    #[error("stage `{stage}` has no problems: it draws from {wanted}, but the corpus holds {available}")]
    EmptyStage {
        /// The stage's name.
        stage: String,
        /// The capabilities it names.
        wanted: String,
        /// The capabilities there are, with the number of problems of each.
        available: String,
    },
    /// A stage, or the whole plan, that lasts no time at all.
    #[error("stage `{stage}` lasts 0 epochs or steps; expected at least 1")]
    ZeroLength {
        /// The stage's name.
        stage: String,
    },
    /// A stage's own length where epochs count over the whole plan.
    #[error(
        "stage `{stage}` has its own length {length:?}, but `epochs: OverWholePlan` gives every stage one epoch per pass; use `PerStage` or remove it"
    )]
    LengthInWholePlan {
        /// The stage's name.
        stage: String,
        /// What it asked for.
        length: Length,
    },
    /// A length that no stage can have.
    #[error("stage `{stage}` has the length {length:?}; expected a window of at least 1 step and a finite number")]
    BadLength {
        /// The stage's name.
        stage: String,
        /// What it asked for.
        length: Length,
    },
    /// A stage of stages.
    #[error(
        "`{policy}` cannot hold a curriculum of several stages ({stages}): only the outermost curriculum has stages"
    )]
    NestedStages {
        /// What holds it.
        policy: &'static str,
        /// The names of the stages.
        stages: String,
    },
    /// A curriculum inside another with settings that only an outermost stage can have.
    #[error(
        "a stage inside `{policy}` sets what the trainer does (trainable, reset_optimizer, snapshot_reference or overrides), which \
         nobody would read: only the stages of the outermost curriculum can"
    )]
    NestedSettings {
        /// What holds it.
        policy: &'static str,
    },
    /// A policy with a setting out of range.
    #[error("`{policy}.{key}` is {found}, expected {expected}")]
    Setting {
        /// The policy.
        policy: &'static str,
        /// The setting.
        key: &'static str,
        /// Its value.
        found: String,
        /// What it may be.
        expected: &'static str,
    },
    /// A problem without a key on an axis that is needed.
    #[error(
        "problem {problem} has no {axis}, which the curriculum goes by; its tags are [{tags}] (columns of files are tags if their \
         `columns.tags` names them)"
    )]
    MissingKey {
        /// The axis.
        axis: Axis,
        /// The first problem without.
        problem: ProblemId,
        /// The names of its tags.
        tags: String,
    },
    /// A key that should be a number.
    #[error("the {axis} of problem {problem} is `{found}`, expected a number")]
    NotANumber {
        /// The axis.
        axis: Axis,
        /// The problem.
        problem: ProblemId,
        /// Its key.
        found: String,
    },
    /// A key that an order does not list.
    #[error("the order by {axis} does not list `{key}`, which occurs in the corpus; it lists {listed}")]
    UnlistedKey {
        /// The axis.
        axis: Axis,
        /// The key.
        key: String,
        /// The keys listed.
        listed: String,
    },
    /// A curriculum that a configuration only names.
    #[error("the curriculum `{name}` is made by a program of its own; a configuration only records its name")]
    Custom {
        /// Its name.
        name: String,
    },
    /// A partition into nothing.
    #[error("a partition needs at least one axis and one bin")]
    NoCategories,
    /// A policy without problems.
    #[error("`{policy}` has no problems to draw from")]
    NoProblems {
        /// The policy.
        policy: &'static str,
    },
    /// A record in a format that this build does not read.
    #[error("the curriculum record has version {found}, but this build reads version {expected}")]
    RecordVersion {
        /// Version in the record.
        found: u32,
        /// Version that is read.
        expected: u32,
    },
    /// A record over other problems.
    #[error(
        "the record was made over another corpus (fingerprint {found:016x}, expected {expected:016x}): problems or what is known of them differ"
    )]
    OtherCorpus {
        /// Fingerprint in the record.
        found: u64,
        /// Fingerprint of the corpus in use.
        expected: u64,
    },
    /// A record of another policy, other settings or another seed.
    #[error(
        "the record was made by another policy, with other settings or another seed (fingerprint {found:016x}, expected {expected:016x})"
    )]
    OtherSettings {
        /// Fingerprint in the record.
        found: u64,
        /// Fingerprint of the settings in use.
        expected: u64,
    },
    /// State that cannot be read.
    #[error("the state in the record cannot be read")]
    UnreadableState {
        /// What the parser said.
        source: serde_json::Error,
    },
    /// State that can be read but points outside the curriculum.
    #[error("the state in the record is out of range: {what}")]
    StateOutOfRange {
        /// What was found and what was expected.
        what: String,
    },
}
