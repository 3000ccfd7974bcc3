//! Canonical form of expressions that are equal by the rules of arithmetic: sums of products of
//! powers.
//!
//! Equal forms mean equal expressions. Different forms mean different expressions only where they
//! consist of variables alone ([`Canonical::is_polynomial`]); otherwise values decide.

use super::expr::{Binder, Expr, Function, is_constant};
use super::{Fuel, OutOfFuel, exact};
use num_bigint::{BigInt, BigUint};
use num_integer::Integer;
use num_rational::BigRational;
use num_traits::{One, Signed, ToPrimitive, Zero};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// Canonical form: coefficients of products of powers; no coefficient is zero.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Canonical(BTreeMap<Product, BigRational>);

/// Product of powers: exponents of atoms; no exponent is zero.
type Product = BTreeMap<Atom, BigRational>;

/// Atom: a factor that is not decomposed further.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Atom {
    /// Number under a root, without a square factor that is small enough to be found.
    Radicand(BigUint),
    Symbol(String),
    Pi,
    Infinity,
    /// Sum that is raised to a power.
    Sum(Canonical),
    Power(Canonical, Canonical),
    Call(Function, Vec<Canonical>),
    Bound(Binder, Canonical, String, Vec<Canonical>),
    /// Any other expression (a set, a relation, …), as it was written.
    Other(String),
}

/// Maximum number of terms for which a power of a sum is multiplied out.
const MAX_TERMS: usize = 256;
/// Primes that are divided out of radicands.
const PRIMES: [u32; 25] =
    [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97];

impl Canonical {
    fn number(value: BigRational) -> Self {
        Self::term(value, Product::new())
    }

    fn term(coefficient: BigRational, product: Product) -> Self {
        if coefficient.is_zero() { Self::default() } else { Self(BTreeMap::from([(product, coefficient)])) }
    }

    fn atom(atom: Atom) -> Self {
        Self::term(BigRational::one(), Product::from([(atom, BigRational::one())]))
    }

    /// Returns whether the expression is zero.
    pub(crate) fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    /// Value of the expression, if it is a number.
    pub(crate) fn as_number(&self) -> Option<BigRational> {
        match self.0.iter().next() {
            None => Some(BigRational::zero()),
            Some((product, coefficient)) if self.0.len() == 1 && product.is_empty() => Some(coefficient.clone()),
            Some(_) => None,
        }
    }

    /// Returns whether the form is a polynomial of variables, so that it is zero everywhere only if
    /// it has no terms. Its coefficients may contain i and roots of primes: products of different
    /// roots are independent over the rationals (Besicovitch 1940).
    pub(crate) fn is_polynomial(&self) -> bool {
        let is_independent = |(atom, exponent): (&Atom, &BigRational)| match atom {
            Atom::Symbol(name) if is_constant(name) => name == "i" && exponent.is_one(),
            Atom::Symbol(_) => exponent.is_integer() && exponent.is_positive(),
            Atom::Radicand(number) => {
                let is_prime = number.to_u32().is_some_and(|number| PRIMES.contains(&number));
                is_prime && exponent.is_positive() && *exponent < BigRational::one()
            }
            _ => false,
        };
        self.0.keys().all(|product| product.iter().all(is_independent))
    }

    /// Difference of two forms.
    ///
    /// # Errors
    /// If there is not enough fuel.
    pub(crate) fn minus(mut self, other: Self, fuel: &mut Fuel) -> Result<Self, OutOfFuel> {
        self.add(other.scaled(&-BigRational::one(), fuel)?, fuel)?;
        Ok(self)
    }

    fn add(&mut self, other: Self, fuel: &mut Fuel) -> Result<(), OutOfFuel> {
        fuel.burn(20 * other.0.len())?;
        for (product, coefficient) in other.0 {
            match self.0.entry(product) {
                Entry::Vacant(entry) => {
                    entry.insert(coefficient);
                }
                Entry::Occupied(mut entry) => {
                    let sum = exact::add(entry.get(), &coefficient, fuel)?;
                    if sum.is_zero() {
                        entry.remove();
                    } else {
                        entry.insert(sum);
                    }
                }
            }
        }
        Ok(())
    }

    /// Product with a number that is not zero.
    fn scaled(mut self, factor: &BigRational, fuel: &mut Fuel) -> Result<Self, OutOfFuel> {
        if !factor.is_one() {
            for coefficient in self.0.values_mut() {
                *coefficient = exact::times(coefficient, factor, fuel)?;
            }
        }
        Ok(self)
    }

    fn times(self, other: Self, fuel: &mut Fuel) -> Result<Self, OutOfFuel> {
        match (self.as_number(), other.as_number()) {
            (Some(zero), _) | (_, Some(zero)) if zero.is_zero() => return Ok(Self::default()),
            (Some(factor), _) => return other.scaled(&factor, fuel),
            (_, Some(factor)) => return self.scaled(&factor, fuel),
            (None, None) => {}
        }
        let mut result = Self::default();
        for (one, c) in &self.0 {
            for (two, d) in &other.0 {
                fuel.burn(60 + 40 * (one.len() + two.len()))?;
                let mut product = one.clone();
                for (atom, exponent) in two {
                    let sum = product.entry(atom.clone()).or_insert_with(BigRational::zero);
                    *sum = exact::add(sum, exponent, fuel)?;
                    if sum.is_zero() {
                        product.remove(atom);
                    }
                }
                let (coefficient, product) = tidy(exact::times(c, d, fuel)?, product, fuel)?;
                result.add(Self::term(coefficient, product), fuel)?;
            }
        }
        Ok(result)
    }

