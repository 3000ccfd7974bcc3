//! Errors of settings.

use std::fmt::Display;

/// Setting that cannot work: its key, the value found and the values that would work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` is {found}, expected {expected}")]
pub struct SettingError {
    /// Path of the setting, `optimizer.learning_rate`.
    pub key: String,
    /// Value of the setting.
    pub found: String,
    /// Values that would work.
    pub expected: String,
}

impl SettingError {
    /// Error of the setting `key`.
    pub fn new(key: impl Into<String>, found: impl Display, expected: impl Into<String>) -> Self {
        Self { key: key.into(), found: found.to_string(), expected: expected.into() }
    }

    /// This error with the path of the settings that hold this one, `grpo`.
    #[must_use]
    pub fn within(self, path: &str) -> Self {
        Self { key: format!("{path}.{}", self.key), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_key_value_and_expectation() {
        let error = SettingError::new("epochs", 0, "at least 1").within("sft");
        assert_eq!(error.to_string(), "`sft.epochs` is 0, expected at least 1");
    }
}
