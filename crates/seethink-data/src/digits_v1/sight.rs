//! Reading errors of answers: comparison of the digits named in the reasoning with the picture; no
//! judge is needed where the content of pictures is known.

use crate::digits::Ink;
use crate::digits::scene::{column_name, row_name};
use seethink_core::Problem;

/// Tag that describes the content of a picture.
pub(super) const SCENE: &str = "scene";

/// Compares the readings in the reasoning of a completion ("top row 3 5 2.", "red 4 7.",
/// "center 8.") with the picture: whether each agrees with it.
///
/// A reading is a sentence that names cells and lists digits, as the solutions of this world do;
/// everything else is ignored. A reading of cells that the picture does not have is wrong. The cells
/// need not be those that the question asks for. `None` if the problem is not about a picture of
/// this world.
pub(crate) fn readings(problem: &Problem, completion: &str) -> Option<Vec<bool>> {
    let grid = Grid::parse(problem.tags.get(SCENE)?)?;
    let thought = completion.split("</think>").next().unwrap_or_default().trim_start().trim_start_matches("<think>");
    Some(thought.split('.').map(str::trim).filter_map(|sentence| grid.check(sentence)).collect())
}

/// Digits and inks of a picture, parsed from its tag.
struct Grid {
    n_columns: usize,
    /// Ink and digit of the cells, `[row, column]`, row-major.
    cells: Vec<(String, u8)>,
}

impl Grid {
    fn parse(tag: &str) -> Option<Self> {
        let rows: Vec<Vec<(String, u8)>> = tag
            .split(" / ")
            .map(|row| {
                let cell = |cell: &str| {
                    let (ink, digit) = cell.split_once(' ')?;
                    Some((ink.to_owned(), digit.parse().ok()?))
                };
                row.split(", ").map(cell).collect()
            })
            .collect::<Option<_>>()?;
        Some(Self { n_columns: rows.first()?.len(), cells: rows.into_iter().flatten().collect() })
    }

    /// Returns whether a reading is right; `None` if the sentence is not a reading.
    fn check(&self, sentence: &str) -> Option<bool> {
        let words: Vec<&str> = sentence.split_whitespace().collect();
        let n_digits = words.iter().rev().take_while(|word| word.len() == 1 && word.parse::<u8>().is_ok()).count();
        let (name, digits) = words.split_at(words.len() - n_digits);
        if digits.is_empty() || !is_name(name) {
            return None;
        }
        let shown = (0..self.cells.len()).filter(|&cell| self.is_named(cell, name)).map(|cell| self.cells[cell].1);
        Some(shown.eq(digits.iter().filter_map(|digit| digit.parse::<u8>().ok())))
    }

    fn is_named(&self, cell: usize, name: &[&str]) -> bool {
        let (n_rows, n_columns) = (self.cells.len() / self.n_columns, self.n_columns);
        let row = row_name(n_rows, cell / n_columns);
        let column = column_name(n_columns, cell % n_columns);
        match *name {
            ["all"] => true,
            ["center"] => (row, column) == ("middle", "middle"),
            [ink] => self.cells[cell].0 == ink,
            [one, "row"] => row == one,
            [one, "column"] => column == one,
            [one, other] => (row, column) == (one, other) && (row, column) != ("middle", "middle"),
            _ => false,
        }
    }
}

/// Returns whether this is a name of cells in some picture.
fn is_name(name: &[&str]) -> bool {
    let is_row = |name: &str| ["top", "middle", "bottom"].contains(&name);
    let is_column = |name: &str| ["left", "middle", "right"].contains(&name);
    match *name {
        [name] => name == "all" || name == "center" || Ink::ALL.iter().any(|ink| ink.name() == name),
        [name, "row"] => is_row(name),
        [name, "column"] => is_column(name),
        [row, column] => is_row(row) && is_column(column),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Split;
    use crate::digits::Sight;
    use crate::digits_v1::{DigitsConfig, DigitsWorld};
    use seethink_core::Capability;

    fn picture() -> Problem {
        let world = DigitsWorld::new(DigitsConfig::default()).unwrap();
        let mut problem = world.problem(Split::Train, &Capability::VISUAL_REASONING, 0, 1);
        problem.tags.insert(SCENE.into(), "red 3, blue 5, red 0 / green 1, red 9, blue 5".into());
        problem
    }

    #[test]
    fn readings_are_compared_with_the_picture() {
        let problem = picture();
        for (thought, expected) in [
            ("top row 3 5 0. 3 + 5 = 8. 8 + 0 = 8.", Sight::Right),
            ("top row 3 5 6. 3 + 5 = 8.", Sight::Wrong),
            ("top row 3 5.", Sight::Wrong),
            ("red 3 0 9. bottom middle 9. left column 3 1.", Sight::Right),
            ("red 3 0 9. bottom middle 8.", Sight::Wrong),
            ("all 3 5 0 1 9 5. largest 9. smallest 0. 9 - 0 = 9.", Sight::Right),
            ("yellow 4.", Sight::Wrong),
            ("middle row 1 2 3.", Sight::Wrong),
            ("center 4.", Sight::Wrong),
            ("15.", Sight::Unstated),
            ("3 + 5 = 8.", Sight::Unstated),
            ("", Sight::Unstated),
        ] {
            let completion = format!("<think>{thought}</think> \\boxed{{8}}");
            assert_eq!(Sight::of(&problem, &completion), Some(expected), "{thought}");
        }
    }

    #[test]
    fn every_solution_sees_right_and_another_picture_is_noticed() {
        let world = DigitsWorld::new(DigitsConfig::default()).unwrap();
        let problem = |index| world.problem(Split::Train, &Capability::VISUAL_REASONING, index, 1);
        let mut n_wrong = 0;
        for index in 0..300 {
            let mut problem = problem(index);
            let solution = problem.solution.clone().unwrap();
            assert_eq!(Sight::of(&problem, &solution), Some(Sight::Right), "{solution} {:?}", problem.tags);
            let other = world.problem(Split::Train, &Capability::VISUAL_REASONING, index + 1, 1);
            problem.tags.insert(SCENE.into(), other.tags[SCENE].clone());
            n_wrong += usize::from(Sight::of(&problem, &solution) == Some(Sight::Wrong));
        }
        assert!(n_wrong > 280, "{n_wrong}");
    }

    #[test]
    fn text_shows_nothing() {
        let world = DigitsWorld::new(DigitsConfig::default()).unwrap();
        let problem = world.problem(Split::Train, &Capability::TEXTUAL_REASONING, 0, 1);
        assert_eq!(Sight::of(&problem, "<think>top row 3.</think>"), None);
    }
}
