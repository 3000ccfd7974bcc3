//! Statistics of differences between arms: estimates, confidence intervals and tests.
//!
//! Two sources of variance differ between one comparison and the next: training (the seeds) and the
//! choice of test problems. The seeds are few and get Student's t; the problems are many and get a
//! bootstrap that resamples the problems alone. Both variances are in an interval ([`contrast`]).
//! p-values are corrected for multiple comparisons by [`holm`].

mod estimate;
mod holm;
mod outcomes;
mod spread;
mod wilson;

pub use estimate::{Estimate, Pair, contrast};
pub use holm::holm;
pub use outcomes::{Counts, Letters, Statistic};
pub use spread::Spread;
pub use wilson::{Interval, wilson};
