//! Figures of pass-rate histograms.

use crate::{Anchor, Drawing, GRID, INK, PALETTE, Paint, QUIET};

/// Draws pass-rate histograms by capability, one panel each: numbers of problems by right attempts.
pub fn pass_rates(histograms: &[(String, Vec<usize>)]) -> Drawing {
    const WIDTH: f64 = 640.0;
    const LEFT: f64 = 52.0;
    const PANEL: f64 = 150.0;
    const GAP: f64 = 58.0;
    let height = 40.0 + histograms.len().max(1) as f64 * (PANEL + GAP);
    let mut page = Drawing::new("Problems by pass rate", WIDTH, height);
    page.text((12.0, 18.0), "Problems by right attempts", 15.5, INK, Anchor::Start);
    for (i, (capability, counts)) in histograms.iter().enumerate() {
        let bottom = 40.0 + i as f64 * (PANEL + GAP) + GAP / 2.0 + PANEL;
        let most = counts.iter().copied().max().unwrap_or(0).max(1);
        let bar = (WIDTH - LEFT - 16.0) / counts.len().max(1) as f64;
        let n: usize = counts.iter().sum();
        let name = format!("{} ({n} problems)", capability.replace('_', " "));
        page.text((LEFT, bottom - PANEL - 12.0), &name, 13.0, INK, Anchor::Start);
        page.text((LEFT - 8.0, bottom - PANEL), &most.to_string(), 11.5, QUIET, Anchor::End);
        for (right, &count) in counts.iter().enumerate() {
            let from = LEFT + right as f64 * bar;
            let top = bottom - PANEL * count as f64 / most as f64;
            page.rectangle((from + 1.0, top), (from + bar - 1.0, bottom), Paint(PALETTE[i % PALETTE.len()], 0.85));
            page.text((from + bar / 2.0, bottom + 12.0), &right.to_string(), 11.5, QUIET, Anchor::Middle);
        }
        page.line(&[(LEFT, bottom), (WIDTH - 16.0, bottom)], 1.0, Paint(GRID, 1.0));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_capability_has_its_panel() {
        let svg =
            pass_rates(&[("visual_reasoning".into(), vec![3, 0, 5]), ("perception".into(), vec![0; 3])]).svg().unwrap();
        assert!(svg.contains("visual reasoning (8 problems)") && svg.contains("perception (0 problems)"), "{svg}");
        assert!(pass_rates(&[]).png().is_ok());
    }
}
