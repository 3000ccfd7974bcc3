//! Ablation of the perception problems in merged training.

use crate::experiment::*;
use seethink::run::config::BaseFamily::*;

/// The column "Merged + perception" of §3.4. No number of it was found, and no released script
/// makes it.
pub(super) const EXPERIMENT: Experiment = Experiment {
    id: "merged_with_perception",
    title: "Merged, without and with problems of perception",
    paper: "§3.4, column Merged + perception",
    claim: "It is the order and not the data alone: merged training with the same problems of perception gains less than staged training.",
    backbones: &[Qwen3Vl],
    rows: &[
        Row { label: "merged", arm: &MERGED_WITHOUT_PERCEPTION },
        Row { label: "merged + perception", arm: &MERGED },
        Row { label: "staged", arm: &STAGED },
    ],
    columns: ACCURACY,
    contrasts: &[
        Contrast {
            label: "(merged + perception) − merged",
            terms: &[(1.0, "merged"), (-1.0, "merged_without_perception")],
        },
        Contrast { label: "staged − merged", terms: &[(1.0, "staged"), (-1.0, "merged_without_perception")] },
        Contrast { label: "staged − (merged + perception)", terms: &[(1.0, "staged"), (-1.0, "merged")] },
    ],
    equal: CONTROLLED,
    curves: &[],
    reported: &[],
};
