//! Visual reasoning: arithmetic over the digits of a picture.

use super::Item;
use super::arithmetic::{Operator, Working};
use super::config::DigitsConfig;
use crate::Split;
use crate::digits::scene::{Palette, column_name, row_name};
use crate::digits::{Digits, Ink, Scene};
use seethink_core::Rng;

/// Group of digits that a question names together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cells {
    Row(usize),
    Column(usize),
    Inked(Ink),
    All,
}

impl Cells {
    /// Lists all groups that a question about this scene could name.
    fn of(scene: &Scene) -> Vec<Self> {
        let rows = (0..scene.n_rows).map(Self::Row);
        let columns = (0..scene.n_columns).map(Self::Column);
        rows.chain(columns).chain(Ink::ALL.map(Self::Inked)).chain([Self::All]).collect()
    }

    /// Digits of the group, in reading order.
    fn digits(self, scene: &Scene) -> Vec<i64> {
        let inside = |i: usize| match self {
            Self::Row(row) => i / scene.n_columns == row,
            Self::Column(column) => i % scene.n_columns == column,
            Self::Inked(ink) => scene.cells[i].ink == ink,
            Self::All => true,
        };
        (0..scene.cells.len()).filter(|&i| inside(i)).map(|i| i64::from(scene.cells[i].digit)).collect()
    }

    /// Name of the group ("top row", "left column", "red", "all"), and the noun to follow it where
    /// one is needed.
    fn name(self, scene: &Scene) -> (String, &'static str) {
        match self {
            Self::Row(row) => (format!("{} row", row_name(scene.n_rows, row)), ""),
            Self::Column(column) => (format!("{} column", column_name(scene.n_columns, column)), ""),
            Self::Inked(ink) => (ink.name().into(), " digits"),
            Self::All => ("all".into(), " digits"),
        }
    }

    /// Phrase for the group, as in "Add up the red digits."
    fn phrase(self, scene: &Scene) -> String {
        let (name, noun) = self.name(scene);
        let article = if self == Self::All { "" } else { "the " };
        format!("{article}{name}{noun}")
    }

    /// Writes a reading of the group into the working, as in "top row 3 5 2."
    fn read(self, scene: &Scene, working: &mut Working) -> Vec<i64> {
        let digits = self.digits(scene);
        let list: Vec<String> = digits.iter().map(i64::to_string).collect();
        working.say(&format!("{} {}", self.name(scene).0, list.join(" ")));
        digits
    }
}

/// Draws a question. A scene is drawn again if the drawn family has no question about it with the
/// drawn number of operations, or if the working leaves the bound.
pub(super) fn draw(rng: &mut Rng, split: Split, config: &DigitsConfig) -> Item {
    let n_operations = config.operations.start() + rng.below(config.operations.clone().count());
    let grid = Scene::draw_grid(rng, &config.cells);
    let family = *rng.choose(families(n_operations, grid.0 * grid.1));
    loop {
        // Few inks give larger groups of one colour.
        let mut inks = Ink::ALL;
        rng.shuffle(&mut inks);
        let n_inks = 2 + rng.below(3);
        let palette = Palette { inks: &inks[..n_inks], ..Palette::FULL };
        let scene = Scene::draw(rng, |digit| Digits::get().images(split, digit), grid, &palette);
        let mut working = Working::default();
        if let Some((question, answer)) = ask(rng, family, &scene, n_operations, &mut working) {
            let thought = working.finish();
            let answer = answer.to_string();
            return Item { question, answer, thought, family, operations: n_operations, scene: Some(scene) };
        }
    }
}

/// Families that have questions with this number of operations on some scene of this size.
fn families(n_operations: usize, n_cells: usize) -> &'static [&'static str] {
    match n_operations {
        1 => &["cells", "sum", "range"],
        2 => &["cells", "sum", "sum_then"],
        3 => &["sum", "sum_then", "two_sums"],
        // Four digits have only three gaps for plus signs.
        _ if n_cells == 4 => &["sum_then", "two_sums"],
        _ => &["sum", "sum_then", "two_sums"],
    }
}

