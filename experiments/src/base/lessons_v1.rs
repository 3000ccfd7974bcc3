//! Training data of the base models of `digits-v1`: captions, lists of options, and solutions with and without
//! working.

use seethink::core::{Capability, Image, ImageSource, Problem, Purpose, Rng};
use seethink::data::Split;
use seethink::data::digits::CELL_SIDE;
use seethink::data::digits_v1::DigitsWorld;

/// Captions of single cells of the pictures, without the place of the cell.
///
/// The shapes of digits are learned from few such captions. From pictures of many cells they have
/// to be learned together with the places to look at, and each is of little use without the other.
pub fn cells(world: &DigitsWorld, seed: u64) -> impl Iterator<Item = Problem> {
    let cell = move |index| {
        let capability = &Capability::PERCEPTION;
        let scene = world.scene(Split::Train, capability, index, seed)?;
        let problem = world.problem(Split::Train, capability, index, seed);
        let [ImageSource::Pixels(picture)] = &problem.images[..] else { return None };
        let place = Rng::new(seed, Purpose::FineTuning, &[index, 2]).below(scene.cells.len());
        Some(Problem {
            prompt: format!("{}Describe.", Problem::IMAGE_PLACEHOLDER),
            solution: Some(format!("<think>{}.</think>", scene.cells[place])),
            images: vec![ImageSource::Pixels(crop(picture, place % scene.n_columns, place / scene.n_columns))],
            ..problem
        })
    };
    (0..).map_while(cell)
}

/// Crops one cell of a picture.
fn crop(picture: &Image, column: usize, row: usize) -> Image {
    let (line, side) = (3 * picture.width() as usize, 3 * CELL_SIDE);
    let lines = picture.rgb().chunks(line).skip(row * CELL_SIDE).take(CELL_SIDE);
    let rgb: Vec<u8> = lines.flat_map(|line| &line[column * side..(column + 1) * side]).copied().collect();
    Image::new(CELL_SIDE as u32, CELL_SIDE as u32, rgb).expect("a cell lies within its picture")
}

/// Option lists with the letter of each option: the skill of multiple choice apart from reading the
/// picture.
pub fn lookups(world: &DigitsWorld, seed: u64) -> impl Iterator<Item = Problem> {
    (0..).filter_map(move |index| {
        let problem = world.problem(Split::Train, &Capability::PERCEPTION, index, seed);
        let (_, options) = problem.prompt.split_once("\nOptions:\n")?;
        let mut found: Vec<&str> = options.lines().collect();
        Rng::new(seed, Purpose::FineTuning, &[index]).shuffle(&mut found);
        Some(Problem {
            prompt: format!("Options:\n{options}"),
            solution: Some(format!("<think>{}.</think>", found.join(". "))),
            images: Vec::new(),
            ..problem
        })
    })
}

/// First words of questions that ask for a result and not for a procedure.
const ASKS_FOR_A_RESULT: [&str; 6] = ["What", "Which", "Where", "How", "On", "Find"];

/// One of this many problems is an exception to the rule, so that both kinds of solution occur with
/// every question.
const EXCEPTION: usize = 6;

/// Mixes two kinds of solution: full working, and the answer alone.
///
/// Questions for a result ("What is …", "Find …") mostly get the answer alone, questions for a
/// procedure ("Compute …", "Add up …") mostly the working; one in six is the other way round.
pub fn of_mixed_habits(problems: impl Iterator<Item = Problem>, seed: u64) -> impl Iterator<Item = Problem> {
    problems.enumerate().map(move |(index, problem)| {
        let question = problem.prompt.trim_start_matches(Problem::IMAGE_PLACEHOLDER);
        let asks_for_a_result = ASKS_FOR_A_RESULT.iter().any(|word| question.starts_with(word));
        let exception = Rng::new(seed, Purpose::FineTuning, &[index as u64, 1]).below(EXCEPTION) == 0;
        if asks_for_a_result != exception { at_a_glance(problem) } else { problem }
    })
}

/// Shortens the solution of a problem to the answer: no reading of the picture and no steps.
fn at_a_glance(problem: Problem) -> Problem {
    let last = match &problem.solution {
        // The option is kept beside its letter.
        Some(solution) if problem.capability == Capability::PERCEPTION => {
            let thought = solution.trim_start_matches("<think>").split("</think>").next().unwrap_or_default();
            thought.trim_end_matches('.').rsplit(". ").next().unwrap_or_default().to_string()
        }
        _ => problem.answer.clone(),
    };
    Problem { solution: Some(format!("<think>{last}.</think> \\boxed{{{}}}", problem.answer)), ..problem }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seethink::data::digits_v1::DigitsConfig;
    use seethink::prelude::*;

    #[test]
    fn solutions_of_both_habits_are_right_and_both_are_frequent() {
        let world = DigitsWorld::new(DigitsConfig::default()).unwrap();
        for capability in &Capability::ALL {
            let worked_out: Vec<_> = world.problems(Split::Train, capability, 1).take(300).collect();
            let mixed: Vec<_> = of_mixed_habits(worked_out.iter().cloned(), 1).collect();
            for problem in &mixed {
                let solution = problem.solution.as_deref().unwrap();
                let score = AnswerReward::default().score(problem, solution.into());
                assert_eq!(score.value, 1.0, "{solution}");
            }
            let n_glances = mixed.iter().zip(&worked_out).filter(|(mixed, worked_out)| mixed != worked_out).count();
            assert!((90..=210).contains(&n_glances), "{capability}: {n_glances} of 300");
        }
    }

    #[test]
    fn a_cell_shows_what_it_is_said_to_show() {
        let world = DigitsWorld::new(DigitsConfig::default()).unwrap();
        let mut places = std::collections::BTreeSet::new();
        for (index, cell) in (0..).zip(cells(&world, 1).take(50)) {
            let scene = world.scene(Split::Train, &Capability::PERCEPTION, index, 1).unwrap();
            let whole = world.problem(Split::Train, &Capability::PERCEPTION, index, 1);
            let (ImageSource::Pixels(whole), ImageSource::Pixels(cut)) = (&whole.images[0], &cell.images[0]) else {
                panic!("pictures of this world are pixels")
            };
            assert_eq!((cut.width(), cut.height()), (16, 16));
            let pixel = |image: &Image, x: usize, y: usize| {
                let at = 3 * (y * image.width() as usize + x);
                image.rgb()[at..at + 3].to_vec()
            };
            let same = |place: &usize| {
                let (left, top) = (16 * (place % scene.n_columns), 16 * (place / scene.n_columns));
                (0..256).all(|i| pixel(cut, i % 16, i / 16) == pixel(whole, left + i % 16, top + i / 16))
            };
            let place = (0..scene.cells.len()).find(same).expect("one of its cells");
            assert_eq!(cell.solution.unwrap(), format!("<think>{}.</think>", scene.cells[place]));
            places.insert((scene.n_columns, place));
        }
        assert!(places.len() > 8, "{places:?}");
    }

    #[test]
    fn a_glance_keeps_the_option_and_its_letter() {
        let problem = Problem {
            prompt: "<image>Which digit is at the center?".into(),
            solution: Some("<think>center 5. 5(C).</think> \\boxed{C}".into()),
            answer: "C".into(),
            capability: Capability::PERCEPTION,
            ..DigitsWorld::new(DigitsConfig::default()).unwrap().problem(Split::Train, &Capability::PERCEPTION, 0, 1)
        };
        assert_eq!(at_a_glance(problem).solution.unwrap(), "<think>5(C).</think> \\boxed{C}");
    }
}
