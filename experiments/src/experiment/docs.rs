//! Docs.

use anyhow::Result;
use std::path::Path;

/// Writes.
pub fn write(_results: &Path) -> Result<()> {
    Ok(())
}
