//! Figures as SVG and PNG: [plans of curricula](Plan), [histograms of pass rates](pass_rates), and
//! [`Drawing`], the list of shapes that every chart is.

mod drawing;
mod pass_rates;
mod plan;

pub use drawing::{Anchor, DrawError, Drawing, GRID, INK, PALETTE, Paint, QUIET, RGBColor, text_width};
pub use pass_rates::pass_rates;
pub use plan::Plan;
