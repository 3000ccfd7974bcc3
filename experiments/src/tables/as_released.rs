//! Arms with the inequalities of the released scripts.

use crate::experiment::*;
use seethink::run::config::BaseFamily::*;

/// The paper's own runs: a longer first stage, a vision side that is frozen in some stages, stages
/// left out without compensation. The table of confounds lists all differences beside the
/// curriculum.
pub(super) const EXPERIMENT: Experiment = Experiment {
    id: "as_released",
    title: "As released",
    paper: "Tables 1 and 2 as the released scripts make them",
    claim: "Staged beats merged, and leaving stages out costs.",
    backbones: &[Qwen3Vl],
    rows: &[
        Row { label: "merged", arm: &MERGED_AS_RELEASED },
        Row { label: "1 → 2 → 3", arm: &STAGED_AS_RELEASED },
        Row { label: "2 → 3", arm: &STAGES_2_3_AS_RELEASED },
        Row { label: "3", arm: &STAGE_3_AS_RELEASED },
    ],
    columns: ACCURACY,
    contrasts: &[
        Contrast {
            label: "(1 → 2 → 3) − merged", terms: &[(1.0, "staged_as_released"), (-1.0, "merged_as_released")]
        },
        Contrast {
            label: "(1 → 2 → 3) − (2 → 3)",
            terms: &[(1.0, "staged_as_released"), (-1.0, "stages_2_3_as_released")],
        },
        Contrast {
            label: "(2 → 3) − (3)", terms: &[(1.0, "stages_2_3_as_released"), (-1.0, "stage_3_as_released")]
        },
    ],
    equal: CONTROLLED,
    curves: &[],
    reported: &[],
};
