//! Experiments: arms run with several seeds and compared, with confidence intervals.
//!
//! An [`Experiment`] is data: its rows are [`Arm`]s, its columns statistics of test outcomes, its
//! contrasts the comparisons of interest. [`run`] makes the runs, [`RunResult`] stores the result
//! of each, [`Results`] compares them, and [`render`] formats the table.

mod arm;
mod cell;
mod confounds;
mod deviations;
pub mod docs;
mod effective;
mod gates;
mod origin;
mod render;
mod result;
mod results;
pub mod run;
mod setting;
pub mod slurm;
mod verdict;

pub use arm::*;
pub use cell::Cell;
pub use confounds::Confounds;
pub use effective::Aliases;
pub use gates::{Gate, Gates};
pub use origin::Origin;
pub use render::{Rendered, render};
pub(crate) use result::commit;
pub use result::{CurvePoint, RESULT, RunResult};
pub use results::{Compared, Results};
pub use seethink::eval::statistics::{Counts, Estimate, Letters, Pair, Statistic, contrast, holm};
pub use setting::{Scale, Setting, backbone};
pub use verdict::{Judged, MATTERS, Verdict};

use seethink::run::config::BaseFamily;
use seethink::run::report::Meter;

/// Experiment: a table of the paper.
pub struct Experiment {
    /// Id on command lines and in files.
    pub id: &'static str,
    /// Heading.
    pub title: &'static str,
    /// Place of the table in the paper.
    pub paper: &'static str,
    /// Claim of the paper, in our words.
    pub claim: &'static str,
    /// Backbones of the table.
    pub backbones: &'static [BaseFamily],
    /// Rows, beginning with the baseline.
    pub rows: &'static [Row],
    /// Columns.
    pub columns: &'static [Column],
    /// Contrasts between rows.
    pub contrasts: &'static [Contrast],
    /// Costs in which the rows may differ by at most 2 %.
    pub equal: &'static [Meter],
    /// Quantities that are drawn over the course of training.
    pub curves: &'static [Curve],
    /// Numbers reported in the paper.
    pub reported: &'static [Reported],
}

/// Learning curve: a share of the validation problems over the course of training.
pub struct Curve {
    /// Id in file names.
    pub id: &'static str,
    /// Heading without the unit, which is %.
    pub label: &'static str,
    /// Share of the problems.
    pub read: fn(&CurvePoint) -> Option<f64>,
}

/// Row of a table.
pub struct Row {
    /// Name in the paper.
    pub label: &'static str,
    /// Arm of the row.
    pub arm: &'static Arm,
}

/// Column of a table.
pub struct Column {
    /// Heading.
    pub label: &'static str,
    /// Unit of values and differences.
    pub unit: Unit,
    /// Quantity of the column.
    pub read: Read,
}

impl Column {
    /// Statistic of a column that is computed from outcomes.
    pub fn statistic(&self) -> Option<Statistic> {
        match self.read {
            Read::Outcomes(statistic) => Some(statistic),
            Read::Result(_) => None,
        }
    }
}

/// Unit of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Percent.
    Percent,
    /// Tokens.
    Tokens,
}

/// Quantity of a column.
pub enum Read {
    /// Statistic of the outcomes of test problems, `[capability]` in alphabetical order: its
    /// differences have confidence intervals.
    Outcomes(Statistic),
    /// Another number of a result.
    Result(fn(&RunResult) -> Option<f64>),
}

/// Contrast of rows: `Σ weight · row` in every column with outcomes.
pub struct Contrast {
    /// Name of the contrast.
    pub label: &'static str,
    /// Weight and id of each arm; `base` is the base model.
    pub terms: &'static [(f64, &'static str)],
}

/// Id of the base model in a contrast.
pub const BASE: &str = "base";

/// Number reported in the paper.
pub struct Reported {
    /// Backbone of the number.
    pub backbone: BaseFamily,
    /// Label of the row, or `base`.
    pub row: &'static str,
    /// Name of the column in the paper.
    pub column: &'static str,
    /// Value of the number.
    pub value: f64,
    /// Source of the number.
    pub source: Source,
}

/// Source of a reported number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Printed in the paper, its repository or a page about it.
    Printed,
    /// Reconstructed from a figure and printed averages.
    Reconstructed,
}

impl Experiment {
    /// Row of an arm.
    pub fn row(&self, arm: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.arm.id == arm)
    }
}

/// Columns of test accuracy in the three capabilities and their mean, in percent.
pub const ACCURACY: &[Column] = &[
    Column { label: "perception", unit: Unit::Percent, read: Read::Outcomes(|counts| accuracy(counts, 0)) },
    Column { label: "textual reasoning", unit: Unit::Percent, read: Read::Outcomes(|counts| accuracy(counts, 1)) },
    Column { label: "visual reasoning", unit: Unit::Percent, read: Read::Outcomes(|counts| accuracy(counts, 2)) },
    Column {
        label: "mean",
        unit: Unit::Percent,
        read: Read::Outcomes(|counts| (0..3).map(|capability| accuracy(counts, capability)).sum::<f64>() / 3.0),
    },
];

/// Accuracy in a capability; alphabetical order is the paper's order.
fn accuracy(counts: &[Counts], capability: usize) -> f64 {
    counts.get(capability).map_or(f64::NAN, Counts::accuracy)
}

/// Costs that controlled arms have in common.
pub const CONTROLLED: &[Meter] = &[Meter::Completions, Meter::Updates];
