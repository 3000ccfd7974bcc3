//! Chart of quantities against the training step, with the stages marked.

use seethink_plot::{Anchor, Drawing, GRID, INK, Paint, QUIET, RGBColor, text_width};

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 52.0;
const RIGHT: f64 = WIDTH - 206.0;
const TOP: f64 = 62.0;
const BOTTOM: f64 = HEIGHT - 46.0;
/// Padding between the frame and the first and last step, so that markers there do not touch the
/// frame.
const PADDING: f64 = 16.0;
const LABEL_SIZE: f64 = 12.5;
/// Width of the line that joins markers.
const JOINT: f64 = 1.25;

/// Chart of series against steps.
#[derive(Debug, Clone)]
pub(super) struct Chart {
    /// Heading above the vertical axis: quantity and unit.
    pub(super) heading: String,
    /// Range of the vertical axis; both ends should be round.
    pub(super) range: (f64, f64),
    /// Stages in order.
    pub(super) stages: Vec<Span>,
    /// Series; later ones lie above earlier ones.
    pub(super) series: Vec<Series>,
    /// Legend beside the chart, from the top.
    pub(super) legend: Vec<Key>,
}

/// A stage on the horizontal axis, in steps.
#[derive(Debug, Clone)]
pub(super) struct Span {
    pub(super) name: String,
    pub(super) from: f64,
    pub(super) to: f64,
}

/// Series of data.
#[derive(Debug, Clone)]
pub(super) struct Series {
    pub(super) paint: Paint,
    pub(super) data: Data,
}

/// Entry of the legend.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) label: String,
    pub(super) paint: Paint,
    /// Width of a line beside the label.
    pub(super) line: Option<f64>,
    /// Marker beside the label, on the line if there is one.
    pub(super) marker: Option<Marker>,
    /// An error bar through the marker.
    pub(super) bar: bool,
}

#[derive(Debug, Clone)]
pub(super) enum Data {
    /// Area between two curves: points `(x, low, high)`.
    Band(Vec<(f64, f64, f64)>),
    /// Lines, one per stretch without a break.
    Line { width: f64, stretches: Vec<Vec<(f64, f64)>> },
    /// Points, moved to the right by `dodge` pixels and joined by a line if they are `joined`.
    Markers { marker: Marker, points: Vec<Point>, dodge: f64, joined: bool },
}

/// Measured point with its interval.
#[derive(Debug, Clone, Copy)]
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) interval: Option<(f64, f64)>,
}

/// Marker of a point: its shape tells series apart, as its colour does.
#[derive(Debug, Clone, Copy)]
pub(super) struct Marker {
    pub(super) shape: usize,
    pub(super) hollow: bool,
}

impl Chart {
    /// Draws the chart on a page of its own.
    pub(super) fn draw(&self) -> Drawing {
        let mut page = Drawing::new(&format!("{} against training step", self.heading), WIDTH, HEIGHT);
        self.draw_frame(&mut page);
        for series in &self.series {
            self.draw_series(&mut page, series);
        }
        if self.series.iter().all(|series| series.data.values().is_empty()) {
            page.text(
                ((LEFT + RIGHT) / 2.0, (TOP + BOTTOM) / 2.0),
                "not recorded in this run",
                14.0,
                QUIET,
                Anchor::Middle,
            );
        }
        self.draw_legend(&mut page);
        page
    }

    fn last_step(&self) -> f64 {
        self.stages.last().map_or(1.0, |stage| stage.to).max(1.0)
    }

    fn x(&self, step: f64) -> f64 {
        LEFT + PADDING + step / self.last_step() * (RIGHT - LEFT - 2.0 * PADDING)
    }

    fn y(&self, value: f64) -> f64 {
        let (low, high) = self.range;
        BOTTOM - (value.clamp(low, high) - low) / (high - low) * (BOTTOM - TOP)
    }

