//! Constructors of expressions from their parts.

use super::expr::{Expr, Function, Number};
use num_traits::{Signed, Zero};

/// Names of the signs of plus and minus, until [`both_signs`] expands them.
pub(super) const PLUS_MINUS: &str = "±";
pub(super) const MINUS_PLUS: &str = "∓";

/// Expands ± and ∓: the element with the upper and with the lower signs, where it has any.
pub(super) fn both_signs(element: Expr) -> Vec<Expr> {
    let has_both =
        |expr: &Expr| matches!(expr, Expr::Call(Function::Named(name), _) if name == PLUS_MINUS || name == MINUS_PLUS);
    if !element.any(&has_both) {
        return vec![element];
    }
    let lower = with_sign(element.clone(), false);
    vec![with_sign(element, true), lower]
}

fn with_sign(expr: Expr, upper: bool) -> Expr {
    let all = |items: Vec<Expr>| items.into_iter().map(|item| with_sign(item, upper)).collect::<Vec<_>>();
    let one = |item: Box<Expr>| Box::new(with_sign(*item, upper));
    match expr {
        Expr::Call(Function::Named(name), mut items)
            if (name == PLUS_MINUS || name == MINUS_PLUS) && items.len() == 1 =>
        {
            let inner = with_sign(items.remove(0), upper);
            if (name == PLUS_MINUS) == upper { inner } else { inner.negated() }
        }
        Expr::Sum(items) => Expr::Sum(all(items)),
        Expr::Product(items) => Expr::Product(all(items)),
        Expr::Call(function, items) => Expr::Call(function, all(items)),
        Expr::Tuple(items) => Expr::Tuple(all(items)),
        Expr::Set(items) => Expr::Set(all(items)),
        Expr::Relation(items, relations) => Expr::Relation(all(items), relations),
        Expr::Power(base, exponent) => Expr::Power(one(base), one(exponent)),
        Expr::Percent(inner) => Expr::Percent(one(inner)),
        other => other,
    }
}

/// Builds a set of the elements between semicolons, or returns the only element.
pub(super) fn set_of(mut rows: Vec<Vec<Expr>>) -> Expr {
    if rows.len() == 1 || rows.iter().all(|row| row.len() == 1) {
        let mut items: Vec<Expr> = rows.into_iter().flatten().collect();
        return match items.pop() {
            Some(only) if items.is_empty() => only,
            last => Expr::Set(items.into_iter().chain(last).collect()),
        };
    }
    Expr::Set(rows.drain(..).map(Expr::Tuple).collect())
}

/// Content of a set of one, whose braces group terms and factors as brackets do: `\{1+2\}\{3-4\}`.
/// Expressions other than sets are returned unchanged.
///
/// # Errors
/// If the expression is another set, which is neither a term nor a factor; the error is the set.
pub(super) fn operand(expr: Expr) -> Result<Expr, Expr> {
    let Expr::Set(items) = expr else { return Ok(expr) };
    match <[Expr; 1]>::try_from(items) {
        Ok([only]) if only.is_scalar() || matches!(only, Expr::Set(_) | Expr::Matrix(_)) => operand(only),
        Ok([other]) => Err(Expr::Set(vec![other])),
        Err(items) => Err(Expr::Set(items)),
    }
}

/// Returns the only item, or combines several by `together`.
pub(super) fn one_or(mut items: Vec<Expr>, together: fn(Vec<Expr>) -> Expr) -> Expr {
    match items.pop() {
        Some(only) if items.is_empty() => only,
        last => together(items.into_iter().chain(last).collect()),
    }
}

/// Builds a fraction; one of whole numbers is a number.
pub(super) fn quotient(above: Expr, below: Expr) -> Expr {
    match (&above, &below) {
        (Expr::Number(above), Expr::Number(below))
            if above.value.is_integer()
                && below.value.is_integer()
                && !below.value.is_zero()
                && !above.is_decimal
                && !below.is_decimal =>
        {
            Expr::rational(&above.value / &below.value)
        }
        _ => above.over(below),
    }
}

/// Mixed number such as `1 ½`: a whole number and a proper fraction side by side are added; other
/// numbers side by side are not valid.
pub(super) fn mixed(whole: &Number, part: &Number) -> Option<Number> {
    let is_mixed = whole.value.is_integer()
        && !part.value.is_integer()
        && part.value.is_positive()
        && !whole.is_decimal
        && !part.is_decimal;
    let part = if whole.value.is_negative() { -&part.value } else { part.value.clone() };
    is_mixed.then(|| Number { value: &whole.value + part, is_decimal: false })
}

/// Primed variable, distinct from that of the same name.
pub(super) fn primed(base: Expr) -> Expr {
    match base {
        Expr::Symbol(name) => Expr::Symbol(name + "'"),
        other => Expr::call(Function::Named("'".into()), other),
    }
}

/// Returns whether an expression is a quantity of names alone, as on the left of `x = 3`,
/// `A : B = 1` and `|AB| = 2`.
///
/// Sums and powers are quantities only as arguments of functions: `x + y = 1` is a line, and not
/// answered by 1.
pub(super) fn only_symbols(expr: &Expr) -> bool {
    quantity(expr, false)
}

fn quantity(expr: &Expr, is_argument: bool) -> bool {
    let all = |items: &[Expr], is_argument| items.iter().all(|item| quantity(item, is_argument));
    match expr {
        Expr::Symbol(_) => true,
        Expr::Power(base, exponent) if **exponent == Expr::integer(-1) => quantity(base, is_argument),
        Expr::Power(base, exponent) => is_argument && quantity(base, true) && quantity(exponent, true),
        Expr::Sum(items) => is_argument && all(items, true),
        Expr::Product(items) | Expr::Tuple(items) => all(items, is_argument),
        Expr::Interval(interval) => quantity(&interval.low, is_argument) && quantity(&interval.high, is_argument),
        // A base that is not written counts as a number; SymPy has computed the divisor before it
        // looks.
        Expr::Call(Function::Log, items) if items.len() == 1 => false,
        Expr::Call(Function::Gcd, _) => false,
        Expr::Call(_, items) => all(items, true),
        _ => false,
    }
}
