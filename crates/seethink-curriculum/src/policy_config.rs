//! Trait of the settings of a policy, by which a configuration builds any of them.

use crate::{Corpus, Curriculum, CurriculumError, Stage};

/// Settings of a policy.
pub(crate) trait PolicyConfig {
    /// Builds the policy over a corpus. Equal arguments give equal draws.
    ///
    /// # Errors
    /// If a setting is out of range, a stage has no problems, or a problem lacks a property that
    /// the policy uses.
    fn build(&self, corpus: &Corpus, seed: u64) -> Result<Box<dyn Curriculum>, CurriculumError>;

    /// Returns whether the policy never ends by itself.
    fn is_endless(&self) -> bool {
        true
    }

    /// Stages as configured; none by default.
    fn stages(&self) -> &[Stage] {
        &[]
    }

    /// The [`stages`](Self::stages), to change them.
    fn stages_mut(&mut self) -> &mut [Stage] {
        &mut []
    }
}

/// Implements the stages of a policy as those of the policy in one of its fields.
macro_rules! keep_stages_of {
    ($policy:ident) => {
        fn stages(&self) -> &[$crate::Stage] {
            self.$policy.stages()
        }

        fn stages_mut(&mut self) -> &mut [$crate::Stage] {
            self.$policy.stages_mut()
        }
    };
}
pub(crate) use keep_stages_of;