    fn draw_frame(&self, page: &mut Drawing) {
        page.text((LEFT - 36.0, 18.0), &self.heading, 15.5, INK, Anchor::Start);
        page.text(((LEFT + RIGHT) / 2.0, HEIGHT - 12.0), "training step", LABEL_SIZE, QUIET, Anchor::Middle);
        for (i, stage) in self.stages.iter().enumerate() {
            let end = |step, is_end: bool, frame| if is_end { frame } else { self.x(step) };
            let from = end(stage.from, i == 0, LEFT);
            let to = end(stage.to, i + 1 == self.stages.len(), RIGHT);
            if i % 2 == 1 {
                page.rectangle((from, TOP), (to, BOTTOM), Paint(QUIET, 0.055));
            }
            let name = fit(&stage.name, LABEL_SIZE, to - from - 6.0);
            page.text(((from + to) / 2.0, TOP - 13.0), &name, LABEL_SIZE, QUIET, Anchor::Middle);
        }
        for tick in ticks(self.range.0, self.range.1, 5) {
            page.line(&[(LEFT, self.y(tick)), (RIGHT, self.y(tick))], 1.0, Paint(GRID, 1.0));
            page.text((LEFT - 9.0, self.y(tick)), &tick_label(tick), LABEL_SIZE, QUIET, Anchor::End);
        }
        for stage in self.stages.iter().skip(1) {
            dashed(page, self.x(stage.from));
        }
        for tick in ticks(0.0, self.last_step(), 8).into_iter().filter(|tick| tick.fract() == 0.0) {
            page.line(&[(self.x(tick), BOTTOM), (self.x(tick), BOTTOM + 4.0)], 1.0, Paint(QUIET, 1.0));
            page.text((self.x(tick), BOTTOM + 14.0), &tick_label(tick), LABEL_SIZE, QUIET, Anchor::Middle);
        }
        page.line(&[(LEFT, BOTTOM), (RIGHT, BOTTOM)], 1.0, Paint(QUIET, 1.0));
    }

    fn draw_series(&self, page: &mut Drawing, series: &Series) {
        let place = |&(x, y): &(f64, f64)| (self.x(x), self.y(y));
        match &series.data {
            Data::Band(points) => {
                let low = points.iter().map(|&(x, low, _)| (x, low));
                let high = points.iter().rev().map(|&(x, _, high)| (x, high));
                page.polygon(&low.chain(high).map(|point| place(&point)).collect::<Vec<_>>(), series.paint);
            }
            Data::Line { width, stretches } => {
                for stretch in stretches {
                    let points: Vec<_> = stretch.iter().map(place).collect();
                    match points[..] {
                        [] => {}
                        // A single point makes a line of no length, but it is a measurement.
                        [point] => page.circle(point, 0.8 * width, series.paint),
                        _ => page.line(&points, *width, series.paint),
                    }
                }
            }
            Data::Markers { marker, points, dodge, joined } => {
                let Paint(color, opacity) = series.paint;
                let place = |point: &Point| (self.x(point.x) + dodge, self.y(point.y));
                if *joined && points.len() > 1 {
                    page.line(&points.iter().map(place).collect::<Vec<_>>(), JOINT, Paint(color, 0.6 * opacity));
                }
                for point in points {
                    let (x, y) = place(point);
                    if let Some((low, high)) = point.interval {
                        error_bar(page, (x, self.y(low)), (x, self.y(high)), series.paint);
                    }
                    marker.draw(page, (x, y), series.paint);
                }
            }
        }
    }

    fn draw_legend(&self, page: &mut Drawing) {
        let x = RIGHT + 18.0;
        for (i, key) in self.legend.iter().enumerate() {
            let y = TOP + 8.0 + 22.0 * i as f64;
            if let Some(width) = key.line {
                page.line(&[(x, y), (x + 22.0, y)], width, key.paint);
            }
            if key.bar {
                error_bar(page, (x + 11.0, y - 8.0), (x + 11.0, y + 8.0), key.paint);
            }
            if let Some(marker) = key.marker {
                marker.draw(page, (x + 11.0, y), key.paint);
            }
            page.text((x + 31.0, y), &fit(&key.label, LABEL_SIZE, WIDTH - x - 33.0), LABEL_SIZE, INK, Anchor::Start);
        }
    }
}

impl Series {
    /// Legend entry of this series.
    pub(super) fn key(&self, label: &str) -> Key {
        let (line, marker) = match self.data {
            Data::Band(_) => (Some(8.0), None),
            Data::Line { width, .. } => (Some(width), None),
            Data::Markers { marker, joined, .. } => (joined.then_some(JOINT), Some(marker)),
        };
        Key { label: label.to_owned(), paint: self.paint, line, marker, bar: false }
    }
}

impl Data {
    /// All values of the series on the vertical axis.
    pub(super) fn values(&self) -> Vec<f64> {
        match self {
            Self::Band(points) => points.iter().flat_map(|&(_, low, high)| [low, high]).collect(),
            Self::Line { stretches, .. } => stretches.iter().flatten().map(|&(_, y)| y).collect(),
            Self::Markers { points, .. } => points.iter().map(|point| point.y).collect(),
        }
    }
}

impl Marker {
    pub(super) fn draw(self, page: &mut Drawing, center: (f64, f64), paint: Paint) {
        let radius = if self.hollow { 3.4 } else { 4.6 };
        self.fill(page, center, radius, paint);
        if self.hollow {
            self.fill(page, center, radius - 1.4, Paint(RGBColor(255, 255, 255), 1.0));
        }
    }

