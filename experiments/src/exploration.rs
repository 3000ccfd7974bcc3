//! Exploration of when order matters: staged training against merged training with resets, where one
//! factor has another level than in the tables.
//!
//! It is registered as an exploration (docs/preregistration.md): estimates and intervals, no
//! verdicts.

use crate::experiment::run::Task;
use crate::experiment::{
    Arm, Cell, Estimate, MATTERS, MERGED_WITH_RESETS, RESULT, Rendered, RunResult, STAGED, Scale, Setting, Unit,
};
use anyhow::Result;
use seethink::core::Capability;
use seethink::eval::statistics::Spread;
use seethink::run::config::BaseFamily;
use seethink::run::report::{Effect, draw_effects};
use std::fmt::Write;
use std::path::Path;

/// Name of the exploration beside those of tables.
pub const ID: &str = "exploration";

/// Lists the runs of all cells on Qwen3-VL with seeds 1, 2, …; those of [`Cell::Tables`] are runs of
/// the tables.
pub fn tasks(seeds: u64, set: &[String]) -> Vec<Task> {
    let task = |cell, arm, seed| Task { setting: setting(cell), arm, seed, set: set.to_vec() };
    let of_seed =
        |seed| Cell::ALL.into_iter().flat_map(move |cell| [(cell, &STAGED, seed), (cell, &MERGED_WITH_RESETS, seed)]);
    (1..=seeds).flat_map(of_seed).map(|(cell, arm, seed)| task(cell, arm, seed)).collect()
}

fn setting(cell: Cell) -> Setting {
    Setting { cell, ..Setting::new(Scale::Micro, BaseFamily::Qwen3Vl) }
}

/// Results of a cell.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Cell of the results.
    pub cell: Cell,
    /// Accuracy in visual reasoning at the end, staged and merged with resets, `[seed][arm]`.
    pub pairs: Vec<[f64; 2]>,
}

impl Found {
    /// Staged minus merged with resets, paired by seed, with Student's interval; `None` of fewer than
    /// two pairs.
    pub fn difference(&self) -> Option<Estimate> {
        Estimate::over(&self.pairs.iter().map(|[staged, merged]| staged - merged).collect::<Vec<_>>())
    }

    /// Mean over seeds of an arm; `None` where nothing was run.
    fn mean(&self, arm: usize) -> Option<f64> {
        Some(Spread::over(self.pairs.iter().map(|pair| pair[arm]))?.mean)
    }
}

/// Reads the results of all cells below `out`: of seeds that both arms have.
///
/// # Errors
/// If a result is broken.
pub fn read(out: &Path, seeds: u64) -> Result<Vec<Found>> {
    let visual = |cell, arm: &'static Arm, seed| -> Result<Option<f64>> {
        let task = Task { setting: setting(cell), arm, seed, set: Vec::new() };
        let result = RunResult::read(&task.folder(out).join(RESULT))?;
        Ok(result.and_then(|run| run.accuracy(&Capability::VISUAL_REASONING)))
    };
    let of = |cell| {
        let pair = |seed| Ok(visual(cell, &STAGED, seed)?.zip(visual(cell, &MERGED_WITH_RESETS, seed)?));
        let pairs: Result<Vec<Option<(f64, f64)>>> = (1..=seeds).map(pair).collect();
        Ok(Found { cell, pairs: pairs?.into_iter().flatten().map(|(staged, merged)| [staged, merged]).collect() })
    };
    Cell::ALL.into_iter().map(of).collect()
}

/// Formats the effect of order by cell, as a table: accuracies in %, differences in points.
pub fn map(found: &[Found]) -> String {
    let mut text = String::from(
        "| | steps of perception, textual, visual | merged with resets | staged | staged − merged with resets | seeds |\n\
         |---|---|---:|---:|---:|---:|\n",
    );
    for one in found {
        let [p, t, v] = Capability::ALL.map(|capability| one.cell.steps(&capability));
        let mean = |arm| one.mean(arm).map_or_else(|| "not run".into(), |mean| Unit::Percent.show(mean));
        let signed = |value| Unit::Percent.signed(value);
        let difference = one.difference().map_or_else(
            || "–".into(),
            |Estimate { value, interval: (low, high), .. }| {
                format!("{} [{}, {}]", signed(value), signed(low), signed(high))
            },
        );
        let (label, n) = (one.cell.label(), one.pairs.len());
        let _ = writeln!(text, "| {label} | {p}, {t}, {v} | {} | {} | {difference} | {n} |", mean(1), mean(0));
    }
    text
}

/// Renders the page of the exploration.
///
/// # Errors
/// If a result is broken.
pub fn page(out: &Path, seeds: u64) -> Result<Rendered> {
    let found = read(out, seeds)?;
    let effect = |one: &Found| {
        let difference = one.difference();
        let (low, high) = difference.map_or((0.0, 0.0), |estimate| estimate.interval);
        Effect {
            name: one.cell.label().to_owned(),
            value: difference.map(|estimate| 100.0 * estimate.value),
            interval: (100.0 * low, 100.0 * high),
        }
    };
    let drawing = draw_effects(
        "Staged minus merged with resets, visual reasoning (points)",
        &found.iter().map(effect).collect::<Vec<_>>(),
        100.0 * MATTERS,
    );
    let markdown = format!(
        "# When order matters\n\n\
         Staged training minus merged training with resets on Qwen3-VL, in accuracy of visual reasoning on the test problems, where one \
         factor has another level than in the tables. Registered as [an exploration](../../../../docs/preregistration.md): estimates, \
         paired by seed, with 95 % intervals of Student's t over seeds, and no verdicts.\n\n\
         `cargo run --release -p experiments -- table {ID} --seeds 6`\n\n\
         {}\n![Differences by cell]({ID}.svg)\n",
        map(&found)
    );
    Ok(Rendered::new(ID, Scale::Micro, markdown, vec![(ID.to_owned(), drawing)]))
}
