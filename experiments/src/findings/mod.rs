//! Findings page: all its numbers are computed from the committed results.
//!
//! The text is in `findings.md.in`, with queries `{{…}}` in place of numbers; [`Figures`] lists the
//! queries. `docs/findings.md` is made by `cargo run --release -p experiments -- docs`, and a test
//! checks that it is up to date.

mod figures;
mod glyphs;

pub use figures::Figures;
pub use glyphs::{Halves, nearest_neighbour, splits};

use crate::experiment::Results;
use anyhow::{Context, Result};

/// Path of the page.
pub const PAGE: &str = "docs/findings.md";

/// Template of the page.
const TEXT: &str = include_str!("findings.md.in");
/// Template of the results table in the README.
const README: &str = include_str!("readme.md.in");

/// Renders the page of findings.
///
/// # Errors
/// If a query has no result.
pub fn page(results: &Results) -> Result<String> {
    fill(TEXT, &Figures::new(results))
}

/// Renders the numbers in the results section of the README.
///
/// # Errors
/// As [`page`].
pub fn readme(results: &Results) -> Result<String> {
    fill(README, &Figures::new(results))
}

/// Replaces the queries in a text by their numbers.
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
