//! Table 1: base, merged and staged on four backbones.

use crate::experiment::*;
use seethink::run::config::BaseFamily::*;

/// Table 1 and, for the InternVL families, the appendix's further benchmarks. The second row is ours:
/// it tells what the order of stages does from what their fresh optimisers and references do.
pub(super) const EXPERIMENT: Experiment = Experiment {
    id: "main_comparison",
    title: "Base, merged and staged",
    paper: "Table 1; appendix, extended benchmarks",
    claim: "Staged training beats merged training, and both beat the base model, on every backbone.",
    backbones: &[Qwen3Vl, Qwen2_5Vl, InternVl3, InternVl3_5],
    rows: &[
        Row { label: "merged", arm: &MERGED },
        Row { label: "merged with resets", arm: &MERGED_WITH_RESETS },
        Row { label: "staged", arm: &STAGED },
    ],
    columns: ACCURACY,
    contrasts: &[
        Contrast { label: "staged − merged", terms: &[(1.0, "staged"), (-1.0, "merged")] },
        Contrast { label: "staged − base", terms: &[(1.0, "staged"), (-1.0, BASE)] },
        Contrast { label: "merged − base", terms: &[(1.0, "merged"), (-1.0, BASE)] },
        Contrast { label: "staged − merged with resets", terms: &[(1.0, "staged"), (-1.0, "merged_with_resets")] },
    ],
    equal: CONTROLLED,
    curves: &[],
    reported: &[
        Reported { backbone: Qwen2_5Vl, row: "base", column: "visual math", value: 37.03, source: Source::Printed },
        Reported { backbone: Qwen2_5Vl, row: "base", column: "perception", value: 76.33, source: Source::Printed },
        Reported { backbone: Qwen2_5Vl, row: "base", column: "overall", value: 56.68, source: Source::Printed },
        Reported { backbone: Qwen2_5Vl, row: "merged", column: "visual math", value: 40.74, source: Source::Printed },
        Reported { backbone: Qwen2_5Vl, row: "merged", column: "perception", value: 75.95, source: Source::Printed },
        Reported { backbone: Qwen2_5Vl, row: "merged", column: "overall", value: 58.34, source: Source::Printed },
        Reported { backbone: Qwen2_5Vl, row: "staged", column: "visual math", value: 42.26, source: Source::Printed },
        Reported { backbone: Qwen2_5Vl, row: "staged", column: "perception", value: 77.24, source: Source::Printed },
        Reported { backbone: Qwen2_5Vl, row: "staged", column: "overall", value: 59.75, source: Source::Printed },
        Reported { backbone: Qwen3Vl, row: "base", column: "visual math", value: 45.17, source: Source::Printed },
        Reported { backbone: Qwen3Vl, row: "base", column: "perception", value: 79.21, source: Source::Printed },
        Reported { backbone: Qwen3Vl, row: "base", column: "overall", value: 62.19, source: Source::Printed },
        Reported { backbone: Qwen3Vl, row: "merged", column: "visual math", value: 49.64, source: Source::Printed },
        Reported { backbone: Qwen3Vl, row: "merged", column: "perception", value: 79.71, source: Source::Printed },
        Reported { backbone: Qwen3Vl, row: "merged", column: "overall", value: 64.67, source: Source::Printed },
        Reported { backbone: Qwen3Vl, row: "staged", column: "visual math", value: 51.1, source: Source::Printed },
        Reported { backbone: Qwen3Vl, row: "staged", column: "perception", value: 80.44, source: Source::Printed },
        Reported { backbone: Qwen3Vl, row: "staged", column: "overall", value: 65.77, source: Source::Printed },
        Reported {
            backbone: InternVl3,
            row: "base",
            column: "ten further benchmarks",
            value: 29.69,
            source: Source::Printed,
        },
        Reported {
            backbone: InternVl3,
            row: "merged",
            column: "ten further benchmarks",
            value: 41.94,
            source: Source::Printed,
        },
        Reported {
            backbone: InternVl3,
            row: "staged",
            column: "ten further benchmarks",
            value: 45.71,
            source: Source::Printed,
        },
        Reported {
            backbone: InternVl3_5,
            row: "base",
            column: "ten further benchmarks",
            value: 37.33,
            source: Source::Printed,
        },
        Reported {
            backbone: InternVl3_5,
            row: "merged",
            column: "ten further benchmarks",
            value: 52.76,
            source: Source::Printed,
        },
        Reported {
            backbone: InternVl3_5,
            row: "staged",
            column: "ten further benchmarks",
            value: 53.71,
            source: Source::Printed,
        },
    ],
};
