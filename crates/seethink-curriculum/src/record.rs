//! Record: the saved state of a curriculum, as a checkpoint keeps it.

use crate::{CurriculumError, Progress};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Saved state of a curriculum, with enough about its origin to refuse the wrong one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CurriculumRecord {
    pub(crate) version: u32,
    pub(crate) corpus: u64,
    pub(crate) settings: u64,
    pub(crate) progress: Progress,
    pub(crate) state: State,
}

/// State of a policy, which only that policy can read. Finite floating-point numbers come back bit
/// for bit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct State(Value);

impl State {
    /// Stores the state of a policy.
    ///
    /// # Panics
    /// If `state` refuses to be serialised; plain data never does.
    pub fn new(state: &impl Serialize) -> Self {
        Self(serde_json::to_value(state).expect("the state of a curriculum is plain data"))
    }

    /// Reads the state as it was stored.
    ///
    /// # Errors
    /// If the state has another form.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, CurriculumError> {
        T::deserialize(&self.0).map_err(|source| CurriculumError::UnreadableState { source })
    }
}

impl CurriculumRecord {
    /// Version that this build writes and reads.
    pub const VERSION: u32 = 3;

    /// Checks that the record has this build's version and belongs to the corpus and settings with
    /// these fingerprints.
    pub(crate) fn check(&self, corpus: u64, settings: u64) -> Result<(), CurriculumError> {
        let Self { version: found, .. } = *self;
        if found != Self::VERSION {
            return Err(CurriculumError::RecordVersion { found, expected: Self::VERSION });
        }
        if self.corpus != corpus {
            return Err(CurriculumError::OtherCorpus { found: self.corpus, expected: corpus });
        }
        if self.settings != settings {
            return Err(CurriculumError::OtherSettings { found: self.settings, expected: settings });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(state: &impl Serialize) -> CurriculumRecord {
        let progress = Progress::default();
        CurriculumRecord {
            version: CurriculumRecord::VERSION,
            corpus: 1,
            settings: 2,
            progress,
            state: State::new(state),
        }
    }

    #[test]
    fn floating_point_state_survives_bit_for_bit() {
        let state = vec![0.1f64, 1.0 / 3.0, f64::MIN_POSITIVE, -0.0, 1e300, f64::from_bits(0x3ff0_0000_0000_0001)];
        let text = serde_json::to_string(&record(&state)).unwrap();
        let back: Vec<f64> = serde_json::from_str::<CurriculumRecord>(&text).unwrap().state.read().unwrap();
        let bits = |values: &[f64]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&back), bits(&state));
    }

    #[test]
    fn every_mismatch_has_its_own_error() {
        let record = record(&7u32);
        assert!(record.check(1, 2).is_ok());
        assert_eq!(record.state.read::<u32>().unwrap(), 7);
        assert!(matches!(record.check(9, 2), Err(CurriculumError::OtherCorpus { .. })));
        assert!(matches!(record.check(1, 9), Err(CurriculumError::OtherSettings { .. })));
        assert!(matches!(record.state.read::<String>(), Err(CurriculumError::UnreadableState { .. })));
        assert!(matches!(record.state.read::<()>(), Err(CurriculumError::UnreadableState { .. })));
        let newer = CurriculumRecord { version: 9, ..record };
        assert!(matches!(
            newer.check(1, 2),
            Err(CurriculumError::RecordVersion { found: 9, expected: CurriculumRecord::VERSION })
        ));
    }
}
