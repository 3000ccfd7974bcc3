//! Outcome counts of test problems, and statistics of the counts.

use crate::outcome::Outcome;

/// Outcome counts: right, wrong, misread, misreasoned, unread.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Counts([f64; 5]);

impl Counts {
    /// Counts the outcome letters of a run.
    pub fn of(letters: &str) -> Self {
        letters.chars().filter_map(Outcome::of).collect()
    }

    /// Number of problems with this outcome.
    pub fn n(&self, outcome: Outcome) -> f64 {
        self.0[outcome as usize]
    }

    /// Number of all problems.
    pub fn total(&self) -> f64 {
        self.0.iter().sum()
    }

    /// Accuracy: share of right answers.
    pub fn accuracy(&self) -> f64 {
        self.n(Outcome::Right) / self.total()
    }
}

impl FromIterator<Outcome> for Counts {
    fn from_iter<I: IntoIterator<Item = Outcome>>(outcomes: I) -> Self {
        let mut counts = Self::default();
        outcomes.into_iter().for_each(|outcome| counts.0[outcome as usize] += 1.0);
        counts
    }
}

/// Statistic of a run's outcome counts, `[capability]`; NaN where it is undefined.
pub type Statistic = fn(&[Counts]) -> f64;

/// Outcomes of one run: `[capability]` letters, a letter per problem.
pub type Letters<'a> = Vec<&'a str>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_tell_outcomes_apart() {
        let counts = Counts::of("11p0ru");
        assert_eq!((counts.total(), counts.accuracy(), counts.n(Outcome::Misread)), (6.0, 2.0 / 6.0, 1.0));
        let others = [Outcome::Right, Outcome::Wrong, Outcome::Misreasoned, Outcome::Unread];
        assert_eq!(others.map(|outcome| counts.n(outcome)), [2.0, 1.0, 1.0, 1.0]);
    }
}
