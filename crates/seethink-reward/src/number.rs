//! Exact rational numbers with an optional unit, as models write them.

/// Quantity: a number with an optional unit; numbers are exact, so `0.1` is one tenth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quantity {
    numerator: i128,
    /// Denominator, positive and without a common factor with `numerator`.
    denominator: i128,
    unit: Option<&'static str>,
    /// True if the number was written as a fraction that can be reduced.
    reducible: bool,
}

impl Quantity {
    /// Parses `+7`, `1,000`, `-0.50`, `1/2`, `\frac{1}{2}`, `\$10`, `50\%`, `45^\circ`,
    /// `12\text{ cm}`, `3 hours`, …
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = text.strip_prefix("\\$").unwrap_or(text).trim_start();
        let (text, unit) = split_unit(text);
        let (negative, text) = match text.strip_prefix(['-', '−']) {
            Some(rest) => (true, rest.trim_start()),
            None => (false, text.strip_prefix('+').unwrap_or(text).trim_start()),
        };
        let (numerator, denominator, is_fraction) = match fraction(text) {
            Some((top, bottom)) => (integer(top)?, integer(bottom)?, true),
            None => {
                let (numerator, denominator) = decimal(text)?;
                (numerator, denominator, false)
            }
        };
        if denominator == 0 {
            return None;
        }
        let divisor = gcd(numerator, denominator);
        let sign = if negative { -1 } else { 1 };
        Some(Self {
            numerator: sign * numerator / divisor,
            denominator: denominator / divisor,
            unit,
            reducible: is_fraction && (divisor > 1 || denominator == 1),
        })
    }

    /// Returns whether an answer of `self` is right where `truth` is: the same number, and the same
    /// unit where both have one.
    ///
    /// A fraction that can be reduced is an unfinished calculation: `12/2` is no answer where `6`
    /// is asked for.
    pub(crate) fn answers(self, truth: Self) -> bool {
        let same_unit = self.unit.is_none() || truth.unit.is_none() || self.unit == truth.unit;
        (self.numerator, self.denominator) == (truth.numerator, truth.denominator)
            && same_unit
            && (!self.reducible || truth.reducible)
    }
}

/// Splits a fraction `a/b`, `\frac{a}{b}`, `\dfrac{a}{b}`, `\tfrac{a}{b}` or `\frac12` into
/// numerator and denominator.
fn fraction(text: &str) -> Option<(&str, &str)> {
    let Some(rest) = [r"\frac", r"\dfrac", r"\tfrac"].iter().find_map(|command| text.strip_prefix(command)) else {
        return text.split_once('/').map(|(top, bottom)| (top.trim(), bottom.trim()));
    };
    let (top, rest) = argument(rest.trim_start())?;
    let (bottom, rest) = argument(rest.trim_start())?;
    rest.is_empty().then_some((top.trim(), bottom.trim()))
}

/// First argument of a LaTeX command, braced or a single digit, and the rest of the text.
fn argument(text: &str) -> Option<(&str, &str)> {
    match text.strip_prefix('{') {
        Some(rest) => rest.split_once('}'),
        None => text.starts_with(|c: char| c.is_ascii_digit()).then(|| text.split_at(1)),
    }
}

/// Parses digits, with commas as separators of thousands; no sign.
fn integer(text: &str) -> Option<i128> {
    let mut groups = text.split(',');
    let first = groups.next()?;
    let mut digits = String::from(first);
    let mut grouped = false;
    for group in groups {
        if group.len() != 3 {
            return None;
        }
        digits.push_str(group);
        grouped = true;
    }
    // "0,245" and "1234,567" are lists, not numbers.
    if grouped && (first.is_empty() || first.len() > 3 || first.starts_with('0')) {
        return None;
    }
    let is_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    // Two factors of this size still fit into 128 bits with room to spare.
    let digits = digits.trim_start_matches('0');
    match (is_digits, digits.len()) {
        (false, _) | (_, 37..) => None,
        (true, 0) => Some(0),
        (true, _) => digits.parse().ok(),
    }
}

/// Parses a decimal (`12`, `1,000.5`, `.5`) to numerator and denominator.
fn decimal(text: &str) -> Option<(i128, i128)> {
    let Some((whole, places)) = text.split_once('.') else { return Some((integer(text)?, 1)) };
    if places.is_empty() || !places.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let places = places.trim_end_matches('0');
    if places.len() > 18 {
        return None;
    }
    let whole = if whole.is_empty() { 0 } else { integer(whole)? };
    let denominator = 10i128.pow(places.len() as u32);
    let numerator =
        whole.checked_mul(denominator)?.checked_add(if places.is_empty() { 0 } else { integer(places)? })?;
    Some((numerator, denominator))
}

fn gcd(a: i128, b: i128) -> i128 {
    if b == 0 { a.max(1) } else { gcd(b, a % b) }
}

