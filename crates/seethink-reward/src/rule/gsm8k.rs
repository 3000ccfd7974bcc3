//! GSM8K's rule: the final numbers of texts.

use super::{Judgement, Unscorable};
use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{FromPrimitive, Pow, Signed};
use seethink_math::Reason;

/// Maximum number of digits of a number.
const MAX_DIGITS: usize = 400;

/// Judges whether the final number of a text is that of the truth.
pub(super) fn judge(truth: &str, answer: &str, mut steps: Vec<String>) -> Judgement {
    let Some(wanted) = number(truth) else { return Judgement::unscorable(Unscorable::NoTruth, steps) };
    let Some(found) = number(answer) else { return Judgement::unscorable(Unscorable::NoAnswer, steps) };
    steps.push(format!("the final numbers are {wanted} and {found}"));
    Judgement::new(Ok((wanted == found).then_some(Reason::Form)), steps)
}

/// Final number: that after the last mark of an answer (`####`, `A:`), else the last number of a
/// text.
pub(super) fn number(text: &str) -> Option<BigRational> {
    let marked = ["####", "A:"].iter().find_map(|mark| text.rsplit_once(mark).map(|(_, after)| after));
    let found = marked.and_then(|after| numbers(after).next()).or_else(|| numbers(text).last());
    found.map(|(_, value)| value)
}

/// Last number of a text, as it is written.
pub(crate) fn last_number(text: &str) -> Option<&str> {
    numbers(text).last().map(|(written, _)| written)
}

/// Numbers in a text: digits with separators of thousands, a point and a sign that does not join
/// them to the text before.
fn numbers(text: &str) -> impl Iterator<Item = (&str, BigRational)> {
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let start = at + bytes[at..].iter().position(u8::is_ascii_digit)?;
            let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
            let mut end = start;
            while digit(end) || (bytes.get(end) == Some(&b',') && (1..=3).all(|n| digit(end + n)) && !digit(end + 4)) {
                end += 1;
            }
            let point = bytes.get(end) == Some(&b'.') && digit(end + 1);
            let whole_end = end;
            if point {
                end += 1;
                while digit(end) {
                    end += 1;
                }
            }
            // ".5" begins with its point.
            let is_fraction =
                start > 0 && bytes[start - 1] == b'.' && !point && (start < 2 || !bytes[start - 2].is_ascii_digit());
            at = end;
            let whole: String = if is_fraction { String::new() } else { text[start..whole_end].replace(',', "") };
            let places = if is_fraction {
                &text[start..end]
            } else if point {
                &text[whole_end + 1..end]
            } else {
                ""
            };
            if whole.len() + places.len() > MAX_DIGITS {
                continue;
            }
            let sign_at = if is_fraction { start.checked_sub(2) } else { start.checked_sub(1) };
            let is_negative = sign_at.is_some_and(|sign| {
                let joins = sign > 0 && (bytes[sign - 1].is_ascii_alphanumeric() || bytes[sign - 1] == b')');
                bytes[sign] == b'-' && !joins
            });
            let Ok(mantissa) = format!("0{whole}{places}").parse::<BigInt>() else { continue };
            let value = BigRational::new(mantissa, BigInt::from(10).pow(places.len() as u32));
            let from = if is_negative { sign_at.unwrap_or(start) } else { start - usize::from(is_fraction) };
            return Some((&text[from..end], if is_negative { -value } else { value }));
        }
    })
}

/// Returns whether two numbers differ by at most `absolute`, or by the share `relative` of the
/// first. A tolerance that is negative or no number is never met.
pub(super) fn near(truth: &BigRational, answer: &BigRational, absolute: f64, relative: f64) -> bool {
    let exact = |tolerance: f64| BigRational::from_f64(tolerance).filter(|tolerance| !tolerance.is_negative());
    let difference = (truth - answer).abs();
    let within = |limit: Option<BigRational>| limit.is_some_and(|limit| difference <= limit);
    within(exact(absolute)) || within(exact(relative).map(|share| share * truth.abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_final_number_counts() {
        for (text, expected) in [
            ("1,875 students\nA: 1875", "1875"),
            ("so 3 + 4 = 7\n#### 1,234", "1234"),
            ("It is 2.50.", "5/2"),
            ("from 3 to -4", "-4"),
            ("10-4", "4"),
            ("about .5", "1/2"),
            ("7.", "7"),
            ("1,2,3", "3"),
            ("A: many, 5 of them", "5"),
        ] {
            assert_eq!(number(text).map(|number| number.to_string()).as_deref(), Some(expected), "{text}");
        }
        assert!(number("none").is_none() && number(&"9".repeat(5000)).is_none());
    }
}
