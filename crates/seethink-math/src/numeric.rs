//! Numeric evaluation of expressions, to 192 bits, with trial values for variables.

use super::canonical::canonical;
use super::expr::{Binder, Expr, Function, is_constant};
use super::{Fuel, OutOfFuel, exact};
use astro_float::{BigFloat, Consts, RoundingMode, Sign};
use num_rational::BigRational;
use num_traits::{Signed, ToPrimitive, Zero};
use std::cell::RefCell;
use std::hash::{Hash, Hasher};

/// Precision, bits.
const P: usize = 192;
const RM: RoundingMode = RoundingMode::ToEven;
/// Number of bits in which equal values agree: rounding errors reach far less, accidents hardly
/// ever.
const EQUAL_BITS: i32 = 120;
/// Number of trials for expressions with variables, and of those that must succeed.
pub(super) const TRIALS: u64 = 5;
pub(super) const NEEDED: usize = 3;
/// Maximum number of terms of a sum that is taken term by term.
const MAX_TERMS: i64 = 512;
/// Fuel for functions of a real number.
const EXP: usize = 5_000;
const LN: usize = 9_000;
const SIN: usize = 4_000;
const COS: usize = 4_000;
const ATAN: usize = 11_000;
const SQRT: usize = 1_500;

thread_local! {
    /// Digits of π, e and logarithms, which take longer to compute than most values. Results
    /// computed from them are rounded correctly, so that nothing depends on earlier computations.
    static CONSTANTS: RefCell<Result<Consts, astro_float::Error>> = RefCell::new(Consts::new());
}

fn elementary(function: impl FnOnce(&mut Consts) -> BigFloat) -> BigFloat {
    CONSTANTS.with_borrow_mut(|constants| match constants {
        Ok(constants) => function(constants),
        Err(error) => BigFloat::nan(Some(*error)),
    })
}

/// A complex number.
#[derive(Debug, Clone)]
pub(super) struct Complex {
    re: BigFloat,
    im: BigFloat,
}

/// Value, with the scale of the largest value in its computation: when large terms cancel, the
/// difference is known less exactly.
#[derive(Debug, Clone)]
pub(super) struct Value {
    number: Complex,
    scale: Option<i32>,
}

/// Evaluator, with trial values for variables.
pub(super) struct Evaluator {
    trial: u64,
    /// Fuel of work done, not yet burned.
    work: usize,
    /// Values of the bound variables of sums, innermost last.
    bound: Vec<(String, i64)>,
    scale: Option<i32>,
}

impl Evaluator {
    /// Creates the evaluator of a trial: of every two trials, one has all variables positive.
    pub(super) fn new(trial: u64) -> Self {
        Self { trial, work: 0, bound: Vec::new(), scale: None }
    }

    /// Value of an expression whose exact parts are [`folded`](exact::folded); `None` if it cannot
    /// be computed.
    ///
    /// # Errors
    /// If there is not enough fuel.
    pub(super) fn value(&mut self, expr: &Expr, fuel: &mut Fuel) -> Result<Option<Value>, OutOfFuel> {
        self.scale = None;
        let number = self.evaluate(expr, fuel)?.filter(Complex::is_finite);
        Ok(number.map(|number| Value { scale: self.scale, number }))
    }

    fn evaluate(&mut self, expr: &Expr, fuel: &mut Fuel) -> Result<Option<Complex>, OutOfFuel> {
        fuel.burn(120)?;
        let value = self.evaluate_parts(expr, fuel)?;
        fuel.burn(std::mem::take(&mut self.work))?;
        Ok(value)
    }

