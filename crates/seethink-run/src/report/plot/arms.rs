//! Figure that compares arms: one panel per column, one row per arm, a dot per seed.

use super::chart::{error_bar, fit, round_range, tick_label, ticks};
use seethink_eval::statistics::Spread;
use seethink_plot::{Anchor, Drawing, GRID, INK, PALETTE, Paint, QUIET, text_width};

const PANEL: f64 = 232.0;
const GAP: f64 = 34.0;
const TOP: f64 = 58.0;
const ROW: f64 = 50.0;
const BOTTOM: f64 = 64.0;
const LABEL_SIZE: f64 = 12.5;

/// Comparison of arms.
pub struct Arms {
    /// Compared quantity and its unit.
    pub heading: String,
    /// Panels: heading of the column, and value of the base model.
    pub columns: Vec<(String, Option<f64>)>,
    /// Rows: name and values of each arm, `[column]`.
    pub rows: Vec<(String, Vec<Option<Spread>>)>,
}

/// Draws a row per arm and a panel per column: mean ± sample standard deviation, the seeds as light
/// dots, and the base model as a dashed line.
pub fn arms(arms: &Arms) -> Drawing {
    let widest = arms.rows.iter().map(|(name, _)| text_width(name, LABEL_SIZE)).fold(60.0, f64::max).min(260.0);
    let left = 20.0 + widest;
    let width = left + arms.columns.len().max(1) as f64 * (PANEL + GAP) + 8.0;
    let height = TOP + ROW * arms.rows.len() as f64 + BOTTOM;
    let mut page = Drawing::new(&arms.heading, width, height);
    page.text((12.0, 18.0), &arms.heading, 15.5, INK, Anchor::Start);

    let middle = |row: usize| TOP + ROW * (row as f64 + 0.5);
    for (row, (name, _)) in arms.rows.iter().enumerate() {
        page.text((left - 2.0, middle(row)), &fit(name, LABEL_SIZE, widest), LABEL_SIZE, INK, Anchor::End);
    }
    for (i, (column, base)) in arms.columns.iter().enumerate() {
        let from = left + GAP / 2.0 + i as f64 * (PANEL + GAP);
        let panel = Panel { from, bottom: height - BOTTOM, range: range(arms, i) };
        panel.draw_frame(&mut page, column);
        if let Some(base) = base {
            panel.draw_base(&mut page, *base);
        }
        for (row, (_, values)) in arms.rows.iter().enumerate() {
            if let Some(spread) = values.get(i).and_then(Option::as_ref) {
                panel.draw_arm(&mut page, middle(row), spread, row);
            }
        }
    }
    let note = "mark: mean; bar: ± sample standard deviation over seeds; dots: seeds; dashed: base model";
    page.text((12.0, height - 14.0), note, 11.5, QUIET, Anchor::Start);
    page
}

struct Panel {
    from: f64,
    bottom: f64,
    range: (f64, f64),
}

impl Panel {
    fn x(&self, value: f64) -> f64 {
        let (low, high) = self.range;
        self.from + (value - low).clamp(0.0, high - low) / (high - low) * PANEL
    }

    fn draw_frame(&self, page: &mut Drawing, name: &str) {
        page.text((self.from, TOP - 14.0), &fit(name, 13.0, PANEL), 13.0, INK, Anchor::Start);
        for tick in ticks(self.range.0, self.range.1, 5) {
            let x = self.x(tick);
            page.line(&[(x, TOP), (x, self.bottom)], 1.0, Paint(GRID, 1.0));
            page.text((x, self.bottom + 13.0), &tick_label(tick), LABEL_SIZE - 1.0, QUIET, Anchor::Middle);
        }
        page.line(&[(self.from, self.bottom), (self.from + PANEL, self.bottom)], 1.0, Paint(QUIET, 1.0));
    }

    fn draw_base(&self, page: &mut Drawing, value: f64) {
        let (x, mut y) = (self.x(value), TOP);
        while y < self.bottom {
            page.line(&[(x, y), (x, (y + 4.0).min(self.bottom))], 1.25, Paint(QUIET, 1.0));
            y += 7.0;
        }
    }

    fn draw_arm(&self, page: &mut Drawing, y: f64, spread: &Spread, row: usize) {
        let color = PALETTE[row % PALETTE.len()];
        for &seed in &spread.values {
            page.circle((self.x(seed), y + 14.0), 3.2, Paint(color, 0.45));
        }
        let y = y + 3.0;
        if let Some(sd) = spread.sd {
            error_bar(page, (self.x(spread.mean - sd), y), (self.x(spread.mean + sd), y), Paint(color, 1.0));
        }
        let x = self.x(spread.mean);
        page.line(&[(x, y - 7.0), (x, y + 7.0)], 3.0, Paint(color, 1.0));
        let label = spread.show(|value| format!("{value:.1}"));
        let half = text_width(&label, 11.5) / 2.0;
        let x = x.clamp(self.from + half, (self.from + PANEL - half).max(self.from + half));
        page.text((x, y - 16.0), &label, 11.5, INK, Anchor::Middle);
    }
}

/// Round range of the values in a panel.
fn range(arms: &Arms, column: usize) -> (f64, f64) {
    let spreads = arms.rows.iter().filter_map(|(_, values)| values.get(column)?.as_ref());
    let ends = spreads.flat_map(|spread| {
        let sd = spread.sd.unwrap_or(0.0);
        spread.values.iter().copied().chain([spread.mean - sd, spread.mean + sd]).collect::<Vec<_>>()
    });
    let (low, high) =
        ends.chain(arms.columns[column].1).fold((f64::MAX, f64::MIN), |(low, high), end| (low.min(end), high.max(end)));
    if low > high { (0.0, 100.0) } else { round_range((low - 1.0).max(0.0), high + 1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::check_markup;

    #[test]
    fn every_arm_has_its_row_and_a_gap_where_nothing_is_known() {
        let spread = Spread::over([40.0, 44.0]);
        let arms = super::arms(&Arms {
            heading: "Test accuracy (%)".into(),
            columns: vec![("visual reasoning".into(), Some(38.0)), ("mean".into(), None)],
            rows: vec![("staged".into(), vec![spread, None]), ("merged".into(), vec![])],
        });
        let svg = arms.svg().unwrap();
        check_markup(&svg);
        assert!(svg.contains("staged") && svg.contains("merged") && svg.contains("42.0 ± 2.8"), "{svg}");
    }
}
