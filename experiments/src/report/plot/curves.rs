//! A quantity of several arms against the training step.

use super::chart::{Chart, Data, Series, Span, round_range};
use seethink::drawing::{Drawing, PALETTE, Paint};

/// Steps on either side that a moving average takes in.
const HALF_WINDOW: usize = 2;

/// Curves by name, a value per step from the first on, each smoothed a little.
pub(crate) fn curves(heading: &str, arms: &[(String, Vec<f64>)]) -> Drawing {
    let all = || arms.iter().flat_map(|(_, values)| values.iter().copied());
    let n_steps = arms.iter().map(|(_, values)| values.len()).max().unwrap_or(1);
    let series: Vec<Series> = arms
        .iter()
        .enumerate()
        .map(|(i, (_, values))| {
            let smooth = |at: usize| {
                let window = &values[at.saturating_sub(HALF_WINDOW)..values.len().min(at + HALF_WINDOW + 1)];
                ((at + 1) as f64, window.iter().sum::<f64>() / window.len() as f64)
            };
            let stretches = vec![(0..values.len()).map(smooth).collect()];
            Series { paint: Paint(PALETTE[i % PALETTE.len()], 1.0), data: Data::Line { width: 2.25, stretches } }
        })
        .collect();
    Chart {
        heading: heading.to_owned(),
        range: round_range(0.0, all().fold(0.0, f64::max)),
        stages: vec![Span { name: String::new(), from: 0.0, to: n_steps as f64 }],
        legend: arms.iter().zip(&series).map(|((name, _), series)| series.key(name)).collect(),
        series,
    }
    .draw()
}