    fn evaluate_parts(&mut self, expr: &Expr, fuel: &mut Fuel) -> Result<Option<Complex>, OutOfFuel> {
        Ok(match expr {
            Expr::Number(number) => {
                fuel.burn((number.value.numer().bits() + number.value.denom().bits()) as usize / 4)?;
                Some(Complex::real(float(&number.value)))
            }
            Expr::Symbol(name) => Some(self.variable(name)),
            Expr::Pi => Some(Complex::real(elementary(|constants| constants.pi(P, RM)))),
            Expr::Percent(inner) => {
                let hundred = BigFloat::from_word(100, P);
                self.evaluate(inner, fuel)?
                    .map(|value| Complex { re: value.re.div(&hundred, P, RM), im: value.im.div(&hundred, P, RM) })
            }
            Expr::Sum(items) => {
                let mut sum = Complex::real(BigFloat::new(P));
                for item in items {
                    let Some(value) = self.evaluate(item, fuel)? else { return Ok(None) };
                    self.note(&value);
                    sum = sum.plus(&value);
                }
                Some(sum)
            }
            Expr::Product(items) => {
                let mut product = Complex::real(BigFloat::from_word(1, P));
                for item in items {
                    let Some(value) = self.evaluate(item, fuel)? else { return Ok(None) };
                    product = product.times(&value);
                }
                Some(product)
            }
            Expr::Power(base, exponent) => {
                let is_e = matches!(&**base, Expr::Symbol(name) if name == "e");
                let Some(base) = self.evaluate(base, fuel)? else { return Ok(None) };
                let rational = exact::value(exponent, fuel)?;
                let Some(power) = self.evaluate(exponent, fuel)? else { return Ok(None) };
                fuel.burn(600)?;
                if is_e && rational.is_none() { self.exp(&power) } else { self.power(&base, &power, rational.as_ref()) }
            }
            Expr::Call(function, items) => match self.call(function, items, fuel)? {
                Some(value) => Some(value),
                None => self.opaque(expr, fuel)?,
            },
            Expr::Bound(Binder::Sum | Binder::Product, body, variable, bounds) => {
                match self.series(expr, body, variable, bounds, fuel)? {
                    Some(value) => Some(value),
                    None => self.opaque(expr, fuel)?,
                }
            }
            Expr::Bound(..) => self.opaque(expr, fuel)?,
            _ => None,
        })
    }

    /// Evaluates a function of a real number.
    fn real(
        &mut self,
        cost: usize,
        x: &BigFloat,
        function: fn(&BigFloat, usize, RoundingMode, &mut Consts) -> BigFloat,
    ) -> BigFloat {
        self.work += cost;
        elementary(|constants| function(x, P, RM, constants))
    }

    /// Records the scale of a value, if it is the largest.
    fn note(&mut self, value: &Complex) {
        self.scale = self.scale.max(value.exponent());
    }

    /// Trial value of a variable: between 1/4 and 4, of a sign that depends on the trial.
    fn variable(&mut self, name: &str) -> Complex {
        if let Some((_, value)) = self.bound.iter().rev().find(|(bound, _)| bound == name) {
            return Complex::real(BigFloat::from_i64(*value, P));
        }
        match name {
            "e" => Complex::real(elementary(|constants| constants.e(P, RM))),
            "i" => Complex { re: BigFloat::new(P), im: BigFloat::from_word(1, P) },
            _ => {
                debug_assert!(!is_constant(name));
                let hash = self.hash(&name);
                let size = number_of(hash);
                let is_negative = match self.trial {
                    0 => false,
                    1 => true,
                    _ => hash & 1 == 1,
                };
                Complex::real(if is_negative { size.neg() } else { size })
            }
        }
    }

    fn hash(&self, what: &impl Hash) -> u64 {
        let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
        (self.trial, what).hash(&mut hasher);
        hasher.finish()
    }

    /// Placeholder value for an expression that cannot be computed: the same for equal forms,
    /// another for others.
    fn opaque(&mut self, expr: &Expr, fuel: &mut Fuel) -> Result<Option<Complex>, OutOfFuel> {
        let form = canonical(expr, fuel)?;
        let bound = self.bound.clone();
        Ok(Some(Complex::real(number_of(self.hash(&(form, bound))))))
    }

    fn series(
        &mut self,
        expr: &Expr,
        body: &Expr,
        variable: &str,
        bounds: &[Expr],
        fuel: &mut Fuel,
    ) -> Result<Option<Complex>, OutOfFuel> {
        let [low, high] = bounds else { return Ok(None) };
        let whole = |bound: BigRational| if bound.is_integer() { bound.to_integer().to_i64() } else { None };
        let (low, high) = (exact::value(low, fuel)?.and_then(whole), exact::value(high, fuel)?.and_then(whole));
        let (Some(low), Some(high)) = (low, high) else { return Ok(None) };
        if variable.is_empty() || high.saturating_sub(low) >= MAX_TERMS {
            return Ok(None);
        }
        let is_sum = matches!(expr, Expr::Bound(Binder::Sum, ..));
        let mut total = Complex::real(BigFloat::from_word(u64::from(!is_sum), P));
        for at in low..=high {
            self.bound.push((variable.to_owned(), at));
            let term = self.evaluate(body, fuel);
            self.bound.pop();
            let Some(term) = term? else { return Ok(None) };
            self.note(&term);
            total = if is_sum { total.plus(&term) } else { total.times(&term) };
        }
        Ok(Some(total))
    }

