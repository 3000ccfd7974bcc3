//! The format of a completion: reasoning first, in tags.

use crate::boxed::BOX;
use serde::{Deserialize, Serialize};

/// Format of completions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Format {
    /// Thinking tags, then a box: [`is_think_boxed`].
    #[default]
    ThinkBoxed,
    /// Thinking tags, then answer tags, and nothing else: [`is_think_answer`].
    ThinkAnswer,
    /// Thinking tags, then any text: [`is_think_tagged`].
    Think,
    /// Any format.
    Any,
}

impl Format {
    /// Returns whether a completion has this format.
    ///
    /// # Examples
    /// ```
    /// use seethink_reward::Format;
    ///
    /// let completion = "<think>1+1=2.</think> <answer>2</answer>";
    /// assert!(Format::ThinkAnswer.holds(completion) && Format::Think.holds(completion));
    /// assert!(!Format::ThinkBoxed.holds(completion));
    /// ```
    pub fn holds(self, completion: &str) -> bool {
        match self {
            Self::ThinkBoxed => is_think_boxed(completion),
            Self::ThinkAnswer => is_think_answer(completion),
            Self::Think => is_think_tagged(completion),
            Self::Any => true,
        }
    }
}

/// Returns whether the completion matches `^\s*<think>.*</think>.*\boxed{.*}.*$`, where `.` is any
/// character.
///
/// Blanks inside the tags (`< / think >`) are allowed, as in the released reward. Each part is
/// looked for after the end of the one before it, so the time is linear: no pattern, no
/// backtracking.
///
/// # Examples
/// ```
/// use seethink_reward::is_think_boxed;
/// assert!(is_think_boxed(r"<think>1+1=2.</think> \boxed{2}"));
/// assert!(!is_think_boxed(r"<think>1+1=2, so \boxed{2}.</think>"));
/// ```
pub fn is_think_boxed(completion: &str) -> bool {
    let content = after_thinking(completion).and_then(|rest| rest.split_once(BOX));
    content.is_some_and(|(_, content)| content.contains('}'))
}

/// Returns whether the completion is `<think>…</think>`, blanks, `<answer>…</answer>` and nothing
/// before or after.
///
/// # Source
/// EasyR1's and R1-V's format reward.
///
/// # Examples
/// ```
/// use seethink_reward::is_think_answer;
/// assert!(is_think_answer("<think>1+1=2.</think>\n<answer>2</answer>"));
/// assert!(!is_think_answer("<think>1+1=2.</think> So <answer>2</answer>"));
/// ```
pub fn is_think_answer(completion: &str) -> bool {
    let answer = completion.strip_prefix("<think>").and_then(|rest| {
        // The first closing tag of thinking that an answer follows.
        let ends = rest.match_indices("</think>").map(|(at, end)| rest[at + end.len()..].trim_start());
        ends.filter_map(|after| after.strip_prefix("<answer>")).next()
    });
    answer.is_some_and(|answer| answer.ends_with("</answer>"))
}

/// Returns whether the completion is `<think>…</think>` and more text, with exactly one pair of
/// tags and nothing before it.
///
/// # Source
/// TRL's `think_format_reward`, as its own tests state it.
///
/// # Examples
/// ```
/// use seethink_reward::is_think_tagged;
/// assert!(is_think_tagged("<think>1+1=2.</think> 2"));
/// assert!(!is_think_tagged("<think>1</think> <think>2</think> 2"));
/// ```
pub fn is_think_tagged(completion: &str) -> bool {
    let rest = after_thinking(completion);
    rest.is_some_and(|rest| !rest.is_empty())
        && completion.matches("<think>").count() == 1
        && completion.matches("</think>").count() == 1
}

/// Text after the first closing tag, if the text starts with an opening one.
fn after_thinking(text: &str) -> Option<&str> {
    let mut rest = tag(text.trim_start(), &["<", "think", ">"])?;
    loop {
        rest = &rest[rest.find('<')?..];
        match tag(rest, &["<", "/", "think", ">"]) {
            Some(after) => return Some(after),
            None => rest = &rest[1..],
        }
    }
}

/// Text after the tag that `text` starts with, blanks between the tag's parts ignored.
fn tag<'a>(text: &'a str, parts: &[&str]) -> Option<&'a str> {
    let (first, others) = parts.split_first()?;
    others.iter().try_fold(text.strip_prefix(first)?, |rest, part| rest.trim_start().strip_prefix(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_released_format() {
        for good in [
            r"<think>a</think>\boxed{1}",
            "\n <think>\n</think>\n\\boxed{}\n",
            r"< think >a< / think > so \boxed{1} it is",
            r"<think>3 < 4</think>\boxed{1} \boxed{2}",
            r"<think>a</think></think>\boxed{\frac{1}{2}}",
        ] {
            assert!(is_think_boxed(good), "{good}");
        }
        for bad in [
            "",
            r"\boxed{1}",
            r"so <think>a</think>\boxed{1}",
            r"a</think>\boxed{1}",
            r"<think>a\boxed{1}",
            r"<think>\boxed{1}</think>",
            r"<think>a</think>\boxed{1",
            r"<think>a</think>1",
            r"<thinking>a</thinking>\boxed{1}",
        ] {
            assert!(!is_think_boxed(bad), "{bad}");
        }
    }
}
