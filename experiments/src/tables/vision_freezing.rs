//! Ablation of a frozen vision encoder.

use crate::experiment::*;
use seethink::run::config::BaseFamily::*;

/// The appendix on freezing the vision encoder; no number of it was found, and the released scripts
/// freeze the Qwen families' merged baseline in either of its rows.
pub(super) const EXPERIMENT: Experiment = Experiment {
    id: "vision_freezing",
    title: "Vision side open or frozen",
    paper: "Appendix, vision-encoder freezing",
    claim: "That staged training is better is not because its vision encoder learns.",
    backbones: &[Qwen3Vl],
    rows: &[
        Row { label: "merged, open", arm: &MERGED },
        Row { label: "merged, frozen", arm: &MERGED_FROZEN },
        Row { label: "staged, open", arm: &STAGED },
        Row { label: "staged, frozen", arm: &STAGED_FROZEN },
    ],
    columns: ACCURACY,
    contrasts: &[
        Contrast { label: "merged: frozen − open", terms: &[(1.0, "merged_frozen"), (-1.0, "merged")] },
        Contrast { label: "staged: frozen − open", terms: &[(1.0, "staged_frozen"), (-1.0, "staged")] },
        Contrast { label: "open: staged − merged", terms: &[(1.0, "staged"), (-1.0, "merged")] },
        Contrast { label: "frozen: staged − merged", terms: &[(1.0, "staged_frozen"), (-1.0, "merged_frozen")] },
    ],
    equal: CONTROLLED,
    curves: &[],
    reported: &[],
};
