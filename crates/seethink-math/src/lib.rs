//! Formulas: parsing of LaTeX and plain text, and comparison.
//!
//! [`parse`] reads a text to an [`Expr`]: numbers, functions, sets, intervals, relations, matrices.
//! [`same`] says whether two of them are equal and why: by spelling, by canonical form, by values to
//! 120 bits. Every function is total and its work is counted ([`Fuel`]), so that the result depends
//! on the texts alone and not on a clock. Equality that cannot be shown is inequality.
//!
//! # Examples
//! ```
//! use seethink_math::{Comparison, Fuel, Syntax, parse, same};
//!
//! let mut fuel = Fuel::USUAL;
//! let truth = parse(r"\frac{\sqrt{8}}{2}", Syntax::Latex, &mut fuel)?;
//! let answer = parse(r"\sqrt{2}", Syntax::Latex, &mut fuel)?;
//! assert!(same(&truth, &answer, &Comparison::default(), &mut fuel)?.is_some());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod atom;
mod braces;
mod build;
mod canonical;
mod compare;
mod exact;
mod expr;
mod matrices;
mod names;
mod numeric;
mod parse;
mod relations;
mod sets;
#[cfg(test)]
mod tests;
mod token;
mod values;

pub use braces::closing_brace;
pub use compare::{Comparison, Reason, same};
pub use expr::{Binder, Expr, Function, Interval, Number, Relation};
pub use parse::{MAX_LENGTH, parse};
pub use token::Syntax;
pub use values::same_values;

/// Fuel: the work still allowed, in units of some five nanoseconds of a core of today; a count, not
/// a clock, so that the same input has the same verdict on every machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fuel(u32);

impl Fuel {
    /// Usual fuel: enough for any answer that a person would write.
    pub const USUAL: Self = Self(250_000);

    /// Burns fuel.
    ///
    /// # Errors
    /// If not enough fuel is left.
    pub fn burn(&mut self, amount: usize) -> Result<(), OutOfFuel> {
        let left = u32::try_from(amount).ok().and_then(|amount| self.0.checked_sub(amount));
        self.0 = left.unwrap_or(0);
        left.map(drop).ok_or(OutOfFuel)
    }
}

/// Error of used-up fuel: the work exceeds what was allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("out of fuel")]
pub struct OutOfFuel;

/// Errors of parsing a formula.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Longer than the maximum length of a formula.
    #[error("longer than {} bytes", parse::MAX_LENGTH)]
    TooLong,
    /// Nested deeper than the maximum depth.
    #[error("nested deeper than {}", parse::MAX_DEPTH)]
    TooDeep,
    /// Syntax error.
    #[error("expected {expected} at byte {at}")]
    Syntax {
        /// Position of the error, bytes.
        at: usize,
        /// Expected syntax.
        expected: &'static str,
    },
    /// Too much work.
    #[error(transparent)]
    OutOfFuel(#[from] OutOfFuel),
}
