//! mathruler's rule, the paper's: spellings are normalised, and answers that still differ must be
//! equal by simplification.
//!
//! # Source
//! mathruler 0.1.0 (after OpenAI's prm800k): `grade_answer`. It is strict on purpose: whole numbers
//! must be written as such, fractions must be reduced, tuples keep their order. Differs: brackets
//! in fractions are kept unless asked otherwise, whole numbers are compared to their last digit,
//! and expressions that the original would evaluate without end are refused.

use super::plain_text::plain_text;
use super::{hendrycks, replace, signs};
use num_bigint::BigInt;
use num_integer::Integer;
use num_rational::BigRational;
use num_traits::Pow;
use seethink_math::{Expr, Fuel, MAX_LENGTH, OutOfFuel, Reason, Syntax, parse, same_values};
use std::borrow::Cow;

/// Units that are removed wherever they occur, in longer words too.
const UNITS: [&str; 16] = [
    "degree",
    "cm",
    "centimeter",
    "meter",
    "mile",
    "second",
    "minute",
    "hour",
    "day",
    "week",
    "month",
    "year",
    "foot",
    "feet",
    "inch",
    "yard",
];

/// Compares an answer with the truth; returns the reason if they are equal.
///
/// # Errors
/// If there is not enough fuel.
pub(super) fn same_answer(
    truth: &str,
    answer: &str,
    as_released: bool,
    fuel: &mut Fuel,
) -> Result<Option<Reason>, OutOfFuel> {
    if truth.trim() == answer.trim() {
        return Ok(Some(Reason::Spelling));
    }
    if truth.len().max(answer.len()) > 2 * MAX_LENGTH {
        return Ok(None);
    }
    let spelling =
        |text: &str| hendrycks::spelling(unwrapped(text.trim()).trim()).unwrap_or_else(|| text.trim().to_owned());
    if spelling(truth) == spelling(answer) {
        return Ok(Some(Reason::Spelling));
    }
    let (truth, answer) = (normalised(truth, as_released), normalised(answer, as_released));
    if truth == answer {
        return Ok(Some(Reason::Spelling));
    }
    if answer.is_empty() || truth.is_empty() {
        return Ok(None);
    }
    let (truths, answers) = (elements(&truth), elements(&answer));
    let ends = |text: &str| (text.chars().next(), text.chars().next_back());
    if truths.len() != answers.len() || (truths.len() > 1 && ends(&truth) != ends(&answer)) {
        return Ok(None);
    }
    for (truth, answer) in truths.iter().zip(&answers) {
        let is_same = if is_fraction(truth) && is_fraction(answer) {
            truth == answer
        } else if whole(truth).is_some() != whole(answer).is_some() {
            false
        } else {
            same_values_of(truth, answer, fuel)?
        };
        if !is_same {
            return Ok(None);
        }
    }
    Ok(Some(if truths.len() > 1 { Reason::Parts } else { Reason::Values }))
}

/// Removes a `\text{…}` around the whole text.
fn unwrapped(text: &str) -> &str {
    let inner = text.strip_prefix("\\text{").and_then(|rest| rest.strip_suffix('}'));
    inner.filter(|inner| !inner.is_empty() && !inner.contains('\n')).unwrap_or(text)
}

