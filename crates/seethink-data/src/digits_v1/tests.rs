//! Tests of the digits world: every answer is derived again from the words of the question and the
//! scene.

use super::*;
use crate::digits::{CELL_SIDE, Cell, Digits};
use proptest::prelude::*;
use seethink_reward::{AnswerReward, Reward};
use std::ops::RangeInclusive;

fn world() -> DigitsWorld {
    DigitsWorld::new(DigitsConfig::default()).unwrap()
}

fn question(problem: &Problem) -> &str {
    problem.prompt.trim_start_matches(Problem::IMAGE_PLACEHOLDER)
}

/// Names of the places of a scene, in reading order, from the size alone.
fn places(scene: &Scene) -> Vec<String> {
    let name = |n: usize, names: [&'static str; 3]| if n == 2 { vec![names[0], names[2]] } else { names.to_vec() };
    let rows = name(scene.n_rows, ["top", "middle", "bottom"]);
    let columns = name(scene.n_columns, ["left", "middle", "right"]);
    let pairs = rows.iter().flat_map(|row| columns.iter().map(move |column| format!("{row} {column}")));
    pairs.map(|place| if place == "middle middle" { "center".into() } else { place }).collect()
}

/// Evaluates "three + 4 times 2": words become symbols, then sums of products.
fn evaluate(expression: &str) -> i64 {
    let mut text = expression.to_string();
    let numbers = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];
    let operators = [("plus", "+"), ("minus", "-"), ("times", "*")].map(|(word, symbol)| (word, symbol.to_string()));
    for (word, replacement) in numbers.into_iter().enumerate().map(|(n, word)| (word, n.to_string())).chain(operators) {
        text = text.replace(word, &replacement);
    }
    // "a - b" is "a + -b"; every number of a question is a digit, so the sign can travel with its
    // term.
    let terms = text.replace(" - ", " + -");
    let product = |term: &str| {
        let (sign, term) = term.strip_prefix('-').map_or((1, term), |term| (-1, term));
        sign * term.split(" * ").map(|factor| factor.parse::<i64>().unwrap()).product::<i64>()
    };
    terms.split(" + ").map(product).sum()
}

/// Content of a question: X in "What is X?", "Compute X." and so on.
fn body(question: &str) -> &str {
    let question = question.trim_end_matches(['?', '.']);
    ["What is ", "Compute ", "Find "].iter().find_map(|ask| question.strip_prefix(ask)).unwrap_or(question)
}

/// Digits named by "the top row", "the red digits" or "all digits".
fn named(scene: &Scene, phrase: &str) -> Vec<i64> {
    let phrase = phrase.trim_start_matches("the ");
    let digit = |i: &usize| i64::from(scene.cells[*i].digit);
    let all = 0..scene.cells.len();
    let places = places(scene);
    let (word, noun) = phrase.split_once(' ').unwrap();
    let cells: Vec<i64> = match (word, noun) {
        ("all", "digits") => all.map(|i| digit(&i)).collect(),
        ("middle", "row") => all.filter(|i| i / scene.n_columns == 1).map(|i| digit(&i)).collect(),
        ("middle", "column") => all.filter(|i| i % scene.n_columns == 1).map(|i| digit(&i)).collect(),
        (_, "row" | "column") => {
            all.filter(|&i| places[i].split(' ').any(|side| side == word)).map(|i| digit(&i)).collect()
        }
        (_, "digits") => all.filter(|&i| scene.cells[i].ink.name() == word).map(|i| digit(&i)).collect(),
        _ => panic!("{phrase}"),
    };
    assert!(cells.len() > 1, "{phrase} of {scene:?}");
    cells
}

/// Solves a question of visual reasoning.
fn solve_visual(scene: &Scene, question: &str) -> i64 {
    let sum = |phrase: &str| named(scene, phrase).iter().sum::<i64>();
    let at = |place: &str| i64::from(scene.cells[places(scene).iter().position(|name| name == place).unwrap()].digit);
    let text = question.trim_end_matches(['?', '.']);
    let added = text.strip_prefix("Add up ").or_else(|| text.strip_prefix("Take the sum of "));
    if let Some(text) = added {
        let Some((phrase, then)) = text.split_once(", then ") else { return sum(text) };
        let (verb, place) = then.split_once(' ').unwrap();
        return match verb {
            "add" => sum(phrase) + at(place),
            "subtract" => sum(phrase) - at(place),
            _ => sum(phrase) * at(place.strip_prefix("by ").unwrap()),
        };
    }
    let text = body(question);
    if let Some(phrase) = text.strip_prefix("the largest minus the smallest of ") {
        let digits = named(scene, phrase);
        return digits.iter().max().unwrap() - digits.iter().min().unwrap();
    }
    if let Some((_, text)) = text.split_once("the sum of ").or_else(|| text.split_once("sum of ")) {
        for (word, operation) in [(" plus ", 0), (" minus ", 1), (" times ", 2)] {
            if let Some((left, right)) = text.split_once(&format!("{word}the sum of ")) {
                let (left, right) = (sum(left), sum(right));
                return [left + right, left - right, left * right][operation];
            }
        }
        return sum(text);
    }
    let mut expression = text.to_string();
    for (place, cell) in places(scene).iter().zip(&scene.cells) {
        expression = expression.replace(place, &cell.digit.to_string());
    }
    evaluate(&expression)
}

