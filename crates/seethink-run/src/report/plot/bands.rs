//! Learning curves of several arms against the training step, with intervals.

use super::chart::{Chart, Data, Series, Span, round_range};
use seethink_plot::{Drawing, PALETTE, Paint};

/// Learning curve of an arm, over its seeds.
pub struct Band {
    /// Name of the arm.
    pub name: String,
    /// Points: training step, mean, and the interval around it, low and high.
    pub points: Vec<(f64, f64, (f64, f64))>,
}

/// Draws learning curves: the mean of each arm as a line, its interval as a band. The heading gives
/// the unit.
pub fn bands(heading: &str, arms: &[Band]) -> Drawing {
    let points = || arms.iter().flat_map(|arm| &arm.points);
    let last = points().map(|(step, ..)| *step).fold(1.0, f64::max);
    let ends = points().flat_map(|(_, _, (low, high))| [*low, *high]);
    let (low, high) = ends.fold((f64::MAX, f64::MIN), |(low, high), end| (low.min(end), high.max(end)));
    let color = |i: usize| PALETTE[i % PALETTE.len()];
    let areas = arms.iter().enumerate().map(|(i, arm)| Series {
        paint: Paint(color(i), 0.18),
        data: Data::Band(arm.points.iter().map(|&(step, _, (low, high))| (step, low, high)).collect()),
    });
    let lines: Vec<Series> = arms
        .iter()
        .enumerate()
        .map(|(i, arm)| Series {
            paint: Paint(color(i), 1.0),
            data: Data::Line {
                width: 2.25,
                stretches: vec![arm.points.iter().map(|&(step, mean, _)| (step, mean)).collect()],
            },
        })
        .collect();
    Chart {
        heading: heading.to_owned(),
        range: if low > high { (0.0, 1.0) } else { round_range(low, high) },
        stages: vec![Span { name: String::new(), from: 0.0, to: last }],
        legend: arms.iter().zip(&lines).map(|(arm, line)| line.key(&arm.name)).collect(),
        series: areas.chain(lines).collect(),
    }
    .draw()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::check_markup;

    #[test]
    fn every_arm_has_a_line_and_a_band() {
        let arm = |name: &str, points: Vec<_>| Band { name: name.into(), points };
        let points = vec![(0.0, 30.0, (29.0, 31.0)), (44.0, 41.0, (38.0, 44.0))];
        let svg = bands(
            "Visual reasoning (%)",
            &[arm("staged", points), arm("merged", vec![(0.0, 30.0, (30.0, 30.0)), (44.0, 39.0, (37.0, 41.0))])],
        )
        .svg()
        .unwrap();
        check_markup(&svg);
        assert!(svg.contains("staged") && svg.contains("merged"), "{svg}");
        assert_eq!(svg.matches("<polygon").count(), 2, "{svg}");
    }
}
