//! Equations and inequalities: equality of two relations, and their solution sets.

use super::build::only_symbols;
use super::compare::{Comparison, Found, Reason, parts};
use super::expr::{Expr, Function, Interval, Relation};
use super::numeric::{Evaluator, NEEDED, TRIALS, Value};
use super::{Fuel, OutOfFuel, exact};

pub(super) fn is_relation(expr: &Expr) -> bool {
    matches!(expr, Expr::Relation(..))
}

pub(super) fn is_equation(expr: &Expr) -> bool {
    matches!(expr, Expr::Relation(_, relations) if relations.iter().all(|relation| *relation == Relation::Equal))
}

/// Returns whether a relation assigns a value to a variable.
pub(super) fn is_assignment(expr: &Expr) -> bool {
    is_equation(expr) && matches!(expr, Expr::Relation(terms, _) if only_symbols(&terms[0]))
}

/// Last term of a relation, which stands for the relation.
pub(super) fn last_term(expr: Expr) -> Expr {
    match expr {
        Expr::Relation(mut terms, _) => terms.pop().unwrap_or(Expr::Infinity),
        other => other,
    }
}

/// Compares two relations, read from the left or from the right.
pub(super) fn same_relations(truth: &Expr, answer: &Expr, how: &Comparison, fuel: &mut Fuel) -> Found {
    let (Expr::Relation(truth, truth_signs), Expr::Relation(answer, answer_signs)) = (truth, answer) else {
        return Ok(None);
    };
    if truth_signs.len() != answer_signs.len() {
        return Ok(None);
    }
    let forth = links(truth, truth_signs);
    let straight = links(answer, answer_signs);
    let flipped: Vec<Link<'_>> =
        straight.iter().rev().map(|(left, sign, right)| (*right, sign.flipped(), *left)).collect();
    for back in [straight, flipped] {
        let mut all = true;
        for (one, other) in forth.iter().zip(&back) {
            if !same_link(*one, *other, how, fuel)? {
                all = false;
                break;
            }
        }
        if all {
            return Ok(Some(Reason::Factor));
        }
    }
    Ok(None)
}

type Link<'a> = (&'a Expr, Relation, &'a Expr);

fn links<'a>(terms: &'a [Expr], signs: &[Relation]) -> Vec<Link<'a>> {
    signs.iter().zip(terms.windows(2)).map(|(sign, pair)| (&pair[0], *sign, &pair[1])).collect()
}

/// Compares two links of relations: equal sides, or equal differences up to a factor.
fn same_link(truth: Link<'_>, answer: Link<'_>, how: &Comparison, fuel: &mut Fuel) -> Result<bool, OutOfFuel> {
    // 9 answers 9 %, but `k = 9` does not answer `k = 9 %`.
    let how = &Comparison { bare_percentages: false, ..*how };
    let direct = truth.1 == answer.1
        && parts(truth.0, answer.0, how, fuel)?.is_some()
        && parts(truth.2, answer.2, how, fuel)?.is_some();
    let crossed = truth.1 == answer.1.flipped()
        && parts(truth.0, answer.2, how, fuel)?.is_some()
        && parts(truth.2, answer.0, how, fuel)?.is_some();
    if direct || crossed {
        return Ok(true);
    }
    if ![truth.0, truth.2, answer.0, answer.2].iter().all(|side| side.is_scalar()) {
        return Ok(false);
    }
    let (one, other) = (truth.0.clone().minus(truth.2.clone()), answer.0.clone().minus(answer.2.clone()));
    let is_order = matches!(truth.1, Relation::Less | Relation::LessEqual | Relation::Greater | Relation::GreaterEqual);
    Ok(match factor(&one, &other, fuel)? {
        Some(is_positive) if is_order => truth.1 == if is_positive { answer.1 } else { answer.1.flipped() },
        Some(_) => truth.1 == answer.1,
        None => false,
    })
}