    /// Power with a number as exponent.
    fn raised(&self, exponent: &BigRational, fuel: &mut Fuel) -> Result<Self, OutOfFuel> {
        if exponent.is_zero() {
            return Ok(Self::number(BigRational::one()));
        }
        if exponent.is_one() {
            return Ok(self.clone());
        }
        let mut terms = self.0.iter();
        let (Some((product, coefficient)), None) = (terms.next(), terms.next()) else {
            if self.is_zero() {
                return Ok(self.clone());
            }
            return self.sum_raised(exponent, fuel);
        };
        let fits =
            coefficient.numer().bits().max(coefficient.denom().bits()) * exponent.numer().bits().max(1) < 1 << 16;
        if exponent.is_integer() {
            if let Some(coefficient) = exact::power(coefficient, exponent, fuel)? {
                let raise = |(atom, own): (&Atom, &BigRational)| Ok((atom.clone(), exact::times(own, exponent, fuel)?));
                let product = product.iter().map(raise).collect::<Result<Product, OutOfFuel>>()?;
                let (coefficient, product) = tidy(coefficient, product, fuel)?;
                return Ok(Self::term(coefficient, product));
            }
        } else if product.is_empty() && fits {
            return root(coefficient, exponent, fuel);
        } else if coefficient.is_positive() && !coefficient.is_one() {
            // The root of a positive factor can be taken out.
            let rest = Self::term(BigRational::one(), product.clone()).raised(exponent, fuel)?;
            return Self::number(coefficient.clone()).raised(exponent, fuel)?.times(rest, fuel);
        } else if coefficient.is_one() && product.len() == 1 {
            let (atom, own) =
                product.iter().next().map_or((None, BigRational::one()), |(atom, own)| (Some(atom), own.clone()));
            // The root of a variable is its power; the root of its square is not the variable.
            if let (Some(atom), true) = (atom, own.is_one()) {
                return Ok(Self::term(BigRational::one(), Product::from([(atom.clone(), exponent.clone())])));
            }
        }
        Ok(Self::term(BigRational::one(), Product::from([(Atom::Sum(self.clone()), exponent.clone())])))
    }

    fn sum_raised(&self, exponent: &BigRational, fuel: &mut Fuel) -> Result<Self, OutOfFuel> {
        if exponent.is_integer()
            && let Some(n) = exponent.numer().to_u32()
            && n <= 64
        {
            // Multiplied out as long as it stays small.
            let mut power = Self::number(BigRational::one());
            for _ in 0..n {
                power = power.times(self.clone(), fuel)?;
                if power.0.len() > MAX_TERMS {
                    break;
                }
            }
            if power.0.len() <= MAX_TERMS {
                return Ok(power);
            }
        }
        // The last term has the coefficient one, or minus one where a root could change its sign.
        let leading = self.0.values().next_back().cloned().unwrap_or_else(BigRational::one);
        let scale = if exponent.is_integer() { leading } else { leading.abs() };
        let share = scale.recip();
        let divide = |(product, c): (&Product, &BigRational)| Ok((product.clone(), exact::times(c, &share, fuel)?));
        let monic = Self(self.0.iter().map(divide).collect::<Result<_, OutOfFuel>>()?);
        let factor = Self::number(scale).raised(exponent, fuel)?;
        let rest = Self::term(BigRational::one(), Product::from([(Atom::Sum(monic), exponent.clone())]));
        factor.times(rest, fuel)
    }
}

/// Tidies a product: whole powers of radicands become part of the coefficient; powers of i are 1,
/// i, −1 or −i.
fn tidy(
    mut coefficient: BigRational,
    mut product: Product,
    fuel: &mut Fuel,
) -> Result<(BigRational, Product), OutOfFuel> {
    let mut changed = Vec::new();
    for (atom, exponent) in &product {
        match atom {
            Atom::Radicand(number) if exponent.is_negative() || *exponent >= BigRational::one() => {
                let whole = exponent.floor();
                let base = BigRational::from_integer(BigInt::from(number.clone()));
                if let Some(factor) = exact::power(&base, &whole, fuel)? {
                    coefficient = exact::times(&coefficient, &factor, fuel)?;
                    changed.push((atom.clone(), exponent - whole));
                }
            }
            Atom::Symbol(name) if name == "i" && exponent.is_integer() => {
                let turns: BigInt = exponent.to_integer().mod_floor(&BigInt::from(4));
                if turns.to_i32().is_some_and(|turns| turns >= 2) {
                    coefficient = -coefficient;
                }
                changed.push((atom.clone(), BigRational::from_integer(turns.mod_floor(&BigInt::from(2)))));
            }
            _ => {}
        }
    }
    for (atom, exponent) in changed {
        if exponent.is_zero() {
            product.remove(&atom);
        } else {
            product.insert(atom, exponent);
        }
    }
    Ok((coefficient, product))
}

