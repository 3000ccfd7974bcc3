//! Completion length over training, and at its end.

use crate::experiment::*;
use seethink::run::config::BaseFamily::*;

/// The response lengths of the appendix: 445 tokens staged, 562 merged in the third stage (−20.8
/// %).
pub(super) const EXPERIMENT: Experiment = Experiment {
    id: "completion_length",
    title: "Completion length",
    paper: "Figure of response lengths",
    claim: "In the last stage staged training answers about a fifth shorter than merged training does at the same steps.",
    backbones: &[Qwen3Vl],
    rows: &[Row { label: "merged", arm: &MERGED }, Row { label: "staged", arm: &STAGED }],
    columns: &[
        Column { label: "perception", unit: Unit::Tokens, read: Read::Result(|result| length(result, "perception")) },
        Column {
            label: "textual reasoning",
            unit: Unit::Tokens,
            read: Read::Result(|result| length(result, "textual_reasoning")),
        },
        Column {
            label: "visual reasoning",
            unit: Unit::Tokens,
            read: Read::Result(|result| length(result, "visual_reasoning")),
        },
        Column {
            label: "rollouts, last third",
            unit: Unit::Tokens,
            read: Read::Result(|result| {
                let last = &result.length[result.length.len() - result.length.len() / 3..];
                (!last.is_empty()).then(|| last.iter().map(|&one| f64::from(one)).sum::<f64>() / last.len() as f64)
            }),
        },
    ],
    contrasts: &[],
    equal: CONTROLLED,
    curves: &[],
    reported: &[
        Reported { backbone: Qwen3Vl, row: "merged", column: "stage 3", value: 562.0, source: Source::Printed },
        Reported { backbone: Qwen3Vl, row: "staged", column: "stage 3", value: 445.0, source: Source::Printed },
    ],
};

/// Mean length of the test completions at the end.
fn length(result: &RunResult, capability: &str) -> Option<f64> {
    result.checkpoints.last()?.test.get(capability)?.length
}