/// Asks a question and gives its answer, if the scene allows one.
fn ask(rng: &mut Rng, family: &str, scene: &Scene, n: usize, working: &mut Working) -> Option<(String, i64)> {
    let groups = |size: std::ops::RangeInclusive<usize>| -> Vec<Cells> {
        Cells::of(scene).into_iter().filter(|group| size.contains(&group.digits(scene).len())).collect()
    };
    match family {
        "cells" => cells(rng, scene, n, working),
        "sum" => {
            let group = pick(rng, &groups(n + 1..=n + 1))?;
            let phrase = group.phrase(scene);
            let question = match rng.below(3) {
                0 => format!("Add up {phrase}."),
                1 => format!("What is the sum of {phrase}?"),
                _ => format!("Find the sum of {phrase}."),
            };
            let digits = group.read(scene, working);
            Some((question, working.sum(&digits)?))
        }
        "range" => {
            let group = pick(rng, &groups(2..=9))?;
            let phrase = group.phrase(scene);
            let question = match rng.below(2) {
                0 => format!("What is the largest minus the smallest of {phrase}?"),
                _ => format!("Find the largest minus the smallest of {phrase}."),
            };
            let digits = group.read(scene, working);
            let (largest, smallest) = (*digits.iter().max()?, *digits.iter().min()?);
            working.say(&format!("largest {largest}"));
            working.say(&format!("smallest {smallest}"));
            Some((question, working.apply(largest, Operator::Subtract, smallest)?))
        }
        "sum_then" => {
            let group = pick(rng, &groups(n..=n))?;
            let phrase = group.phrase(scene);
            let cell = rng.below(scene.cells.len());
            let place = scene.place(cell);
            let operator = *rng.choose(&Operator::ALL);
            let then = match operator {
                Operator::Add => format!("add {place}"),
                Operator::Subtract => format!("subtract {place}"),
                Operator::Multiply => format!("multiply by {place}"),
            };
            let question = match rng.below(2) {
                0 => format!("Add up {phrase}, then {then}."),
                _ => format!("Take the sum of {phrase}, then {then}."),
            };
            let digits = group.read(scene, working);
            let sum = working.sum(&digits)?;
            let digit = i64::from(scene.cells[cell].digit);
            working.say(&format!("{place} {digit}"));
            Some((question, working.apply(sum, operator, digit)?))
        }
        _ => {
            let first = pick(rng, &groups(2..=n - 1))?;
            let size = n + 1 - first.digits(scene).len();
            let second = pick(rng, &groups(size..=size))?;
            if first == second {
                return None;
            }
            let operator = *rng.choose(&Operator::ALL);
            let (a, word, b) = (first.phrase(scene), operator.word(), second.phrase(scene));
            let question = super::ask_value(rng, &format!("the sum of {a} {word} the sum of {b}"));
            let digits = first.read(scene, working);
            let left = working.sum(&digits)?;
            let digits = second.read(scene, working);
            let right = working.sum(&digits)?;
            Some((question, working.apply(left, operator, right)?))
        }
    }
}

/// Writes an expression over named places, such as "top left plus center * bottom left".
fn cells(rng: &mut Rng, scene: &Scene, n: usize, working: &mut Working) -> Option<(String, i64)> {
    let mut order: Vec<usize> = (0..scene.cells.len()).collect();
    rng.shuffle(&mut order);
    order.truncate(n + 1);
    let operators = Operator::draw(rng, n);
    let mut expression = String::new();
    for (i, &cell) in order.iter().enumerate() {
        if i > 0 {
            let operator = operators[i - 1];
            match rng.below(2) {
                0 => expression.push_str(&format!(" {} ", operator.symbol())),
                _ => expression.push_str(&format!(" {} ", operator.word())),
            }
        }
        expression.push_str(&scene.place(cell));
        working.say(&format!("{} {}", scene.place(cell), scene.cells[cell].digit));
    }
    let values: Vec<i64> = order.iter().map(|&cell| i64::from(scene.cells[cell].digit)).collect();
    Some((super::ask_value(rng, &expression), working.evaluate(&values, &operators)?))
}

fn pick(rng: &mut Rng, groups: &[Cells]) -> Option<Cells> {
    (!groups.is_empty()).then(|| *rng.choose(groups))
}