/// Units that may follow a number without changing it, with their spellings.
///
/// Multipliers ("million", "dozen") and anything that could be a variable next to its number ("2s")
/// are left out.
const UNITS: [(&str, &[&str]); 27] = [
    ("%", &["%", r"\%", "percent"]),
    ("°", &["°", r"^\circ", r"^{\circ}", r"\degree", r"^\degree", "degree", "degrees"]),
    ("mm", &["mm", "millimeter", "millimeters"]),
    ("cm", &["cm", "centimeter", "centimeters"]),
    ("m", &["m", "meter", "meters"]),
    ("km", &["km", "kilometer", "kilometers"]),
    ("in", &["in", "inch", "inches"]),
    ("ft", &["ft", "foot", "feet"]),
    ("yd", &["yd", "yard", "yards"]),
    ("mi", &["mi", "mile", "miles"]),
    ("cm²", &["cm^2", "cm^{2}", "cm²"]),
    ("m²", &["m^2", "m^{2}", "m²"]),
    ("cm³", &["cm^3", "cm^{3}", "cm³"]),
    ("m³", &["m^3", "m^{3}", "m³"]),
    ("g", &["g", "gram", "grams"]),
    ("kg", &["kg", "kilogram", "kilograms"]),
    ("lb", &["lb", "lbs", "pound", "pounds"]),
    ("s", &["s", "sec", "second", "seconds"]),
    ("min", &["min", "minute", "minutes"]),
    ("h", &["h", "hr", "hour", "hours"]),
    ("day", &["day", "days"]),
    ("week", &["week", "weeks"]),
    ("month", &["month", "months"]),
    ("year", &["year", "years"]),
    ("$", &["dollar", "dollars"]),
    ("¢", &["cent", "cents"]),
    ("unit", &["unit", "units"]),
];

/// Splits a unit off the end. A word needs a blank or `\text{…}` before it; a symbol may touch its
/// number.
fn split_unit(text: &str) -> (&str, Option<&'static str>) {
    let braced = [r"\text{", r"\mathrm{", r"\textrm{"].iter().find_map(|open| {
        let (number, rest) = text.split_once(open)?;
        Some((number, rest.strip_suffix('}')?.trim_matches([' ', '~'])))
    });
    let (number, unit, is_apart) = match braced {
        Some((number, unit)) => (number, unit, true),
        None => match text.rsplit_once(char::is_whitespace) {
            Some((number, unit)) => (number, unit, true),
            None => match text.find(['%', '°', '^', '\\']) {
                Some(at) if at > 0 => (&text[..at], &text[at..], false),
                _ => return (text, None),
            },
        },
    };
    let known = UNITS.iter().find(|(_, spellings)| {
        spellings.iter().any(|spelling| *spelling == unit && (is_apart || !spelling.starts_with(char::is_alphabetic)))
    });
    match known {
        Some((name, _)) => (number.trim().trim_end_matches([' ', '~', '\\']).trim_end_matches(r"\,"), Some(name)),
        None => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn equal(answer: &str, truth: &str) -> bool {
        Quantity::parse(answer).zip(Quantity::parse(truth)).is_some_and(|(answer, truth)| answer.answers(truth))
    }

    #[test]
    fn numbers_are_compared_exactly() {
        for (answer, truth) in [
            ("7", "7"),
            ("007", "7"),
            ("+7", "7"),
            ("-0", "0"),
            ("- 7", "-7"),
            ("−7", "-7"),
            ("7.0", "7"),
            ("1,000", "1000"),
            ("1,234,567.5", "1234567.50"),
            (".5", "1/2"),
            ("0.5", r"\frac{1}{2}"),
            (r"\frac12", "0.5"),
            (r"-\dfrac{3}{4}", "-0.75"),
            ("1/3", r"\tfrac{1}{3}"),
            ("6/8", "6/8"),
            (r"\$10", "10"),
            ("50%", r"50\%"),
            (r"45^\circ", "45"),
            ("45 degrees", r"45^{\circ}"),
            (r"12\text{ cm}", "12"),
            (r"12~\mathrm{cm}", "12 cm"),
            ("3 hours", "3"),
        ] {
            assert!(equal(answer, truth), "{answer} = {truth}");
        }
        for (answer, truth) in [
            ("7", "-7"),
            ("0.333", "1/3"),
            ("12/2", "6"),
            ("6/1", "6"),
            ("6/8", "3/4"),
            ("1/0", "1/0"),
            ("1e3", "1000"),
            ("10,00", "1000"),
            ("0,245", "245"),
            ("1 2", "12"),
            ("12 cm", "12 mm"),
            ("2s", "2"),
            ("2x", "2"),
            ("3 million", "3"),
            ("50%", "0.5"),
            ("--7", "7"),
            ("7.", "7"),
            (".", "0"),
            ("", "0"),
            ("1.2.3", "1.23"),
            ("1/2/3", "1/6"),
            ("５", "5"),
        ] {
            assert!(!equal(answer, truth), "{answer} = {truth}");
        }
    }

    #[test]
    fn huge_numbers_are_no_numbers() {
        assert!(Quantity::parse(&"9".repeat(36)).is_some());
        assert!(Quantity::parse(&"9".repeat(37)).is_none());
        assert!(Quantity::parse(&format!("{}.5", "9".repeat(36))).is_some());
        assert!(Quantity::parse(&format!("{}.123456789", "9".repeat(36))).is_none());
        assert!(Quantity::parse(&format!("{}7", "0".repeat(100))).is_some());
    }
}
