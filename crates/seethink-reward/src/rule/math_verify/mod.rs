//! math-verify's rule: find the answer in a text, parse it as a formula, compare the meanings of
//! the formulas.
//!
//! # Source
//! math-verify 0.9.0 and the normalisation of latex2sympy2_extended 1.11.0: the places of answers,
//! their order, and the parts that are removed before parsing. There the patterns are regular
//! expressions; here each is a function over the text.

mod clean;
mod scanner;

use super::{Judgement, Unscorable};
use clean::normalised;
use scanner::{Forms, Gap, Kind, Match, Scanner};
use seethink_math::{Comparison, Expr, Fuel, OutOfFuel, Reason, Syntax, Unreadable, parse, same};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Settings of [`Rule::MathVerify`](super::Rule::MathVerify).
///
/// # Examples
/// ```
/// use seethink_reward::{MathVerify, Rule};
///
/// let coarse = Rule::MathVerify(MathVerify { places: 2, ..MathVerify::USUAL });
/// assert!(coarse.judge("3.14159", "3.14").is_right());
/// assert!(!Rule::MATH_VERIFY.judge("3.14159", "3.14").is_right());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MathVerify {
    /// True if answers may be formulas: between dollars or other delimiters, or boxed.
    pub latex: bool,
    /// True if answers may be numbers and sums of numbers in running text.
    pub plain: bool,
    /// Places after the point that decimals are compared to.
    pub places: u32,
    /// True if names of variables matter, and the order of a tuple that answers a set.
    pub strict: bool,
    /// True if a relation may answer a set: `1 < x < 2` where the truth is `(1, 2)`. A set that
    /// answers a relation is always right.
    pub relations_as_sets: bool,
}

impl MathVerify {
    /// The original's defaults.
    pub const USUAL: Self = Self { latex: true, plain: true, places: 6, strict: true, relations_as_sets: false };

    pub(super) fn judge(&self, truth: &str, answer: &str, fuel: &mut Fuel, mut steps: Vec<String>) -> Judgement {
        let Some(wanted) = find(truth, self, fuel) else { return Judgement::unscorable(Unscorable::NoTruth, steps) };
        steps.push(format!("truth: {wanted}"));
        let Some(found) = find(answer, self, fuel) else { return Judgement::unscorable(Unscorable::NoAnswer, steps) };
        steps.push(format!("answer: {found}"));
        let how = Comparison {
            places: self.places.min(40),
            strict: self.strict,
            relations_as_sets: self.relations_as_sets,
            ..Comparison::default()
        };
        Judgement::new(same_findings(&wanted, &found, &how, fuel), steps)
    }
}

impl Default for MathVerify {
    fn default() -> Self {
        Self::USUAL
    }
}

/// Compares two formulas, without looking for answers in the texts.
pub(super) fn same_formulas(truth: &str, answer: &str, fuel: &mut Fuel) -> Result<Option<Reason>, OutOfFuel> {
    let read = |text: &str, fuel: &mut Fuel| parse_formula(&normalised(text.trim().trim_matches('$'), false), fuel);
    match (read(truth, fuel), read(answer, fuel)) {
        (Ok(truth), Ok(answer)) => same(&truth, &answer, &Comparison::default(), fuel),
        _ => Ok(None),
    }
}

