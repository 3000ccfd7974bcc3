//! Findings page: all its numbers are computed from the committed results.
//!
//! The text is in `findings.md.in`, with queries `{{…}}` in place of numbers; [`Figures`] lists the
//! queries. `docs/findings.md` is made by `cargo run --release -p experiments -- docs`, and a test
//! checks that it is up to date.

mod figures;

pub use figures::Figures;

use crate::experiment::Results;
use anyhow::{Context, Result};

/// Path of the page.
pub const PAGE: &str = "docs/findings.md";

/// Template of the page.
const TEXT: &str = include_str!("findings.md.in");

/// Renders the page of findings.
///
/// # Errors
/// If there is no such query.
pub fn page(results: &Results) -> Result<String> {
    let figures = Figures::new(results);
    let mut parts = TEXT.split("{{");
    let mut filled = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (asked, rest) = part.split_once("}}").with_context(|| format!("no end of {{{{{part:.40}"))?;
        filled += &figures.get(asked).with_context(|| format!("the findings ask for {{{{{asked}}}}}"))?;
        filled += rest;
    }
    Ok(filled)
}
