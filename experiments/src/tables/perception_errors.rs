//! Share of perception errors among wrong answers.

use crate::experiment::*;
use seethink::eval::Outcome;
use seethink::run::config::BaseFamily::*;

/// Index of visual reasoning among the capabilities in alphabetical order.
const VISUAL: usize = 2;

/// The analysis of §4.4. The paper's judge is a language model; in the digits world, the readings
/// stated in an answer are compared with the picture.
pub(super) const EXPERIMENT: Experiment = Experiment {
    id: "perception_errors",
    title: "Errors of perception in visual reasoning",
    paper: "§4.4",
    claim: "86.9 % of the wrong answers of Qwen3-VL-8B are errors of perception, and staged training leaves fewer of them (781) than merged training (805).",
    backbones: &[Qwen3Vl],
    rows: &[Row { label: "merged", arm: &MERGED }, Row { label: "staged", arm: &STAGED }],
    columns: &[
        Column {
            label: "wrong answers",
            unit: Unit::Percent,
            read: Read::Outcomes(|counts| counts.get(VISUAL).map_or(f64::NAN, |visual| 1.0 - visual.accuracy())),
        },
        Column {
            label: "… that misread",
            unit: Unit::Percent,
            read: Read::Outcomes(|counts| share(counts, Outcome::Misread)),
        },
        Column {
            label: "… that read right",
            unit: Unit::Percent,
            read: Read::Outcomes(|counts| share(counts, Outcome::Misreasoned)),
        },
        Column {
            label: "… that do not say",
            unit: Unit::Percent,
            read: Read::Outcomes(|counts| share(counts, Outcome::Unread)),
        },
        Column {
            label: "misread, of those that say",
            unit: Unit::Percent,
            read: Read::Outcomes(|counts| {
                let n = |outcome| counts.get(VISUAL).map_or(0.0, |visual| visual.n(outcome));
                n(Outcome::Misread) / (n(Outcome::Misread) + n(Outcome::Misreasoned))
            }),
        },
    ],
    contrasts: &[
        Contrast { label: "staged − merged", terms: &[(1.0, "staged"), (-1.0, "merged")] },
        Contrast { label: "staged − base", terms: &[(1.0, "staged"), (-1.0, BASE)] },
    ],
    equal: CONTROLLED,
    curves: &[],
    reported: &[Reported {
        backbone: Qwen3Vl,
        row: "base",
        column: "errors of perception",
        value: 86.9,
        source: Source::Printed,
    }],
};

/// Share of an outcome among the wrong answers in visual reasoning.
fn share(counts: &[Counts], outcome: Outcome) -> f64 {
    counts.get(VISUAL).map_or(f64::NAN, |visual| visual.n(outcome) / (visual.total() - visual.n(Outcome::Right)))
}
