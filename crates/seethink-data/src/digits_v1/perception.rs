//! Perception problems: four-way multiple choice about fine details and spatial relations of a
//! picture.

use super::Item;
use super::config::DigitsConfig;
use crate::Split;
use crate::digits::scene::Palette;
use crate::digits::{Digits, Ink, Scene};
use seethink_core::Rng;

/// Kinds of question, equally frequent.
const FAMILIES: [&str; 8] =
    ["digit_at", "color_at", "count_digit", "count_color", "neighbor_digit", "neighbor_color", "place", "relation"];
const DIGITS: [u8; 10] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];

/// Question with its right option, three wrong ones, and the readings of the picture that answer
/// it.
struct Question {
    text: String,
    right: String,
    wrong: Vec<String>,
    thought: String,
}

/// Draws a question; scenes that do not allow one of the drawn family are drawn again.
pub(super) fn draw(rng: &mut Rng, split: Split, config: &DigitsConfig) -> Item {
    let family = *rng.choose(&FAMILIES);
    let grid = Scene::draw_grid(rng, &config.cells);
    loop {
        // Counts vary only where digits repeat.
        let pool: Vec<u8> = (0..3).map(|_| rng.below(10) as u8).collect();
        let digits: &[u8] = if family == "count_digit" { &pool } else { &DIGITS };
        let scene =
            Scene::draw(rng, |digit| Digits::get().images(split, digit), grid, &Palette { digits, inks: &Ink::ALL });
        if let Some(question) = ask(rng, family, &scene) {
            return finish(rng, family, question, scene);
        }
    }
}

/// Asks a question of this family about this scene, if it has exactly one right answer.
fn ask(rng: &mut Rng, family: &str, scene: &Scene) -> Option<Question> {
    let cell = rng.below(scene.cells.len());
    let shown = scene.cells[cell];
    let place = scene.place(cell);
    match family {
        "digit_at" => {
            let text = match rng.below(3) {
                0 => format!("Which digit is at the {place}?"),
                1 => format!("What is the {place} digit?"),
                _ => format!("Read the {place} digit."),
            };
            let thought = format!("{place} {}.", shown.digit);
            Some(Question {
                text,
                right: shown.digit.to_string(),
                wrong: other_digits(rng, scene, shown.digit),
                thought,
            })
        }
        "color_at" => {
            let text = match rng.below(2) {
                0 => format!("What color is the {place} digit?"),
                _ => format!("Name the color of the {place} digit."),
            };
            let thought = format!("{place} {}.", shown.ink.name());
            Some(Question { text, right: shown.ink.name().into(), wrong: other_inks(shown.ink), thought })
        }
        "count_digit" => {
            // The digit is mostly one in the picture, at times one that is not.
            let digit = if rng.below(8) == 0 { rng.below(10) as u8 } else { shown.digit };
            let text = match rng.below(3) {
                0 => format!("How many digits are {digit}?"),
                1 => format!("How often does {digit} appear?"),
                _ => format!("Count the digit {digit}."),
            };
            let cells: Vec<usize> = (0..scene.cells.len()).filter(|&i| scene.cells[i].digit == digit).collect();
            Some(count(rng, scene, text, &digit.to_string(), &cells))
        }
        "count_color" => {
            let ink = if rng.below(8) == 0 { *rng.choose(&Ink::ALL) } else { shown.ink };
            let name = ink.name();
            let text = match rng.below(2) {
                0 => format!("How many digits are {name}?"),
                _ => format!("Count the {name} digits."),
            };
            let cells: Vec<usize> = (0..scene.cells.len()).filter(|&i| scene.cells[i].ink == ink).collect();
            Some(count(rng, scene, text, name, &cells))
        }
        "neighbor_digit" | "neighbor_color" => {
            scene.unique(shown.digit, shown.ink)?;
            let (direction, neighbor) = *rng.choose(&neighbors(scene, cell));
            let found = scene.cells[neighbor];
            let next = scene.place(neighbor);
            let by_digit = family == "neighbor_digit";
            let text = match (by_digit, rng.below(2)) {
                (true, 0) => format!("Which digit is {direction} the {shown}?"),
                (true, _) => format!("Read the digit {direction} the {shown}."),
                (false, 0) => format!("What color is the digit {direction} the {shown}?"),
                (false, _) => format!("Name the color of the digit {direction} the {shown}."),
            };
            let (right, wrong) = if by_digit {
                (found.digit.to_string(), other_digits(rng, scene, found.digit))
            } else {
                (found.ink.name().to_string(), other_inks(found.ink))
            };
            let thought = format!("{shown} at {place}. {direction} it {next}. {next} {right}.");
            Some(Question { text, right, wrong, thought })
        }
        "place" => {
            scene.unique(shown.digit, shown.ink)?;
            let text = match rng.below(2) {
                0 => format!("Where is the {shown}?"),
                _ => format!("Find the {shown}."),
            };
            let mut others: Vec<usize> = (0..scene.cells.len()).filter(|&other| other != cell).collect();
            rng.shuffle(&mut others);
            let wrong = others[..3].iter().map(|&other| scene.place(other)).collect();
            Some(Question { text, thought: format!("{shown} at {place}."), right: place, wrong })
        }
        _ => relation(rng, scene, cell),
    }
}

