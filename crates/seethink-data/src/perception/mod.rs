//! Perception problems from captions: the parts that ask nobody.
//!
//! A language model writes one multiple-choice question for each caption ([`Mcq`]).
//! Models answer it twice, from the picture alone and from the caption alone ([`View`]).
//! A question is kept where every answer from the picture is wrong and every answer from the caption is right ([`KeepRule`]): it can be
//! answered, and what is missing is sight.
//! Asking is up to the façade; here are the captions, the questions, the journals of what was answered, the rule, the problems that come
//! of it, and the [`Report`].
//!
//! # Source
//! arXiv 2605.20177, `data_pipeline/` of VLM-CapCurriculum at `ccde3ff`.
//! How this differs from it, defect by defect, stands in `docs/perception-data.md`, with the test of each.

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
