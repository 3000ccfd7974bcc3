//! Errors of corpora, configurations and records.

use crate::{Axis, Length};
use seethink_core::{ProblemId, SettingError};

/// Errors of building or continuing a curriculum.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CurriculumError {
    /// Duplicate id: two entries of a corpus have the same.
    #[error(
        "problem {id} stands in the corpus twice, as entries {first} and {second} counted from 0; ids must be unique"
    )]
    DuplicateProblem {
        /// Id of both entries.
        id: ProblemId,
        /// Position of one entry, counted from 0.
        first: usize,
        /// Position of the other entry, counted from 0.
        second: usize,
    },
    /// Corpus with more problems than an index can address.
    #[error("the corpus has {found} problems, but at most {} are supported", u32::MAX)]
    TooManyProblems {
        /// Number of problems given.
        found: usize,
    },
    /// Plan without stages.
    #[error("a staged curriculum needs at least one stage, but `stages` is empty")]
    NoStages,
    /// Duplicate name: two stages have the same.
    #[error("two stages are named `{name}`; names must be unique")]
    DuplicateStage {
        /// Name of both stages.
        name: String,
    },
    /// Stage that no problem of the corpus belongs to.
    #[error("stage `{stage}` has no problems: it draws from {wanted}, but the corpus holds {available}")]
    EmptyStage {
        /// Name of the stage.
        stage: String,
        /// Capabilities and other conditions that the stage asks for.
        wanted: String,
        /// Capabilities in the corpus, with the number of problems of each.
        available: String,
    },
    /// Stage, or whole plan, of length 0.
    #[error("stage `{stage}` lasts 0 epochs or steps; expected at least 1")]
    ZeroLength {
        /// Name of the stage.
        stage: String,
    },
    /// Stage with its own length where epochs count over the whole plan.
    #[error(
        "stage `{stage}` has its own length {length:?}, but `epochs: OverWholePlan` gives every stage one epoch per pass; use `PerStage` or remove it"
    )]
    LengthInWholePlan {
        /// Name of the stage.
        stage: String,
        /// Length of the stage.
        length: Length,
    },
    /// Length that no stage can have.
    #[error("stage `{stage}` has the length {length:?}; expected a window of at least 1 step and a finite number")]
    BadLength {
        /// Name of the stage.
        stage: String,
        /// Length of the stage.
        length: Length,
    },
    /// Curriculum of several stages inside another.
    #[error(
        "`{policy}` cannot hold a curriculum of several stages ({stages}): only the outermost curriculum has stages"
    )]
    NestedStages {
        /// Policy that holds it.
        policy: &'static str,
        /// Names of its stages.
        stages: String,
    },
    /// Curriculum inside another, with settings that only an outermost stage can have.
    #[error(
        "a stage inside `{policy}` sets what the trainer does (trainable, reset_optimizer, snapshot_reference or overrides), which \
         nobody would read: only the stages of the outermost curriculum can"
    )]
    NestedSettings {
        /// Policy that holds it.
        policy: &'static str,
    },
    /// Setting out of range.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// Problem without a key on an axis that is needed.
    #[error(
        "problem {problem} has no {axis}, which the curriculum goes by; its tags are [{tags}] (columns of files are tags if their \
         `columns.tags` names them)"
    )]
    MissingKey {
        /// Axis that is needed.
        axis: Axis,
        /// First problem without a key.
        problem: ProblemId,
        /// Names of its tags.
        tags: String,
    },
    /// Key that should be a number.
    #[error("the {axis} of problem {problem} is `{found}`, expected a number")]
    NotANumber {
        /// Axis that needs numbers.
        axis: Axis,
        /// Problem with the key.
        problem: ProblemId,
        /// Key of the problem.
        found: String,
    },
    /// Key that an order does not list.
    #[error("the order by {axis} does not list `{key}`, which occurs in the corpus; it lists {listed}")]
    UnlistedKey {
        /// Axis of the order.
        axis: Axis,
        /// Key that is not listed.
        key: String,
        /// Keys that are listed.
        listed: String,
    },
    /// Custom curriculum, which a configuration only names.
    #[error("the curriculum `{name}` is made by a program of its own; a configuration only records its name")]
    Custom {
        /// Name of the curriculum.
        name: String,
    },
    /// Partition without axes or bins.
    #[error("a partition needs at least one axis and one bin")]
    NoCategories,
    /// Policy without problems.
    #[error("`{policy}` has no problems to draw from")]
    NoProblems {
        /// Name of the policy.
        policy: &'static str,
    },
    /// Record in a format that this build does not read.
    #[error("the curriculum record has version {found}, but this build reads version {expected}")]
    RecordVersion {
        /// Version in the record.
        found: u32,
        /// Version that this build reads.
        expected: u32,
    },
    /// Record over another corpus.
    #[error(
        "the record was made over another corpus (fingerprint {found:016x}, expected {expected:016x}): problems or what is known of them differ"
    )]
    OtherCorpus {
        /// Fingerprint in the record.
        found: u64,
        /// Fingerprint of the corpus in use.
        expected: u64,
    },
    /// Record of another policy, other settings or another seed.
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
        /// Error of the parser.
        source: serde_json::Error,
    },
    /// State that can be read but points outside the curriculum.
    #[error("the state in the record is out of range: {what}")]
    StateOutOfRange {
        /// Value found and value expected.
        what: String,
    },
}
