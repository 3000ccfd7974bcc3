//! Errors of settings.

use std::fmt::Display;

/// Setting that cannot work: its key, the value found and the values that would work.
///
/// Its texts are boxed, because it is a part of many errors, and those should be small.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` is {found}, expected {expected}")]
pub struct SettingError {
    /// Path of the setting, `optimizer.learning_rate`.
    pub key: Box<str>,
    /// Value of the setting.
    pub found: Box<str>,
    /// Values that would work.
    pub expected: Box<str>,
}

impl SettingError {
    /// Error of the setting `key`.
    pub fn new(key: impl Into<String>, found: impl Display, expected: impl Into<String>) -> Self {
        Self { key: key.into().into(), found: found.to_string().into(), expected: expected.into().into() }
    }

    /// This error with the path of the settings that hold this one, `grpo`.
    #[must_use]
    pub fn within(self, path: &str) -> Self {
        Self { key: format!("{path}.{}", self.key).into(), ..self }
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