    fn power(&mut self, base: &Complex, power: &Complex, rational: Option<&BigRational>) -> Option<Complex> {
        if base.is_zero() {
            return rational.is_some_and(|power| power.is_positive()).then(|| Complex::real(BigFloat::new(P)));
        }
        if let Some(n) = rational.and_then(small_integer) {
            let mut result = Complex::real(BigFloat::from_word(1, P));
            let (mut square, mut left) = (base.clone(), n.unsigned_abs());
            while left > 0 {
                if left & 1 == 1 {
                    result = result.times(&square);
                }
                square = square.times(&square);
                left >>= 1;
            }
            return if n < 0 { result.inverse() } else { Some(result) };
        }
        let half = rational.is_some_and(|power| *power == BigRational::new(1.into(), 2.into()));
        if half && base.im.is_zero() {
            self.work += SQRT;
            let root = base.re.abs().sqrt(P, RM);
            return Some(if base.re.is_negative() {
                Complex { re: BigFloat::new(P), im: root }
            } else {
                Complex::real(root)
            });
        }
        let log = self.log(base)?;
        self.exp(&log.times(power))
    }

    fn exp(&mut self, z: &Complex) -> Option<Complex> {
        // A larger result is no answer, and would take long.
        if z.exponent().is_some_and(|exponent| exponent > 24) {
            return None;
        }
        let size = self.real(EXP, &z.re, BigFloat::exp);
        if z.im.is_zero() {
            return Some(Complex::real(size));
        }
        let (sin, cos) = (self.real(SIN, &z.im, BigFloat::sin), self.real(COS, &z.im, BigFloat::cos));
        Some(Complex { re: size.mul(&cos, P, RM), im: size.mul(&sin, P, RM) }.cleaned())
    }

    /// The principal logarithm.
    fn log(&mut self, z: &Complex) -> Option<Complex> {
        if z.is_zero() {
            return None;
        }
        self.work += SQRT;
        let size = z.size();
        Some(Complex { re: self.real(LN, &size, BigFloat::ln), im: self.arg(z) })
    }

    fn arg(&mut self, z: &Complex) -> BigFloat {
        let pi = elementary(|constants| constants.pi(P, RM));
        if z.im.is_zero() {
            return if z.re.is_negative() { pi } else { BigFloat::new(P) };
        }
        if z.re.is_zero() {
            let half = pi.div(&BigFloat::from_word(2, P), P, RM);
            return if z.im.is_negative() { half.neg() } else { half };
        }
        let angle = self.real(ATAN, &z.im.div(&z.re, P, RM), BigFloat::atan);
        match (z.re.is_negative(), z.im.is_negative()) {
            (false, _) => angle,
            (true, false) => angle.add(&pi, P, RM),
            (true, true) => angle.sub(&pi, P, RM),
        }
    }

