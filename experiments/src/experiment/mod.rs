//! Experiments: arms, run with several seeds and put side by side, and how sure one can be of what they show.
//!
//! An [`Experiment`] is data: its rows are [`Arm`]s, its columns statistics of test outcomes, its contrasts the questions that
//! it answers. [`run`] makes the runs, [`RunResult`] is what outlives each, [`Results`] compares them, [`render`] is the table.

mod arm;
mod confounds;
mod deviations;
pub mod docs;
mod effective;
mod origin;
mod render;
mod result;
mod results;
pub mod run;
mod setting;
pub mod slurm;

pub use arm::*;
pub use confounds::Confounds;
pub use effective::Aliases;
pub use origin::Origin;
pub(crate) use render::p_value;
pub use render::{Rendered, render};
pub use result::{RESULT, RunResult};
pub use results::{Compared, Results};
pub use seethink::eval::statistics::{Counts, Estimate, Letters, Pair, Statistic, contrast, holm};
pub use setting::{Scale, Setting, backbone};

use seethink::run::config::BaseFamily;
use seethink::run::report::Meter;

/// A table of the paper.
pub struct Experiment {
    /// Name on command lines and in files.
    pub id: &'static str,
    /// Heading.
    pub title: &'static str,
    /// Where the paper has it.
    pub paper: &'static str,
    /// What the paper says of it, in our words.
    pub claim: &'static str,
    /// The backbones that it is run on.
    pub backbones: &'static [BaseFamily],
    /// The rows, the one that others are compared with first.
    pub rows: &'static [Row],
    /// The columns.
    pub columns: &'static [Column],
    /// The questions.
    pub contrasts: &'static [Contrast],
    /// Costs in which the rows must not differ by more than 2 %.
    pub equal: &'static [Meter],
    /// What the paper reports.
    pub reported: &'static [Reported],
}

/// A row.
pub struct Row {
    /// What the paper calls it.
    pub label: &'static str,
    /// How it is trained.
    pub arm: &'static Arm,
}

/// A column.
pub struct Column {
    /// Heading.
    pub label: &'static str,
    /// Its unit, which also says what a difference is given in.
    pub unit: Unit,
    /// How it is read off.
    pub read: Read,
}

impl Column {
    /// The statistic, where the column is read from outcomes.
    pub fn statistic(&self) -> Option<Statistic> {
        match self.read {
            Read::Outcomes(statistic) => Some(statistic),
            Read::Result(_) => None,
        }
    }
}

/// What a column is given in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Hundredths of one.
    Percent,
    /// Tokens.
    Tokens,
}

/// How a column is read off.
pub enum Read {
    /// From the outcomes of test problems, `[capability]` in alphabetical order: its differences have intervals.
    Outcomes(Statistic),
    /// From the rest of a result.
    Result(fn(&RunResult) -> Option<f64>),
}

/// A question about some rows: `Σ weight · row` in every column with outcomes.
pub struct Contrast {
    /// What it is called.
    pub label: &'static str,
    /// Weight and id of each arm; `base` is the model that all start from.
    pub terms: &'static [(f64, &'static str)],
}

/// The model that all arms start from, in a contrast.
pub const BASE: &str = "base";

/// A number of the paper.
pub struct Reported {
    /// Backbone that it is of.
    pub backbone: BaseFamily,
    /// Label of the row, or `base`.
    pub row: &'static str,
    /// What the paper calls the column.
    pub column: &'static str,
    /// Its value.
    pub value: f64,
    /// Where it is from.
    pub source: Source,
}

/// How a number of the paper is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// It is printed in the paper, its repository or a page about it.
    Printed,
    /// It was worked out from a figure and printed averages.
    Reconstructed,
}

impl Experiment {
    /// The row of an arm.
    pub fn row(&self, arm: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.arm.id == arm)
    }
}

/// Test accuracy in the three capabilities and their mean, in percent.
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

/// Capabilities in alphabetical order are the paper's order.
fn accuracy(counts: &[Counts], capability: usize) -> f64 {
    counts.get(capability).map_or(f64::NAN, Counts::accuracy)
}

/// What controlled arms have in common.
pub const CONTROLLED: &[Meter] = &[Meter::Completions, Meter::Updates];
