//! Chains of arithmetic operations on small integers, worked out one step at a time.

use seethink_core::Rng;

/// Bound on the absolute value of every number in a problem or its working.
pub(super) const BOUND: i64 = 99;

/// Arithmetic operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Add,
    Subtract,
    Multiply,
}

impl Operator {
    pub(super) const ALL: [Self; 3] = [Self::Add, Self::Subtract, Self::Multiply];

    pub(super) fn symbol(self) -> char {
        match self {
            Self::Add => '+',
            Self::Subtract => '-',
            Self::Multiply => '*',
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Add => "plus",
            Self::Subtract => "minus",
            Self::Multiply => "times",
        }
    }

    /// Draws `n` operators independently.
    pub(super) fn draw(rng: &mut Rng, n: usize) -> Vec<Self> {
        (0..n).map(|_| *rng.choose(&Self::ALL)).collect()
    }
}

/// Working of a solution: sentences such as "3+5=8." in the order of the reasoning.
#[derive(Debug, Default)]
pub(super) struct Working(String);

impl Working {
    /// Adds one sentence and its full stop.
    pub(super) fn say(&mut self, sentence: &str) {
        if !self.0.is_empty() {
            self.0.push(' ');
        }
        self.0.push_str(sentence);
        self.0.push('.');
    }

    /// Computes one operation and writes it down; `None` if the result leaves [`BOUND`].
    pub(super) fn apply(&mut self, left: i64, operator: Operator, right: i64) -> Option<i64> {
        let result = match operator {
            Operator::Add => left + right,
            Operator::Subtract => left - right,
            Operator::Multiply => left * right,
        };
        self.say(&format!("{left}{}{right}={result}", operator.symbol()));
        (result.abs() <= BOUND).then_some(result)
    }

    /// Computes the sum of `values`, from the left.
    pub(super) fn sum(&mut self, values: &[i64]) -> Option<i64> {
        let (&first, rest) = values.split_first()?;
        rest.iter().try_fold(first, |sum, &value| self.apply(sum, Operator::Add, value))
    }

    /// Evaluates `values` joined by `operators`: products first, then sums, each from the left.
    pub(super) fn evaluate(&mut self, values: &[i64], operators: &[Operator]) -> Option<i64> {
        let (&first, rest) = values.split_first()?;
        let mut value = first;
        let mut terms: Vec<(Operator, i64)> = Vec::new();
        for (&operator, &operand) in operators.iter().zip(rest) {
            match operator {
                Operator::Multiply => {
                    let factor = terms.last_mut().map_or(&mut value, |(_, term)| term);
                    *factor = self.apply(*factor, Operator::Multiply, operand)?;
                }
                _ => terms.push((operator, operand)),
            }
        }
        terms.into_iter().try_fold(value, |value, (operator, term)| self.apply(value, operator, term))
    }

    /// Returns the text of the working.
    pub(super) fn finish(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Operator::{Add, Multiply, Subtract};

    #[test]
    fn products_come_first() {
        let mut working = Working::default();
        assert_eq!(working.evaluate(&[3, 4, 2, 5], &[Subtract, Multiply, Add]), Some(0));
        assert_eq!(working.finish(), "4*2=8. 3-8=-5. -5+5=0.");
        assert_eq!(Working::default().evaluate(&[2, 3, 4, 1], &[Multiply, Multiply, Subtract]), Some(23));
    }

    #[test]
    fn results_stay_bounded() {
        assert_eq!(Working::default().evaluate(&[9, 9, 9, 9], &[Multiply, Multiply, Subtract]), None);
    }
}
