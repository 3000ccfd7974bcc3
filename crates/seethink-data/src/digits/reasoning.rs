//! Textual and visual reasoning: sums and differences of digits that the question states, or that
//! have to be read from a picture.

use super::config::DigitsConfig;
use super::scene::{GRIDS, Palette, Scene};
use super::{Digits, GlyphSet, Item};
use seethink_core::{Purpose, Rng};

/// Draws an expression whose digits stand in the question.
///
/// Expressions are held out as the digits of pictures are: see [`is_of`].
pub(super) fn draw_textual(rng: &mut Rng, set: GlyphSet, config: &DigitsConfig) -> Item {
    let n = draw_symbols(rng, config);
    loop {
        let digits: Vec<u8> = (0..n).map(|_| rng.below(10) as u8).collect();
        let signs = draw_signs(rng, n);
        if is_of(set, &expression(&digits, &signs)) {
            let operands: Vec<String> = digits.iter().map(u8::to_string).collect();
            return item(rng, &operands, &digits, &signs, None);
        }
    }
}

/// Draws an expression over places of a picture.
pub(super) fn draw_visual(rng: &mut Rng, set: GlyphSet, config: &DigitsConfig) -> Item {
    visual(rng, set, config, false)
}

/// Draws what [`draw_visual`] draws, with the digits in the question and without the picture.
pub(super) fn draw_read_out(rng: &mut Rng, set: GlyphSet, config: &DigitsConfig) -> Item {
    visual(rng, set, config, true)
}

fn visual(rng: &mut Rng, set: GlyphSet, config: &DigitsConfig, is_read_out: bool) -> Item {
    let n = draw_symbols(rng, config);
    let large_enough =
        |(rows, columns): &(usize, usize)| config.cells.contains(&(rows * columns)) && rows * columns >= n;
    let grids: Vec<_> = GRIDS.into_iter().filter(large_enough).collect();
    let grid = *rng.choose(&grids);
    let scene = Scene::draw(rng, |digit| Digits::get().glyphs(set, digit), grid, &Palette::FULL);
    let mut asked: Vec<usize> = (0..scene.cells.len()).collect();
    rng.shuffle(&mut asked);
    asked.truncate(n);
    let digits: Vec<u8> = asked.iter().map(|&cell| scene.cells[cell].digit).collect();
    let signs = draw_signs(rng, n);
    if is_read_out {
        let operands: Vec<String> = digits.iter().map(u8::to_string).collect();
        return item(rng, &operands, &digits, &signs, None);
    }
    let operands: Vec<String> = asked.iter().map(|&cell| scene.place(cell)).collect();
    item(rng, &operands, &digits, &signs, Some((scene, asked)))
}

fn draw_symbols(rng: &mut Rng, config: &DigitsConfig) -> usize {
    config.symbols.start() + rng.below(config.symbols.clone().count())
}

/// Draws a sign for each digit but the first; true is minus.
fn draw_signs(rng: &mut Rng, n: usize) -> Vec<bool> {
    (1..n).map(|_| rng.below(2) == 0).collect()
}

/// Words a question; its solution writes the expression in digits, then the total after every
/// operation.
fn item(rng: &mut Rng, operands: &[String], digits: &[u8], signs: &[bool], seen: Option<(Scene, Vec<usize>)>) -> Item {
    let (first, rest) = operands.split_first().expect("an expression has digits");
    let joined = |minus: &str, plus: &str| -> String {
        let word = |is_minus: bool| if is_minus { minus } else { plus };
        rest.iter().zip(signs).map(|(operand, &is_minus)| format!("{}{operand}", word(is_minus))).collect()
    };
    let question = match rng.below(2) {
        0 => format!("Start with {first}{}.", joined(", subtract ", ", add ")),
        _ => format!("What is {first}{}?", joined(" minus ", " plus ")),
    };
    let mut thought = expression(digits, signs);
    let mut total = i32::from(digits[0]);
    for (&digit, &is_minus) in digits[1..].iter().zip(signs) {
        total += if is_minus { -i32::from(digit) } else { i32::from(digit) };
        thought += &format!(". {total}");
    }
    let operations = signs.len();
    Item { question, answer: total.to_string(), thought, family: "sum", operations, seen }
}

/// Writes an expression, as in "3+5-9".
fn expression(digits: &[u8], signs: &[bool]) -> String {
    let rest =
        digits[1..].iter().zip(signs).map(|(digit, is_minus)| format!("{}{digit}", if *is_minus { '-' } else { '+' }));
    std::iter::once(digits[0].to_string()).chain(rest).collect()
}

/// Returns whether textual problems of a set may have this expression: 70 % are for training, of
/// base models and by rewards, 10 % for validation, 20 % for tests.
///
/// Without pictures there is nothing else to hold out.
fn is_of(set: GlyphSet, expression: &str) -> bool {
    let key: Vec<u64> = expression.bytes().map(u64::from).collect();
    match Rng::new(0, Purpose::World, &key).below(10) {
        0 => set == GlyphSet::Validation,
        1 | 2 => set == GlyphSet::Test,
        _ => matches!(set, GlyphSet::Base | GlyphSet::Train),
    }
}
