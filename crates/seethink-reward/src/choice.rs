//! Extraction of the option that a completion names, boxed or not.

use crate::answer::{choice_letter, same_text};
use crate::last_boxed;

/// Option that a completion names as its answer, as an index into `options`; `None` if it names
/// none, or more than one.
///
/// For evaluation, where a model may answer in any form; rewards look into the box alone.
/// Text before the last `</think>` is ignored. In the rest, the first of these that is present
/// decides:
/// 1. a box: what it contains is a letter ([`choice_letter`]) or the text of an option;
/// 2. the whole text, or its last line, is a letter or the text of an option;
/// 3. phrases such as `the answer is C`, `answer: (C)` and `option C`, which must agree;
/// 4. capital letters in brackets, `(C)`, which must agree.
///
/// A lone letter within a sentence is a word: "a" is an article, and "A cat" names nothing.
///
/// # Examples
/// ```
/// use seethink_reward::stated_choice;
/// let options = ["red", "green", "blue", "white"];
/// assert_eq!(stated_choice(r"<think>A or B?</think> \boxed{C}", &options), Some(2));
/// assert_eq!(stated_choice("The answer is B, because the cup is green.", &options), Some(1));
/// assert_eq!(stated_choice("Green.", &options), Some(1));
/// assert_eq!(stated_choice("I see a cup.", &options), None);
/// ```
pub fn stated_choice(completion: &str, options: &[&str]) -> Option<usize> {
    let text = completion.rsplit_once("</think>").map_or(completion, |(_, text)| text).trim();
    let named = |text: &str| {
        let letter = choice_letter(text).map(|letter| usize::from(letter as u8 - b'A'));
        letter
            .filter(|&index| index < options.len())
            .or_else(|| options.iter().position(|option| same_text(text, option)))
    };
    if text.contains(r"\boxed") {
        return named(last_boxed(text)?);
    }
    let last_line = text.lines().next_back().unwrap_or_default();
    let whole = [text, last_line].into_iter().map(|part| part.trim_matches(['*', '_', '`', ' '])).find_map(named);
    let agreeing = |letters: Vec<usize>| {
        let first = letters.first().copied()?;
        Some(letters.iter().all(|&letter| letter == first).then_some(first))
    };
    let in_text =
        || agreeing(phrases(text, options.len())).or_else(|| agreeing(bracketed(text, options.len()))).flatten();
    whole.or_else(in_text)
}

/// Letters after "answer is", "answer:", "option" and "choice".
fn phrases(text: &str, n_options: usize) -> Vec<usize> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let lower = |word: &str| word.trim_matches(|c: char| !c.is_alphanumeric()).to_ascii_lowercase();
    let mut letters = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let (mut next, mut is_answer) = (at + 1, false);
        match lower(word).as_str() {
            "option" | "choice" => {}
            "answer" => {
                is_answer = true;
                let is_is = words.get(next).is_some_and(|word| ["is", "is:"].contains(&lower(word).as_str()));
                if is_is {
                    next += 1;
                } else if !word.contains(':') {
                    continue;
                }
                if words.get(next).is_some_and(|word| ["option", "choice"].contains(&lower(word).as_str())) {
                    // This letter is counted at that word.
                    continue;
                }
            }
            _ => continue,
        }
        // "The answer is A bird": the article, unless nothing follows or something stands between.
        let is_article = is_answer && words.get(next) == Some(&"A") && words.get(next + 1).is_some();
        letters.extend(words.get(next).filter(|_| !is_article).and_then(|word| capital(word, n_options)));
    }
    letters
}

/// Letters that stand in brackets.
fn bracketed(text: &str, n_options: usize) -> Vec<usize> {
    // A letter and some stars fit; looking further for the end would take quadratic time.
    let inner = |at: usize| {
        text[at + 1..].char_indices().take(8).find(|(_, c)| *c == ')').map(|(end, _)| &text[at + 1..][..end])
    };
    text.match_indices('(').filter_map(|(at, _)| capital(inner(at)?, n_options)).collect()
}

