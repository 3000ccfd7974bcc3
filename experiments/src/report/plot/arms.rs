//! The comparison of arms: one panel per capability, one row per arm, a dot per seed.

use super::chart::{error_bar, fit, round_range, tick_label, ticks};
use crate::report::number::{percent, words};
use crate::report::{Aggregate, Arm, ArmCheckpoint, Spread};
use seethink::drawing::{Anchor, Drawing, GRID, INK, PALETTE, Paint, QUIET, text_width};

const PANEL: f64 = 232.0;
const GAP: f64 = 34.0;
const TOP: f64 = 58.0;
const ROW: f64 = 50.0;
const BOTTOM: f64 = 64.0;
const LABEL_SIZE: f64 = 12.5;

/// Test accuracy of each arm after its last finished stage: mean ± sample standard deviation, the seeds as light dots, and
/// the base model as a dashed line.
pub(crate) fn arms(results: &Aggregate) -> Drawing {
    let capabilities = results.capabilities();
    let widest =
        results.arms.iter().map(|arm| text_width(&words(&arm.name), LABEL_SIZE)).fold(60.0, f64::max).min(200.0);
    let left = 20.0 + widest;
    let n_panels = capabilities.len().max(1) as f64;
    let width = left + n_panels * (PANEL + GAP) + 8.0;
    let height = TOP + ROW * results.arms.len() as f64 + BOTTOM;
    let mut page = Drawing::new("Test accuracy of each arm by capability", width, height);
    page.text((12.0, 18.0), "Test accuracy (%) after the last stage", 15.5, INK, Anchor::Start);

    let middle = |row: usize| TOP + ROW * (row as f64 + 0.5);
    for (row, arm) in results.arms.iter().enumerate() {
        let name = fit(&words(&arm.name), LABEL_SIZE, widest);
        page.text((left - 2.0, middle(row)), &name, LABEL_SIZE, INK, Anchor::End);
    }
    for (i, capability) in capabilities.iter().enumerate() {
        let from = left + GAP / 2.0 + i as f64 * (PANEL + GAP);
        let panel = Panel { from, bottom: height - BOTTOM, range: range(results, capability) };
        panel.draw_frame(&mut page, &words(capability));
        if let Some(base) = mean_base(results, capability) {
            panel.draw_base(&mut page, base);
        }
        for (row, arm) in results.arms.iter().enumerate() {
            if let Some(spread) = last(arm, capability).and_then(|checkpoint| checkpoint.accuracy.get(capability)) {
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
    fn x(&self, accuracy: f64) -> f64 {
        let (low, high) = self.range;
        self.from + (100.0 * accuracy - low).clamp(0.0, high - low) / (high - low) * PANEL
    }

    fn draw_frame(&self, page: &mut Drawing, name: &str) {
        page.text((self.from, TOP - 14.0), &fit(name, 13.0, PANEL), 13.0, INK, Anchor::Start);
        for tick in ticks(self.range.0, self.range.1, 5) {
            let x = self.x(tick / 100.0);
            page.line(&[(x, TOP), (x, self.bottom)], 1.0, Paint(GRID, 1.0));
            page.text((x, self.bottom + 13.0), &tick_label(tick), LABEL_SIZE - 1.0, QUIET, Anchor::Middle);
        }
        page.line(&[(self.from, self.bottom), (self.from + PANEL, self.bottom)], 1.0, Paint(QUIET, 1.0));
    }

    fn draw_base(&self, page: &mut Drawing, accuracy: f64) {
        let (x, mut y) = (self.x(accuracy), TOP);
        while y < self.bottom {
            page.line(&[(x, y), (x, (y + 4.0).min(self.bottom))], 1.25, Paint(QUIET, 1.0));
            y += 7.0;
        }
    }

    fn draw_arm(&self, page: &mut Drawing, y: f64, spread: &Spread, row: usize) {
        let color = PALETTE[row % PALETTE.len()];
        for seed in &spread.values {
            page.circle((self.x(seed.value), y + 14.0), 3.2, Paint(color, 0.45));
        }
        let y = y + 3.0;
        if let Some(sd) = spread.sd {
            error_bar(page, (self.x(spread.mean - sd), y), (self.x(spread.mean + sd), y), Paint(color, 1.0));
        }
        let x = self.x(spread.mean);
        page.line(&[(x, y - 7.0), (x, y + 7.0)], 3.0, Paint(color, 1.0));
        let label = spread.show(percent);
        let half = text_width(&label, 11.5) / 2.0;
        let x = x.clamp(self.from + half, (self.from + PANEL - half).max(self.from + half));
        page.text((x, y - 16.0), &label, 11.5, INK, Anchor::Middle);
    }
}

/// A round range in percent that holds everything that is drawn of a capability.
fn range(results: &Aggregate, capability: &str) -> (f64, f64) {
    let drawn = results.arms.iter().flat_map(|arm| arm.checkpoints.first().into_iter().chain(last(arm, capability)));
    let ends = drawn.filter_map(|checkpoint| checkpoint.accuracy.get(capability)).flat_map(|spread| {
        let sd = spread.sd.unwrap_or(0.0);
        let seeds = spread.values.iter().map(|seed| seed.value);
        seeds.chain([spread.mean - sd, spread.mean + sd]).collect::<Vec<_>>()
    });
    let (low, high) = ends.fold((f64::MAX, f64::MIN), |(low, high), end| (low.min(end), high.max(end)));
    if low > high { (0.0, 100.0) } else { round_range((100.0 * low - 1.0).max(0.0), (100.0 * high + 1.0).min(100.0)) }
}

/// The last trained checkpoint that was tested.
fn last<'a>(arm: &'a Arm, capability: &str) -> Option<&'a ArmCheckpoint> {
    arm.checkpoints.iter().skip(1).rfind(|checkpoint| checkpoint.accuracy.contains_key(capability))
}

/// Over all arms and seeds: they start from the same model.
fn mean_base(results: &Aggregate, capability: &str) -> Option<f64> {
    let bases = results.arms.iter().filter_map(|arm| arm.checkpoints.first());
    let values: Vec<f64> = bases
        .filter_map(|base| base.accuracy.get(capability))
        .flat_map(|spread| &spread.values)
        .map(|seed| seed.value)
        .collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}
