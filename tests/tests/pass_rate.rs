//! Pass rates of a tiny random model: the same attempts whether interrupted, extended later, or
//! made at once.

// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used)]

use seethink::data::PassRateTable;
use seethink::eval::pass_rate::{MeasureError, histogram, measure};
use seethink::eval::{InProcess, SolveError};
use seethink::rollout::{Generator, PromptFormat, RolloutError, Sampling};
use seethink_tests::tiny::{self, LetterReward};
use std::path::Path;

/// Measures six problems until `progress` stops it; batches are of two problems.
fn attempt(
    path: &Path,
    per_problem: usize,
    progress: &mut dyn FnMut(usize, usize) -> bool,
) -> Result<PassRateTable, MeasureError> {
    let (model, processor) = (tiny::model(3), tiny::processor());
    let mut table = PassRateTable::open(path, &serde_json::Map::new())?;
    let solver = InProcess {
        generator: Generator {
            model: &model,
            processor: &processor,
            sampling: Sampling::plain(6),
            max_batch: 2 * per_problem,
        },
        prompt: &PromptFormat { system: None, suffix: String::new() },
        seed: 5,
    };
    let problems = tiny::problems(3);
    let ids: Vec<_> = problems.iter().map(|problem| problem.id).collect();
    measure(&solver, &LetterReward, &problems.into_iter().collect(), &ids, per_problem, &mut table, progress)?;
    Ok(table)
}

#[test]
fn attempts_do_not_depend_on_how_they_are_made() {
    let folder = tempfile::tempdir().unwrap();
    let ids: Vec<_> = tiny::problems(3).iter().map(|problem| problem.id).collect();
    let whole = attempt(&folder.path().join("whole.jsonl"), 4, &mut |_, _| true).unwrap();
    assert!(ids.iter().all(|&id| whole.attempts(id).len() == 4));
    assert_eq!(histogram(&whole, ids.iter().copied(), 4).iter().sum::<usize>(), ids.len());
    let all: Vec<bool> = ids.iter().flat_map(|&id| whole.attempts(id).to_vec()).collect();
    assert!(all.contains(&true) && all.contains(&false), "{all:?}");

    // Stopped in the middle, then with half of the attempts, then with all.
    let path = folder.path().join("parts.jsonl");
    let stopped = attempt(&path, 2, &mut |done, _| done < 4);
    assert!(matches!(stopped, Err(MeasureError::Solve(SolveError::Rollout(RolloutError::Interrupted)))));
    let done = PassRateTable::read(&path).unwrap();
    assert_eq!(ids.iter().filter(|&&id| done.attempts(id).len() == 2).count(), 4);
    let mut asked = Vec::new();
    attempt(&path, 2, &mut |done, wanted| (asked.push(done), wanted == ids.len()).1).unwrap();
    assert_eq!(asked[0], 4, "what is done is not done again");
    let raised = attempt(&path, 4, &mut |_, _| true).unwrap();
    for id in ids {
        assert_eq!(raised.attempts(id), whole.attempts(id));
    }
}