/// Solves a question of perception: the text of every right option, of which there has to be one.
fn solve_perception(scene: &Scene, question: &str) -> String {
    let places = places(scene);
    let n_columns = scene.n_columns;
    let found =
        |text: &str| -> Vec<usize> { (0..scene.cells.len()).filter(|&i| text == scene.cells[i].to_string()).collect() };
    let only = |text: &str| match found(text)[..] {
        [cell] => cell,
        ref cells => panic!("{} cells are {text}: {question}", cells.len()),
    };
    let text = question.trim_end_matches(['?', '.']);
    let after = |openings: &[&str]| openings.iter().find_map(|opening| text.strip_prefix(opening));
    let color = |i: usize| scene.cells[i].ink.name().to_string();
    let digit = |i: usize| scene.cells[i].digit.to_string();
    if let Some(what) = after(&["How many digits are ", "How often does ", "Count the digit ", "Count the "]) {
        let what = what.trim_end_matches(" appear").trim_end_matches(" digits");
        return (0..scene.cells.len()).filter(|&i| what == digit(i) || what == color(i)).count().to_string();
    }
    for (words, step) in [("left of", (0, -1)), ("right of", (0, 1)), ("above", (-1, 0)), ("below", (1, 0))] {
        if let Some((before, anchor)) = text
            .split_once(&format!("digit {words} the "))
            .or_else(|| text.split_once(&format!("digit is {words} the ")))
            .or_else(|| text.split_once(&format!("is the digit {words} the ")))
        {
            let cell = only(anchor);
            let row = (cell / n_columns).checked_add_signed(step.0).unwrap();
            let column = (cell % n_columns).checked_add_signed(step.1).unwrap();
            assert!(row < scene.n_rows && column < n_columns, "{question}");
            let cell = row * n_columns + column;
            return if before.contains("color") { color(cell) } else { digit(cell) };
        }
    }
    let relation = text.strip_prefix("Where is the ").and_then(|text| text.split_once(" relative to the "));
    let relation = relation.or_else(|| {
        let (b, a) = text.strip_prefix("On which side of the ")?.split_once(" is the ")?;
        Some((a, b))
    });
    if let Some((a, b)) = relation {
        let (a, b) = (only(a), only(b));
        let right = [
            ("left", a / n_columns == b / n_columns && a < b),
            ("right", a / n_columns == b / n_columns && a > b),
            ("above", a % n_columns == b % n_columns && a < b),
            ("below", a % n_columns == b % n_columns && a > b),
        ];
        let right: Vec<_> = right.into_iter().filter(|(_, holds)| *holds).collect();
        assert_eq!(right.len(), 1, "{question}");
        return right[0].0.into();
    }
    if let Some(what) = after(&["Where is the ", "Find the "]) {
        return places[only(what)].clone();
    }
    let place =
        after(&["Which digit is at the ", "What is the ", "Read the ", "What color is the ", "Name the color of the "]);
    let place = place.unwrap().trim_end_matches(" digit");
    let cell = places.iter().position(|name| name == place).unwrap();
    if text.contains("color") { color(cell) } else { digit(cell) }
}

