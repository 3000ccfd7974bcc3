//! Formulas: reading them, and whether two mean the same.

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

/// What work may still be done, in units of some five nanoseconds of a core of today: a count, not a clock, so that the same input has the
/// same verdict on every machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fuel(u32);

impl Fuel {
    /// Enough for anything that a person would write as an answer.
    pub(crate) const USUAL: Self = Self(250_000);

    /// Uses some up.
    ///
    /// # Errors
    /// If there is not that much left.
    pub(crate) fn burn(&mut self, amount: usize) -> Result<(), OutOfFuel> {
        let left = u32::try_from(amount).ok().and_then(|amount| self.0.checked_sub(amount));
        self.0 = left.unwrap_or(0);
        left.map(drop).ok_or(OutOfFuel)
    }
}

/// There is more work than was allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("out of fuel")]
pub(crate) struct OutOfFuel;

/// Why a text is no formula.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    /// It is longer than any answer.
    #[error("longer than {} bytes", parse::MAX_LENGTH)]
    TooLong,
    /// Its brackets are nested deeper than in any answer.
    #[error("nested deeper than {}", parse::MAX_DEPTH)]
    TooDeep,
    /// Something else is expected somewhere.
    #[error("expected {expected} at byte {at}")]
    Syntax {
        /// Where, bytes.
        at: usize,
        /// What.
        expected: &'static str,
    },
    /// It takes too much work.
    #[error(transparent)]
    OutOfFuel(#[from] OutOfFuel),
}
