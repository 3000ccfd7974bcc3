//! Forest plot: differences with their intervals, one row each.

use super::chart::{error_bar, fit, round_range, tick_label, ticks};
use seethink_plot::{Anchor, Drawing, GRID, INK, PALETTE, Paint, QUIET, text_width};

const PANEL: f64 = 420.0;
const TOP: f64 = 44.0;
const ROW: f64 = 26.0;
const BOTTOM: f64 = 40.0;
const SIZE: f64 = 12.5;

/// Difference with its interval.
pub struct Effect {
    /// Label of the row.
    pub name: String,
    /// Estimate; `None` where there is none.
    pub value: Option<f64>,
    /// Interval of the estimate, low and high; not drawn where there is none.
    pub interval: (f64, f64),
}

/// Draws a forest plot: a row per difference, on a band over `±matters`, the differences too small to
/// matter. The heading gives the unit of all three.
pub fn effects(heading: &str, effects: &[Effect], matters: f64) -> Drawing {
    let widest = effects.iter().map(|one| text_width(&one.name, SIZE)).fold(60.0, f64::max).min(380.0);
    let (left, bottom) = (24.0 + widest, TOP + ROW * effects.len() as f64);
    let mut page = Drawing::new(heading, left + PANEL + 24.0, bottom + BOTTOM);
    page.text((12.0, 18.0), heading, 15.5, INK, Anchor::Start);
    let ends = effects.iter().filter(|one| one.value.is_some()).flat_map(|one| [one.interval.0, one.interval.1]);
    let (low, high) = ends.fold((-matters, matters), |(low, high), end| (low.min(end), high.max(end)));
    let (low, high) = round_range(low, high);
    let x = |value: f64| left + (value - low) / (high - low) * PANEL;
    page.rectangle((x(-matters), TOP), (x(matters), bottom), Paint(QUIET, 0.09));
    for tick in ticks(low, high, 8) {
        let color = if tick == 0.0 { QUIET } else { GRID };
        page.line(&[(x(tick), TOP), (x(tick), bottom)], 1.0, Paint(color, 1.0));
        page.text((x(tick), bottom + 14.0), &tick_label(tick), SIZE - 1.0, QUIET, Anchor::Middle);
    }
    for (row, Effect { name, value, interval }) in effects.iter().enumerate() {
        let y = TOP + ROW * (row as f64 + 0.5);
        page.text((left - 10.0, y), &fit(name, SIZE, widest), SIZE, INK, Anchor::End);
        let Some(value) = value else { continue };
        let paint = Paint(PALETTE[0], 1.0);
        error_bar(&mut page, (x(interval.0), y), (x(interval.1), y), paint);
        page.circle((x(*value), y), 4.0, paint);
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::check_markup;

    #[test]
    fn every_difference_has_its_row() {
        let effect = |name: &str, value| Effect { name: name.into(), value, interval: (-1.5, 4.0) };
        let drawn = effects("staged - merged (points)", &[effect("all steps", Some(1.0)), effect("few", None)], 2.0);
        let svg = drawn.svg().unwrap();
        check_markup(&svg);
        assert!(svg.contains("all steps") && svg.contains("few"), "{svg}");
        assert_eq!(svg.matches("<circle").count(), 1, "{svg}");
    }
}
