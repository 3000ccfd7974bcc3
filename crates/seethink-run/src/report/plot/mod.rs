//! Plots: figures and digest of a run, the comparison of arms, and their output as SVG and PNG.

mod arms;
mod bands;
mod chart;
mod curves;
mod digest;
mod effects;
mod figures;

pub use arms::Arms;
pub use arms::arms;
pub use bands::{Band, bands};
pub use curves::curves;
pub(super) use digest::digest;
pub use effects::{Effect, effects};
pub(super) use figures::{Figure, figures};
pub(super) use seethink_plot::Drawing;

use super::{ReportError, files};
use std::path::Path;

/// Writes `drawing` as `stem.svg` and `stem.png`.
pub fn write(drawing: &Drawing, stem: &Path) -> Result<(), ReportError> {
    files::write(&stem.with_added_extension("svg"), drawing.svg()?.as_bytes())?;
    files::write(&stem.with_added_extension("png"), &drawing.png()?)
}
