//! Pass rates of problems: share of right attempts of a solver.

use crate::solver::{SolveError, Solver};
use seethink_core::{ProblemId, is_right};
use seethink_data::{DataError, PassRateTable};
use seethink_reward::Reward;
use seethink_rollout::{Problems, PromptError};
use std::collections::BTreeMap;

/// Errors of a measurement of pass rates. Attempts made before an error are in the table.
#[derive(Debug, thiserror::Error)]
pub enum MeasureError {
    /// The solver failed.
    #[error(transparent)]
    Solve(#[from] SolveError),
    /// A problem cannot be read.
    #[error(transparent)]
    Problem(#[from] PromptError),
    /// The table could not be written.
    #[error(transparent)]
    Table(#[from] DataError),
}

/// Measures pass rates: makes the attempts that `table` lacks for each problem of `ids` to have
/// `per_problem`, a batch of problems at a time; an attempt is right by the `accuracy` part of the
/// reward. `progress` receives the numbers of problems done and wanted, and stops the measurement
/// by returning `false`.
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
    // Problems are grouped by their number of attempts, which determines how many they need.
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
                    scores.map(|score| is_right(score.part("accuracy").unwrap_or(score.value))).collect();
                table.push(problem.id, &right)?;
            }
            solved?;
            done += batch.len();
        }
    }
    progress(done, ids.len());
    Ok(())
}

/// Histogram of pass rates: numbers of problems by right attempts of `per_problem`, `[right]`;
/// problems with another number of attempts are left out.
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
