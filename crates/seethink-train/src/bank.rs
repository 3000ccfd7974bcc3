//! Bank of groups that may be trained on again.

use seethink_core::Group;
use seethink_curriculum::GroupOutcome;
use serde::{Deserialize, Serialize};

/// Banked group, which may be trained on again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BankedGroup {
    /// Completions: tokens, and their log-probabilities when they were sampled.
    pub group: Group,
    /// Outcome of the group.
    pub outcome: GroupOutcome,
    /// Index of the stage that the group was sampled in, whose prompt it answers.
    pub stage: usize,
}
