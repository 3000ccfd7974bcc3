//! Expression tree of an answer: expressions, sets, relations.

use num_rational::BigRational;
use std::fmt;

/// A mathematical object as it was written, not yet simplified.
///
/// Trees are shallow: the parser refuses anything nested deeper than 48, so everything here may
/// recurse.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Expr {
    /// Exact number.
    Number(Number),
    /// Variable with its subscript (`x`, `alpha_{1}`), or a word.
    Symbol(String),
    /// π.
    Pi,
    /// Infinity.
    Infinity,
    /// Sum of the terms.
    Sum(Vec<Expr>),
    /// Product of the factors.
    Product(Vec<Expr>),
    /// Power: base and exponent.
    Power(Box<Expr>, Box<Expr>),
    /// Percentage: a hundredth of the expression, written with a percent sign.
    Percent(Box<Expr>),
    /// Function of its arguments.
    Call(Function, Vec<Expr>),
    /// Operator with a bound variable and a body: an integral, a sum, …
    Bound(Binder, Box<Expr>, String, Vec<Expr>),
    /// Tuple, vector or point.
    Tuple(Vec<Expr>),
    /// Finite set.
    Set(Vec<Expr>),
    /// Interval.
    Interval(Box<Interval>),
    /// Named set (reals, integers, …), by the letter of its symbol.
    NamedSet(char),
    /// Union of sets.
    Union(Vec<Expr>),
    /// Intersection of sets.
    Intersection(Vec<Expr>),
    /// Difference of two sets.
    Difference(Box<Expr>, Box<Expr>),
    /// Matrix, `[row][column]`.
    Matrix(Vec<Vec<Expr>>),
    /// Relation between each term and the next: `a < b ≤ c`.
    Relation(Vec<Expr>, Vec<Relation>),
}

/// Exact number, and whether it was written with a decimal point.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Number {
    /// Value.
    pub value: BigRational,
    /// True if it was written with a decimal point.
    pub is_decimal: bool,
}

/// Interval: its ends, and whether each belongs to it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Interval {
    /// Lower end.
    pub low: Expr,
    /// Upper end.
    pub high: Expr,
    /// True if the lower end belongs to the interval.
    pub has_low: bool,
    /// True if the upper end belongs to the interval.
    pub has_high: bool,
}

/// Relation between two sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Relation {
    /// `=`.
    Equal,
    /// `≠`.
    Unequal,
    /// `<`.
    Less,
    /// `≤`.
    LessEqual,
    /// `>`.
    Greater,
    /// `≥`.
    GreaterEqual,
    /// `⊂`.
    Subset,
}

/// Operator that binds a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Binder {
    /// Integral.
    Integral,
    /// Derivative.
    Derivative,
    /// Sum over an index.
    Sum,
    /// Product over an index.
    Product,
    /// Limit.
    Limit,
}

/// A function with a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Function {
    /// Exponential.
    Exp,
    /// Logarithm to the base of the second argument, natural without one.
    Log,
    /// Sine.
    Sin,
    /// Cosine.
    Cos,
    /// Tangent.
    Tan,
    /// Cotangent.
    Cot,
    /// Secant.
    Sec,
    /// Cosecant.
    Csc,
    /// Inverse sine.
    Asin,
    /// Inverse cosine.
    Acos,
    /// Inverse tangent.
    Atan,
    /// Inverse cotangent.
    Acot,
    /// Inverse secant.
    Asec,
    /// Inverse cosecant.
    Acsc,
    /// Hyperbolic sine.
    Sinh,
    /// Hyperbolic cosine.
    Cosh,
    /// Hyperbolic tangent.
    Tanh,
    /// Hyperbolic cotangent.
    Coth,
    /// Hyperbolic secant.
    Sech,
    /// Hyperbolic cosecant.
    Csch,
    /// Inverse hyperbolic sine.
    Asinh,
    /// Inverse hyperbolic cosine.
    Acosh,
    /// Inverse hyperbolic tangent.
    Atanh,
    /// Absolute value.
    Abs,
    /// Sign.
    Sign,
    /// Factorial.
    Factorial,
    /// Binomial coefficient.
    Binomial,
    /// Floor.
    Floor,
    /// Ceiling.
    Ceil,
    /// Greatest common divisor.
    Gcd,
    /// Least common multiple.
    Lcm,
    /// Minimum.
    Min,
    /// Maximum.
    Max,
    /// Remainder.
    Mod,
    /// Real part.
    Re,
    /// Imaginary part.
    Im,
    /// Argument of a complex number.
    Arg,
    /// Determinant of a matrix.
    Determinant,
    /// Transpose of a matrix.
    Transpose,
    /// Function that the text defines, such as `f`.
    Named(String),
}

