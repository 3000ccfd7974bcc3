//! Sets, intervals and tuples.

use super::compare::{Comparison, Found, Reason, parts, same};
use super::expr::{Expr, Interval};
use super::relations::is_relation;
use super::{Fuel, OutOfFuel, exact};
use num_rational::BigRational;
use std::collections::BTreeSet;

pub(super) fn is_set(expr: &Expr) -> bool {
    matches!(
        expr,
        Expr::Set(_)
            | Expr::Interval(_)
            | Expr::NamedSet(_)
            | Expr::Union(_)
            | Expr::Intersection(_)
            | Expr::Difference(..)
    )
}

/// Returns whether an expression is a set or a tuple.
pub(super) fn is_collection(expr: &Expr) -> bool {
    is_set(expr) || matches!(expr, Expr::Tuple(_))
}

/// Compares two objects, one of them a collection, by their elements: in order where one is a
/// tuple, in any order otherwise.
pub(super) fn same_sets(truth: &Expr, answer: &Expr, how: &Comparison, fuel: &mut Fuel) -> Found {
    let parts_are_same = |found: bool| Ok(found.then_some(Reason::Parts));
    match (truth, answer) {
        (Expr::Interval(one), Expr::Interval(other)) => parts_are_same(
            (one.has_low, one.has_high) == (other.has_low, other.has_high)
                && parts(&one.low, &other.low, how, fuel)?.is_some()
                && parts(&one.high, &other.high, how, fuel)?.is_some(),
        ),
        (Expr::Tuple(one), Expr::Tuple(other)) => parts_are_same(same_in_order(one, other, how, fuel)?),
        (Expr::Tuple(one), Expr::Set(other)) => parts_are_same(same_in_order(one, other, how, fuel)?),
        (Expr::Set(one), Expr::Tuple(other)) => {
            let found = if how.strict {
                same_in_order(one, other, how, fuel)?
            } else {
                same_in_any_order(one, other, how, fuel)?
            };
            parts_are_same(found)
        }
        (Expr::Set(one), Expr::Set(other)) => parts_are_same(same_in_any_order(one, other, how, fuel)?),
        // `(1, 2)` was read as an interval, and may be a pair.
        (Expr::Interval(one), Expr::Tuple(other) | Expr::Set(other)) if !one.has_low && !one.has_high => {
            parts_are_same(same_in_order(&[one.low.clone(), one.high.clone()], other, how, fuel)?)
        }
        (Expr::Tuple(one) | Expr::Set(one), Expr::Interval(other)) if !other.has_low && !other.has_high => {
            parts_are_same(same_in_order(one, &[other.low.clone(), other.high.clone()], how, fuel)?)
        }
        // A set of one equals its element.
        (Expr::Set(one), other) | (other, Expr::Set(one)) if one.len() == 1 && !is_collection(other) => {
            let (truth, answer) = if matches!(truth, Expr::Set(_)) { (&one[0], other) } else { (other, &one[0]) };
            parts(truth, answer, how, fuel)
        }
        _ => match (pieces(truth, fuel)?, pieces(answer, fuel)?) {
            // Neither simplifies further, and they are not equal as they are.
            (Some(one), Some(other)) if one == [truth.clone()] && other == [answer.clone()] => Ok(None),
            (Some(one), Some(other)) => parts_are_same(same_in_any_order(&one, &other, how, fuel)?),
            _ => Ok(None),
        },
    }
}

