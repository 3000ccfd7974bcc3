//! Figures of a run: reward, accuracy and completion length.

use super::chart::{Chart, Data, Key, Marker, Point, Series, Span, round_range};
use crate::report::number::words;
use crate::report::records::{series, stages};
use crate::report::{Measurement, RunSummary};
use seethink_plot::{Drawing, PALETTE, Paint, QUIET};
use seethink_train::StepRecord;

/// Plot in the folder `plots/`.
#[derive(Debug, Clone)]
pub(crate) struct Figure {
    /// Name of the file, without its extension.
    pub(crate) name: &'static str,
    /// Caption of the plot.
    pub(crate) caption: &'static str,
    /// Drawing of the plot.
    pub(crate) drawing: Drawing,
}

/// Draws reward, accuracy and completion length against the training step.
pub(crate) fn figures(summary: &RunSummary, records: &[StepRecord]) -> [Figure; 3] {
    // Window of a tenth of the run: 7 of 60 steps, at most 51.
    let run = Run { summary, records, half_window: (records.len() / 20).clamp(1, 25) };
    [
        Figure {
            name: "reward",
            caption: "Mean reward of the rollouts of each step, and the part of it that the format earns.",
            drawing: run.reward().draw(),
        },
        Figure {
            name: "accuracy",
            caption: "Accuracy by capability: on the test split before training and after each stage, with 95 % Wilson \
                      intervals; on the validation split in between; and of the sampled rollouts that training saw.",
            drawing: run.accuracy().draw(),
        },
        Figure {
            name: "length",
            caption: "Completion length: mean over the rollouts of each step, and over the test completions by capability.",
            drawing: run.length().draw(),
        },
    ]
}

struct Run<'a> {
    summary: &'a RunSummary,
    records: &'a [StepRecord],
    /// Half width of the moving average, steps.
    half_window: usize,
}

impl Run<'_> {
    fn reward(&self) -> Chart {
        let reward = self.raw_and_smooth("reward/mean", 1.0, Paint(PALETTE[0], 1.0), 0.35);
        let format = self.smooth("reward/format", 1.0, Paint(PALETTE[5], 1.0));
        let values = series(self.records, "reward/mean").into_iter().map(|(_, value)| value);
        let (low, high) = values.fold((0.0, 1.0), |(low, high): (f64, f64), value| (low.min(value), high.max(value)));
        let mut legend = self.keys_of_pair(&reward, "reward");
        legend.push(format.key(&format!("format, mean of {}", self.window())));
        let [raw, smooth] = reward;
        self.chart("Mean reward", round_range(low, high), vec![format, raw, smooth], legend)
    }

    fn accuracy(&self) -> Chart {
        // Training accuracy is the background of the measured accuracy.
        let rollouts = self.raw_and_smooth("reward/accuracy", 100.0, Paint(QUIET, 0.55), 0.25);
        let percent = |value: f64| 100.0 * value;
        let test = self.measured("test", |measurement| {
            let interval = measurement.interval.map(|interval| (percent(interval.low), percent(interval.high)));
            Some((percent(measurement.accuracy), interval))
        });
        let validation = self.measured("validation", |measurement| Some((percent(measurement.accuracy), None)));

        let mut legend = self.keys_of_capabilities(&test);
        for (label, bar, of) in [("test, 95 % interval", true, &test), ("validation", false, &validation)] {
            legend.extend(of.first().map(|series| Key {
                paint: Paint(QUIET, 1.0),
                line: None,
                bar,
                ..series.key(label)
            }));
        }
        legend.extend(self.keys_of_pair(&rollouts, "rollouts"));
        self.chart("Accuracy (%)", (0.0, 100.0), rollouts.into_iter().chain(validation).chain(test).collect(), legend)
    }

    fn length(&self) -> Chart {
        let rollouts = self.raw_and_smooth("rollout/length", 1.0, Paint(QUIET, 1.0), 0.35);
        let test = self.measured("test", |measurement| Some((measurement.length?, None)));
        let mut legend = self.keys_of_capabilities(&test);
        legend.extend(self.keys_of_pair(&rollouts, "rollouts"));
        let all: Vec<_> = rollouts.into_iter().chain(test).collect();
        let highest = all.iter().flat_map(|series| series.data.values()).fold(0.0, f64::max);
        self.chart("Completion length (tokens)", round_range(0.0, highest), all, legend)
    }

    fn chart(&self, heading: &str, range: (f64, f64), series: Vec<Series>, legend: Vec<Key>) -> Chart {
        let mut from = 0.0;
        let span = |stage: &[StepRecord]| {
            let to = stage.last().map_or(from, |record| record.step as f64);
            Span { name: words(&stage[0].stage), from: std::mem::replace(&mut from, to), to }
        };
        let trained = stages(self.records).filter(|stage| stage.iter().any(|record| record.step > 0));
        Chart { heading: heading.to_owned(), range, stages: trained.map(span).collect(), series, legend }
    }

    /// Series of a metric, times `scale`: each step as a thin line of relative opacity `faint`, and
    /// the moving average over it.
    fn raw_and_smooth(&self, metric: &str, scale: f64, paint: Paint, faint: f64) -> [Series; 2] {
        let points = series(self.records, metric).into_iter().map(|(x, y)| (x, scale * y)).collect();
        let raw = Series { paint: Paint(paint.0, faint), data: Data::Line { width: 1.0, stretches: vec![points] } };
        [raw, self.smooth(metric, scale, paint)]
    }

    /// Moving average of a metric. It never crosses the border of a stage, where the problems
    /// change.
    fn smooth(&self, metric: &str, scale: f64, paint: Paint) -> Series {
        let stretch = |stage| {
            let points = moving_average(&series(stage, metric), self.half_window);
            points.into_iter().map(|(x, y)| (x, scale * y)).collect()
        };
        Series { paint, data: Data::Line { width: 2.25, stretches: stages(self.records).map(stretch).collect() } }
    }

    /// Marker series per capability, each in its colour and shape, side by side where they share a
    /// step.
    fn measured(&self, split: &str, value: impl Fn(&Measurement) -> Option<(f64, Option<(f64, f64)>)>) -> Vec<Series> {
        let hollow = split == "validation";
        let n = self.summary.capabilities.len();
        let of_capability = |(i, capability): (usize, &String)| {
            let point = |record: &StepRecord| {
                let (y, interval) = value(&Measurement::of(record, split, capability)?)?;
                Some(Point { x: record.step as f64, y, interval })
            };
            Series {
                paint: Paint(PALETTE[i % PALETTE.len()], if hollow { 0.75 } else { 1.0 }),
                data: Data::Markers {
                    marker: Marker { shape: i, hollow },
                    points: self.records.iter().filter_map(point).collect(),
                    dodge: if hollow { 0.0 } else { 8.0 * (i as f64 - (n as f64 - 1.0) / 2.0) },
                    joined: !hollow,
                },
            }
        };
        self.summary.capabilities.iter().enumerate().map(of_capability).collect()
    }

    fn keys_of_capabilities(&self, series: &[Series]) -> Vec<Key> {
        self.summary.capabilities.iter().zip(series).map(|(name, series)| series.key(&words(name))).collect()
    }

    fn keys_of_pair(&self, [raw, smooth]: &[Series; 2], name: &str) -> Vec<Key> {
        vec![raw.key(&format!("{name}, each step")), smooth.key(&format!("{name}, mean of {}", self.window()))]
    }

    /// Width of the moving average, steps.
    fn window(&self) -> usize {
        2 * self.half_window + 1
    }
}