impl Function {
    /// Finds a function by its name in LaTeX and in plain text, without a backslash.
    pub(crate) fn by_name(name: &str) -> Option<Self> {
        Some(match name {
            "exp" => Self::Exp,
            "log" | "ln" | "lg" => Self::Log,
            "sin" => Self::Sin,
            "cos" => Self::Cos,
            "tan" | "tg" => Self::Tan,
            "cot" | "ctg" => Self::Cot,
            "sec" => Self::Sec,
            "csc" | "cosec" => Self::Csc,
            "arcsin" | "asin" => Self::Asin,
            "arccos" | "acos" => Self::Acos,
            "arctan" | "atan" | "arctg" => Self::Atan,
            "arccot" | "acot" => Self::Acot,
            "arcsec" | "asec" => Self::Asec,
            "arccsc" | "acsc" => Self::Acsc,
            "sinh" | "sh" => Self::Sinh,
            "cosh" | "ch" => Self::Cosh,
            "tanh" | "th" => Self::Tanh,
            "coth" => Self::Coth,
            "sech" => Self::Sech,
            "csch" => Self::Csch,
            "arcsinh" | "arsinh" | "asinh" => Self::Asinh,
            "arccosh" | "arcosh" | "acosh" => Self::Acosh,
            "arctanh" | "artanh" | "atanh" => Self::Atanh,
            "abs" => Self::Abs,
            "sgn" | "sign" => Self::Sign,
            "floor" => Self::Floor,
            "ceil" => Self::Ceil,
            "gcd" => Self::Gcd,
            "lcm" => Self::Lcm,
            "min" => Self::Min,
            "max" => Self::Max,
            "Re" | "re" => Self::Re,
            "Im" | "im" => Self::Im,
            "arg" => Self::Arg,
            "det" => Self::Determinant,
            _ => return None,
        })
    }

    /// Inverse function: the meaning of an exponent of −1.
    pub(crate) fn inverse(&self) -> Option<Self> {
        Some(match self {
            Self::Sin => Self::Asin,
            Self::Cos => Self::Acos,
            Self::Tan => Self::Atan,
            Self::Cot => Self::Acot,
            Self::Sec => Self::Asec,
            Self::Csc => Self::Acsc,
            Self::Sinh => Self::Asinh,
            Self::Cosh => Self::Acosh,
            Self::Tanh => Self::Atanh,
            _ => return None,
        })
    }
}

/// Returns whether a name is that of a constant.
pub(super) fn is_constant(name: &str) -> bool {
    matches!(name, "i" | "e")
}

impl Relation {
    /// Flips the relation, for exchanged sides.
    pub(crate) fn flipped(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessEqual => Self::GreaterEqual,
            Self::Greater => Self::Less,
            Self::GreaterEqual => Self::LessEqual,
            other => other,
        }
    }
}

impl Expr {
    pub(crate) fn integer(value: i64) -> Self {
        Self::rational(BigRational::from_integer(value.into()))
    }

    pub(crate) fn rational(value: BigRational) -> Self {
        Self::Number(Number { value, is_decimal: false })
    }

    pub(crate) fn symbol(name: impl Into<String>) -> Self {
        Self::Symbol(name.into())
    }

    pub(crate) fn negated(self) -> Self {
        match self {
            Self::Number(Number { value, is_decimal }) => Self::Number(Number { value: -value, is_decimal }),
            other => Self::Product(vec![Self::integer(-1), other]),
        }
    }

    pub(crate) fn inverse(self) -> Self {
        Self::Power(Box::new(self), Box::new(Self::integer(-1)))
    }

    pub(crate) fn over(self, below: Self) -> Self {
        Self::Product(vec![self, below.inverse()])
    }

    pub(crate) fn minus(self, other: Self) -> Self {
        Self::Sum(vec![self, other.negated()])
    }

    pub(crate) fn raised(self, exponent: Self) -> Self {
        Self::Power(Box::new(self), Box::new(exponent))
    }

    pub(crate) fn call(function: Function, argument: Self) -> Self {
        Self::Call(function, vec![argument])
    }

    /// Replaces the constants of two names by variables.
    pub fn with_names(self, one: &str, other: &str) -> Self {
        let all = |items: Vec<Self>| items.into_iter().map(|item| item.with_names(one, other)).collect();
        match self {
            Self::Symbol(name) if name == one || name == other => Self::Symbol(format!("{name} ")),
            Self::Sum(items) => Self::Sum(all(items)),
            Self::Product(items) => Self::Product(all(items)),
            Self::Call(function, items) => Self::Call(function, all(items)),
            Self::Power(base, exponent) => base.with_names(one, other).raised(exponent.with_names(one, other)),
            other => other,
        }
    }

    /// Returns whether the expression is or may be a number: neither a set, a tuple, a matrix nor a
    /// relation.
    pub fn is_scalar(&self) -> bool {
        matches!(
            self,
            Self::Number(_)
                | Self::Symbol(_)
                | Self::Pi
                | Self::Infinity
                | Self::Sum(_)
                | Self::Product(_)
                | Self::Power(..)
                | Self::Percent(_)
                | Self::Call(..)
                | Self::Bound(..)
        )
    }

