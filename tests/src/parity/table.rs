//! Table of compared quantities and their differences.

use super::Settings;
use seethink::models::WeightDtype;
use std::fmt;

/// Difference of one quantity from the reference, over all cases of a folder.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Name of the quantity.
    pub quantity: &'static str,
    /// Number of values.
    pub n: usize,
    /// Largest difference. For integers and text, the number of values that differ.
    pub max_abs: f64,
    /// Largest difference over the largest value of the same tensor.
    pub max_rel: f64,
    /// Tolerance where the difference is nearest to it, or furthest beyond; `None` where the
    /// difference is not judged.
    pub tolerance: Option<f64>,
    /// True if every difference was within its tolerance.
    pub pass: bool,
    /// Place where the difference is nearest to its tolerance.
    pub place: String,
    worst: f64,
}

/// Comparison of one folder.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Display name of the model.
    pub family: String,
    /// Rows in the order in which a model computes the quantities.
    pub rows: Vec<Row>,
    slack: f64,
    judged: bool,
}

impl Table {
    pub(super) fn new(family: &str, settings: &Settings) -> Self {
        let judged = settings.dtype == WeightDtype::F32;
        Self { family: family.to_owned(), rows: Vec::new(), slack: settings.slack, judged }
    }

    /// Returns whether every row passes.
    pub fn passes(&self) -> bool {
        self.rows.iter().all(|row| row.pass)
    }

    /// Row of a quantity.
    pub fn row(&self, quantity: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.quantity == quantity)
    }

    /// Returns whether weights, sums and products are the reference's, so that later results can be
    /// compared for equality.
    pub(super) fn is_judged(&self) -> bool {
        self.judged
    }

    /// Compares floats. `noise` is the difference of the reference's `f32` from its own `f64`: the
    /// tolerance is ten times the noise, and at least 2e-6 of the largest value.
    pub(super) fn close(&mut self, quantity: &'static str, place: &str, found: &[f32], expected: &[f32], noise: f64) {
        let largest = expected.iter().fold(0.0f64, |largest, x| largest.max(f64::from(x.abs())));
        let tolerance = (10.0 * noise).max(2e-6 * largest);
        self.within(quantity, place, found, expected, tolerance);
    }

    /// Compares floats with a given tolerance.
    pub(super) fn within(
        &mut self,
        quantity: &'static str,
        place: &str,
        found: &[f32],
        expected: &[f32],
        tolerance: f64,
    ) {
        let largest = expected.iter().fold(0.0f64, |largest, x| largest.max(f64::from(x.abs())));
        let mut off = found.iter().zip(expected).fold(0.0f64, |off, (a, b)| {
            let difference = f64::from((a - b).abs());
            // A comparison with NaN is false: a NaN must not be hidden.
            if difference.is_nan() { f64::INFINITY } else { off.max(difference) }
        });
        if found.len() != expected.len() {
            off = f64::INFINITY;
        }
        let tolerance = self.judged.then_some(self.slack * tolerance);
        let relative = if off == 0.0 { 0.0 } else { off / largest.max(f64::MIN_POSITIVE) };
        self.add(quantity, place, found.len(), (off, relative), tolerance);
    }

    /// Compares values for equality. Where `expected` is longer or shorter, the rest counts as
    /// different.
    pub(super) fn equal<T: PartialEq>(&mut self, quantity: &'static str, place: &str, found: &[T], expected: &[T]) {
        let n = found.len().max(expected.len());
        let same = found.iter().zip(expected).filter(|(a, b)| a == b).count();
        let off = (n - same) as f64;
        self.add(quantity, place, n, (off, off / n.max(1) as f64), Some(0.0));
    }

    fn add(&mut self, quantity: &'static str, place: &str, n: usize, off: (f64, f64), tolerance: Option<f64>) {
        let row = match self.rows.iter_mut().position(|row| row.quantity == quantity) {
            Some(i) => &mut self.rows[i],
            None => {
                let (place, pass) = (String::new(), true);
                let row = Row { quantity, n: 0, max_abs: 0.0, max_rel: 0.0, tolerance, pass, place, worst: -1.0 };
                self.rows.push(row);
                self.rows.last_mut().expect("just pushed")
            }
        };
        row.n += n;
        row.max_abs = row.max_abs.max(off.0);
        row.max_rel = row.max_rel.max(off.1);
        row.pass &= tolerance.is_none_or(|tolerance| off.0 <= tolerance);
        let strain = match tolerance {
            Some(tolerance) if off.0 > 0.0 => off.0 / tolerance,
            Some(_) => 0.0,
            None => off.0,
        };
        if strain > row.worst {
            (row.worst, row.tolerance, row.place) = (strain, tolerance, place.to_owned());
        }
    }
}

/// Formats the table as rows of a Markdown table.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |x: f64| if x == 0.0 { "0".to_owned() } else { format!("{x:.1e}") };
        for row in &self.rows {
            let tolerance = row.tolerance.map_or_else(|| "–".to_owned(), number);
            let verdict = match (row.pass, row.tolerance) {
                (true, Some(_)) => "yes".to_owned(),
                (true, None) => "–".to_owned(),
                (false, _) => format!("**no**: {}", row.place),
            };
            writeln!(
                f,
                "| {} | {} | {} | {} | {} | {tolerance} | {verdict} |",
                self.family,
                row.quantity,
                row.n,
                number(row.max_abs),
                number(row.max_rel)
            )?;
        }
        Ok(())
    }
}
