//! Synthesis of perception problems from captions: the parts that make no model calls.
//!
//! A language model writes one multiple-choice question for each caption ([`Mcq`]). Models answer
//! the question twice, from the image alone and from the caption alone ([`View`]). A question is
//! kept where every answer from the image is wrong and every answer from the caption is right
//! ([`KeepRule`]): it can be answered, and the models fail by perception. Model calls are made
//! elsewhere; here are the captions, the questions, the journals of answers, the rule, the
//! resulting problems, and the [`Report`].
//!
//! # Source
//! arXiv 2605.20177, `data_pipeline/` of VLM-CapCurriculum at `ccde3ff`.
//! The differences from it, defect by defect, are in `docs/perception-data.md`, with the test of
//! each.

mod answers;
mod caption;
mod item;
mod keep;
mod mcq;
mod questions;
mod report;

pub use answers::{Answer, Answers};
pub use caption::{Caption, CaptionFault, CaptionKeys, read_captions};
pub use item::{INSTRUCTION, Item, SplitShares, View, items, question_problem, write_splits};
pub use keep::{KeepRule, Verdict};
pub use mcq::{Letter, Mcq, McqFault};
pub use questions::Questions;
pub use report::{Report, RunCounts};