/// Power of a number with a fraction as exponent, simplified: factors that can leave the root do.
fn root(number: &BigRational, exponent: &BigRational, fuel: &mut Fuel) -> Result<Canonical, OutOfFuel> {
    let one = Canonical::number(BigRational::one());
    if number.is_zero() {
        return Ok(Canonical::default());
    }
    if number.is_negative() {
        let root = root(&-number, exponent, fuel)?;
        let turn = if *exponent.denom() == BigInt::from(2) {
            // (−1)^½ is i.
            let turns = Product::from([(Atom::Symbol("i".into()), exponent * BigInt::from(2))]);
            let (sign, product) = tidy(BigRational::one(), turns, fuel)?;
            Canonical::term(sign, product)
        } else {
            let minus_one = Canonical::number(-BigRational::one());
            Canonical::term(BigRational::one(), Product::from([(Atom::Sum(minus_one), exponent.clone())]))
        };
        return root.times(turn, fuel);
    }
    let mut result = one;
    for (part, sign) in [(number.numer(), 1), (number.denom(), -1)] {
        let exponent = exponent * BigInt::from(sign);
        let mut rest = part.magnitude().clone();
        let mut product = Product::new();
        for prime in PRIMES {
            if rest.is_one() {
                break;
            }
            let mut times = 0u32;
            while (&rest % prime).is_zero() {
                fuel.burn(10 + rest.bits() as usize / 16)?;
                rest /= prime;
                times += 1;
            }
            if times > 0 {
                product.insert(Atom::Radicand(prime.into()), &exponent * BigInt::from(times));
            }
        }
        if !rest.is_one() {
            // The rest may be a power itself.
            fuel.burn(1000 + 4 * rest.bits() as usize)?;
            let (base, times) = (2..=8u32)
                .rev()
                .find_map(|degree| {
                    let base = num_integer::Roots::nth_root(&rest, degree);
                    (num_traits::Pow::pow(&base, degree) == rest).then_some((base, degree))
                })
                .unwrap_or((rest, 1));
            product.insert(Atom::Radicand(base), &exponent * BigInt::from(times));
        }
        let (coefficient, product) = tidy(BigRational::one(), product, fuel)?;
        result = result.times(Canonical::term(coefficient, product), fuel)?;
    }
    Ok(result)
}

/// Canonical form of an expression.
///
/// # Errors
/// If there is not enough fuel.
pub(crate) fn canonical(expr: &Expr, fuel: &mut Fuel) -> Result<Canonical, OutOfFuel> {
    fuel.burn(40)?;
    let all =
        |items: &[Expr], fuel: &mut Fuel| items.iter().map(|item| canonical(item, fuel)).collect::<Result<Vec<_>, _>>();
    Ok(match expr {
        Expr::Number(number) => Canonical::number(number.value.clone()),
        Expr::Symbol(name) => Canonical::atom(Atom::Symbol(name.clone())),
        Expr::Pi => Canonical::atom(Atom::Pi),
        Expr::Infinity => Canonical::atom(Atom::Infinity),
        Expr::Percent(inner) => {
            let hundredth = BigRational::new(1.into(), 100.into());
            canonical(inner, fuel)?.scaled(&hundredth, fuel)?
        }
        Expr::Sum(items) => {
            let mut sum = Canonical::default();
            for item in items {
                sum.add(canonical(item, fuel)?, fuel)?;
            }
            sum
        }
        Expr::Product(items) => {
            let mut product = Canonical::number(BigRational::one());
            for item in items {
                product = product.times(canonical(item, fuel)?, fuel)?;
            }
            product
        }
        Expr::Power(base, exponent) => {
            let (base, exponent) = (canonical(base, fuel)?, canonical(exponent, fuel)?);
            match exponent.as_number() {
                // Division by zero is not carried out.
                Some(exponent) if !base.is_zero() || exponent.is_positive() => base.raised(&exponent, fuel)?,
                _ => Canonical::atom(Atom::Power(base, exponent)),
            }
        }
        Expr::Call(Function::Exp, items) if items.len() == 1 => {
            let power = Expr::symbol("e").raised(items[0].clone());
            return canonical(&power, fuel);
        }
        Expr::Call(function, items) => {
            let arguments = all(items, fuel)?;
            let numbers: Option<Vec<BigRational>> = arguments.iter().map(Canonical::as_number).collect();
            match numbers.map_or(Ok(None), |numbers| exact::call(function, &numbers, fuel))? {
                Some(value) => Canonical::number(value),
                None => Canonical::atom(Atom::Call(function.clone(), arguments)),
            }
        }
        Expr::Bound(binder, body, variable, bounds) => {
            Canonical::atom(Atom::Bound(*binder, canonical(body, fuel)?, variable.clone(), all(bounds, fuel)?))
        }
        other => Canonical::atom(Atom::Other(other.to_string())),
    })
}