    /// Children of the expression.
    pub(crate) fn children(&self) -> Vec<&Self> {
        match self {
            Self::Number(_) | Self::Symbol(_) | Self::Pi | Self::Infinity | Self::NamedSet(_) => Vec::new(),
            Self::Sum(items)
            | Self::Product(items)
            | Self::Call(_, items)
            | Self::Tuple(items)
            | Self::Set(items)
            | Self::Union(items)
            | Self::Intersection(items)
            | Self::Relation(items, _) => items.iter().collect(),
            Self::Power(one, other) | Self::Difference(one, other) => vec![one, other],
            Self::Percent(inner) => vec![inner],
            Self::Bound(_, body, _, bounds) => std::iter::once(&**body).chain(bounds).collect(),
            Self::Interval(interval) => vec![&interval.low, &interval.high],
            Self::Matrix(rows) => rows.iter().flatten().collect(),
        }
    }

    /// Number of nodes of the tree, the root included.
    pub(crate) fn size(&self) -> usize {
        1 + self.children().into_iter().map(Self::size).sum::<usize>()
    }

    /// Returns whether the expression contains a variable.
    pub(crate) fn has_variable(&self) -> bool {
        self.any(&|inner| matches!(inner, Self::Symbol(name) if !is_constant(name)))
    }

    /// Returns whether `wanted` holds for the expression or any part of it.
    pub(crate) fn any(&self, wanted: &dyn Fn(&Self) -> bool) -> bool {
        wanted(self) || self.children().into_iter().any(|child| child.any(wanted))
    }
}

/// Readable form, for explanations.
impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn list(f: &mut fmt::Formatter<'_>, items: &[Expr], between: &str) -> fmt::Result {
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    f.write_str(between)?;
                }
                write!(f, "{item}")?;
            }
            Ok(())
        }
        match self {
            Self::Number(number) => {
                write!(f, "{}{}", number.value, if number.is_decimal { " (decimal)" } else { "" })
            }
            Self::Symbol(name) => f.write_str(name),
            Self::Pi => f.write_str("π"),
            Self::Infinity => f.write_str("∞"),
            Self::Sum(items) => {
                f.write_str("(")?;
                list(f, items, " + ")?;
                f.write_str(")")
            }
            Self::Product(items) => {
                f.write_str("(")?;
                list(f, items, "·")?;
                f.write_str(")")
            }
            Self::Power(base, exponent) => write!(f, "{base}^{exponent}"),
            Self::Percent(inner) => write!(f, "{inner} %"),
            Self::Call(function, items) => {
                match function {
                    Function::Named(name) => write!(f, "{name}(")?,
                    other => write!(f, "{}(", format!("{other:?}").to_lowercase())?,
                }
                list(f, items, ", ")?;
                f.write_str(")")
            }
            Self::Bound(binder, body, variable, bounds) => {
                write!(f, "{}({body}; {variable}", format!("{binder:?}").to_lowercase())?;
                bounds.iter().try_for_each(|bound| write!(f, ", {bound}"))?;
                f.write_str(")")
            }
            Self::Tuple(items) => {
                f.write_str("(")?;
                list(f, items, ", ")?;
                f.write_str(")")
            }
            Self::Set(items) => {
                f.write_str("{")?;
                list(f, items, ", ")?;
                f.write_str("}")
            }
            Self::Interval(interval) => {
                let open = if interval.has_low { "[" } else { "(" };
                let close = if interval.has_high { "]" } else { ")" };
                write!(f, "{open}{}, {}{close}", interval.low, interval.high)
            }
            Self::NamedSet(letter) => write!(f, "{letter}"),
            Self::Union(items) => list(f, items, " ∪ "),
            Self::Intersection(items) => list(f, items, " ∩ "),
            Self::Difference(one, other) => write!(f, "{one} ∖ {other}"),
            Self::Matrix(rows) => {
                f.write_str("[")?;
                for (i, row) in rows.iter().enumerate() {
                    if i > 0 {
                        f.write_str("; ")?;
                    }
                    list(f, row, ", ")?;
                }
                f.write_str("]")
            }
            Self::Relation(terms, relations) => {
                write!(f, "{}", terms[0])?;
                for (relation, term) in relations.iter().zip(&terms[1..]) {
                    let sign = match relation {
                        Relation::Equal => "=",
                        Relation::Unequal => "≠",
                        Relation::Less => "<",
                        Relation::LessEqual => "≤",
                        Relation::Greater => ">",
                        Relation::GreaterEqual => "≥",
                        Relation::Subset => "⊆",
                    };
                    write!(f, " {sign} {term}")?;
                }
                Ok(())
            }
        }
    }
}
