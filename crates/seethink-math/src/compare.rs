//! Equality of mathematical objects.
//!
//! # Source
//! The cases and their order are math-verify's (0.9.0): equations are replaced by the values that
//! they assign, sets are compared without order, relations up to a factor, decimals to some places.
//! Differs: elements of sets are matched instead of sorted; equality of expressions is by canonical
//! form and by values to 120 bits instead of by simplification; a relation is never solved.

use super::expr::{Expr, is_constant};
use super::matrices::{matrix, same_matrices};
use super::relations::{as_set, is_assignment, is_equation, is_relation, last_term, same_relations};
use super::sets::{is_collection, is_set, same_sets};
use super::values::{same_numbers, same_values};
use super::{Fuel, OutOfFuel};
use std::collections::BTreeSet;

/// Settings of the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Comparison {
    /// Places after the point that decimals are compared to.
    pub places: u32,
    /// True if names of variables matter.
    pub strict: bool,
    /// True if a relation may answer a set; a set that answers a relation is accepted in any case.
    pub relations_as_sets: bool,
    /// True if 9 answers 9 %.
    pub bare_percentages: bool,
}

impl Default for Comparison {
    fn default() -> Self {
        Self { places: 6, strict: true, relations_as_sets: false, bare_percentages: true }
    }
}

/// Reason why two objects are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Same spelling.
    Spelling,
    /// Same canonical form.
    Form,
    /// Same values in all trials.
    Values,
    /// Same decimals, rounded.
    Rounded,
    /// Same name.
    Name,
    /// Same parts.
    Parts,
    /// Relations of the same difference, up to a factor.
    Factor,
}

pub(crate) type Found = Result<Option<Reason>, OutOfFuel>;

/// Compares an answer with the truth; returns the reason if they are equal.
///
/// # Errors
/// If there is not enough fuel.
pub fn same(truth: &Expr, answer: &Expr, how: &Comparison, fuel: &mut Fuel) -> Result<Option<Reason>, OutOfFuel> {
    let renamed = if how.strict { None } else { rename(truth, answer) };
    let (mut truth, mut answer) = (truth.clone(), renamed.unwrap_or_else(|| answer.clone()));
    for side in [&mut truth, &mut answer] {
        // `x = 1 + 2 = 3` says x = 3.
        if is_assignment(side)
            && let Expr::Relation(terms, relations) = side
            && terms.len() > 2
            && let Some(last) = terms.pop()
        {
            terms.truncate(1);
            terms.push(last);
            relations.truncate(1);
        }
    }
    if is_equation(&answer) && !is_equation(&truth) {
        answer = last_term(answer);
    } else if is_assignment(&truth) && !is_equation(&answer) {
        truth = last_term(truth);
    }
    if is_relation(&truth) && is_set(&answer) {
        truth = as_set(&truth).unwrap_or(truth);
    } else if how.relations_as_sets && is_relation(&answer) && is_set(&truth) {
        answer = as_set(&answer).unwrap_or(answer);
    }
    parts(&truth, &answer, how, fuel)
}

pub(super) fn parts(truth: &Expr, answer: &Expr, how: &Comparison, fuel: &mut Fuel) -> Found {
    fuel.burn(40)?;
    if truth == answer && *truth != zero_divided() {
        return Ok(Some(Reason::Spelling));
    }
    match (truth, answer) {
        (Expr::Relation(..), Expr::Relation(..)) => same_relations(truth, answer, how, fuel),
        _ if is_collection(truth) || is_collection(answer) => same_sets(truth, answer, how, fuel),
        (Expr::Symbol(_), _) | (_, Expr::Symbol(_)) => match same_names(truth, answer) {
            true => Ok(Some(Reason::Name)),
            false if matches!((truth, answer), (Expr::Symbol(_), Expr::Symbol(_))) => Ok(None),
            false => same_values(truth, answer, fuel),
        },
        _ => match (matrix(truth, fuel)?, matrix(answer, fuel)?) {
            (Some(truth), Some(answer)) => same_matrices(&truth, &answer, how, fuel),
            (None, None) => same_numbers(truth, answer, how, fuel),
            _ => Ok(None),
        },
    }
}

fn zero_divided() -> Expr {
    Expr::integer(0).inverse()
}

/// Returns whether two names are the same; letters side by side are a name too.
fn same_names(truth: &Expr, answer: &Expr) -> bool {
    let letters = |expr: &Expr| match expr {
        Expr::Symbol(name) => Some(name.to_lowercase()),
        Expr::Product(items) => items
            .iter()
            .map(|item| match item {
                Expr::Symbol(name) => Some(name.to_lowercase()),
                _ => None,
            })
            .collect::<Option<String>>(),
        _ => None,
    };
    letters(truth).is_some_and(|truth| letters(answer) == Some(truth))
}

/// Renames the variables of the answer to those of the truth, in alphabetical order.
fn rename(truth: &Expr, answer: &Expr) -> Option<Expr> {
    fn collect(expr: &Expr, names: &mut BTreeSet<String>) {
        if let Expr::Symbol(name) = expr
            && !is_constant(name)
        {
            names.insert(name.clone());
        }
        expr.children().into_iter().for_each(|child| collect(child, names));
    }
    fn renamed(expr: &Expr, names: &[(String, String)]) -> Expr {
        let all = |items: &[Expr]| items.iter().map(|item| renamed(item, names)).collect::<Vec<_>>();
        match expr {
            Expr::Symbol(name) => {
                let new = names.iter().find(|(old, _)| old == name).map(|(_, new)| new.clone());
                Expr::Symbol(new.unwrap_or_else(|| name.clone()))
            }
            Expr::Sum(items) => Expr::Sum(all(items)),
            Expr::Product(items) => Expr::Product(all(items)),
            Expr::Power(base, exponent) => renamed(base, names).raised(renamed(exponent, names)),
            Expr::Percent(inner) => Expr::Percent(Box::new(renamed(inner, names))),
            Expr::Call(function, items) => Expr::Call(function.clone(), all(items)),
            Expr::Tuple(items) => Expr::Tuple(all(items)),
            Expr::Set(items) => Expr::Set(all(items)),
            Expr::Relation(terms, signs) => Expr::Relation(all(terms), signs.clone()),
            other => other.clone(),
        }
    }
    let (mut ours, mut theirs) = (BTreeSet::new(), BTreeSet::new());
    collect(truth, &mut ours);
    collect(answer, &mut theirs);
    let names: Vec<(String, String)> = theirs.into_iter().zip(ours.iter().cloned()).collect();
    (names.len() == ours.len()).then(|| renamed(answer, &names))
}