/// Asks on which side of one digit another one lies, for two that share a row or a column.
fn relation(rng: &mut Rng, scene: &Scene, cell: usize) -> Option<Question> {
    let other = rng.below(scene.cells.len());
    let at = |i: usize| (i / scene.n_columns, i % scene.n_columns);
    let ((row, column), (other_row, other_column)) = (at(cell), at(other));
    let right = match (row == other_row, column == other_column) {
        (true, false) if column < other_column => "left",
        (true, false) => "right",
        (false, true) if row < other_row => "above",
        (false, true) => "below",
        _ => return None,
    };
    let (a, b) = (scene.cells[cell], scene.cells[other]);
    scene.unique(a.digit, a.ink).and(scene.unique(b.digit, b.ink))?;
    let text = match rng.below(2) {
        0 => format!("Where is the {a} relative to the {b}?"),
        _ => format!("On which side of the {b} is the {a}?"),
    };
    let wrong = ["left", "right", "above", "below"].into_iter().filter(|side| *side != right).map(Into::into).collect();
    let thought = format!("{a} at {}. {b} at {}. {right}.", scene.place(cell), scene.place(other));
    Some(Question { text, right: right.into(), wrong, thought })
}

/// Asks a counting question whose options are four consecutive numbers around the right one.
fn count(rng: &mut Rng, scene: &Scene, text: String, what: &str, cells: &[usize]) -> Question {
    let n = cells.len();
    let lowest = n.saturating_sub(3);
    let first = lowest + rng.below(n.min(scene.cells.len() - 3) - lowest + 1);
    let wrong = (first..first + 4).filter(|&other| other != n).map(|other| other.to_string()).collect();
    let places: Vec<String> = cells.iter().map(|&cell| scene.place(cell)).collect();
    let places = if places.is_empty() { "none".into() } else { places.join(", ") };
    Question { text, right: n.to_string(), wrong, thought: format!("{what} at {places}. count {n}.") }
}

/// Neighbouring cells of a cell, with the words for their direction.
fn neighbors(scene: &Scene, cell: usize) -> Vec<(&'static str, usize)> {
    let (row, column) = (cell / scene.n_columns, cell % scene.n_columns);
    let mut found = Vec::new();
    if column > 0 {
        found.push(("left of", cell - 1));
    }
    if column + 1 < scene.n_columns {
        found.push(("right of", cell + 1));
    }
    if row > 0 {
        found.push(("above", cell - scene.n_columns));
    }
    if row + 1 < scene.n_rows {
        found.push(("below", cell + scene.n_columns));
    }
    found
}

/// Draws three wrong digits, those of the picture first, as they are the likely misreadings.
fn other_digits(rng: &mut Rng, scene: &Scene, right: u8) -> Vec<String> {
    let mut others: Vec<u8> = DIGITS.into_iter().filter(|&digit| digit != right).collect();
    rng.shuffle(&mut others);
    others.sort_by_key(|&digit| !scene.cells.iter().any(|cell| cell.digit == digit));
    others[..3].iter().map(u8::to_string).collect()
}

fn other_inks(right: Ink) -> Vec<String> {
    Ink::ALL.into_iter().filter(|&ink| ink != right).map(|ink| ink.name().into()).collect()
}

/// Shuffles the options, so that each letter is equally likely to be the right one.
///
/// The letter follows its option: a model of a million parameters soon learns to continue a copied
/// option with what came after it, and does not learn in as many examples to look back for what
/// stood before.
fn finish(rng: &mut Rng, family: &'static str, question: Question, scene: Scene) -> Item {
    let Question { text, right, wrong, thought } = question;
    let mut options = wrong;
    options.push(right.clone());
    rng.shuffle(&mut options);
    let mut prompt = format!("{text}\nOptions:");
    let mut answer = String::new();
    for (letter, option) in ["A", "B", "C", "D"].into_iter().zip(&options) {
        prompt.push_str(&format!("\n{option}({letter})"));
        if *option == right {
            answer = letter.into();
        }
    }
    let thought = format!("{thought} {right}({answer}).");
    Item { question: prompt, answer, thought, family, operations: 0, scene: Some(scene) }
}