/// Moving average: the mean of each point and up to `half_window` neighbours on either side.
pub(super) fn moving_average(points: &[(f64, f64)], half_window: usize) -> Vec<(f64, f64)> {
    let average = |i: usize| {
        let window = &points[i.saturating_sub(half_window)..points.len().min(i + half_window + 1)];
        (points[i].0, window.iter().map(|(_, y)| y).sum::<f64>() / window.len() as f64)
    };
    (0..points.len()).map(average).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::{check_markup, record, records};

    #[test]
    fn a_moving_average_keeps_straight_lines_and_shrinks_at_the_ends() {
        let line: Vec<_> = (0..9).map(|i| (f64::from(i), 2.0 * f64::from(i))).collect();
        let smooth = moving_average(&line, 2);
        assert_eq!(smooth[2..7], line[2..7]);
        assert_eq!((smooth[0], smooth[8]), ((0.0, 2.0), (8.0, 14.0)));
        assert!(moving_average(&[], 2).is_empty());
    }

    #[test]
    fn every_figure_is_well_formed_and_names_its_stages() {
        let records = records();
        for figure in figures(&RunSummary::new("staged", &records), &records) {
            let svg = figure.drawing.svg().unwrap();
            check_markup(&svg);
            assert!(svg.contains("perception") && svg.contains("textual reasoning"), "{}", figure.name);
            let picture = image::load_from_memory(&figure.drawing.png().unwrap()).unwrap();
            assert_eq!((picture.width(), picture.height()), (1800, 800), "{}", figure.name);
        }
    }

    #[test]
    fn a_test_point_has_a_bar_of_its_interval() {
        let records = records();
        let summary = RunSummary::new("staged", &records);
        let run = Run { summary: &summary, records: &records, half_window: 2 };
        let series = run.measured("test", |measurement| {
            Some((measurement.accuracy, measurement.interval.map(|i| (i.low, i.high))))
        });
        let Data::Markers { points, .. } = &series[0].data else { panic!("markers") };
        assert_eq!(points.len(), 4);
        assert!(points.iter().all(|point| point.interval.is_some_and(|(low, high)| low < point.y && point.y < high)));
    }

    #[test]
    fn runs_without_numbers_still_have_figures() {
        for records in [
            vec![],
            vec![record(0, "base", &[])],
            vec![record(0, "base", &[]), record(1, "all", &[("reward/mean", 2.5)])],
        ] {
            for figure in figures(&RunSummary::new("", &records), &records) {
                check_markup(&figure.drawing.svg().unwrap());
            }
        }
    }
}
