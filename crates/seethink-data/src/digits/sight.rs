//! Reading errors of answers: comparison of the digits that an answer says it reads with the
//! picture; no judge is needed where the content of pictures is known.

use crate::digits_v1;
use seethink_core::Problem;

/// Tag with the digits that a question asks for, in its order, as in `3 5 9`.
pub(super) const READS: &str = "reads";

/// Verdict on the readings of a picture in an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sight {
    /// All readings in the reasoning agree with the picture.
    Right,
    /// Some reading disagrees with the picture.
    Wrong,
    /// The reasoning has no reading, or not of as many digits as were asked for.
    Unstated,
}

impl Sight {
    /// Compares the digits that the reasoning of a completion begins with ("3 5 9", "3+5-9. 8. -1")
    /// with those that the question asks for.
    ///
    /// `None` if the problem asks for no digits of a picture of the digits world.
    pub fn of(problem: &Problem, completion: &str) -> Option<Self> {
        if problem.source == digits_v1::DigitsWorld::SOURCE {
            let readings = digits_v1::readings(problem, completion)?;
            return Some(match readings[..] {
                [] => Self::Unstated,
                _ if readings.contains(&false) => Self::Wrong,
                _ => Self::Right,
            });
        }
        let n_misread = Self::n_misread(problem, completion)?;
        Some(match n_misread {
            None => Self::Unstated,
            Some(0) => Self::Right,
            Some(_) => Self::Wrong,
        })
    }

    /// Number of digits that the reasoning of a completion misreads, where it reads as many as were
    /// asked for; the outer `None` if the problem asks for no digits of a picture.
    pub fn n_misread(problem: &Problem, completion: &str) -> Option<Option<usize>> {
        let asked: Vec<&str> = problem.tags.get(READS)?.split(' ').collect();
        let (_, thought) = completion.split_once("<think>").unwrap_or_default();
        let reading = thought.split("</think>").next().unwrap_or_default().split('.').next().unwrap_or_default();
        let read: Vec<&str> = reading.split(|c: char| !c.is_ascii_digit()).filter(|digit| !digit.is_empty()).collect();
        let misread = || asked.iter().zip(&read).filter(|(asked, read)| asked != read).count();
        Some((read.len() == asked.len()).then(misread))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digits::{DigitsConfig, DigitsWorld, GlyphSet};
    use seethink_core::Capability;

    #[test]
    fn readings_are_compared_with_what_was_asked_for() {
        let world = DigitsWorld::new(DigitsConfig::default()).unwrap();
        let mut problem = world.problem(GlyphSet::Train, &Capability::VISUAL_REASONING, 0, 1);
        problem.tags.insert(READS.into(), "3 5 9".into());
        for (thought, expected) in [
            ("3+5-9. 8. -1", Sight::Right),
            ("3 5 9", Sight::Right),
            ("3+5-8. 8. 0", Sight::Wrong),
            ("3+5-19. 8. 0", Sight::Wrong),
            ("3+5. 8", Sight::Unstated),
            ("8. -1", Sight::Unstated),
            ("", Sight::Unstated),
        ] {
            let completion = format!("<think>{thought}</think> \\boxed{{8}}");
            assert_eq!(Sight::of(&problem, &completion), Some(expected), "{thought}");
        }
        assert_eq!(Sight::of(&problem, "3 5 9"), Some(Sight::Unstated), "without tags there is no reasoning");
        assert_eq!(Sight::n_misread(&problem, "<think>1+5-1. 6. 5</think>"), Some(Some(2)));
        problem.tags.remove(READS);
        assert_eq!(Sight::of(&problem, "<think>3 5 9</think>"), None);
    }

    #[test]
    fn every_solution_sees_right_and_another_picture_is_noticed() {
        let world = DigitsWorld::new(DigitsConfig::default()).unwrap();
        let problem = |index| world.problem(GlyphSet::Train, &Capability::VISUAL_REASONING, index, 1);
        let mut n_noticed = 0;
        for index in 0..300 {
            let mut problem = problem(index);
            let solution = problem.solution.clone().unwrap();
            assert_eq!(Sight::of(&problem, &solution), Some(Sight::Right), "{solution} {:?}", problem.tags);
            let other = world.problem(GlyphSet::Train, &Capability::VISUAL_REASONING, index + 1, 1);
            problem.tags.insert(READS.into(), other.tags[READS].clone());
            n_noticed += usize::from(Sight::of(&problem, &solution) != Some(Sight::Right));
        }
        assert!(n_noticed > 280, "{n_noticed}");
    }
}