/// A word that is one capital letter among punctuation.
fn capital(word: &str, n_options: usize) -> Option<usize> {
    let letter = word.trim_matches(|c: char| !c.is_alphanumeric());
    let [byte @ b'A'..=b'Z'] = *letter.as_bytes() else { return None };
    Some(usize::from(byte - b'A')).filter(|&index| index < n_options)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: [&str; 4] = ["to the left of the cat", "on the mat", "A", "behind a tree"];

    fn letter(text: &str) -> Option<char> {
        let options = ["red", "green", "dark blue", "white"];
        stated_choice(text, &options).map(|index| char::from(b'A' + index as u8))
    }

    #[test]
    fn defect_19_the_article_a_is_not_an_option() {
        for text in [
            "It is a cup.",
            "a cup",
            "A cup stands on the table.",
            "I see A cup",
            "a red cup and a green one",
            "The answer is a matter of taste.",
            "The answer is A matter of taste.",
            "Answer: A bird",
            "There is a big dog",
        ] {
            assert_eq!(letter(text), None, "{text}");
        }
    }

    #[test]
    fn defect_19_words_that_begin_with_a_letter_are_not_options() {
        for text in [
            "The answer, based on the image, is hard to tell.",
            "My answer based on the picture",
            "Answer: cannot be told",
            "answer depends on the light",
            "The answer is difficult.",
            "The best option could be any.",
        ] {
            assert_eq!(letter(text), None, "{text}");
        }
    }

    #[test]
    fn defect_19_sentences_name_options() {
        for text in [
            "The answer is C",
            "The answer is C.",
            "the correct answer is: (C)",
            "The correct answer is **C**.",
            "Answer: C",
            "**Answer:** C",
            "Answer: C. dark blue",
            "The answer is option C, which is dark blue.",
            "I would say (C), since it looks like that.",
            "Since the light is dim, I choose option C over the others.",
            "The cup is dim.\n\nC",
            "The cup is dim.\nC. dark blue",
            "<think>Maybe A, or B? The answer is A.</think>C",
            "Not sure. So the answer is C, i.e. (C).",
            "The answer is C because the cup is not A.",
            "C",
            "c",
            "(c)",
            "C)",
            "C: dark blue",
            "**C**",
            r"\boxed{C}",
            r"The answer is A, no: \boxed{\text{C}}",
        ] {
            assert_eq!(letter(text), Some('C'), "{text}");
        }
    }

    #[test]
    fn defect_19_the_text_of_an_option_names_it() {
        for text in
            ["dark blue", "Dark  blue.", r"\boxed{dark blue}", r"<think>…</think> \boxed{Dark blue}", "So:\ndark blue"]
        {
            assert_eq!(letter(text), Some('C'), "{text}");
        }
        assert_eq!(stated_choice("on the mat", &OPTIONS), Some(1));
        assert_eq!(stated_choice("on the", &OPTIONS), None);
    }

    #[test]
    fn the_letter_a_is_an_option_where_it_cannot_be_an_article() {
        for text in [
            "The answer is A",
            "The answer is A.",
            "Answer: (A) because",
            "A",
            "A. red",
            "The answer is A, red.",
            "(A)",
        ] {
            assert_eq!(letter(text), Some('A'), "{text}");
        }
    }

    #[test]
    fn more_than_one_option_is_none() {
        for text in [
            "Option A or option B",
            "(A) or (B)",
            "The answer is A. No, the answer is B.",
            r"\boxed{A or B}",
            r"\boxed{}",
            r"the answer is C \boxed{",
            "E",
            "The answer is E.",
            r"\boxed{E}",
            "",
            "</think>",
        ] {
            assert_eq!(letter(text), None, "{text}");
        }
    }
}
