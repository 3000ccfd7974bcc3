//! Table 5: ablation of the stage order.

use crate::experiment::*;
use seethink::run::config::BaseFamily::*;

/// Table 5. The cells of 2 → 1 → 3 and, for Qwen3-VL, of 3 → 2 → 1 could not be found.
pub(super) const EXPERIMENT: Experiment = Experiment {
    id: "stage_order",
    title: "Stage order",
    paper: "Table 5",
    claim: "Perception first is best; the reverse order falls below merged training and, overall, below the base model.",
    backbones: &[Qwen3Vl, Qwen2_5Vl, InternVl3, InternVl3_5],
    rows: &[
        Row { label: "1 → 2 → 3", arm: &STAGED },
        Row { label: "2 → 1 → 3", arm: &TEXT_FIRST },
        Row { label: "3 → 2 → 1", arm: &REVERSED },
        Row { label: "merged", arm: &MERGED },
    ],
    columns: ACCURACY,
    contrasts: &[
        Contrast { label: "(1 → 2 → 3) − (3 → 2 → 1)", terms: &[(1.0, "staged"), (-1.0, "reversed")] },
        Contrast { label: "(1 → 2 → 3) − (2 → 1 → 3)", terms: &[(1.0, "staged"), (-1.0, "text_first")] },
        Contrast { label: "merged − (3 → 2 → 1)", terms: &[(1.0, "merged"), (-1.0, "reversed")] },
        Contrast { label: "(3 → 2 → 1) − base", terms: &[(1.0, "reversed"), (-1.0, BASE)] },
    ],
    equal: CONTROLLED,
    curves: &[],
    reported: &[
        Reported {
            backbone: Qwen2_5Vl,
            row: "1 → 2 → 3",
            column: "visual math",
            value: 42.26,
            source: Source::Printed,
        },
        Reported {
            backbone: Qwen2_5Vl, row: "1 → 2 → 3", column: "perception", value: 77.24, source: Source::Printed
        },
        Reported {
            backbone: Qwen2_5Vl, row: "1 → 2 → 3", column: "overall", value: 59.75, source: Source::Printed
        },
        Reported {
            backbone: Qwen2_5Vl, row: "3 → 2 → 1", column: "visual math", value: 37.7, source: Source::Printed
        },
        Reported {
            backbone: Qwen2_5Vl, row: "3 → 2 → 1", column: "perception", value: 74.17, source: Source::Printed
        },
        Reported {
            backbone: Qwen2_5Vl, row: "3 → 2 → 1", column: "overall", value: 55.93, source: Source::Printed
        },
        Reported { backbone: Qwen2_5Vl, row: "merged", column: "visual math", value: 40.74, source: Source::Printed },
        Reported { backbone: Qwen2_5Vl, row: "merged", column: "perception", value: 75.95, source: Source::Printed },
        Reported { backbone: Qwen2_5Vl, row: "merged", column: "overall", value: 58.34, source: Source::Printed },
        Reported {
            backbone: Qwen3Vl, row: "1 → 2 → 3", column: "visual math", value: 51.1, source: Source::Printed
        },
        Reported {
            backbone: Qwen3Vl, row: "1 → 2 → 3", column: "perception", value: 80.44, source: Source::Printed
        },
        Reported { backbone: Qwen3Vl, row: "1 → 2 → 3", column: "overall", value: 65.77, source: Source::Printed },
        Reported { backbone: Qwen3Vl, row: "merged", column: "visual math", value: 49.64, source: Source::Printed },
        Reported { backbone: Qwen3Vl, row: "merged", column: "perception", value: 79.71, source: Source::Printed },
        Reported { backbone: Qwen3Vl, row: "merged", column: "overall", value: 64.67, source: Source::Printed },
    ],
};