fn same_in_order(truth: &[Expr], answer: &[Expr], how: &Comparison, fuel: &mut Fuel) -> Result<bool, OutOfFuel> {
    if truth.len() != answer.len() {
        return Ok(false);
    }
    for (truth, answer) in truth.iter().zip(answer) {
        if same(truth, answer, how, fuel)?.is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Matches every element with another; repeated elements count once.
fn same_in_any_order(truth: &[Expr], answer: &[Expr], how: &Comparison, fuel: &mut Fuel) -> Result<bool, OutOfFuel> {
    let distinct = |items: &[Expr]| items.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>();
    let (truth, mut left) = (distinct(truth), distinct(answer));
    if truth.len() != left.len() {
        return Ok(false);
    }
    'elements: for truth in &truth {
        for i in 0..left.len() {
            if same(truth, &left[i], how, fuel)?.is_some() {
                left.swap_remove(i);
                continue 'elements;
            }
        }
        return Ok(false);
    }
    Ok(true)
}

/// Evaluates a union, a difference or an intersection to intervals and elements, as far as
/// possible.
fn pieces(set: &Expr, fuel: &mut Fuel) -> Result<Option<Vec<Expr>>, OutOfFuel> {
    fuel.burn(40)?;
    Ok(match set {
        Expr::Interval(_) | Expr::NamedSet(_) => Some(vec![set.clone()]),
        // A set is an element here: `(1, 2), (3, 4)` are two pairs, and no union.
        Expr::Set(items) | Expr::Tuple(items) => {
            let element = |item: &Expr| match is_set(item) || is_relation(item) {
                true => Expr::Set(vec![item.clone()]),
                false => item.clone(),
            };
            Some(items.iter().map(element).collect())
        }
        Expr::Union(sets) => {
            let mut all = Vec::new();
            for set in sets {
                let Some(pieces) = pieces(set, fuel)? else { return Ok(None) };
                all.extend(pieces);
            }
            Some(joined(all, fuel)?)
        }
        Expr::Difference(one, other) => match (&**one, &**other) {
            (Expr::Set(one), Expr::Set(other)) => {
                Some(one.iter().filter(|item| !other.contains(item)).cloned().collect())
            }
            (Expr::NamedSet('R'), Expr::Set(points)) => {
                let mut numbers: Vec<(BigRational, &Expr)> = Vec::new();
                for point in points {
                    let Some(number) = exact::value(point, fuel)? else { return Ok(None) };
                    fuel.burn(8 * exact::cost(&number, &number))?;
                    numbers.push((number, point));
                }
                let mut points = numbers;
                points.sort();
                let mut low = Expr::Infinity.negated();
                let mut intervals = Vec::new();
                for (_, point) in points {
                    intervals.push(open(low, point.clone()));
                    low = point.clone();
                }
                intervals.push(open(low, Expr::Infinity));
                Some(intervals)
            }
            _ => Some(vec![set.clone()]),
        },
        Expr::Intersection(sets) => match &sets[..] {
            [Expr::Set(one), Expr::Set(other)] => {
                Some(one.iter().filter(|item| other.contains(item)).cloned().collect())
            }
            _ => Some(vec![set.clone()]),
        },
        _ => None,
    })
}

fn open(low: Expr, high: Expr) -> Expr {
    Expr::Interval(Box::new(Interval { low, high, has_low: false, has_high: false }))
}

/// Joins intervals with exact ends that touch.
fn joined(sets: Vec<Expr>, fuel: &mut Fuel) -> Result<Vec<Expr>, OutOfFuel> {
    let mut intervals: Vec<((BigRational, BigRational), Interval)> = Vec::new();
    let mut others = Vec::new();
    for set in sets {
        let ends = match &set {
            Expr::Interval(interval) => exact::value(&interval.low, fuel)?.zip(exact::value(&interval.high, fuel)?),
            _ => None,
        };
        match (ends, set) {
            (Some(ends), Expr::Interval(interval)) => {
                fuel.burn(8 * exact::cost(&ends.0, &ends.1))?;
                intervals.push((ends, *interval));
            }
            (_, set) => others.push(set),
        }
    }
    intervals.sort();
    let mut result: Vec<((BigRational, BigRational), Interval)> = Vec::new();
    for (ends, interval) in intervals {
        match result.last_mut() {
            Some((last_ends, last))
                if ends.0 < last_ends.1 || (ends.0 == last_ends.1 && (interval.has_low || last.has_high)) =>
            {
                if ends.1 > last_ends.1 {
                    last_ends.1 = ends.1;
                    last.high = interval.high;
                    last.has_high = interval.has_high;
                } else if ends.1 == last_ends.1 {
                    last.has_high |= interval.has_high;
                }
            }
            _ => result.push((ends, interval)),
        }
    }
    Ok(result.into_iter().map(|(_, interval)| Expr::Interval(Box::new(interval))).chain(others).collect())
}
