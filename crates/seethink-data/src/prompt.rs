//! Format instruction appended to every question.

/// Instruction to answer in the format that the reward checks: reasoning in `<think>` tags, then
/// one boxed answer.
///
/// # Source
/// arXiv 2605.20177, `math.jinja` of the released recipe. Differs: the released text demands
/// `<think>` and then shows `<thinking>`, which kept its format reward near zero, and perception
/// questions also asked for the bare letter. Here every capability gets this one instruction.
pub const THINK_PROMPT: &str = r"Think in <think> </think>, then answer in \boxed{}.";

/// Text of a user turn: the question, trimmed, with [`THINK_PROMPT`] on a line of its own after it.
///
/// # Examples
/// ```
/// assert_eq!(
///     seethink_data::think_prompt("What is 1 + 1?\n"),
///     "What is 1 + 1?\nThink in <think> </think>, then answer in \\boxed{}."
/// );
/// ```
pub fn think_prompt(question: &str) -> String {
    format!("{}\n{THINK_PROMPT}", question.trim())
}
