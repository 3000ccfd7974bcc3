//! Difficulty settings of the digits world.

use crate::digits::config::check;
use crate::digits::scene::GRIDS;
use seethink_core::SettingError;
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;

/// Difficulty settings; each is a range, ends included, from which every problem draws its own
/// level.
///
/// `noise` and `brightness` change pixels only: a problem index gives the same question about the
/// same digits for all of their values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DigitsConfig {
    /// Number of digits in a picture: 4 (2x2), 6 (2x3 or 3x2) or 9 (3x3).
    pub cells: RangeInclusive<usize>,
    /// Number of arithmetic operations in a reasoning problem, 1 to 4.
    pub operations: RangeInclusive<usize>,
    /// Standard deviation of the pixel noise, as a fraction of full scale, 0 to 0.5.
    pub noise: RangeInclusive<f32>,
    /// Factor on the ink of each digit, 0.25 to 1.
    pub brightness: RangeInclusive<f32>,
}

impl Default for DigitsConfig {
    fn default() -> Self {
        Self { cells: 4..=9, operations: 1..=4, noise: 0.0..=0.06, brightness: 0.75..=1.0 }
    }
}

impl DigitsConfig {
    /// Checks the range of every setting.
    ///
    /// # Errors
    /// Names the first range that is empty or leaves its bounds.
    pub(super) fn validate(&self) -> Result<(), SettingError> {
        check("cells", &self.cells, 4..=9, "a range within 4..=9 that contains 4, 6 or 9")?;
        if !GRIDS.iter().any(|(rows, columns)| self.cells.contains(&(rows * columns))) {
            let expected = "a range within 4..=9 that contains 4, 6 or 9";
            return Err(SettingError::new("cells", format!("{:?}", self.cells), expected));
        }
        check("operations", &self.operations, 1..=4, "a range within 1..=4")?;
        check("noise", &self.noise, 0.0..=0.5, "a range within 0.0..=0.5")?;
        check("brightness", &self.brightness, 0.25..=1.0, "a range within 0.25..=1.0")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knobs_out_of_range_are_named() {
        let default = DigitsConfig::default();
        assert!(default.validate().is_ok());
        #[allow(clippy::reversed_empty_ranges)]
        let wrong = [
            ("cells", DigitsConfig { cells: 3..=9, ..default.clone() }),
            ("cells", DigitsConfig { cells: 7..=8, ..default.clone() }),
            ("operations", DigitsConfig { operations: 1..=5, ..default.clone() }),
            ("operations", DigitsConfig { operations: 3..=2, ..default.clone() }),
            ("noise", DigitsConfig { noise: 0.0..=f32::NAN, ..default.clone() }),
            ("brightness", DigitsConfig { brightness: 0.0..=1.0, ..default.clone() }),
        ];
        for (field, config) in wrong {
            let message = config.validate().expect_err(field).to_string();
            assert!(message.contains(field) && message.contains("expected"), "{message}");
        }
    }

    #[test]
    fn unknown_knobs_are_refused() {
        assert!(serde_json::from_str::<DigitsConfig>(r#"{"nois": 1}"#).is_err());
        let config: DigitsConfig = serde_json::from_str(r#"{"cells": {"start": 4, "end": 4}}"#).expect("valid");
        assert_eq!(config, DigitsConfig { cells: 4..=4, ..DigitsConfig::default() });
    }
}
