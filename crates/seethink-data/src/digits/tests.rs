//! Tests of the digits world: every answer is derived again from the words of the question and the
//! picture.

use super::*;
use crate::Split;
use proptest::prelude::*;
use seethink_reward::{AnswerReward, Reward};
use std::ops::RangeInclusive;

const SETS: [GlyphSet; 4] = [GlyphSet::Base, GlyphSet::Train, GlyphSet::Validation, GlyphSet::Test];

fn world() -> DigitsWorld {
    DigitsWorld::new(DigitsConfig::default()).unwrap()
}

/// Digits and colours of the places of a picture, read from its tag.
fn shown(problem: &Problem) -> BTreeMap<String, (String, u8)> {
    let rows: Vec<Vec<&str>> = problem.tags["scene"].split(" / ").map(|row| row.split(", ").collect()).collect();
    let names = |n: usize, names: [&'static str; 3]| if n == 2 { vec![names[0], names[2]] } else { names.to_vec() };
    let (of_rows, of_columns) =
        (names(rows.len(), ["top", "middle", "bottom"]), names(rows[0].len(), ["left", "middle", "right"]));
    let mut all = BTreeMap::new();
    for (row, cells) in of_rows.iter().zip(&rows) {
        for (column, cell) in of_columns.iter().zip(cells) {
            let (ink, digit) = cell.split_once(' ').unwrap();
            let place = format!("{row} {column}").replace("middle middle", "center");
            all.insert(place, (ink.to_string(), digit.parse().unwrap()));
        }
    }
    all
}

/// Answers a question from its words, with the digits of places looked up.
fn solve(question: &str, digit: &dyn Fn(&str) -> i64, places: &BTreeMap<String, (String, u8)>) -> String {
    let text = question.trim_end_matches(['?', '.']);
    let after = |openings: &[&str]| openings.iter().find_map(|opening| text.strip_prefix(opening));
    if let Some(places) = after(&["Read the digits "]) {
        let (others, last) = places.rsplit_once(" and ").unwrap();
        return others.split(", ").chain([last]).map(|place| digit(place).to_string()).collect::<Vec<_>>().join(" ");
    }
    if let Some(place) = after(&["Read the ", "Which digit is "]) {
        return digit(place.trim_end_matches(" digit")).to_string();
    }
    if let Some(places) = after(&["Is "]) {
        let (a, b) = places.split_once(" smaller, equal or larger than ").unwrap();
        return ["smaller", "equal", "larger"][(1 + (digit(a) - digit(b)).signum()) as usize].into();
    }
    if let Some(place) = after(&["What color is "]) {
        return places[place].0.clone();
    }
    if let Some(ink) = after(&["How many are "]) {
        return places.values().filter(|(one, _)| one == ink).count().to_string();
    }
    let expression = after(&["Start with ", "What is "]).unwrap();
    let signed = [(", add ", "|+"), (", subtract ", "|-"), (" plus ", "|+"), (" minus ", "|-")]
        .into_iter()
        .fold(expression.to_string(), |text, (word, sign)| text.replace(word, sign));
    let term = |term: &str| match term.split_at(1) {
        ("-", place) => -digit(place),
        ("+", place) => digit(place),
        _ => digit(term),
    };
    signed.split('|').map(term).sum::<i64>().to_string()
}

/// Checks a problem against its words and its picture, and its solution.
fn check(world: &DigitsWorld, set: GlyphSet, capability: &Capability, index: u64, seed: u64) {
    let problem = world.problem(set, capability, index, seed);
    let question = problem.prompt.trim_start_matches(Problem::IMAGE_PLACEHOLDER);
    let has_picture = *capability != Capability::TEXTUAL_REASONING;
    assert_eq!((problem.images.len(), question.len() < problem.prompt.len()), (usize::from(has_picture), has_picture));
    let places = if has_picture { shown(&problem) } else { BTreeMap::new() };
    let digit = |name: &str| places.get(name).map_or_else(|| name.parse().unwrap(), |(_, digit)| i64::from(*digit));
    assert_eq!(problem.answer, solve(question, &digit, &places), "{} {:?}", problem.prompt, problem.tags);
    let solution = problem.solution.as_deref().unwrap();
    assert_eq!(AnswerReward::default().score(&problem, solution.into()).value, 1.0, "{solution}");
    assert!([None, Some(Sight::Right)].contains(&Sight::of(&problem, solution)), "{solution} {:?}", problem.tags);
    assert_eq!(problem.tags["cells"], places.len().to_string());
    if let [ImageSource::Pixels(image)] = &problem.images[..] {
        assert_eq!((image.width() * image.height()) as usize, places.len() * CELL_SIDE * CELL_SIDE);
    }
    if *capability != Capability::PERCEPTION {
        let (thought, _) = solution.trim_start_matches("<think>").split_once("</think>").unwrap();
        let (expression, totals) = thought.split_once(". ").unwrap();
        let totals: Vec<&str> = totals.split(". ").collect();
        assert_eq!(totals.len().to_string(), problem.tags["operations"]);
        assert!(world.config().symbols.contains(&(totals.len() + 1)));
        // Each total is that of the expression up to there.
        let ends = expression.match_indices(['+', '-']).map(|(at, _)| at + 2);
        for (end, total) in ends.zip(totals) {
            let part = expression[..end].replace('+', ", add ").replace('-', ", subtract ");
            assert_eq!(solve(&format!("Start with {part}."), &|digit| digit.parse().unwrap(), &places), total);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1500) })]
    #[test]
    fn every_problem_is_right(index: u64, seed: u64, set in 0..4usize, capability in 0..3usize) {
        check(&world(), SETS[set], &Capability::ALL[capability], index, seed);
    }
}

