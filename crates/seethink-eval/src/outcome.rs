//! Outcomes of problems: right, or wrong with the kind of error where known.

/// Outcome of a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Right answer.
    Right,
    /// Wrong answer of unknown cause.
    Wrong,
    /// Perception error: wrong answer after the image was misread.
    Misread,
    /// Reasoning error: wrong answer although all readings of the image are right.
    Misreasoned,
    /// Wrong answer that states no reading of the image.
    Unread,
}

impl Outcome {
    const LETTERS: [(Self, char); 5] =
        [(Self::Right, '1'), (Self::Wrong, '0'), (Self::Misread, 'p'), (Self::Misreasoned, 'r'), (Self::Unread, 'u')];

    /// Letter of the outcome in files.
    pub fn letter(self) -> char {
        Self::LETTERS.into_iter().find(|(outcome, _)| *outcome == self).map_or('0', |(_, letter)| letter)
    }

    /// Outcome of a letter.
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
