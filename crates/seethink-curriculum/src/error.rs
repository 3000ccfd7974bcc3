//! Everything that can be wrong with a corpus, a configuration or a record.

use crate::{Length, Order};
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
    /// An order by pass rate over a problem that has none.
    #[error(
        "stage `{stage}` is ordered {order:?}, which needs every problem's pass rate, but problem {problem} has none"
    )]
    MissingPassRate {
        /// The stage's name.
        stage: String,
        /// The order asked for.
        order: Order,
        /// The first problem without.
        problem: ProblemId,
    },
    /// A record in a format that this build does not read.
    #[error("the curriculum record has version {found}, but this build reads version {expected}")]
    RecordVersion {
        /// Version in the record.
        found: u32,
        /// Version that is read.
        expected: u32,
    },
    /// A record of another policy.
    #[error("the record belongs to the policy `{found}`, but the curriculum is `{expected}`")]
    OtherPolicy {
        /// Policy in the record.
        found: String,
        /// Policy that loads it.
        expected: String,
    },
    /// A record over other problems.
    #[error(
        "the record was made over another corpus (fingerprint {found:016x}, expected {expected:016x}): problems, pass rates or tags differ"
    )]
    OtherCorpus {
        /// Fingerprint in the record.
        found: u64,
        /// Fingerprint of the corpus in use.
        expected: u64,
    },
    /// A record of the same policy with other settings or another seed.
    #[error(
        "the record was made with other settings of `{policy}` or another seed (fingerprint {found:016x}, expected {expected:016x})"
    )]
    OtherSettings {
        /// The policy.
        policy: String,
        /// Fingerprint in the record.
        found: u64,
        /// Fingerprint of the settings in use.
        expected: u64,
    },
    /// State that cannot be read.
    #[error("the state in the record of `{policy}` cannot be read")]
    UnreadableState {
        /// The policy.
        policy: String,
        /// What the parser said, with line and column.
        source: Box<ron::error::SpannedError>,
    },
    /// State that can be read but points outside the curriculum.
    #[error("the state in the record of `{policy}` is out of range: {what}")]
    StateOutOfRange {
        /// The policy.
        policy: String,
        /// What was found and what was expected.
        what: String,
    },
}
