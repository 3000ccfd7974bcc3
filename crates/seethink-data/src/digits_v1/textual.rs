//! Textual reasoning: arithmetic in words and symbols, without a picture.

use super::Item;
use super::arithmetic::{Operator, Working};
use super::config::DigitsConfig;
use crate::Split;
use seethink_core::{Purpose, Rng};

/// Notations of an expression, equally frequent.
const FAMILIES: [&str; 3] = ["symbols", "mixed", "words"];
const NUMBER_WORDS: [&str; 10] = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];

/// Draws an expression of this split; one whose working leaves the bound is drawn again.
pub(super) fn draw(rng: &mut Rng, split: Split, config: &DigitsConfig) -> Item {
    let family = *rng.choose(&FAMILIES);
    let n_operations = config.operations.start() + rng.below(config.operations.clone().count());
    loop {
        let operators = Operator::draw(rng, n_operations);
        let values: Vec<i64> = (0..=n_operations).map(|_| rng.below(10) as i64).collect();
        let symbols =
            write(&values, &operators, "", |value| value.to_string(), |operator| operator.symbol().to_string());
        let mut working = Working::default();
        let Some(answer) = working.evaluate(&values, &operators) else { continue };
        if split_of(&symbols) != split {
            continue;
        }
        let mut in_words = || match family {
            "symbols" => false,
            "words" => true,
            _ => rng.below(2) == 0,
        };
        let operator_words: Vec<bool> = operators.iter().map(|_| in_words()).collect();
        let value_words: Vec<bool> = values.iter().map(|_| in_words()).collect();
        let mut operator_words = operator_words.into_iter();
        let mut value_words = value_words.into_iter();
        let expression = write(
            &values,
            &operators,
            " ",
            |value| {
                if value_words.next() == Some(true) { NUMBER_WORDS[value as usize].into() } else { value.to_string() }
            },
            |operator| {
                if operator_words.next() == Some(true) { operator.word().into() } else { operator.symbol().into() }
            },
        );
        let question = super::ask_value(rng, &expression);
        return Item {
            question,
            answer: answer.to_string(),
            thought: working.finish(),
            family,
            operations: n_operations,
            scene: None,
        };
    }
}

/// Writes the values with the operators between them.
fn write(
    values: &[i64],
    operators: &[Operator],
    space: &str,
    mut value: impl FnMut(i64) -> String,
    mut operator: impl FnMut(Operator) -> String,
) -> String {
    let mut text = String::new();
    for (i, &number) in values.iter().enumerate() {
        if i > 0 {
            text.push_str(&format!("{space}{}{space}", operator(operators[i - 1])));
        }
        text.push_str(&value(number));
    }
    text
}

/// Split of an expression: 70 % train, 10 % validation, 20 % test, for all wordings of the
/// expression.
///
/// Without pictures there is nothing else to hold out.
fn split_of(symbols: &str) -> Split {
    let key: Vec<u64> = symbols.bytes().map(u64::from).collect();
    match Rng::new(0, Purpose::World, &key).below(10) {
        0 => Split::Validation,
        1 | 2 => Split::Test,
        _ => Split::Train,
    }
}
