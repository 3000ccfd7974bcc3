//! What a checkpoint keeps of a curriculum.

use crate::CurriculumError;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A curriculum's state with enough about its origin to refuse the wrong one.
///
/// The state is RON text that only its policy reads, so that policies of other crates have records too; RON writes
/// floating-point numbers so that they read back bit for bit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CurriculumRecord {
    version: u32,
    policy: String,
    corpus: u64,
    settings: u64,
    state: String,
}

impl CurriculumRecord {
    /// The version that this build writes and reads.
    pub const VERSION: u32 = 1;

    /// A record of `state`, made by `policy` over the corpus and settings of these fingerprints.
    ///
    /// # Panics
    /// If `state` refuses to be serialised; plain data never does.
    pub fn new(policy: &str, corpus: u64, settings: u64, state: &impl Serialize) -> Self {
        let state = ron::to_string(state).expect("the state of a curriculum is plain data");
        Self { version: Self::VERSION, policy: policy.to_owned(), corpus, settings, state }
    }

    /// The state, for the policy, corpus and settings that it was made with.
    ///
    /// # Errors
    /// If version, policy, corpus or settings differ, or the state cannot be read.
    pub fn state<T: DeserializeOwned>(&self, policy: &str, corpus: u64, settings: u64) -> Result<T, CurriculumError> {
        if self.version != Self::VERSION {
            return Err(CurriculumError::RecordVersion { found: self.version, expected: Self::VERSION });
        }
        if self.policy != policy {
            return Err(CurriculumError::OtherPolicy { found: self.policy.clone(), expected: policy.to_owned() });
        }
        if self.corpus != corpus {
            return Err(CurriculumError::OtherCorpus { found: self.corpus, expected: corpus });
        }
        if self.settings != settings {
            let (policy, found) = (self.policy.clone(), self.settings);
            return Err(CurriculumError::OtherSettings { policy, found, expected: settings });
        }
        ron::from_str(&self.state).map_err(|source| CurriculumError::UnreadableState {
            policy: self.policy.clone(),
            source: Box::new(source),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floating_point_state_survives_bit_for_bit() {
        let state =
            vec![0.1f64, 1.0 / 3.0, f64::MIN_POSITIVE, -0.0, f64::INFINITY, f64::from_bits(0x3ff0_0000_0000_0001)];
        let text = ron::to_string(&CurriculumRecord::new("bandit", 1, 2, &state)).unwrap();
        let back: Vec<f64> = ron::from_str::<CurriculumRecord>(&text).unwrap().state("bandit", 1, 2).unwrap();
        assert_eq!(
            back.iter().map(|x| x.to_bits()).collect::<Vec<_>>(),
            state.iter().map(|x| x.to_bits()).collect::<Vec<_>>()
        );
    }

    #[test]
    fn every_mismatch_has_its_own_error() {
        let record = CurriculumRecord::new("staged", 1, 2, &7u32);
        assert_eq!(record.state::<u32>("staged", 1, 2).unwrap(), 7);
        assert!(matches!(record.state::<u32>("merged", 1, 2), Err(CurriculumError::OtherPolicy { .. })));
        assert!(matches!(record.state::<u32>("staged", 9, 2), Err(CurriculumError::OtherCorpus { .. })));
        assert!(matches!(record.state::<u32>("staged", 1, 9), Err(CurriculumError::OtherSettings { .. })));
        assert!(matches!(record.state::<String>("staged", 1, 2), Err(CurriculumError::UnreadableState { .. })));
        let newer = CurriculumRecord { version: 2, ..record };
        assert!(matches!(
            newer.state::<u32>("staged", 1, 2),
            Err(CurriculumError::RecordVersion { found: 2, expected: 1 })
        ));
    }
}
