//! Settings that a stage can override.

use crate::{GrpoConfig, TrainError};
use seethink_core::SettingError;
use seethink_curriculum::{Overrides, Setting, Stage};

/// Settings of a stage: those of the run with the stage's overrides.
#[derive(Debug, Clone, PartialEq)]
pub struct StageConfig {
    /// Settings of GRPO.
    pub grpo: GrpoConfig,
    /// Reward, by its name in the run's configuration; `None` is the run's.
    pub reward: Option<String>,
}

impl GrpoConfig {
    /// These settings with the overrides of a stage.
    ///
    /// # Errors
    /// If the stage overrides what it cannot, or with a value of the wrong type; the error names
    /// stage and key.
    pub fn of_stage(&self, stage: &Stage) -> Result<StageConfig, TrainError> {
        let wrong = |error| TrainError::Overrides { stage: stage.name.clone(), error };
        let overrides = StageOverrides::try_from(&stage.overrides).map_err(wrong)?;
        let mut config = StageConfig { grpo: self.clone(), reward: None };
        overrides.apply(&mut config);
        Ok(config)
    }
}

/// Defines the settings that a stage can override: key, type, and place in [`StageConfig`].
macro_rules! stage_overrides {
    ($($(#[$doc:meta])* $key:ident: $type:ty => $($place:ident).+,)*) => {
        /// Settings that a stage overrides; `None` keeps the run's value.
        ///
        /// A [`Stage`](seethink_curriculum::Stage) carries them as [`Overrides`]:
        /// ```
        /// use seethink_core::Capability;
        /// use seethink_curriculum::Stage;
        /// use seethink_train::StageOverrides;
        ///
        /// let mut stage = Stage::of(Capability::PERCEPTION);
        /// stage.overrides = StageOverrides { learning_rate: Some(3e-7), ..Default::default() }.into();
        /// ```
        #[derive(Debug, Clone, Default, PartialEq)]
        pub struct StageOverrides {
            $($(#[$doc])* pub $key: Option<$type>,)*
        }

        impl StageOverrides {
            /// Replaces the settings that are overridden.
            pub(crate) fn apply(self, config: &mut StageConfig) {
                $(if let Some(value) = self.$key {
                    config.$($place).+ = value.into();
                })*
            }
        }

        impl From<StageOverrides> for Overrides {
            fn from(overrides: StageOverrides) -> Self {
                let settings = [$((stringify!($key), overrides.$key.map(Setting::from))),*];
                let given = settings.into_iter().filter_map(|(key, setting)| Some((key.to_owned(), setting?)));
                Self(given.collect())
            }
        }

        /// The error names a key that a stage cannot override, or a value of the wrong type.
        impl TryFrom<&Overrides> for StageOverrides {
            type Error = SettingError;

            fn try_from(overrides: &Overrides) -> Result<Self, SettingError> {
                let mut typed = Self::default();
                for (key, setting) in &overrides.0 {
                    let wrong = |expected| SettingError::new(key, setting, expected).within("overrides");
                    match key.as_str() {
                        $(stringify!($key) => typed.$key = Some(setting.try_into().map_err(wrong)?),)*
                        _ => return Err(wrong(concat!("only keys that a stage can override:", $(" ", stringify!($key)),*))),
                    }
                }
                Ok(typed)
            }
        }
    };
}

stage_overrides! {
    /// Peak learning rate.
    learning_rate: f64 => grpo.optimizer.learning_rate,
    /// Maximum norm of the gradient over all parameters.
    max_grad_norm: f64 => grpo.optimizer.max_grad_norm,
    /// Warm-up: share of the stage's steps over which the learning rate rises from 0 to its peak,
    /// counted from the stage's first step; 0 begins at the peak.
    warmup: f64 => grpo.optimizer.schedule.warmup,
    /// Weight of the KL term in the loss.
    kl_coef: f64 => grpo.loss.kl_coef,
    /// Lower clip range ε: ratios below `1 − ε` are clipped.
    clip_low: f64 => grpo.loss.clip_low,
    /// Upper clip range ε: ratios above `1 + ε` are clipped.
    clip_high: f64 => grpo.loss.clip_high,
    /// Bound of the loss for negative advantages, as a multiple of the advantage; 0 sets no bound.
    dual_clip: f64 => grpo.loss.dual_clip,
    /// Maximum length of a completion, tokens.
    max_tokens: usize => grpo.sampling.max_tokens,
    /// Text appended to the question.
    prompt_suffix: String => grpo.prompt.suffix,
    /// Reward, by its name in the run's configuration.
    reward: String => reward,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typed_overrides_survive_the_stage() {
        let typed = StageOverrides {
            learning_rate: Some(3e-7),
            max_tokens: Some(64),
            reward: Some("short".into()),
            ..Default::default()
        };
        assert_eq!(StageOverrides::try_from(&Overrides::from(typed.clone())), Ok(typed));
    }

    #[test]
    fn unknown_keys_and_wrong_types_are_named() {
        let read = |key: &str, setting: Setting| {
            StageOverrides::try_from(&Overrides([(key.to_owned(), setting)].into())).unwrap_err().to_string()
        };
        let message = read("lr", 0.5.into());
        assert!(message.contains("`overrides.lr` is 0.5") && message.contains(" learning_rate "), "{message}");
        assert_eq!(
            read("max_tokens", 0.5.into()),
            "`overrides.max_tokens` is 0.5, expected a whole number of at least 0"
        );
        assert_eq!(read("kl_coef", "none".to_owned().into()), "`overrides.kl_coef` is none, expected a number");
    }
}
