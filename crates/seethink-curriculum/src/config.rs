//! The policies by name, as a configuration file chooses one.

use crate::{Corpus, Curriculum, CurriculumError, Merged, Stage, Staged};
use serde::{Deserialize, Serialize};

/// Which policy, with its settings.
///
/// RON reads the spelling below with its extension `unwrap_variant_newtypes`; without it, `Staged((…))`.
///
/// # Examples
/// ```
/// use seethink_curriculum::{CurriculumConfig, Length};
///
/// let text = r#"
/// #![enable(unwrap_variant_newtypes)]
/// Staged(
///     stages: [
///         (name: "perception", capabilities: ["perception"], length: Some(Epochs(16))),
///         (name: "reasoning", capabilities: ["textual_reasoning", "visual_reasoning"],
///          overrides: (learning_rate: Some(3e-7), kl_coef: Some(0.05))),
///     ],
///     order: EasyToHard,
///     epochs: PerStage(15),
///     last_batch: Keep,
/// )
/// "#;
/// let CurriculumConfig::Staged(staged) = ron::from_str(text)? else { panic!() };
/// assert_eq!(staged.stages[0].length, Some(Length::Epochs(16)));
/// # Ok::<(), ron::error::SpannedError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum CurriculumConfig {
    /// All capabilities at once.
    Merged(Merged),
    /// One stage after the other.
    Staged(Staged),
}

impl CurriculumConfig {
    /// Its stages, as they were written.
    pub fn stages(&self) -> &[Stage] {
        match self {
            Self::Merged(merged) => std::slice::from_ref(&merged.stage),
            Self::Staged(staged) => &staged.stages,
        }
    }

    /// The policy over a corpus. Equal arguments give equal draws.
    ///
    /// # Errors
    /// See the policy's `build`.
    pub fn build(&self, corpus: &Corpus, seed: u64) -> Result<Box<dyn Curriculum>, CurriculumError> {
        match self {
            Self::Merged(merged) => merged.build(corpus, seed),
            Self::Staged(staged) => staged.build(corpus, seed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::three;
    use ron::extensions::Extensions;

    fn read(text: &str) -> Result<CurriculumConfig, ron::error::SpannedError> {
        ron::Options::default().with_default_extension(Extensions::UNWRAP_VARIANT_NEWTYPES).from_str(text)
    }

    #[test]
    fn the_four_cells_of_capability_and_difficulty_are_two_fields_each() {
        let corpus = three(4, 4, 4);
        for (policy, n_stages) in [("Merged", 1), ("Staged", 3)] {
            for order in ["Shuffled", "EasyToHard"] {
                let text = format!("{policy}(order: {order}, epochs: PerStage(1), last_batch: Keep)");
                let curriculum = read(&text).unwrap().build(&corpus, 1).unwrap();
                assert_eq!(curriculum.stages().len(), n_stages);
            }
        }
    }

    #[test]
    fn axes_are_always_spelled_out_and_unknown_keys_refused() {
        let wrong = [
            ("Merged(order: Shuffled, last_batch: Keep)", "epochs"),
            ("Merged(order: Shuffled, epochs: PerStage(1))", "last_batch"),
            ("Staged(epochs: PerStage(1), last_batch: Keep)", "order"),
            ("Staged(order: Sideways, epochs: PerStage(1), last_batch: Keep)", "EasyToHard"),
            ("Staged(order: Shuffled, epochs: PerStage(1), last_batch: Keep, shuffle: true)", "shuffle"),
            ("Mixed(order: Shuffled)", "Staged"),
        ];
        for (text, expected) in wrong {
            let message = read(text).unwrap_err().to_string();
            assert!(message.contains(expected), "{text}: {message}");
        }
    }

    #[test]
    fn configurations_survive_a_round_trip() {
        let text = "Staged(order: HardToEasy, epochs: AsNeeded(steps: 40), last_batch: Drop)";
        let config = read(text).unwrap();
        let plain = ron::to_string(&config).unwrap();
        assert_eq!(ron::from_str::<CurriculumConfig>(&plain).unwrap(), config);
        let pretty = ron::ser::PrettyConfig::new().extensions(Extensions::UNWRAP_VARIANT_NEWTYPES);
        let spelled = ron::ser::to_string_pretty(&config, pretty).unwrap();
        assert_eq!(ron::from_str::<CurriculumConfig>(&spelled).unwrap(), config, "{spelled}");
    }
}