    /// Value of a function; `None` if it is not implemented.
    fn call(&mut self, function: &Function, items: &[Expr], fuel: &mut Fuel) -> Result<Option<Complex>, OutOfFuel> {
        let mut arguments = Vec::with_capacity(items.len());
        for item in items {
            match self.evaluate(item, fuel)? {
                Some(value) => arguments.push(value),
                None => return Ok(None),
            }
        }
        let real = arguments.iter().all(|value| value.im.is_zero());
        Ok(match (function, &arguments[..]) {
            (Function::Exp, [z]) => self.exp(z),
            (Function::Log, [z]) => self.log(z),
            (Function::Log, [z, base]) => match (self.log(z), self.log(base)) {
                (Some(log), Some(base)) => base.inverse().map(|inverse| log.times(&inverse)),
                _ => None,
            },
            (Function::Abs, [z]) => Some(Complex::real(z.size())),
            (Function::Re, [z]) => Some(Complex::real(z.re.clone())),
            (Function::Im, [z]) => Some(Complex::real(z.im.clone())),
            (Function::Arg, [z]) if !z.is_zero() => Some(Complex::real(self.arg(z))),
            (Function::Sign, [z]) if real => Some(Complex::real(z.re.signum())),
            (Function::Min, [first, rest @ ..]) if real => {
                Some(Complex::real(rest.iter().fold(first.re.clone(), |least, z| least.min(&z.re))))
            }
            (Function::Max, [first, rest @ ..]) if real => {
                Some(Complex::real(rest.iter().fold(first.re.clone(), |most, z| most.max(&z.re))))
            }
            (Function::Floor, [z]) if real => z.is_plain().then(|| Complex::real(z.re.floor())),
            (Function::Ceil, [z]) if real => z.is_plain().then(|| Complex::real(z.re.ceil())),
            (Function::Mod, [a, b]) if real && !b.is_zero() => {
                let times = Complex::real(a.re.div(&b.re, P, RM));
                times.is_plain().then(|| Complex::real(a.re.sub(&b.re.mul(&times.re.floor(), P, RM), P, RM)))
            }
            (_, [z]) => self.trigonometric(function, z),
            _ => None,
        })
    }

    fn trigonometric(&mut self, function: &Function, z: &Complex) -> Option<Complex> {
        if z.exponent().is_some_and(|exponent| exponent > 24) {
            return None;
        }
        let one = Complex::real(BigFloat::from_word(1, P));
        let i = Complex { re: BigFloat::new(P), im: BigFloat::from_word(1, P) };
        let half = Complex::real(BigFloat::from_word(1, P).div(&BigFloat::from_word(2, P), P, RM));
        match function {
            Function::Sin | Function::Cos | Function::Tan | Function::Cot | Function::Sec | Function::Csc => {
                let (sin, cos) = if z.im.is_zero() {
                    let (sin, cos) = (self.real(SIN, &z.re, BigFloat::sin), self.real(COS, &z.re, BigFloat::cos));
                    (Complex::real(sin), Complex::real(cos))
                } else {
                    let forth = self.exp(&i.times(z))?;
                    let back = forth.inverse()?;
                    let over_i = i.times(&half).negated();
                    (forth.minus(&back).times(&over_i), forth.plus(&back).times(&half))
                };
                // A zero that rounding has missed still counts as one: there the quotient has no
                // value.
                let tiny = |value: &Complex| value.exponent().is_none_or(|exponent| exponent < -EQUAL_BITS);
                match function {
                    Function::Sin => Some(sin),
                    Function::Cos => Some(cos),
                    Function::Tan if !tiny(&cos) => Some(sin.times(&cos.inverse()?)),
                    Function::Cot if !tiny(&sin) => Some(cos.times(&sin.inverse()?)),
                    Function::Sec if !tiny(&cos) => cos.inverse(),
                    Function::Csc if !tiny(&sin) => sin.inverse(),
                    _ => None,
                }
            }
            Function::Sinh | Function::Cosh | Function::Tanh | Function::Coth | Function::Sech | Function::Csch => {
                let forth = self.exp(z)?;
                let back = forth.inverse()?;
                let (sinh, cosh) = (forth.minus(&back).times(&half), forth.plus(&back).times(&half));
                match function {
                    Function::Sinh => Some(sinh),
                    Function::Cosh => Some(cosh),
                    Function::Tanh => Some(sinh.times(&cosh.inverse()?)),
                    Function::Coth => Some(cosh.times(&sinh.inverse()?)),
                    Function::Sech => cosh.inverse(),
                    _ => sinh.inverse(),
                }
            }
            // By logarithms: atan z = (ln(1 + w) − ln(1 − w)) / 2i and asin z = −i ln(w + √(1 −
            // z²)) with w = i z.
            Function::Atan | Function::Acot => {
                let z = if *function == Function::Acot { z.inverse()? } else { z.clone() };
                if z.im.is_zero() {
                    return Some(Complex::real(self.real(ATAN, &z.re, BigFloat::atan)));
                }
                let turned = i.times(&z);
                let (above, below) = (self.log(&one.plus(&turned))?, self.log(&one.minus(&turned))?);
                Some(above.minus(&below).times(&i.times(&half).negated()))
            }
            Function::Asin | Function::Acsc => {
                let z = if *function == Function::Acsc { z.inverse()? } else { z.clone() };
                self.arcsine(&z)
            }
            Function::Acos | Function::Asec => {
                let z = if *function == Function::Asec { z.inverse()? } else { z.clone() };
                let quarter = Complex::real(elementary(|constants| constants.pi(P, RM))).times(&half);
                Some(quarter.minus(&self.arcsine(&z)?))
            }
            Function::Asinh | Function::Acosh => {
                let sign = if *function == Function::Asinh { one } else { one.negated() };
                let inside = z.times(z).plus(&sign);
                let root = self.power(&inside, &half, Some(&BigRational::new(1.into(), 2.into())))?;
                self.log(&z.plus(&root))
            }
            Function::Atanh => {
                let (above, below) = (self.log(&one.plus(z))?, self.log(&one.minus(z))?);
                Some(above.minus(&below).times(&half))
            }
            _ => None,
        }
    }

