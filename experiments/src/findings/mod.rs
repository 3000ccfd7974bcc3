//! The page of findings: every number in it is taken from the committed results as the page is made.
//!
//! The text lies in `findings.md.in`, with `{{…}}` where a number belongs; [`Figures`] says what may stand there. `docs/findings.md` is made
//! from it by `cargo run --release -p experiments -- docs`, and a test sees to it that it is up to date.

mod figures;
mod glyphs;

pub use figures::Figures;
pub use glyphs::{Halves, nearest_neighbour, splits};

use crate::experiment::Results;
use anyhow::{Context, Result};

/// Path of the page.
pub const PAGE: &str = "docs/findings.md";

/// The text of the page.
const TEXT: &str = include_str!("findings.md.in");
/// The rows of the table of results in the README.
const README: &str = include_str!("readme.md.in");

/// The page.
///
/// # Errors
/// If a number asks for what was not run.
pub fn page(results: &Results) -> Result<String> {
    fill(TEXT, &Figures::new(results))
}

/// The results section of the README, as far as it has numbers.
///
/// # Errors
/// As [`page`].
pub fn readme(results: &Results) -> Result<String> {
    fill(README, &Figures::new(results))
}

/// Puts the numbers in.
fn fill(text: &str, figures: &Figures<'_>) -> Result<String> {
    let mut parts = text.split("{{");
    let mut filled = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (asked, rest) = part.split_once("}}").with_context(|| format!("no end of {{{{{part:.40}"))?;
        filled += &figures.get(asked).with_context(|| format!("the findings ask for {{{{{asked}}}}}"))?;
        filled += rest;
    }
    Ok(filled)
}
