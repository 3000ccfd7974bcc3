//! Checks of settings.

use seethink_core::SettingError;
use std::fmt::Display;

/// Returns `Ok` if the condition holds, else the error of the setting `key`.
pub(crate) fn expect(
    holds: bool,
    key: impl Into<String>,
    found: impl Display,
    expected: impl Into<String>,
) -> Result<(), SettingError> {
    if holds { Ok(()) } else { Err(SettingError::new(key, found, expected)) }
}

/// Checks that sizes are below a bound, so that products of two of them fit, and allocations stay
/// sane.
pub(crate) fn check_sizes<'a>(sizes: impl IntoIterator<Item = (&'a str, usize)>) -> Result<(), SettingError> {
    const LARGEST: usize = 1 << 24;
    sizes.into_iter().try_for_each(|(key, size)| check_count(key, size, LARGEST))
}

/// Checks that sides of patches and the like are below a bound, so that their products with other
/// sizes fit.
pub(crate) fn check_sides<'a>(sides: impl IntoIterator<Item = (&'a str, usize)>) -> Result<(), SettingError> {
    const LONGEST: usize = 1 << 12;
    sides.into_iter().try_for_each(|(key, side)| check_count(key, side, LONGEST))
}

/// Checks that a number of layers is plausible.
pub(crate) fn check_depth(key: &str, depth: usize) -> Result<(), SettingError> {
    const DEEPEST: usize = 4096;
    check_count(key, depth, DEEPEST)
}

/// Checks that a number is at least one and at most `most`.
pub(crate) fn check_count(key: &str, found: usize, most: usize) -> Result<(), SettingError> {
    expect((1..=most).contains(&found), key, found, format!("1 to {most}"))
}