    fn arcsine(&mut self, z: &Complex) -> Option<Complex> {
        let one = Complex::real(BigFloat::from_word(1, P));
        let i = Complex { re: BigFloat::new(P), im: BigFloat::from_word(1, P) };
        let half = Complex::real(one.re.div(&BigFloat::from_word(2, P), P, RM));
        let inside = one.minus(&z.times(z));
        let root = if inside.is_zero() {
            inside
        } else {
            self.power(&inside, &half, Some(&BigRational::new(1.into(), 2.into())))?
        };
        let log = self.log(&i.times(z).plus(&root).cleaned())?;
        Some(i.negated().times(&log).cleaned())
    }
}

impl Value {
    /// Returns whether two values are equal, within the precision.
    pub(super) fn equals(&self, other: &Self) -> bool {
        let difference = self.number.minus(&other.number);
        let Some(difference) = difference.exponent() else { return true };
        let scale =
            [self.number.exponent(), other.number.exponent(), self.scale, other.scale].into_iter().flatten().max();
        scale.is_some_and(|scale| difference < scale.saturating_sub(EQUAL_BITS))
    }

    /// Returns whether the value is zero, within the precision.
    pub(super) fn is_zero(&self) -> bool {
        let Some(exponent) = self.number.exponent() else { return true };
        self.scale.is_some_and(|scale| exponent < scale.saturating_sub(EQUAL_BITS))
    }

    /// The quotient of two values that are not zero.
    pub(super) fn over(&self, other: &Self) -> Option<Self> {
        Some(Self { number: self.number.times(&other.number.inverse()?), scale: None })
    }

    /// Returns whether the value is less than zero; for real values.
    pub(super) fn is_negative(&self) -> bool {
        self.number.re.is_negative()
    }

    /// Returns whether the value is real.
    pub(super) fn is_real(&self) -> bool {
        self.number.im.is_zero()
    }

    /// Rounds to the nearest multiple of a power of ten; real values only.
    pub(super) fn rounded(&self, places: u32) -> Option<BigFloat> {
        if !self.is_real() || !self.number.is_plain() {
            return None;
        }
        let power = BigFloat::from_word(10, P).powi(places as usize, P, RM);
        let half = BigFloat::from_word(1, P).div(&BigFloat::from_word(2, P), P, RM);
        Some(self.number.re.mul(&power, P, RM).add(&half, P, RM).floor())
    }
}

impl Complex {
    fn real(re: BigFloat) -> Self {
        Self { re, im: BigFloat::new(P) }
    }

    fn plus(&self, other: &Self) -> Self {
        Self { re: self.re.add(&other.re, P, RM), im: self.im.add(&other.im, P, RM) }
    }

    fn minus(&self, other: &Self) -> Self {
        Self { re: self.re.sub(&other.re, P, RM), im: self.im.sub(&other.im, P, RM) }
    }

    fn negated(&self) -> Self {
        Self { re: self.re.neg(), im: self.im.neg() }
    }

