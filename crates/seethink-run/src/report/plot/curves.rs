//! Figure of a quantity of several arms against the training step.

use super::chart::{Chart, Data, Series, Span, round_range};
use super::figures::moving_average;
use seethink_plot::{Drawing, PALETTE, Paint};

/// Half width of the moving average, steps.
const HALF_WINDOW: usize = 2;

/// Draws curves by name, with a value per step from the first on, each lightly smoothed.
pub fn curves(heading: &str, arms: &[(String, Vec<f64>)]) -> Drawing {
    let all = || arms.iter().flat_map(|(_, values)| values.iter().copied());
    let n_steps = arms.iter().map(|(_, values)| values.len()).max().unwrap_or(1);
    let series: Vec<Series> = arms
        .iter()
        .enumerate()
        .map(|(i, (_, values))| {
            let points: Vec<_> = values.iter().zip(1..).map(|(value, step)| (f64::from(step), *value)).collect();
            let stretches = vec![moving_average(&points, HALF_WINDOW)];
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::check_markup;

    #[test]
    fn arms_of_any_length_are_drawn_and_named() {
        let arms = [("staged".to_owned(), vec![20.0, 30.0, 25.0]), ("merged".to_owned(), vec![])];
        let svg = curves("Length (tokens)", &arms).svg().unwrap();
        check_markup(&svg);
        assert!(svg.contains("staged") && svg.contains("merged") && svg.contains("Length (tokens)"));
    }
}
