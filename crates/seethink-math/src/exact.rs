//! Exact values of expressions without variables.

use super::expr::{Expr, Function};
use super::{Fuel, OutOfFuel};
use num_bigint::{BigInt, BigUint};
use num_integer::Integer;
use num_rational::BigRational;
use num_traits::{One, Pow, Signed, ToPrimitive, Zero};

/// Maximum number of bits of a power.
const MAX_BITS: u64 = 1 << 11;
/// Maximum argument of a factorial.
const MAX_FACTORIAL: u32 = 300;

/// Rational number, if there is one.
pub(super) type Exact = Result<Option<BigRational>, OutOfFuel>;

/// Exact value of an expression, if it is a rational number of acceptable size.
///
/// # Errors
/// If there is not enough fuel.
pub(super) fn value(expr: &Expr, fuel: &mut Fuel) -> Exact {
    match expr {
        Expr::Number(number) => Ok(Some(number.value.clone())),
        Expr::Percent(inner) => match value(inner, fuel)? {
            Some(value) => times(&value, &BigRational::new(1.into(), 100.into()), fuel).map(Some),
            None => Ok(None),
        },
        Expr::Sum(items) => total(items, BigRational::zero(), add, fuel),
        Expr::Product(items) => total(items, BigRational::one(), times, fuel),
        Expr::Power(base, exponent) => match (value(base, fuel)?, value(exponent, fuel)?) {
            (Some(base), Some(exponent)) => power(&base, &exponent, fuel),
            _ => Ok(None),
        },
        Expr::Call(function, items) => {
            let arguments: Option<Vec<BigRational>> =
                items.iter().map(|item| value(item, fuel)).collect::<Result<_, _>>()?;
            arguments.map_or(Ok(None), |arguments| call(function, &arguments, fuel))
        }
        _ => Ok(None),
    }
}

type Operation = fn(&BigRational, &BigRational, &mut Fuel) -> Result<BigRational, OutOfFuel>;

fn total(items: &[Expr], start: BigRational, operation: Operation, fuel: &mut Fuel) -> Exact {
    let mut total = start;
    for item in items {
        let Some(item) = value(item, fuel)? else { return Ok(None) };
        total = operation(&total, &item, fuel)?;
        if !is_small(&total) {
            return Ok(None);
        }
    }
    Ok(Some(total))
}

/// Folds constants: replaces the parts that have exact values by numbers.
///
/// # Errors
/// If there is not enough fuel.
pub(super) fn folded(expr: &Expr, fuel: &mut Fuel) -> Result<Expr, OutOfFuel> {
    let all =
        |items: &[Expr], fuel: &mut Fuel| items.iter().map(|item| folded(item, fuel)).collect::<Result<Vec<_>, _>>();
    let shallow = match expr {
        Expr::Sum(items) => Expr::Sum(all(items, fuel)?),
        Expr::Product(items) => Expr::Product(all(items, fuel)?),
        Expr::Call(function, items) => Expr::Call(function.clone(), all(items, fuel)?),
        Expr::Power(base, exponent) => folded(base, fuel)?.raised(folded(exponent, fuel)?),
        Expr::Percent(inner) => Expr::Percent(Box::new(folded(inner, fuel)?)),
        Expr::Bound(binder, body, variable, bounds) => {
            Expr::Bound(*binder, Box::new(folded(body, fuel)?), variable.clone(), all(bounds, fuel)?)
        }
        other => other.clone(),
    };
    // The parts are numbers already, so this looks no deeper than one level.
    Ok(match &shallow {
        Expr::Number(_) => shallow,
        _ if shallow.children().iter().all(|child| matches!(child, Expr::Number(_))) => {
            value(&shallow, fuel)?.map_or(shallow, Expr::rational)
        }
        _ => shallow,
    })
}

/// Fuel for an operation on two numbers: fractions are searched for common factors, which takes the
/// square of their length.
pub(super) fn cost(one: &BigRational, other: &BigRational) -> usize {
    let bits =
        [one.numer(), one.denom(), other.numer(), other.denom()].map(BigInt::bits).into_iter().max().unwrap_or(0);
    let bits = usize::try_from(bits).unwrap_or(usize::MAX);
    if one.is_integer() && other.is_integer() { 10 + bits / 16 } else { cost_of_bits(bits) }
}

/// Fuel for a search for common factors.
pub(super) fn cost_of_bits(bits: usize) -> usize {
    bits.saturating_mul(10).saturating_add(bits.saturating_mul(bits) / 160)
}

