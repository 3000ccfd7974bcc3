//! Table 7: capability × difficulty curricula, and whether the gains of the two axes add up.

use crate::experiment::*;
use seethink::run::config::BaseFamily::*;

/// Table 7. The seven benchmarks that it averages over are not stated anywhere.
pub(super) const EXPERIMENT: Experiment = Experiment {
    id: "capability_x_difficulty",
    title: "Capability × difficulty",
    paper: "Table 7, §4.5",
    claim: "Either axis helps, by about two points, and both together by more than four.",
    backbones: &[Qwen3Vl],
    rows: &[
        Row { label: "none", arm: &MERGED },
        Row { label: "difficulty", arm: &DIFFICULTY },
        Row { label: "capability", arm: &STAGED },
        Row { label: "capability + difficulty", arm: &CAPABILITY_X_DIFFICULTY },
    ],
    columns: ACCURACY,
    contrasts: &[
        Contrast { label: "difficulty − none", terms: &[(1.0, "difficulty"), (-1.0, "merged")] },
        Contrast { label: "capability − none", terms: &[(1.0, "staged"), (-1.0, "merged")] },
        Contrast { label: "both − none", terms: &[(1.0, "capability_x_difficulty"), (-1.0, "merged")] },
        Contrast {
            label: "both beyond the sum of either",
            terms: &[(1.0, "capability_x_difficulty"), (-1.0, "difficulty"), (-1.0, "staged"), (1.0, "merged")],
        },
    ],
    equal: CONTROLLED,
    curves: &[],
    reported: &[
        Reported { backbone: Qwen3Vl, row: "none", column: "seven benchmarks", value: 58.56, source: Source::Printed },
        Reported {
            backbone: Qwen3Vl,
            row: "difficulty",
            column: "seven benchmarks",
            value: 60.36,
            source: Source::Printed,
        },
        Reported {
            backbone: Qwen3Vl,
            row: "capability",
            column: "seven benchmarks",
            value: 60.53,
            source: Source::Printed,
        },
        Reported {
            backbone: Qwen3Vl,
            row: "capability + difficulty",
            column: "seven benchmarks",
            value: 62.99,
            source: Source::Printed,
        },
    ],
};
