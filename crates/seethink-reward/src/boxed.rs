//! Extraction of the boxed answer.

use seethink_math::closing_brace;

/// Opening of a box; `\fbox`, `\boxed 3` and `\boxed {3}` are not boxes.
pub(crate) const BOX: &str = r"\boxed{";

/// Content of the last `\boxed{…}`, its braces matched; `None` if there is no box or the last one
/// does not close.
///
/// A brace after a backslash is a character, not a bracket.
///
/// # Examples
/// ```
/// use seethink_reward::last_boxed;
/// assert_eq!(last_boxed(r"\boxed{1}, or rather \boxed{\frac{1}{2}}."), Some(r"\frac{1}{2}"));
/// assert_eq!(last_boxed(r"\boxed{1}, or \boxed{2"), None);
/// ```
pub fn last_boxed(text: &str) -> Option<&str> {
    let content = &text[text.rfind(BOX)? + BOX.len()..];
    Some(&content[..closing_brace(content)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_are_matched() {
        assert_eq!(last_boxed(r"a \boxed{x_{1}^{2}} b"), Some("x_{1}^{2}"));
        assert_eq!(last_boxed(r"\boxed{\{1\}}"), Some(r"\{1\}"));
        assert_eq!(last_boxed(r"\boxed{\boxed{3}}"), Some("3"));
        assert_eq!(last_boxed(r"\boxed{}"), Some(""));
        assert_eq!(last_boxed(r"\boxed{é}"), Some("é"));
    }

    #[test]
    fn what_is_no_box() {
        for text in ["", "42", r"\fbox{42}", r"\boxed {42}", r"\boxed 42", r"\boxed{42", r"\boxed{{42}", r"\boxed{42\}"]
        {
            assert_eq!(last_boxed(text), None, "{text}");
        }
    }
}