    fn fill(self, page: &mut Drawing, (x, y): (f64, f64), radius: f64, paint: Paint) {
        // Factors that give the shapes about the area of the disc.
        let (side, tip) = (0.89 * radius, 1.25 * radius);
        match self.shape % 4 {
            0 => page.circle((x, y), radius, paint),
            1 => page.rectangle((x - side, y - side), (x + side, y + side), paint),
            2 => page.polygon(&[(x, y - tip), (x + 1.1 * tip, y + 0.8 * tip), (x - 1.1 * tip, y + 0.8 * tip)], paint),
            _ => page.polygon(&[(x, y - tip), (x + tip, y), (x, y + tip), (x - tip, y)], paint),
        }
    }
}

/// Draws an error bar between two points of one column or one row, with a cap at either end.
pub(super) fn error_bar(page: &mut Drawing, from: (f64, f64), to: (f64, f64), paint: Paint) {
    let cap =
        |(x, y): (f64, f64)| if from.0 == to.0 { [(x - 3.0, y), (x + 3.0, y)] } else { [(x, y - 3.0), (x, y + 3.0)] };
    for line in [[from, to], cap(from), cap(to)] {
        page.line(&line, 1.25, paint);
    }
}

fn dashed(page: &mut Drawing, x: f64) {
    let mut y = TOP - 4.0;
    while y < BOTTOM {
        page.line(&[(x, y), (x, (y + 4.0).min(BOTTOM))], 1.0, Paint(QUIET, 0.8));
        y += 7.0;
    }
}

/// Fits `text` into `width` pixels: the text, a beginning of it, or nothing if little would remain.
pub(super) fn fit(text: &str, size: f64, width: f64) -> String {
    if text_width(text, size) <= width {
        return text.to_owned();
    }
    let mut kept: Vec<char> = text.chars().collect();
    while kept.pop().is_some() {
        let shortened: String = kept.iter().copied().chain(['…']).collect();
        if text_width(&shortened, size) <= width {
            return if kept.len() >= 3 { shortened } else { String::new() };
        }
    }
    String::new()
}

/// Ticks of an axis: multiples of 1, 2 or 5 times a power of ten in `[low, high]`, about `n` of
/// them.
pub(super) fn ticks(low: f64, high: f64, n: usize) -> Vec<f64> {
    let step = tick_step(high - low, n);
    let (first, last) = ((low / step - 1e-9).ceil() as i64, (high / step + 1e-9).floor() as i64);
    (first..=last).map(|i| i as f64 * step).collect()
}

/// Smallest range that begins and ends at a tick and contains `low` and `high`.
pub(super) fn round_range(low: f64, high: f64) -> (f64, f64) {
    let high = if high - low > 1e-9 { high } else { low + 1.0 };
    let step = tick_step(high - low, 5);
    ((low / step + 1e-9).floor() * step, (high / step - 1e-9).ceil() * step)
}

fn tick_step(span: f64, n: usize) -> f64 {
    let rough = span / n as f64;
    let power = 10f64.powf(rough.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .map(|factor| factor * power)
        .into_iter()
        .find(|step| rough <= step * 1.0001)
        .unwrap_or(10.0 * power)
}

pub(super) fn tick_label(value: f64) -> String {
    // Ticks are products such as 3 * 0.2, whose last digits are noise.
    let rounded = (value * 1e6).round() / 1e6;
    if rounded.abs() >= 1e5 { crate::report::number::count(rounded) } else { rounded.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        let labels = |low, high, n| ticks(low, high, n).into_iter().map(tick_label).collect::<Vec<_>>();
        assert_eq!(labels(0.0, 1.0, 5), ["0", "0.2", "0.4", "0.6", "0.8", "1"]);
        assert_eq!(labels(0.0, 60.0, 8), ["0", "10", "20", "30", "40", "50", "60"]);
        assert_eq!(labels(-0.3, 0.3, 5), ["-0.2", "0", "0.2"]);
        assert_eq!(labels(0.0, 4e5, 4), ["0", "100k", "200k", "300k", "400k"]);
    }

    #[test]
    fn a_round_range_holds_the_data() {
        assert_eq!(round_range(0.0, 37.0), (0.0, 40.0));
        assert_eq!(round_range(0.0, 1.0), (0.0, 1.0));
        let (low, high) = round_range(2.0, 2.0);
        assert!(low <= 2.0 && high > 2.0);
    }

    #[test]
    fn names_are_shortened_to_their_band() {
        let name = "textual reasoning";
        assert_eq!(fit(name, 12.0, 500.0), name);
        let short = fit(name, 12.0, 60.0);
        assert!(short.ends_with('…') && short.starts_with("tex") && text_width(&short, 12.0) <= 60.0, "{short}");
        assert_eq!(fit(name, 12.0, 12.0), "");
    }
}
