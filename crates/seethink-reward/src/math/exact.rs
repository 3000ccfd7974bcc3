//! Exact values of expressions without variables.

use super::expr::{Expr, Function};
use num_bigint::{BigInt, BigUint};
use num_integer::Integer;
use num_rational::BigRational;
use num_traits::{One, Pow, Signed, ToPrimitive, Zero};

/// Most bits of a power.
const MAX_BITS: u64 = 1 << 11;
/// Largest argument of a factorial.
const MAX_FACTORIAL: u32 = 300;

/// The value, if it is a rational number that is not too large to be written down.
pub(crate) fn value(expr: &Expr) -> Option<BigRational> {
    match expr {
        Expr::Number(number) => Some(number.value.clone()),
        Expr::Percent(inner) => Some(value(inner)? / BigInt::from(100)),
        Expr::Sum(items) => items.iter().try_fold(BigRational::zero(), |sum, item| bounded(add(&sum, &value(item)?))),
        Expr::Product(items) => {
            items.iter().try_fold(BigRational::one(), |product, item| bounded(times(&product, &value(item)?)))
        }
        Expr::Power(base, exponent) => power(&value(base)?, &value(exponent)?),
        Expr::Call(function, items) => {
            let arguments: Vec<BigRational> = items.iter().map(value).collect::<Option<_>>()?;
            call(function, &arguments)
        }
        _ => None,
    }
}

/// The same expression with numbers for the parts that have exact values.
pub(super) fn folded(expr: &Expr) -> Expr {
    let all = |items: &[Expr]| items.iter().map(folded).collect::<Vec<_>>();
    let shallow = match expr {
        Expr::Sum(items) => Expr::Sum(all(items)),
        Expr::Product(items) => Expr::Product(all(items)),
        Expr::Call(function, items) => Expr::Call(function.clone(), all(items)),
        Expr::Power(base, exponent) => folded(base).raised(folded(exponent)),
        Expr::Percent(inner) => Expr::Percent(Box::new(folded(inner))),
        Expr::Bound(binder, body, variable, bounds) => {
            Expr::Bound(*binder, Box::new(folded(body)), variable.clone(), all(bounds))
        }
        other => other.clone(),
    };
    // The parts are numbers already, so this looks no deeper than one level.
    match &shallow {
        Expr::Number(_) => shallow,
        _ if shallow.children().iter().all(|child| matches!(child, Expr::Number(_))) => {
            value(&shallow).map_or(shallow, Expr::rational)
        }
        _ => shallow,
    }
}

/// The product. Whole numbers are not searched for common factors.
pub(super) fn times(one: &BigRational, other: &BigRational) -> BigRational {
    if one.is_integer() && other.is_integer() {
        return BigRational::from_integer(one.numer() * other.numer());
    }
    one * other
}

/// The sum, likewise.
pub(super) fn add(one: &BigRational, other: &BigRational) -> BigRational {
    if one.is_integer() && other.is_integer() {
        return BigRational::from_integer(one.numer() + other.numer());
    }
    one + other
}

fn bounded(number: BigRational) -> Option<BigRational> {
    (number.numer().bits().max(number.denom().bits()) <= 2 * MAX_BITS).then_some(number)
}

/// A power that is rational.
pub(super) fn power(base: &BigRational, exponent: &BigRational) -> Option<BigRational> {
    if exponent.is_integer() {
        let n = exponent.to_integer();
        if base.is_zero() {
            return n.is_positive().then(BigRational::zero).or_else(|| n.is_zero().then(BigRational::one));
        }
        if base.is_one() || n.is_zero() {
            return Some(BigRational::one());
        }
        let size = u32::try_from(n.magnitude()).ok()?;
        let bits = base.numer().bits().max(base.denom().bits());
        if bits.saturating_mul(u64::from(size)) > MAX_BITS {
            return None;
        }
        let raised = Pow::pow(base.clone(), size);
        return Some(if n.is_negative() { raised.recip() } else { raised });
    }
    // A root of a number that is one.
    let degree = exponent.denom().to_u32().filter(|degree| *degree <= 64)?;
    if base.is_negative() {
        return None;
    }
    let root = |number: &BigInt| {
        let root = number.magnitude().nth_root(degree);
        (Pow::pow(&root, degree) == *number.magnitude()).then(|| BigInt::from(root))
    };
    let root = BigRational::new(root(base.numer())?, root(base.denom())?);
    power(&root, &BigRational::from_integer(exponent.numer().clone()))
}

/// The value of a function of exact arguments.
pub(super) fn call(function: &Function, arguments: &[BigRational]) -> Option<BigRational> {
    let whole = |n: &BigRational| n.is_integer().then(|| n.to_integer());
    match (function, arguments) {
        (Function::Abs, [x]) => Some(x.abs()),
        (Function::Sign, [x]) => Some(x.signum()),
        (Function::Floor, [x]) => Some(x.floor()),
        (Function::Ceil, [x]) => Some(x.ceil()),
        (Function::Re, [x]) => Some(x.clone()),
        (Function::Im, [_]) => Some(BigRational::zero()),
        (Function::Min, items) => items.iter().min().cloned(),
        (Function::Max, items) => items.iter().max().cloned(),
        // Of fractions: the largest number that divides all, and the smallest that all divide.
        (Function::Gcd, [first, rest @ ..]) => Some(rest.iter().fold(first.abs(), |one, other| {
            BigRational::new(one.numer().gcd(other.numer()), one.denom().lcm(other.denom()))
        })),
        (Function::Lcm, [first, rest @ ..]) => rest.iter().try_fold(first.abs(), |one, other| {
            bounded(BigRational::new(one.numer().lcm(other.numer()), one.denom().gcd(other.denom())))
        }),
        (Function::Mod, [a, b]) if !b.is_zero() => Some(a - b * (a / b).floor()),
        (Function::Factorial, [n]) => {
            let n = whole(n)?.to_u32().filter(|n| *n <= MAX_FACTORIAL)?;
            let product: BigUint = (1..=n).fold(BigUint::one(), |product, factor| product * factor);
            Some(BigRational::from_integer(product.into()))
        }
        (Function::Binomial, [n, k]) => {
            let k = whole(k)?;
            if k.is_negative() {
                return Some(BigRational::zero());
            }
            let k = k.to_u32().filter(|k| *k <= MAX_FACTORIAL)?;
            (0..k).try_fold(BigRational::one(), |product, i| {
                bounded(product * (n - BigInt::from(i)) / BigInt::from(i + 1))
            })
        }
        _ => None,
    }
}
