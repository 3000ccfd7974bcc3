//! Reading, length and the course of training, beside accuracy at the end.

use crate::experiment::*;
use seethink::core::Capability;
use seethink::eval::Outcome;
use seethink::run::config::BaseFamily::*;

/// Secondary outcomes of the registration. The paper has no such table.
pub(super) const EXPERIMENT: Experiment = Experiment {
    id: "course",
    title: "Reading, length and the course of training",
    paper: "None",
    claim: "Staged training reads better than merged training, and answers shorter.",
    backbones: &[Qwen3Vl, Qwen2_5Vl, InternVl3, InternVl3_5],
    rows: &[
        Row { label: "merged", arm: &MERGED },
        Row { label: "merged with resets", arm: &MERGED_WITH_RESETS },
        Row { label: "staged", arm: &STAGED },
        Row { label: "reversed", arm: &REVERSED },
    ],
    columns: &[
        Column {
            label: "misread",
            unit: Unit::Percent,
            read: Read::Outcomes(|counts| share(counts, Outcome::Misread)),
        },
        Column {
            label: "read right, reckoned wrong",
            unit: Unit::Percent,
            read: Read::Outcomes(|counts| share(counts, Outcome::Misreasoned)),
        },
        Column { label: "mean over training", unit: Unit::Percent, read: Read::Result(mean_over_training) },
        Column {
            label: "length",
            unit: Unit::Tokens,
            read: Read::Result(|run| run.checkpoints.last()?.test.get("visual_reasoning")?.length),
        },
    ],
    contrasts: &[
        Contrast { label: "staged − merged with resets", terms: &[(1.0, "staged"), (-1.0, "merged_with_resets")] },
        Contrast { label: "staged − merged", terms: &[(1.0, "staged"), (-1.0, "merged")] },
        Contrast { label: "staged − reversed", terms: &[(1.0, "staged"), (-1.0, "reversed")] },
    ],
    equal: CONTROLLED,
    curves: &[VISUAL, PERCEPTION, MISREAD, MISREASONED],
    reported: &[],
};

/// Share of an outcome among the problems of visual reasoning, the last capability.
fn share(counts: &[Counts], outcome: Outcome) -> f64 {
    counts.last().map_or(f64::NAN, |visual| visual.n(outcome) / visual.total())
}

/// Area under the curve of accuracy in visual reasoning on validation problems, over its length.
fn mean_over_training(run: &RunResult) -> Option<f64> {
    let points: Option<Vec<(f64, f64)>> =
        run.curve.iter().map(|point| Some((point.step as f64, (VISUAL.read)(point)?))).collect();
    let points = points.filter(|points| points.len() > 1)?;
    let area = points.windows(2).map(|pair| (pair[1].0 - pair[0].0) * (pair[0].1 + pair[1].1) / 2.0).sum::<f64>();
    Some(area / (points.last()?.0 - points.first()?.0))
}

const VISUAL: Curve = Curve {
    id: "visual",
    label: "Visual reasoning",
    read: |point| point.share(&Capability::VISUAL_REASONING, Outcome::Right),
};
const PERCEPTION: Curve =
    Curve { id: "perception", label: "Perception", read: |point| point.share(&Capability::PERCEPTION, Outcome::Right) };
const MISREAD: Curve = Curve {
    id: "misread",
    label: "Visual problems misread",
    read: |point| point.share(&Capability::VISUAL_REASONING, Outcome::Misread),
};
const MISREASONED: Curve = Curve {
    id: "misreasoned",
    label: "Visual problems read right and reckoned wrong",
    read: |point| point.share(&Capability::VISUAL_REASONING, Outcome::Misreasoned),
};