    fn times(&self, other: &Self) -> Self {
        if self.im.is_zero() && other.im.is_zero() {
            return Self::real(self.re.mul(&other.re, P, RM));
        }
        let re = self.re.mul(&other.re, P, RM).sub(&self.im.mul(&other.im, P, RM), P, RM);
        let im = self.re.mul(&other.im, P, RM).add(&self.im.mul(&other.re, P, RM), P, RM);
        Self { re, im }.cleaned()
    }

    fn inverse(&self) -> Option<Self> {
        if self.is_zero() {
            return None;
        }
        if self.im.is_zero() {
            return Some(Self::real(self.re.reciprocal(P, RM)));
        }
        let square = self.re.mul(&self.re, P, RM).add(&self.im.mul(&self.im, P, RM), P, RM);
        Some(Self { re: self.re.div(&square, P, RM), im: self.im.neg().div(&square, P, RM) })
    }

    fn size(&self) -> BigFloat {
        if self.im.is_zero() {
            return self.re.abs();
        }
        self.re.mul(&self.re, P, RM).add(&self.im.mul(&self.im, P, RM), P, RM).sqrt(P, RM)
    }

    fn is_zero(&self) -> bool {
        self.re.is_zero() && self.im.is_zero()
    }

    fn is_finite(&self) -> bool {
        [&self.re, &self.im].into_iter().all(|part| !part.is_nan() && !part.is_inf())
    }

    /// Returns whether the whole part of the number is known.
    fn is_plain(&self) -> bool {
        self.is_finite() && self.exponent().is_none_or(|exponent| exponent < 150)
    }

    /// Larger of the binary exponents of both parts; `None` for zero.
    fn exponent(&self) -> Option<i32> {
        let exponent = |part: &BigFloat| if part.is_zero() { None } else { part.exponent() };
        exponent(&self.re).max(exponent(&self.im))
    }

    /// Removes a part that is nothing but rounding error.
    fn cleaned(mut self) -> Self {
        if let (Some(re), Some(im)) = (self.re.exponent(), self.im.exponent()) {
            let (no_re, no_im) = (self.re.is_zero(), self.im.is_zero());
            if !no_re && !no_im && im < re.saturating_sub(P as i32 - 40) {
                self.im = BigFloat::new(P);
            } else if !no_re && !no_im && re < im.saturating_sub(P as i32 - 40) {
                self.re = BigFloat::new(P);
            }
        }
        self
    }
}

/// Exponent small enough for repeated multiplication.
fn small_integer(number: &BigRational) -> Option<i64> {
    number.is_integer().then(|| number.numer().to_i64()).flatten().filter(|n| n.unsigned_abs() <= 1 << 12)
}

/// Trial value between 1/4 and 4, from a hash.
fn number_of(hash: u64) -> BigFloat {
    let above = 1009 + (hash >> 1) % 15_000;
    BigFloat::from_word(above, P).div(&BigFloat::from_word(4001, P), P, RM)
}

/// Nearest float to a number.
fn float(number: &BigRational) -> BigFloat {
    let whole = |magnitude: &num_bigint::BigUint| {
        if magnitude.is_zero() {
            return BigFloat::new(P);
        }
        let mut words: Vec<u64> = magnitude.iter_u64_digits().collect();
        // The topmost bit of the mantissa is set.
        let shift = words.last().map_or(0, |word| word.leading_zeros());
        if shift > 0 {
            let shifted: num_bigint::BigUint = magnitude << shift;
            words = shifted.iter_u64_digits().collect();
        }
        BigFloat::from_words(&words, Sign::Pos, magnitude.bits() as i32)
    };
    let quotient = whole(number.numer().magnitude()).div(&whole(number.denom().magnitude()), P, RM);
    if number.is_negative() { quotient.neg() } else { quotient }
}

/// Hash function that is the same on every machine and in every version.
struct Fnv(u64);

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn write_usize(&mut self, number: usize) {
        self.write(&(number as u64).to_le_bytes());
    }

    fn write_isize(&mut self, number: isize) {
        self.write(&(number as i64).to_le_bytes());
    }

    fn write_u64(&mut self, number: u64) {
        self.write(&number.to_le_bytes());
    }

    fn finish(&self) -> u64 {
        // The low bits of the last byte reach the high bits.
        (self.0 ^ (self.0 >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9)
    }
}