/// Answer that was found in a text.
#[derive(Debug, Clone, PartialEq)]
struct Found {
    /// Text of the answer, normalised.
    text: String,
    /// Position of the answer, bytes.
    at: usize,
    /// Parsed answer, if it can be parsed.
    expr: Option<Expr>,
    /// Error of parsing, if it cannot.
    fault: Option<Unreadable>,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` at byte {}", self.text, self.at)?;
        match (&self.expr, &self.fault) {
            (Some(expr), _) => write!(f, ", read as {expr}"),
            (None, Some(fault)) => write!(f, ", which is no formula: {fault}"),
            (None, None) => Ok(()),
        }
    }
}

/// Tier of the search for answers: finds matches in a text.
type Tier<'a> = &'a dyn Fn(&Scanner<'_>) -> Vec<Match>;

/// Finds the answer: in the first tier in which a match can be parsed, the last such match.
fn find(text: &str, settings: &MathVerify, fuel: &mut Fuel) -> Option<Found> {
    let forms = Forms { latex: settings.latex, plain: settings.plain };
    // "final answer is … I hope", "final answer is …" or a box, "answer: …", "answer …", anything.
    let tiers: [Tier<'_>; 5] = [
        &|scanner| scanner.after("final answer is", Gap::Colon, true, forms),
        &|scanner| {
            let mut matches = scanner.after("final answer", Gap::Is, false, forms);
            if forms.latex {
                matches.extend(scanner.boxes());
            }
            matches
        },
        &|scanner| scanner.after("answer:", Gap::Any, false, forms),
        &|scanner| scanner.after("answer", Gap::Any, false, forms),
        &|scanner| scanner.anywhere(forms),
    ];
    let scanner = Scanner::new(text);
    let mut first = None;
    for tier in tiers {
        let mut matches = tier(&scanner);
        matches.sort_by_key(|one| (std::cmp::Reverse(one.end), one.start));
        for one in matches {
            if fuel.burn(400).is_err() {
                return first;
            }
            let found = read(text, &one, fuel);
            if found.expr.is_some() {
                // Texts are compared too, and the first match counts.
                let text = first.map_or(found.text.clone(), |first: Found| first.text);
                return Some(Found { text, ..found });
            }
            first = first.or(Some(found));
        }
    }
    first
}

/// Compares two answers that were found; returns the reason if they are equal.
///
/// # Errors
/// If there is not enough fuel.
fn same_findings(
    truth: &Found,
    answer: &Found,
    how: &Comparison,
    fuel: &mut Fuel,
) -> Result<Option<Reason>, OutOfFuel> {
    if let (Some(truth), Some(answer)) = (&truth.expr, &answer.expr)
        && let Some(reason) = same(truth, answer, how, fuel)?
    {
        return Ok(Some(reason));
    }
    let (truth, answer) = (truth.text.trim(), answer.text.trim());
    Ok((!truth.is_empty() && truth == answer).then_some(Reason::Spelling))
}

/// Parses a match.
fn read(text: &str, found: &Match, fuel: &mut Fuel) -> Found {
    let mut exprs = Vec::new();
    let mut texts = Vec::new();
    let mut fault = None;
    for piece in &found.pieces {
        let content = &text[piece.start..piece.end];
        let (clean, parsed) = match piece.kind {
            Kind::Formula | Kind::Box => {
                let clean = normalised(content, piece.kind == Kind::Box);
                let parsed = parse_formula(&clean, fuel);
                (clean, parsed)
            }
            Kind::Arithmetic => {
                (content.to_owned(), parse(content.trim_end_matches(['.', ' ', '\n']), Syntax::Plain, fuel))
            }
            Kind::Number => {
                let clean = plain_number(content);
                let parsed = parse(&clean, Syntax::Plain, fuel);
                (clean, parsed)
            }
        };
        texts.push(clean);
        match parsed {
            Ok(expr) => exprs.push(Some(if piece.is_percent { Expr::Percent(Box::new(expr)) } else { expr })),
            Err(error) => {
                fault = fault.or(Some(error));
                exprs.push(None);
            }
        }
    }
    let at = found.pieces.first().map_or(found.start, |piece| piece.start);
    if exprs.len() > 1 && exprs.iter().all(Option::is_some) {
        let mut items = Vec::new();
        for expr in exprs.into_iter().flatten() {
            match expr {
                Expr::Set(inner) => items.extend(inner),
                other => items.push(other),
            }
        }
        return Found { text: texts.join(" and "), at, expr: Some(Expr::Set(items)), fault: None };
    }
    let text = texts.into_iter().next().unwrap_or_default();
    Found { text, at, expr: exprs.into_iter().next().flatten(), fault }
}

/// Parses a formula; if a chain of equations cannot be parsed, its last part.
fn parse_formula(text: &str, fuel: &mut Fuel) -> Result<Expr, Unreadable> {
    parse(text, Syntax::Latex, fuel).or_else(|error| {
        let parts = if text.contains([',', ';']) { Vec::new() } else { equation_parts(text) };
        match parts.last() {
            Some(last) if parts.len() > 2 => parse(last, Syntax::Latex, fuel),
            _ => Err(error),
        }
    })
}

fn equation_parts(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut from = 0;
    for (at, _) in text.match_indices('=') {
        if !text[..at].ends_with(['\\', '<', '!', '>']) {
            parts.push(&text[from..at]);
            from = at + 1;
        }
    }
    parts.push(&text[from..]);
    parts
}

/// Normalises a number to digits with a point: `1,000.5`, `1 000`, `1,5` (a half), `007`.
fn plain_number(text: &str) -> String {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text),
    };
    let groups: Vec<&str> = digits.split([',', ' ']).collect();
    let last = groups.last().map_or("", |last| last.split('.').next().unwrap_or(last));
    let is_grouped = groups.len() > 1
        && groups[1..groups.len() - 1].iter().all(|group| group.len() == 3)
        && last.len() == 3
        && (1..=3).contains(&groups[0].len())
        && !groups[0].starts_with('0');
    if is_grouped {
        format!("{sign}{}", digits.replace([',', ' '], ""))
    } else {
        format!("{sign}{}", digits.replace(',', "."))
    }
}