/// Checks a problem against its text and its scene.
fn check(world: &DigitsWorld, split: Split, capability: &Capability, index: u64, seed: u64) {
    let problem = world.problem(split, capability, index, seed);
    let scene = world.scene(split, capability, index, seed);
    let config = world.config();
    match &scene {
        None => {
            assert_eq!(*capability, Capability::TEXTUAL_REASONING);
            assert_eq!(problem.answer, evaluate(body(question(&problem))).to_string(), "{}", problem.prompt);
        }
        Some(scene) if *capability == Capability::VISUAL_REASONING => {
            let answer = solve_visual(scene, question(&problem)).to_string();
            assert_eq!(problem.answer, answer, "{} {scene:?}", problem.prompt);
        }
        Some(scene) => {
            let (text, options) = question(&problem).split_once("\nOptions:\n").unwrap();
            let options: Vec<(&str, &str)> =
                options.lines().map(|line| line.strip_suffix(')').unwrap().split_once('(').unwrap()).collect();
            assert_eq!(options.iter().map(|(_, letter)| *letter).collect::<String>(), "ABCD");
            let texts: BTreeSet<&str> = options.iter().map(|(text, _)| *text).collect();
            assert_eq!(texts.len(), 4, "{}", problem.prompt);
            let right = solve_perception(scene, text);
            let (_, letter) = options.iter().find(|(text, _)| *text == right).unwrap();
            assert_eq!(problem.answer, *letter, "{} {scene:?}", problem.prompt);
        }
    }
    if let Some(scene) = &scene {
        assert!(config.cells.contains(&scene.cells.len()));
        assert_eq!(problem.tags["cells"], scene.cells.len().to_string());
        let images = |cell: &Cell| Digits::get().images(split, cell.digit);
        assert!(scene.cells.iter().all(|cell| images(cell).contains(&cell.image)));
        let ImageSource::Pixels(image) = &problem.images[0] else { panic!("pixels") };
        let size = (scene.n_columns * CELL_SIDE, scene.n_rows * CELL_SIDE);
        assert_eq!((image.width() as usize, image.height() as usize), size);
    }
    assert_eq!(problem.images.len(), problem.prompt.matches(Problem::IMAGE_PLACEHOLDER).count());
    assert_eq!(problem.images.is_empty(), !problem.prompt.starts_with(Problem::IMAGE_PLACEHOLDER));
    check_solution(&problem, scene.as_ref(), config);
}

/// Checks that a solution is short and right, and that every sentence is true.
fn check_solution(problem: &Problem, scene: Option<&Scene>, config: &DigitsConfig) {
    let solution = problem.solution.as_deref().unwrap();
    assert_eq!(AnswerReward::default().score(problem, solution.into()).value, 1.0, "{solution}");
    let thought = solution.strip_prefix("<think>").unwrap().split_once("</think>").unwrap().0;
    let steps: Vec<&str> = thought.trim_end_matches('.').split(". ").collect();
    let mut n_operations = 0;
    for step in steps {
        if let Some((left, result)) = step.split_once('=') {
            // A sign in front belongs to the first number.
            let at = 1 + left[1..].find(['+', '-', '*']).unwrap();
            let (a, b): (i64, i64) = (left[..at].parse().unwrap(), left[at + 1..].parse().unwrap());
            let value = match &left[at..=at] {
                "+" => a + b,
                "-" => a - b,
                _ => a * b,
            };
            assert_eq!(value.to_string(), result, "{solution}");
            assert!(value.abs() <= 99, "{solution}");
            n_operations += 1;
        } else if let Some(scene) = scene {
            let place = places(scene).into_iter().zip(&scene.cells).find(|(place, _)| step.starts_with(place.as_str()));
            if let Some((place, cell)) = place {
                let said = step[place.len()..].trim();
                let is_true = said == cell.digit.to_string()
                    || said == cell.ink.name()
                    || said == format!("({})", problem.answer);
                assert!(is_true, "{step} in {solution} of {scene:?}");
            }
        }
    }
    assert_eq!(problem.tags["operations"], n_operations.to_string(), "{solution}");
    assert!(n_operations == 0 || config.operations.contains(&n_operations), "{solution}");
    let words = solution.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| !word.is_empty()).count();
    let others = solution.chars().filter(|c| !c.is_ascii_alphabetic() && *c != ' ').count();
    // Angle brackets, slash and backslash belong to tags and command, each one token. The longest
    // solutions have two sums of groups named in two words, intermediate values of two digits but
    // for the digits, and a negative answer of two digits.
    assert!(words + others - 6 <= 51, "{solution}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1500) })]
    #[test]
    fn every_problem_is_right(index: u64, seed: u64, split in 0..3usize, capability in 0..3usize) {
        check(&world(), Split::ALL[split], &Capability::ALL[capability], index, seed);
    }
}

#[test]
fn every_corner_of_the_configuration_works() {
    for cells in [4..=4, 6..=6, 9..=9] {
        for operations in 1..=4 {
            let config =
                DigitsConfig { cells: cells.clone(), operations: operations..=operations, ..Default::default() };
            let world = DigitsWorld::new(config).unwrap();
            for (split, capability) in Split::ALL.into_iter().zip(&Capability::ALL) {
                (0..40).for_each(|index| check(&world, split, capability, index, 5));
                (0..40).for_each(|index| check(&world, split, &Capability::VISUAL_REASONING, index, 6));
            }
        }
    }
}

