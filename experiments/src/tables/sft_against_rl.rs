//! Ablation of the perception stage: reinforcement learning against caption SFT.

use crate::experiment::*;
use seethink::run::config::BaseFamily::*;
use seethink::run::report::Meter;

/// The ablation of §4.4: stage 1 is replaced by supervised fine-tuning on captions. The paper gives
/// differences in WeMath, −8.1 and −1.6; the values of caption SFT follow from them. The third row is
/// ours: the same problems, imitated instead of rewarded. Fine-tuning samples nothing and takes smaller updates: the number of tokens read is held equal.
pub(super) const EXPERIMENT: Experiment = Experiment {
    id: "sft_against_rl",
    title: "Perception by reinforcement or by imitation of captions",
    paper: "§4.4, caption SFT against RLVR",
    claim: "Rewards teach perception better than captions do.",
    backbones: &[Qwen3Vl],
    rows: &[
        Row { label: "RL", arm: &STAGED },
        Row { label: "caption SFT", arm: &CAPTIONS_FIRST },
        Row { label: "SFT on solutions", arm: &SOLUTIONS_FIRST },
    ],
    columns: ACCURACY,
    contrasts: &[
        Contrast { label: "RL − caption SFT", terms: &[(1.0, "staged"), (-1.0, "captions_first")] },
        Contrast { label: "RL − SFT on solutions", terms: &[(1.0, "staged"), (-1.0, "solutions_first")] },
    ],
    equal: &[Meter::TokensTrained],
    curves: &[],
    reported: &[
        Reported {
            backbone: Qwen2_5Vl,
            row: "caption SFT",
            column: "WeMath",
            value: 30.2,
            source: Source::Reconstructed,
        },
        Reported { backbone: Qwen2_5Vl, row: "RL", column: "WeMath", value: 38.29, source: Source::Reconstructed },
        Reported {
            backbone: Qwen3Vl,
            row: "caption SFT",
            column: "WeMath",
            value: 54.5,
            source: Source::Reconstructed,
        },
        Reported { backbone: Qwen3Vl, row: "RL", column: "WeMath", value: 56.1, source: Source::Printed },
    ],
};
