//! Equality of numbers, and of expressions that stand for numbers.

use super::canonical::canonical;
use super::compare::{Comparison, Found, Reason};
use super::expr::Expr;
use super::numeric::{Evaluator, NEEDED, TRIALS};
use super::{Fuel, OutOfFuel, exact};
use num_rational::BigRational;
use num_traits::{Pow, Signed, Zero};

/// Compares two scalars: exactly, as percentages, as functions of their variables, or as decimals
/// of `how.places` places.
pub(super) fn same_numbers(truth: &Expr, answer: &Expr, how: &Comparison, fuel: &mut Fuel) -> Found {
    if let (Some(one), Some(other)) = (exact::value(truth, fuel)?, exact::value(answer, fuel)?) {
        fuel.burn(3 * exact::cost(&one, &other))?;
        if one == other {
            return Ok(Some(Reason::Form));
        }
        let is_percentage = matches!(truth, Expr::Percent(_)) || matches!(answer, Expr::Percent(_));
        if is_percentage && how.bare_percentages && whole(truth).is_some_and(|truth| whole(answer) == Some(truth)) {
            return Ok(Some(Reason::Form));
        }
        let same =
            (is_decimal(truth) || is_decimal(answer)) && rounded(&one, how.places) == rounded(&other, how.places);
        return Ok(same.then_some(Reason::Rounded));
    }
    if let Some(reason) = same_functions(truth, answer, fuel)? {
        return Ok(Some(reason));
    }
    if is_decimal(truth) || is_decimal(answer) {
        if truth.has_variable() || answer.has_variable() {
            return Ok(None);
        }
        let mut evaluator = Evaluator::new(0);
        let (truth, answer) = (exact::folded(truth, fuel)?, exact::folded(answer, fuel)?);
        if let (Some(one), Some(other)) = (evaluator.value(&truth, fuel)?, evaluator.value(&answer, fuel)?)
            && let (Some(one), Some(other)) = (one.rounded(how.places), other.rounded(how.places))
        {
            return Ok((one.cmp(&other) == Some(0)).then_some(Reason::Rounded));
        }
    }
    Ok(None)
}

fn is_decimal(expr: &Expr) -> bool {
    match expr {
        Expr::Number(number) => number.is_decimal,
        Expr::Percent(inner) => is_decimal(inner),
        Expr::Product(items) => {
            matches!(&items[..], [Expr::Number(sign), inner] if sign.value.is_negative() && is_decimal(inner))
        }
        _ => false,
    }
}

/// Whole number, or that of a percentage.
fn whole(expr: &Expr) -> Option<&BigRational> {
    match expr {
        Expr::Percent(inner) => whole(inner),
        Expr::Number(number) => Some(&number.value).filter(|value| value.is_integer() && !number.is_decimal),
        _ => None,
    }
}

/// Rounds to the nearest whole number of units of the last place, halves to even.
fn rounded(number: &BigRational, places: u32) -> BigRational {
    let scaled = number * BigRational::from_integer(num_bigint::BigInt::from(10).pow(places));
    let (floor, half) = (scaled.floor(), BigRational::new(1.into(), 2.into()));
    let rest = &scaled - &floor;
    let is_odd = !(floor.to_integer() % 2u32).is_zero();
    if rest > half || (rest == half && is_odd) { floor + BigRational::from_integer(1.into()) } else { floor }
}

/// Compares two expressions as functions of their variables.
///
/// # Errors
/// If there is not enough fuel.
pub fn same_values(one: &Expr, other: &Expr, fuel: &mut Fuel) -> Result<Option<Reason>, OutOfFuel> {
    if let (Some(one), Some(other)) = (exact::value(one, fuel)?, exact::value(other, fuel)?) {
        fuel.burn(exact::cost(&one, &other))?;
        return Ok((one == other).then_some(Reason::Form));
    }
    same_functions(one, other, fuel)
}

/// Compares two expressions, not both exact numbers, as functions of their variables.
fn same_functions(one: &Expr, other: &Expr, fuel: &mut Fuel) -> Found {
    if !one.is_scalar() || !other.is_scalar() {
        return Ok(None);
    }
    let (left, right) = (canonical(one, fuel)?, canonical(other, fuel)?);
    if left == right {
        return Ok(Some(Reason::Form));
    }
    if left.minus(right, fuel)?.is_polynomial() {
        return Ok(None);
    }
    let (one, other) = (&exact::folded(one, fuel)?, &exact::folded(other, fuel)?);
    let mut n_agreed = 0;
    for trial in 0..TRIALS {
        let mut evaluator = Evaluator::new(trial);
        match (evaluator.value(one, fuel)?, evaluator.value(other, fuel)?) {
            (Some(one), Some(other)) if one.equals(&other) => n_agreed += 1,
            (None, None) => {}
            _ => return Ok(None),
        }
        if trial == 1 && n_agreed == 2 && !one.has_variable() && !other.has_variable() {
            return Ok(Some(Reason::Values));
        }
    }
    Ok((n_agreed >= NEEDED).then_some(Reason::Values))
}
