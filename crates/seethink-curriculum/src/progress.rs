//! Progress of a curriculum.

use serde::{Deserialize, Serialize};

/// Progress of a curriculum.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// Steps that are over and that the curriculum was part of.
    pub steps: u64,
    /// Calls of [`Curriculum::draw`](crate::Curriculum::draw) so far.
    pub draws: u64,
    /// Problems drawn so far, including those that were left out because their step had drawn them
    /// already.
    pub problems: u64,
}