/// Hash of the first hundred problems, to detect changes.
fn fingerprint(capability: &Capability) -> u64 {
    let ids = (0..100).map(|index| world().problem(Split::Train, capability, index, 0).id.0);
    ids.fold(0, |all, id| all.rotate_left(1) ^ id)
}

#[test]
fn problems_are_the_same_everywhere_and_always() {
    let fingerprints = Capability::ALL.each_ref().map(fingerprint);
    assert_eq!(fingerprints, [0xae9ab5cad871085c, 0x101fb7a72d5bfb3a, 0xc701c5a92d92da30], "{fingerprints:#018x?}");
}

#[test]
fn picture_knobs_leave_the_question_alone() {
    let noisy = DigitsConfig { noise: 0.3..=0.3, brightness: 0.5..=0.5, ..Default::default() };
    let noisy = DigitsWorld::new(noisy).unwrap();
    for capability in &Capability::ALL {
        for index in 0..50 {
            let ask = |world: &DigitsWorld| world.problem(Split::Train, capability, index, 1);
            let (a, b) = (ask(&world()), ask(&noisy));
            assert_eq!((&a.prompt, &a.answer, &a.solution), (&b.prompt, &b.answer, &b.solution));
            assert_eq!(a.images == b.images, a.images.is_empty());
        }
    }
}

#[test]
fn letters_families_and_levels_are_balanced() {
    let n = 4000;
    let share =
        |problems: &[Problem], key: &dyn Fn(&Problem) -> String, expected: RangeInclusive<f64>, n_kinds: usize| {
            let mut counts: BTreeMap<String, usize> = BTreeMap::new();
            problems.iter().for_each(|problem| *counts.entry(key(problem)).or_default() += 1);
            assert_eq!(counts.len(), n_kinds, "{counts:?}");
            let fits = |&count: &usize| expected.contains(&(count as f64 / problems.len() as f64));
            assert!(counts.values().all(fits), "{counts:?}");
        };
    let draw = |capability: &Capability| {
        (0..n).map(|index| world().problem(Split::Train, capability, index, 9)).collect::<Vec<_>>()
    };
    // Four standard errors of a share of a quarter are 0.027.
    let perception = draw(&Capability::PERCEPTION);
    share(&perception, &|problem| problem.answer.clone(), 0.22..=0.28, 4);
    share(&perception, &|problem| problem.tags["family"].clone(), 0.10..=0.15, 8);
    for capability in [Capability::TEXTUAL_REASONING, Capability::VISUAL_REASONING] {
        share(&draw(&capability), &|problem| problem.tags["operations"].clone(), 0.22..=0.28, 4);
    }
}

#[test]
fn splits_ask_for_different_expressions() {
    let symbols = |split| -> BTreeSet<String> {
        let problems = (0..1500).map(|index| world().problem(split, &Capability::TEXTUAL_REASONING, index, 2));
        // Only one and two operations: longer expressions hardly ever coincide.
        let short = problems.filter(|problem| ["1", "2"].contains(&problem.tags["operations"].as_str()));
        short
            .map(|problem| {
                let mut text = body(&problem.prompt).to_string();
                for (word, symbol) in ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
                    .into_iter()
                    .zip('0'..='9')
                    .chain([("plus", '+'), ("minus", '-'), ("times", '*')])
                {
                    text = text.replace(word, &symbol.to_string());
                }
                text
            })
            .collect()
    };
    let [train, validation, test] = Split::ALL.map(symbols);
    assert!(train.len() > 300 && validation.len() > 50 && test.len() > 100);
    assert!(train.is_disjoint(&validation) && train.is_disjoint(&test) && validation.is_disjoint(&test));
}

#[test]
fn repetitions_are_left_out() {
    let config = DigitsConfig { operations: 1..=1, ..Default::default() };
    let world = DigitsWorld::new(config).unwrap();
    // The validation split has about thirty expressions of one operation, so the world ends.
    let problems: Vec<Problem> = world.problems(Split::Validation, &Capability::TEXTUAL_REASONING, 0).collect();
    let ids: BTreeSet<_> = problems.iter().map(|problem| problem.id).collect();
    assert_eq!(ids.len(), problems.len());
    assert!((200..2000).contains(&problems.len()), "{}", problems.len());
}

#[test]
#[should_panic(expected = "no capability")]
fn other_capabilities_are_a_mistake() {
    world().problem(Split::Train, &Capability::new("audio"), 0, 0);
}
