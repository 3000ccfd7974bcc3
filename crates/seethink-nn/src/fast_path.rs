//! Fast paths on the processor, and switches to do without them.

use std::sync::atomic::{AtomicU32, Ordering};

/// A faster way of computing the same in `f32` on the processor.
///
/// All are on. [`FastPath::keep_off`] turns some off, to measure what each brings
/// (`cargo xtask compare`), or to find out whether one of them is behind a wrong result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FastPath {
    /// Projections that read the same rows as one operator, with biases and residual.
    Linear,
    /// Root-mean-square norm in one pass.
    RmsNorm,
    /// Norms and rotation of queries and keys in one pass.
    Rotary,
    /// Attention over segments, never the square of a row.
    Attention,
    /// Gated activation in one pass.
    SwiGlu,
    /// Softmax and the log-probability of the chosen token in one pass.
    LogProbs,
    /// Parameters and moments of AdamW, norm and scaling of gradients, in place and on all threads.
    Optimizer,
    /// Cache whose rows have lengths of their own and read their prompt where its group keeps it.
    Cache,
    /// Threads of the pool that stay awake between operators.
    AwakeThreads,
}

/// A bit for each path that is off.
static OFF: AtomicU32 = AtomicU32::new(0);

impl FastPath {
    /// All paths.
    pub const ALL: [Self; 9] = [
        Self::Linear,
        Self::RmsNorm,
        Self::Rotary,
        Self::Attention,
        Self::SwiGlu,
        Self::LogProbs,
        Self::Optimizer,
        Self::Cache,
        Self::AwakeThreads,
    ];

    /// Turns these paths off and all others on, in the whole process. Not while a model computes.
    pub fn keep_off(paths: &[Self]) {
        OFF.store(paths.iter().fold(0, |bits, path| bits | path.bit()), Ordering::Relaxed);
    }

    /// Returns whether the path is on.
    pub(crate) fn is_on(self) -> bool {
        OFF.load(Ordering::Relaxed) & self.bit() == 0
    }

    fn bit(self) -> u32 {
        1 << self as u32
    }
}

impl std::str::FromStr for FastPath {
    type Err = String;

    /// Reads the name of a variant.
    fn from_str(name: &str) -> Result<Self, String> {
        let named = Self::ALL.into_iter().find(|path| format!("{path:?}") == name);
        named.ok_or_else(|| format!("no fast path is called `{name}`; expected one of {:?}", Self::ALL))
    }
}
