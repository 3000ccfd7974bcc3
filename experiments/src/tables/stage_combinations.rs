//! Table 2: ablation of the stages.

use crate::experiment::*;
use seethink::run::config::BaseFamily::*;

/// Table 2. None of its cells could be found; the numbers are those of a bar chart, and that its
/// "reasoning only" is 2 → 3 and not 3 alone is an inference.
pub(super) const EXPERIMENT: Experiment = Experiment {
    id: "stage_combinations",
    title: "Stage combinations",
    paper: "Table 2 and the bar chart of perception",
    claim: "Every stage helps: visual reasoning alone is worst, the three stages together are best.",
    backbones: &[Qwen3Vl, Qwen2_5Vl, InternVl3, InternVl3_5],
    rows: &[
        Row { label: "1 → 2 → 3", arm: &STAGED },
        Row { label: "3", arm: &STAGE_3 },
        Row { label: "1 → 3", arm: &STAGES_1_3 },
        Row { label: "2 → 3", arm: &STAGES_2_3 },
    ],
    columns: ACCURACY,
    contrasts: &[
        Contrast { label: "(1 → 2 → 3) − (3)", terms: &[(1.0, "staged"), (-1.0, "stage_3")] },
        Contrast { label: "(1 → 3) − (3)", terms: &[(1.0, "stages_1_3"), (-1.0, "stage_3")] },
        Contrast { label: "(2 → 3) − (3)", terms: &[(1.0, "stages_2_3"), (-1.0, "stage_3")] },
        Contrast { label: "(1 → 2 → 3) − (2 → 3)", terms: &[(1.0, "staged"), (-1.0, "stages_2_3")] },
    ],
    equal: CONTROLLED,
    curves: &[],
    reported: &[
        Reported {
            backbone: Qwen2_5Vl,
            row: "base",
            column: "visual math (3)",
            value: 41.9,
            source: Source::Reconstructed,
        },
        Reported {
            backbone: Qwen2_5Vl,
            row: "base",
            column: "perception (4)",
            value: 76.4,
            source: Source::Reconstructed,
        },
        Reported {
            backbone: Qwen2_5Vl,
            row: "2 → 3",
            column: "visual math (3)",
            value: 47.8,
            source: Source::Reconstructed,
        },
        Reported {
            backbone: Qwen2_5Vl,
            row: "2 → 3",
            column: "perception (4)",
            value: 76.1,
            source: Source::Reconstructed,
        },
        Reported {
            backbone: Qwen2_5Vl,
            row: "1 → 2 → 3",
            column: "visual math (3)",
            value: 49.1,
            source: Source::Reconstructed,
        },
        Reported {
            backbone: Qwen2_5Vl,
            row: "1 → 2 → 3",
            column: "perception (4)",
            value: 77.3,
            source: Source::Reconstructed,
        },
        Reported {
            backbone: Qwen3Vl,
            row: "base",
            column: "visual math (3)",
            value: 51.5,
            source: Source::Reconstructed,
        },
        Reported {
            backbone: Qwen3Vl,
            row: "base",
            column: "perception (4)",
            value: 79.2,
            source: Source::Reconstructed,
        },
        Reported {
            backbone: Qwen3Vl,
            row: "2 → 3",
            column: "visual math (3)",
            value: 56.4,
            source: Source::Reconstructed,
        },
        Reported {
            backbone: Qwen3Vl,
            row: "2 → 3",
            column: "perception (4)",
            value: 80.0,
            source: Source::Reconstructed,
        },
        Reported {
            backbone: Qwen3Vl,
            row: "1 → 2 → 3",
            column: "visual math (3)",
            value: 58.6,
            source: Source::Reconstructed,
        },
        Reported {
            backbone: Qwen3Vl,
            row: "1 → 2 → 3",
            column: "perception (4)",
            value: 80.4,
            source: Source::Reconstructed,
        },
    ],
};
