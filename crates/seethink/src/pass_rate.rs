//! Pass rates of problems: how often a solver is right.

use crate::core::ProblemId;
use crate::data::{DataError, PassRateTable};
use crate::drawing::{Anchor, Drawing, GRID, INK, PALETTE, Paint, QUIET};
use crate::reward::Reward;
use crate::solver::{SolveError, Solver};
use crate::train::{Problems, TrainError};
use std::collections::BTreeMap;

/// Why a measurement stopped. What was measured before is in the table.
#[derive(Debug, thiserror::Error)]
pub enum MeasureError {
    /// There was no answer.
    #[error(transparent)]
    Solve(#[from] SolveError),
    /// A problem cannot be read.
    #[error(transparent)]
    Problem(#[from] TrainError),
    /// The table could not be written.
    #[error(transparent)]
    Table(#[from] DataError),
}

/// Makes the attempts that `table` lacks for each problem of `ids` to have `per_problem`, a batch of problems at a time; the reward's part
/// `accuracy` says what is right. `progress` hears of problems done and wanted, and stops it by returning `false`.
///
/// # Errors
/// If a problem cannot be read, the solver or the table fails, or `progress` stops it.
pub fn measure(
    solver: &dyn Solver,
    reward: &dyn Reward,
    problems: &Problems,
    ids: &[ProblemId],
    per_problem: usize,
    table: &mut PassRateTable,
    progress: &mut dyn FnMut(usize, usize) -> bool,
) -> Result<(), MeasureError> {
    // Problems that have as many attempts already need as many more.
    let mut by_number: BTreeMap<usize, Vec<ProblemId>> = BTreeMap::new();
    for &id in ids {
        let before = table.attempts(id).len();
        if before < per_problem {
            by_number.entry(before).or_default().push(id);
        }
    }
    let mut done = ids.len() - by_number.values().map(Vec::len).sum::<usize>();
    for (before, open) in by_number {
        for batch in open.chunks(solver.batch(per_problem - before).max(1)) {
            let batch = problems.get(batch)?;
            let mut answers = Vec::with_capacity(batch.len());
            let mut go_on = || progress(done, ids.len());
            let solved = solver.solve(
                &batch.iter().collect::<Vec<_>>(),
                before..per_problem,
                &mut go_on,
                &mut |index, texts| {
                    answers.push((&batch[index], texts));
                },
            );
            for (problem, texts) in answers {
                let scores = texts.iter().map(|text| reward.score(problem, text.as_str().into()));
                let right: Vec<bool> =
                    scores.map(|score| score.part("accuracy").unwrap_or(score.value) >= 0.5).collect();
                table.push(problem.id, &right)?;
            }
            solved?;
            done += batch.len();
        }
    }
    progress(done, ids.len());
    Ok(())
}

/// How many problems have how many right attempts of `per_problem`, `[right]`; problems with another number of attempts are left out.
pub fn histogram(table: &PassRateTable, problems: impl Iterator<Item = ProblemId>, per_problem: usize) -> Vec<usize> {
    let mut counts = vec![0; per_problem + 1];
    for problem in problems {
        let right = table.attempts(problem);
        if right.len() == per_problem {
            counts[right.iter().filter(|&&right| right).count()] += 1;
        }
    }
    counts
}

/// Histograms by capability, one panel each: how many problems have how many right attempts.
pub fn draw(histograms: &[(String, Vec<usize>)]) -> Drawing {
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
        let svg = draw(&[("visual_reasoning".into(), vec![3, 0, 5]), ("perception".into(), vec![0; 3])]).svg().unwrap();
        assert!(svg.contains("visual reasoning (8 problems)") && svg.contains("perception (0 problems)"), "{svg}");
        assert!(draw(&[]).png().is_ok());
    }
}