#[test]
fn every_corner_of_the_configuration_works() {
    let corner = |cells: RangeInclusive<usize>, symbols: usize| {
        let config = DigitsConfig { cells, symbols: symbols..=symbols, ..Default::default() };
        let world = DigitsWorld::new(config).unwrap();
        for capability in &Capability::ALL {
            (0..40).for_each(|index| check(&world, GlyphSet::Train, capability, index, 5));
        }
    };
    (2..=4).for_each(|symbols| corner(4..=4, symbols));
    (2..=5).for_each(|symbols| [6..=6, 9..=9, 4..=9].into_iter().for_each(|cells| corner(cells, symbols)));
}

#[test]
fn settings_out_of_range_are_named() {
    let usual = DigitsConfig::default;
    let pictures = |pictures| DigitsConfig { pictures, ..usual() };
    #[allow(clippy::reversed_empty_ranges)]
    let wrong = [
        ("cells", DigitsConfig { cells: 3..=9, ..usual() }),
        ("cells", DigitsConfig { cells: 7..=8, ..usual() }),
        ("cells", DigitsConfig { cells: 4..=4, ..usual() }),
        ("symbols", DigitsConfig { symbols: 1..=3, ..usual() }),
        ("symbols", DigitsConfig { symbols: 4..=3, ..usual() }),
        ("pictures.rotation", pictures(Pictures { rotation: 46.0, ..Pictures::WIDE })),
        ("pictures.scale", pictures(Pictures { scale: 0.0..=1.0, ..Pictures::WIDE })),
        ("pictures.shift", pictures(Pictures { shift: -0.1, ..Pictures::WIDE })),
        ("pictures.contrast", pictures(Pictures { contrast: 0.0..=1.0, ..Pictures::WIDE })),
        ("pictures.ground", pictures(Pictures { ground: 0.0..=0.9, ..Pictures::WIDE })),
        ("pictures.noise", pictures(Pictures { noise: 0.0..=f32::NAN, ..Pictures::WIDE })),
        ("pictures.reversed", pictures(Pictures { reversed: 1.1, ..Pictures::WIDE })),
        ("pictures.occluded", pictures(Pictures { occluded: f32::NAN, ..Pictures::WIDE })),
    ];
    for (key, config) in wrong {
        let message = DigitsWorld::new(config).expect_err(key).to_string();
        assert!(message.contains(&format!("world.{key}")) && message.contains("expected"), "{message}");
    }
}

#[test]
fn pictures_change_and_questions_stay() {
    let narrow = DigitsConfig { pictures: Pictures::NARROW, ..Default::default() };
    let narrow = DigitsWorld::new(narrow).unwrap();
    for index in 0..50 {
        let ask = |world: &DigitsWorld| world.problem(GlyphSet::Train, &Capability::VISUAL_REASONING, index, 1);
        let (a, b) = (ask(&world()), ask(&narrow));
        assert_eq!((&a.prompt, &a.answer, &a.tags), (&b.prompt, &b.answer, &b.tags));
        assert_ne!(a.images, b.images);
    }
}

#[test]
fn a_question_read_out_has_the_same_answer_and_no_picture() {
    for index in 0..200 {
        let seen = world().problem(GlyphSet::Test, &Capability::VISUAL_REASONING, index, 1);
        let read_out = world().read_out(GlyphSet::Test, index, 1);
        assert_eq!((&read_out.answer, &read_out.solution), (&seen.answer, &seen.solution));
        assert!(read_out.images.is_empty() && Sight::of(&read_out, "").is_none());
        let solved = solve(&read_out.prompt, &|digit| digit.parse().unwrap(), &BTreeMap::new());
        assert_eq!(solved, read_out.answer, "{}", read_out.prompt);
    }
}

