//! Single stages, each first from the base model: what each does to every capability.

use crate::experiment::*;
use seethink::run::config::BaseFamily::*;

/// Transfer between capabilities. The paper has no such table; a staged curriculum rests on what an
/// earlier stage does to the capability of a later one.
pub(super) const EXPERIMENT: Experiment = Experiment {
    id: "single_stages",
    title: "Single stages",
    paper: "None",
    claim: "Perception is what visual reasoning lacks: a stage of perception carries over to it, a stage of text less.",
    backbones: &[Qwen3Vl],
    rows: &[
        Row { label: "1", arm: &PERCEPTION_ALONE },
        Row { label: "2", arm: &TEXTUAL_ALONE },
        Row { label: "3", arm: &VISUAL_ALONE },
    ],
    columns: ACCURACY,
    contrasts: &[
        Contrast { label: "1 − base", terms: &[(1.0, "perception_alone"), (-1.0, BASE)] },
        Contrast { label: "2 − base", terms: &[(1.0, "textual_alone"), (-1.0, BASE)] },
        Contrast { label: "3 − base", terms: &[(1.0, "visual_alone"), (-1.0, BASE)] },
        Contrast { label: "1 − 2", terms: &[(1.0, "perception_alone"), (-1.0, "textual_alone")] },
    ],
    equal: CONTROLLED,
    curves: &[],
    reported: &[],
};