fn normalised(text: &str, as_released: bool) -> String {
    let mut text = unwrapped(text).to_owned();
    let spellings = [
        ("\\%", "%"),
        ("\\$", "$"),
        ("$", ""),
        ("%", ""),
        (" or ", " , "),
        (" and ", " , "),
        ("million", "*10^6"),
        ("billion", "*10^9"),
        ("trillion", "*10^12"),
    ];
    replace(&mut text, &spellings);
    let present = signs(&text);
    for unit in UNITS {
        if signs(unit) & !present == 0 && text.contains(unit) {
            text = without_unit(&text, unit);
        }
    }
    if text.contains('^') {
        text = without_degrees(&text);
    }
    if text.len() > 1 && text.starts_with('{') && text.ends_with('}') {
        text = text[1..text.len() - 1].to_owned();
    }
    while let Some(at) = text.find(",\\!") {
        let end = at + 3 + text[at + 3..].bytes().take_while(|byte| *byte == b' ').count();
        text.replace_range(at..end, "");
    }
    if let Some(number) = float(&text).as_ref().and_then(nearly_whole) {
        text = number.to_string();
    }
    if text.contains('\\') {
        let mut latex = text.clone();
        replace(&mut latex, &[("\\tfrac", "\\frac"), ("\\dfrac", "\\frac"), ("\\frac", " \\frac")]);
        if let Some(mut plain) = plain_text(&latex, !as_released) {
            let names = [("√", "sqrt"), ("π", "pi"), ("∞", "inf"), ("∪", "U"), ("·", "*"), ("×", "*")];
            replace(&mut plain, &names);
            text = plain.trim().to_owned();
        }
    }
    if text.contains(' ') {
        text = without_blanks(&text);
    }
    text.retain(|c| !matches!(c, '{' | '}'));
    if as_released {
        text = without_underscores(text);
    }
    if !text.is_ascii() || text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        text = text.to_lowercase();
    }
    match whole(&text) {
        Some(number) => number.to_string(),
        None => text,
    }
}

/// Removes a unit, its plural and its exponent.
fn without_unit(text: &str, unit: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(unit) {
        out.push_str(&rest[..at]);
        rest = &rest[at + unit.len()..];
        rest = rest.strip_prefix("es").unwrap_or(rest);
        rest = rest.strip_prefix('s').unwrap_or(rest);
        rest = rest.trim_start_matches(' ');
        if let Some(exponent) = rest.strip_prefix('^') {
            let n = exponent.bytes().take_while(u8::is_ascii_digit).count();
            rest = if n > 0 { &exponent[n..] } else { rest };
        }
    }
    out + rest
}

fn without_degrees(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('^') {
        let after = &rest[at + 1..];
        match after.trim_start_matches(' ').strip_prefix("\\circ") {
            Some(after) => {
                out.push_str(&rest[..at]);
                rest = after;
            }
            None => {
                out.push_str(&rest[..=at]);
                rest = after;
            }
        }
    }
    out + rest
}

/// Removes blanks, and writes mixed numbers as sums: `7 3/4` as `7+3/4`.
fn without_blanks(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut after_blank = false;
    for c in text.chars() {
        if c == ' ' {
            after_blank = true;
            continue;
        }
        if after_blank && c.is_ascii_digit() && out.ends_with(|c: char| c.is_ascii_digit()) {
            out.push('+');
        }
        after_blank = false;
        out.push(c);
    }
    out
}

/// Removes underscores between digits.
fn without_underscores(text: String) -> String {
    let is_digit = |c: char| c.is_ascii_digit();
    let mut parts = text.split('_');
    let first = parts.next().unwrap_or("").to_owned();
    parts.fold(first, |before, after| {
        let between = if before.ends_with(is_digit) && after.starts_with(is_digit) { "" } else { "_" };
        before + between + after
    })
}

/// Parses a number as Python's `float` does, exactly.
fn float(text: &str) -> Option<BigRational> {
    let text = text.trim();
    if !text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-')) {
        return None;
    }
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match digits.find(['e', 'E']) {
        Some(at) => (&digits[..at], digits[at + 1..].parse::<i32>().ok().filter(|exponent| exponent.abs() <= 400)?),
        None => (digits, 0),
    };
    let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all: String = [before, after].concat();
    if all.is_empty() || all.len() > 1000 || !all.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = all.parse::<BigInt>().ok()?;
    let shift = exponent - after.len() as i32;
    let power = BigInt::from(10).pow(shift.unsigned_abs());
    let value = if shift < 0 { BigRational::new(digits, power) } else { (digits * power).into() };
    Some(if is_negative { -value } else { value })
}

