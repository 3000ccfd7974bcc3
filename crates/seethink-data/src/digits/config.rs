//! Settings of the digits world.

use super::scene::GRIDS;
use seethink_core::SettingError;
use serde::{Deserialize, Serialize};
use std::fmt::Debug;
use std::ops::RangeInclusive;

/// Settings of the digits world; of each range, ends included, every problem or every digit draws
/// its own value.
///
/// `pictures` changes pixels only: a problem index gives the same question about the same digits
/// for all of its values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DigitsConfig {
    /// Number of digits in a picture: 4 (2x2), 6 (2x3 or 3x2) or 9 (3x3).
    pub cells: RangeInclusive<usize>,
    /// Number of digits that a reasoning problem computes with, 2 to 5. A picture has at least as
    /// many.
    pub symbols: RangeInclusive<usize>,
    /// Form of the questions of perception.
    pub questions: Questions,
    /// Pictures of the digits.
    pub pictures: Pictures,
}

/// Form of a question of perception.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Questions {
    /// The answer is written out: the digit, the colour, the number.
    #[default]
    Open,
    /// The answer is the letter of one of four options, as in the paper.
    MultipleChoice,
}

/// Pictures of digits: how each digit is turned, scaled, moved, coloured and disturbed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pictures {
    /// Largest rotation to either side, degrees, 0 to 45.
    pub rotation: f32,
    /// Factor on the size, 0.5 to 1.5.
    pub scale: RangeInclusive<f32>,
    /// Largest shift along either axis, as a fraction of the cell, 0 to 0.5.
    pub shift: f32,
    /// Factor on the ink, 0.1 to 1.
    pub contrast: RangeInclusive<f32>,
    /// Brightness of the grey that is not the colour of the cell, 0 to 0.5.
    pub ground: RangeInclusive<f32>,
    /// Standard deviation of the noise of pixels, as a fraction of full scale, 0 to 0.5.
    pub noise: RangeInclusive<f32>,
    /// Share of digits that are grey on their colour, instead of coloured on grey, 0 to 1.
    pub reversed: f32,
    /// Share of digits with a bar of grey across them, an eighth of the cell wide, 0 to 1.
    pub occluded: f32,
}

impl Pictures {
    /// Pictures of supervised training: upright, bright on dark.
    pub const NARROW: Self = Self {
        rotation: 8.0,
        scale: 0.95..=1.1,
        shift: 0.06,
        contrast: 0.8..=1.0,
        ground: 0.0..=0.1,
        noise: 0.0..=0.06,
        reversed: 0.0,
        occluded: 0.0,
    };
    /// Pictures of reinforcement learning and of tests, of which the narrow ones are a part.
    pub const WIDE: Self = Self {
        rotation: 12.0,
        scale: 0.85..=1.1,
        shift: 0.08,
        contrast: 0.6..=1.0,
        ground: 0.0..=0.2,
        noise: 0.0..=0.08,
        reversed: 0.9,
        occluded: 0.0,
    };
}

impl Default for Pictures {
    fn default() -> Self {
        Self::WIDE
    }
}

impl Default for DigitsConfig {
    fn default() -> Self {
        Self { cells: 4..=6, symbols: 3..=5, questions: Questions::Open, pictures: Pictures::WIDE }
    }
}

impl DigitsConfig {
    /// Checks the range of every setting.
    ///
    /// # Errors
    /// Names the first setting that is empty or leaves its bounds.
    pub(super) fn validate(&self) -> Result<(), SettingError> {
        const CELLS: &str = "a range within 4..=9 that contains 4, 6 or 9, at least the largest of `symbols`";
        check("cells", &self.cells, 4..=9, CELLS)?;
        check("symbols", &self.symbols, 2..=5, "a range within 2..=5")?;
        let most = GRIDS.iter().map(|(rows, columns)| rows * columns).filter(|n| self.cells.contains(n)).max();
        if most.is_none_or(|most| most < *self.symbols.end()) {
            return Err(SettingError::new("cells", format!("{:?}", self.cells), CELLS));
        }
        let Pictures { rotation, scale, shift, contrast, ground, noise, reversed, occluded } = &self.pictures;
        check("pictures.rotation", &(0.0..=*rotation), 0.0..=45.0, "0 to 45 degrees")?;
        check("pictures.scale", scale, 0.5..=1.5, "a range within 0.5..=1.5")?;
        check("pictures.shift", &(0.0..=*shift), 0.0..=0.5, "0 to 0.5")?;
        check("pictures.contrast", contrast, 0.1..=1.0, "a range within 0.1..=1.0")?;
        check("pictures.ground", ground, 0.0..=0.5, "a range within 0.0..=0.5")?;
        check("pictures.noise", noise, 0.0..=0.5, "a range within 0.0..=0.5")?;
        check("pictures.reversed", &(0.0..=*reversed), 0.0..=1.0, "a share, 0 to 1")?;
        check("pictures.occluded", &(0.0..=*occluded), 0.0..=1.0, "a share, 0 to 1")
    }
}

/// Checks that a range is not empty and lies within its bounds; a NaN never does.
pub(crate) fn check<T: PartialOrd + Debug>(
    key: &str,
    range: &RangeInclusive<T>,
    bounds: RangeInclusive<T>,
    expected: &str,
) -> Result<(), SettingError> {
    let inside = bounds.contains(range.start()) && bounds.contains(range.end());
    if inside && !range.is_empty() { Ok(()) } else { Err(SettingError::new(key, format!("{range:?}"), expected)) }
}
