//! Formulas: parsing and comparison.

mod atom;
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

pub(crate) use compare::{Comparison, Reason, same};
pub(crate) use expr::Expr;
pub(crate) use parse::{MAX_LENGTH, parse};
pub(crate) use token::Syntax;
pub(crate) use values::same_values;

/// Fuel: the work still allowed, in units of some five nanoseconds of a core of today; a count, not
/// a clock, so that the same input has the same verdict on every machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fuel(u32);

impl Fuel {
    /// Usual fuel: enough for any answer that a person would write.
    pub(crate) const USUAL: Self = Self(250_000);

    /// Burns fuel.
    ///
    /// # Errors
    /// If not enough fuel is left.
    pub(crate) fn burn(&mut self, amount: usize) -> Result<(), OutOfFuel> {
        let left = u32::try_from(amount).ok().and_then(|amount| self.0.checked_sub(amount));
        self.0 = left.unwrap_or(0);
        left.map(drop).ok_or(OutOfFuel)
    }
}

/// Error of used-up fuel: the work exceeds what was allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("out of fuel")]
pub(crate) struct OutOfFuel;

/// Errors of parsing a formula.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
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