/// Product of two numbers.
///
/// # Errors
/// If there is not enough fuel.
pub(super) fn times(one: &BigRational, other: &BigRational, fuel: &mut Fuel) -> Result<BigRational, OutOfFuel> {
    fuel.burn(cost(one, other))?;
    let are_whole = one.is_integer() && other.is_integer();
    Ok(if are_whole { BigRational::from_integer(one.numer() * other.numer()) } else { one * other })
}

/// Sum of two numbers.
///
/// # Errors
/// If there is not enough fuel.
pub(super) fn add(one: &BigRational, other: &BigRational, fuel: &mut Fuel) -> Result<BigRational, OutOfFuel> {
    fuel.burn(cost(one, other))?;
    let are_whole = one.is_integer() && other.is_integer();
    Ok(if are_whole { BigRational::from_integer(one.numer() + other.numer()) } else { one + other })
}

fn is_small(number: &BigRational) -> bool {
    number.numer().bits().max(number.denom().bits()) <= 2 * MAX_BITS
}

/// Power of a number, if it is rational.
///
/// # Errors
/// If there is not enough fuel.
pub(super) fn power(base: &BigRational, exponent: &BigRational, fuel: &mut Fuel) -> Exact {
    fuel.burn(if exponent.is_integer() { 100 } else { 100 + cost(base, exponent) })?;
    Ok(rational_power(base, exponent))
}

fn rational_power(base: &BigRational, exponent: &BigRational) -> Option<BigRational> {
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
    rational_power(&root, &BigRational::from_integer(exponent.numer().clone()))
}

/// Value of a function of exact arguments, if it is rational.
///
/// # Errors
/// If there is not enough fuel.
pub(super) fn call(function: &Function, arguments: &[BigRational], fuel: &mut Fuel) -> Exact {
    for argument in arguments {
        // Each argument is compared with or divided by the result of those before it.
        fuel.burn(100 + 4 * cost(argument, &arguments[0]))?;
    }
    match (function, arguments) {
        (Function::Factorial, _) => fuel.burn(20 * MAX_FACTORIAL as usize)?,
        // For fractions: the smallest number that all divide.
        (Function::Lcm, [first, rest @ ..]) => {
            let mut common = first.abs();
            for other in rest {
                fuel.burn(2 * cost_of_bits(common.numer().bits().max(common.denom().bits()) as usize))?;
                common = BigRational::new(common.numer().lcm(other.numer()), common.denom().gcd(other.denom()));
                if !is_small(&common) {
                    return Ok(None);
                }
            }
            return Ok(Some(common));
        }
        (Function::Binomial, [n, k]) => return binomial(n, k, fuel),
        _ => {}
    }
    Ok(rational_call(function, arguments))
}

fn binomial(n: &BigRational, k: &BigRational, fuel: &mut Fuel) -> Exact {
    if !k.is_integer() {
        return Ok(None);
    }
    if k.is_negative() {
        return Ok(Some(BigRational::zero()));
    }
    let Some(k) = k.to_integer().to_u32().filter(|k| *k <= MAX_FACTORIAL) else { return Ok(None) };
    // Above the line first, so that whole numbers stay whole.
    let (mut above, mut below) = (BigRational::one(), BigRational::one());
    for i in 0..k {
        let factor = add(n, &BigRational::from_integer((-i64::from(i)).into()), fuel)?;
        above = times(&above, &factor, fuel)?;
        below = times(&below, &BigRational::from_integer((i + 1).into()), fuel)?;
        if above.numer().bits() > 8 * MAX_BITS {
            return Ok(None);
        }
    }
    Ok(Some(times(&above, &below.recip(), fuel)?).filter(is_small))
}

fn rational_call(function: &Function, arguments: &[BigRational]) -> Option<BigRational> {
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
        // For fractions: the largest number that divides all.
        (Function::Gcd, [first, rest @ ..]) => Some(rest.iter().fold(first.abs(), |one, other| {
            BigRational::new(one.numer().gcd(other.numer()), one.denom().lcm(other.denom()))
        })),
        (Function::Mod, [a, b]) if !b.is_zero() => Some(a - b * (a / b).floor()),
        (Function::Factorial, [n]) => {
            let n = whole(n)?.to_u32().filter(|n| *n <= MAX_FACTORIAL)?;
            let product: BigUint = (1..=n).fold(BigUint::one(), |product, factor| product * factor);
            Some(BigRational::from_integer(product.into()))
        }
        _ => None,
    }
}
