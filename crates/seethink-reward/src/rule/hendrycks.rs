//! The MATH benchmark's rule: two answers are equal if they are spelled alike after normalisation.
//!
//! # Source
//! Hendrycks et al., arXiv 2103.03874, `is_equiv`. Where that raises an exception, the answer is
//! compared as it was written, as there.

use super::replace;

/// Returns whether two answers have the same normalised spelling.
pub(super) fn same_spelling(truth: &str, answer: &str) -> bool {
    spelling(truth).unwrap_or_else(|| truth.to_owned()) == spelling(answer).unwrap_or_else(|| answer.to_owned())
}

/// Normalised spelling; `None` where the original gives up.
pub(super) fn spelling(text: &str) -> Option<String> {
    let mut text = text.to_owned();
    let spellings = [
        ("\n", ""),
        ("\\!", ""),
        ("\\\\", "\\"),
        ("tfrac", "frac"),
        ("dfrac", "frac"),
        ("\\left", ""),
        ("\\right", ""),
        ("^{\\circ}", ""),
        ("^\\circ", ""),
        ("\\$", ""),
    ];
    replace(&mut text, &spellings);
    // "\text{ " occurs before units only; a second one is not expected.
    if text.contains("\\text{ ") {
        let mut parts = text.split("\\text{ ");
        let (first, n_others) = (parts.next().unwrap_or("").to_owned(), parts.count());
        if n_others != 1 {
            return None;
        }
        text = first;
    }
    replace(&mut text, &[("\\%", ""), ("%", ""), (" .", " 0."), ("{.", "{0.")]);
    if text.is_empty() {
        return Some(text);
    }
    if text.starts_with('.') {
        text.insert(0, '0');
    }
    // "k = 3" is 3.
    if let Some((name, value)) = text.split_once('=')
        && name.chars().count() <= 2
        && !value.contains('=')
    {
        text = value.to_owned();
    }
    if text.contains("\\sqrt") {
        text = braced_roots(&text)?;
    }
    text.retain(|c| c != ' ');
    if text.contains("\\frac") {
        text = braced_fractions(&text)?;
    }
    if text == "0.5" {
        text = "\\frac{1}{2}".into();
    }
    Some(slashed_fraction(&text).unwrap_or(text))
}

/// Adds braces to roots: `\sqrt3` becomes `\sqrt{3}`.
fn braced_roots(text: &str) -> Option<String> {
    let mut parts = text.split("\\sqrt");
    let mut result = parts.next()?.to_owned();
    for part in parts {
        let first = part.chars().next()?;
        result += "\\sqrt";
        if first == '{' {
            result += part;
        } else {
            result.extend(['{', first, '}']);
            result += &part[first.len_utf8()..];
        }
    }
    Some(result)
}

/// Adds braces to fractions: `\frac12` becomes `\frac{1}{2}`.
fn braced_fractions(text: &str) -> Option<String> {
    let mut parts = text.split("\\frac");
    let mut result = parts.next()?.to_owned();
    for part in parts {
        result += "\\frac";
        let mut chars = part.chars();
        let first = chars.next()?;
        if first == '{' {
            result += part;
            continue;
        }
        let Some(second) = chars.next() else { return Some(text.to_owned()) };
        result.extend(['{', first, '}']);
        if second == '{' {
            result.push(second);
        } else {
            result.extend(['{', second, '}']);
        }
        result += chars.as_str();
    }
    Some(result)
}

/// Converts a slash to a fraction: `3/4` becomes `\frac{3}{4}`.
fn slashed_fraction(text: &str) -> Option<String> {
    let (above, below) = text.split_once('/')?;
    let is_plain = |text: &str| {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        is_number && (digits == "0" || !digits.starts_with('0')) && text != "-0"
    };
    (is_plain(above) && is_plain(below)).then(|| format!("\\frac{{{above}}}{{{below}}}"))
}
