//! What came of a problem, and why where it is known.

/// What came of a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Answered rightly.
    Right,
    /// Answered wrongly; what was seen is not known.
    Wrong,
    /// Answered wrongly after something was misread: an error of perception.
    Misread,
    /// Answered wrongly although all that was read is right: an error of reasoning.
    Misreasoned,
    /// Answered wrongly without saying what was read.
    Unread,
}

impl Outcome {
    const LETTERS: [(Self, char); 5] =
        [(Self::Right, '1'), (Self::Wrong, '0'), (Self::Misread, 'p'), (Self::Misreasoned, 'r'), (Self::Unread, 'u')];

    /// The letter that stands for it.
    pub fn letter(self) -> char {
        Self::LETTERS.into_iter().find(|(outcome, _)| *outcome == self).map_or('0', |(_, letter)| letter)
    }

    /// What a letter stands for.
    pub fn of(letter: char) -> Option<Self> {
        Self::LETTERS.into_iter().find(|(_, one)| *one == letter).map(|(outcome, _)| outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_has_a_letter_of_its_own() {
        for (outcome, letter) in Outcome::LETTERS {
            assert_eq!((Outcome::of(letter), outcome.letter()), (Some(outcome), letter));
        }
        assert_eq!(Outcome::of('x'), None);
    }
}