#[test]
fn options_have_one_right_answer_and_letters_are_equally_frequent() {
    let config = DigitsConfig { questions: Questions::MultipleChoice, ..Default::default() };
    let choice = DigitsWorld::new(config).unwrap();
    let mut counts = BTreeMap::<String, usize>::new();
    for index in 0..400 {
        let open = world().problem(GlyphSet::Train, &Capability::PERCEPTION, index, 1);
        let problem = choice.problem(GlyphSet::Train, &Capability::PERCEPTION, index, 1);
        let (question, options) = problem.prompt.split_once('\n').unwrap();
        assert_eq!(question, open.prompt);
        let options: Vec<(&str, &str)> = options.split(", ").map(|option| option.split_once(' ').unwrap()).collect();
        let right: Vec<&str> =
            options.iter().filter(|(_, text)| *text == open.answer).map(|(letter, _)| *letter).collect();
        assert_eq!(right, [problem.answer.as_str()], "{}", problem.prompt);
        let solution = problem.solution.as_deref().unwrap();
        assert_eq!(AnswerReward::default().score(&problem, solution.into()).value, 1.0, "{solution}");
        assert!([None, Some(Sight::Right)].contains(&Sight::of(&problem, solution)), "{solution} {:?}", problem.tags);
        *counts.entry(problem.answer).or_default() += 1;
    }
    assert!(counts.len() == 4 && counts.values().all(|n| (60..=140).contains(n)), "{counts:?}");
    for index in 0..100 {
        let problem = world().binding(index, 1);
        let (question, options) = problem.prompt.split_once('\n').unwrap();
        let wanted = question.trim_start_matches("Which letter is ").trim_end_matches('?');
        let option = format!("{} {wanted}", problem.answer);
        assert_eq!(options.split(", ").filter(|one| **one == option).count(), 1, "{}", problem.prompt);
    }
}

#[test]
fn single_digits_are_read_and_named_by_color_equally_often() {
    let mut n_colors = 0;
    for index in 0..400 {
        let problem = world().single(GlyphSet::Base, index, 1);
        let (ink, digit) = shown(&problem).into_values().next().unwrap();
        let is_color = problem.prompt.contains("What color is the digit?");
        n_colors += usize::from(is_color);
        assert_eq!(problem.answer, if is_color { ink } else { digit.to_string() }, "{}", problem.prompt);
    }
    assert!((160..=240).contains(&n_colors), "{n_colors}");
}

#[test]
fn a_count_is_worked_out_from_all_colors() {
    let perception = |index| world().problem(GlyphSet::Base, &Capability::PERCEPTION, index, 1);
    let counts: Vec<Problem> = (0..400).map(perception).filter(|one| one.tags["family"] == "count").collect();
    assert!(!counts.is_empty());
    for problem in counts {
        let solution = problem.solution.as_deref().unwrap();
        let thought = solution.trim_start_matches("<think>").split_once("</think>").unwrap().0;
        let asked = problem.prompt.split_once("How many are ").unwrap().1.trim_end_matches('?');
        let seen: Vec<&str> = thought.split(' ').collect();
        assert_eq!(seen.len().to_string(), problem.tags["cells"]);
        assert_eq!(seen.iter().filter(|ink| **ink == asked).count().to_string(), problem.answer, "{solution}");
    }
}

#[test]
fn families_and_sets_have_their_shares() {
    let mut families = BTreeMap::<String, usize>::new();
    for index in 0..2000 {
        let problem = world().problem(Split::Train, &Capability::PERCEPTION, index, 1);
        *families.entry(problem.tags["family"].clone()).or_default() += 1;
    }
    for (family, share) in [("list", 0.5), ("digit", 0.35), ("compare", 0.05), ("color", 0.05), ("count", 0.05)] {
        assert!((families[family] as f64 / 2000.0 - share).abs() < 0.03, "{families:?}");
    }
    // Expressions of one set are in no other, but that base and training share theirs.
    let of = |set| -> BTreeSet<String> {
        let world = world();
        let problems = world.problems(set, &Capability::TEXTUAL_REASONING, 1).take(300);
        problems.map(|problem| problem.solution.unwrap().split_once('.').unwrap().0.to_owned()).collect()
    };
    let [base, train, validation, test] = SETS.map(of);
    assert!(!base.is_disjoint(&train), "of three digits there are few");
    assert!(validation.is_disjoint(&train) && test.is_disjoint(&train) && test.is_disjoint(&validation));
}

/// Hash of the first hundred problems, to detect changes.
fn fingerprint(capability: &Capability) -> u64 {
    let ids = (0..100).map(|index| world().problem(GlyphSet::Train, capability, index, 0).id.0);
    ids.fold(0, |all, id| all.rotate_left(1) ^ id)
}

#[test]
fn problems_are_the_same_everywhere_and_always() {
    let fingerprints = Capability::ALL.each_ref().map(fingerprint);
    assert_eq!(fingerprints, [0x5985da7043fac66e, 0x6b7d66bf044b3041, 0xb2a3b05c6c03ecb3], "{fingerprints:#018x?}");
}

#[test]
fn captions_name_every_cell() {
    for index in 0..20 {
        let caption = world().caption(GlyphSet::Base, index, 1);
        let problem = world().problem(GlyphSet::Base, &Capability::PERCEPTION, index, 1);
        assert_eq!(caption.images, problem.images);
        let solution = caption.solution.unwrap();
        for (place, (ink, digit)) in shown(&problem) {
            assert!(solution.contains(&format!("{place} {ink} {digit}.")), "{solution}");
        }
    }
}