/// Whole number within 10⁻⁷ of a number.
fn nearly_whole(number: &BigRational) -> Option<BigInt> {
    if number.is_integer() {
        return Some(number.to_integer());
    }
    let (below, rest) = number.numer().div_mod_floor(number.denom());
    let to_next = number.denom() - &rest;
    let (nearest, distance) = if rest < to_next { (below, rest) } else { (below + 1, to_next) };
    (distance * 10_000_000 <= *number.denom()).then_some(nearest)
}

/// Parses a whole number, with separated thousands or without.
fn whole(text: &str) -> Option<BigInt> {
    let number = float(&without_separators(text))?;
    nearly_whole(&number)?;
    // All commas are removed then.
    let number = if text.contains(',') { float(&text.replace(',', ""))? } else { number };
    Some(number.trunc().to_integer())
}

/// Removes commas that separate groups of three digits.
fn without_separators(text: &str) -> Cow<'_, str> {
    if !text.contains(',') {
        return text.into();
    }
    let mut out = text.to_owned();
    // From the right, as a comma separates only if three digits and no more follow.
    for at in (1..text.len()).rev() {
        let bytes = out.as_bytes();
        let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
        if bytes[at] == b','
            && digit(at - 1)
            && (1..=3).all(|n| digit(at + n))
            && text.as_bytes().get(at + 4).is_none_or(|byte| !byte.is_ascii_digit())
        {
            out.remove(at);
        }
    }
    out.into()
}

/// Returns whether a text is a number over a number, each perhaps with one more sign.
fn is_fraction(text: &str) -> bool {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let Some((above, below)) = unsigned.split_once('/') else { return false };
    let number = |text: &str| {
        let n = text.bytes().take_while(u8::is_ascii_digit).count();
        n > 0 && text[n..].chars().count() <= 1
    };
    let is_zero =
        below.trim_matches('0').is_empty() || !below.trim_start_matches('0').starts_with(|c: char| c.is_ascii_digit());
    number(above) && number(below) && !is_zero
}

/// Elements between the brackets of a tuple or an interval; otherwise the whole text.
fn elements(text: &str) -> Vec<String> {
    let text = without_separators(text);
    let brackets = ['(', ')', '[', ']'];
    let inner = text.strip_prefix(brackets).and_then(|rest| rest.strip_suffix(brackets));
    match inner.filter(|inner| !inner.is_empty() && !inner.contains(brackets)) {
        Some(inner) => inner.split(',').map(|element| element.trim().to_owned()).collect(),
        None => vec![text.into_owned()],
    }
}

/// Returns whether two expressions of at most two letters have the same value.
fn same_values_of(truth: &str, answer: &str, fuel: &mut Fuel) -> Result<bool, OutOfFuel> {
    let both = format!("({truth})-({answer})");
    let mut others = both.clone();
    replace(&mut others, &[("sqrt", ""), ("frac", "")]);
    let mut letters: Vec<char> = others.chars().filter(|c| c.is_alphabetic()).collect();
    letters.sort_unstable();
    letters.dedup();
    let bytes = both.as_bytes();
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let is_power = |at: usize| bytes[at] == b'^';
    let has_large_power = (0..bytes.len()).filter(|at| is_power(*at)).any(|at| {
        let n = (at + 1..bytes.len()).take_while(|at| digit(*at)).count();
        // For a decimal exponent, SymPy has another number.
        n > 1 || bytes.get(at + 1) == Some(&b'(') || (n > 0 && matches!(bytes.get(at + 1 + n), Some(b'^' | b'.')))
    });
    if letters.len() > 2 || has_large_power {
        return Ok(false);
    }
    let read = |text: &str, fuel: &mut Fuel| {
        parse(text, Syntax::Plain, fuel).ok().filter(Expr::is_scalar).map(|expr| expr.with_names("e", "i"))
    };
    match (read(truth, fuel), read(answer, fuel)) {
        (Some(truth), Some(answer)) => Ok(same_values(&truth, &answer, fuel)?.is_some()),
        _ => Ok(false),
    }
}