/// Sign of the factor by which one expression is a multiple of another: `true` if positive; `None`
/// if it is no multiple.
fn factor(one: &Expr, other: &Expr, fuel: &mut Fuel) -> Result<Option<bool>, OutOfFuel> {
    let (one, other) = (&exact::folded(one, fuel)?, &exact::folded(other, fuel)?);
    let mut factors: Vec<Value> = Vec::new();
    for trial in 0..TRIALS {
        let mut evaluator = Evaluator::new(trial);
        let (Some(one), Some(other)) = (evaluator.value(one, fuel)?, evaluator.value(other, fuel)?) else { continue };
        if one.is_zero() || other.is_zero() {
            return Ok(None);
        }
        factors.extend(one.over(&other));
    }
    let Some((first, rest)) = factors.split_first() else { return Ok(None) };
    let agree = first.is_real() && rest.len() + 1 >= NEEDED && rest.iter().all(|factor| factor.equals(first));
    Ok(agree.then(|| !first.is_negative()))
}

/// Solution set of a relation, for one variable between bounds.
pub(super) fn as_set(relation: &Expr) -> Option<Expr> {
    let Expr::Relation(terms, signs) = relation else { return None };
    let interval =
        |low: Expr, has_low, high: Expr, has_high| Expr::Interval(Box::new(Interval { low, high, has_low, has_high }));
    let is_number = |expr: &Expr| expr.is_scalar() && !expr.has_variable();
    let minus_infinity = || Expr::Infinity.negated();
    // Bounds from below and above for the middle term, and whether each belongs to the set.
    let bound = |number: &Expr, sign: Relation| match sign {
        Relation::Less => Some((number.clone(), false, true)),
        Relation::LessEqual => Some((number.clone(), true, true)),
        Relation::Greater => Some((number.clone(), false, false)),
        Relation::GreaterEqual => Some((number.clone(), true, false)),
        _ => None,
    };
    let (middle, low, high) = match (&terms[..], &signs[..]) {
        // `low < x` and `x < high`, and the same written from the other side.
        ([left, right], [sign]) => {
            let (middle, number, sign) =
                if is_number(left) { (right, left, *sign) } else { (left, right, sign.flipped()) };
            if sign == Relation::Unequal
                && is_number(number)
                && matches!(middle, Expr::Symbol(_) | Expr::Call(Function::Named(_), _))
            {
                return Some(Expr::Union(vec![
                    interval(minus_infinity(), false, number.clone(), false),
                    interval(number.clone(), false, Expr::Infinity, false),
                ]));
            }
            let (number, belongs, is_low) = bound(number, sign).filter(|_| is_number(number))?;
            if is_low { (middle, Some((number, belongs)), None) } else { (middle, None, Some((number, belongs))) }
        }
        ([left, middle, right], [first, second]) if is_number(left) && is_number(right) => {
            let (left, has_left, left_is_low) = bound(left, *first)?;
            let (right, has_right, right_is_low) = bound(right, second.flipped())?;
            match (left_is_low, right_is_low) {
                (true, false) => (middle, Some((left, has_left)), Some((right, has_right))),
                (false, true) => (middle, Some((right, has_right)), Some((left, has_left))),
                _ => return None,
            }
        }
        _ => return None,
    };
    let low_or = |low: Option<(Expr, bool)>| low.unwrap_or((minus_infinity(), false));
    let high_or = |high: Option<(Expr, bool)>| high.unwrap_or((Expr::Infinity, false));
    match middle {
        Expr::Symbol(_) | Expr::Call(Function::Named(_), _) => {
            let ((low, has_low), (high, has_high)) = (low_or(low), high_or(high));
            Some(interval(low, has_low, high, has_high))
        }
        Expr::Call(Function::Abs, items) if matches!(items[..], [Expr::Symbol(_)]) => {
            let (high, has_high) = high_or(high);
            Some(match low {
                None => interval(high.clone().negated(), has_high, high, has_high),
                Some((low, has_low)) => Expr::Union(vec![
                    interval(high.clone().negated(), has_high, low.clone().negated(), has_low),
                    interval(low, has_low, high, has_high),
                ]),
            })
        }
        _ => None,
    }
}
