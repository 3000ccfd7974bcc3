//! Tests of writing and reading back, and of every error.

use super::*;
use crate::digits_v1::{DigitsConfig, DigitsWorld};
use crate::{Split, content_id, write_problems};
use proptest::prelude::*;
use seethink_core::{PassRate, ProblemId};
use std::fs;

fn digits() -> Vec<Problem> {
    let world = DigitsWorld::new(DigitsConfig::default()).unwrap();
    let of = |capability| world.problems(Split::Test, capability, 3).take(5).collect::<Vec<_>>();
    Capability::ALL.iter().flat_map(of).collect()
}

fn read(dir: &Path) -> Vec<Problem> {
    let reader = ProblemReader::open(dir).unwrap().decode(ImageLoader::default());
    reader.collect::<Result<_, _>>().unwrap()
}

fn read_text(text: &str) -> Vec<Result<Problem, DataError>> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("some.jsonl");
    fs::write(&file, text).unwrap();
    ProblemReader::open(file).unwrap().capability(Capability::PERCEPTION).collect()
}

fn message(text: &str) -> String {
    let error = read_text(text).pop().unwrap().unwrap_err().to_string();
    error.rsplit_once("some.jsonl").unwrap().1.to_string()
}

#[test]
fn problems_come_back_equal() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("corpus");
    let problems = digits();
    assert_eq!(write_problems(&target, &problems).unwrap(), 15);
    assert_eq!(read(&target), problems);
    // Written a second time, from image files instead of pixels.
    let paths: Vec<Problem> = ProblemReader::open(&target).unwrap().collect::<Result<_, _>>().unwrap();
    assert!(paths.iter().flat_map(|problem| &problem.images).all(|image| matches!(image, ImageSource::Path(_))));
    let copy = dir.path().join("copy");
    write_problems(&copy, &paths).unwrap();
    assert_eq!(read(&copy), problems);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "no partial folder is left");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(32) })]
    #[test]
    fn any_text_comes_back_equal(
        texts in proptest::collection::vec(".{0,20}", 4),
        tags in proptest::collection::btree_map(".{0,8}", ".{0,8}", 0..4),
        pass_rate in proptest::option::of(0f32..=1.0),
        id: u64,
    ) {
        let problem = Problem {
            id: ProblemId(id),
            capability: Capability::new(texts[0].clone()),
            prompt: texts[1].replace(Problem::IMAGE_PLACEHOLDER, ""),
            images: vec![],
            answer: texts[2].clone(),
            solution: pass_rate.map(|_| texts[3].clone()),
            pass_rate: pass_rate.map(|rate| PassRate::new(rate).unwrap()),
            source: texts[3].clone(),
            tags,
        };
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("corpus");
        write_problems(&target, [&problem]).unwrap();
        prop_assert_eq!(read(&target), vec![problem]);
    }
}

#[test]
fn only_new_or_empty_folders_are_written() {
    let dir = tempfile::tempdir().unwrap();
    let problems = digits();
    write_problems(dir.path(), &problems).unwrap();
    let error = write_problems(dir.path(), &problems[..1]).unwrap_err();
    assert!(matches!(error, DataError::NotEmpty(_)), "{error}");
    assert_eq!(read(dir.path()), problems);
}

#[test]
fn a_failed_write_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut problems = digits();
    problems[4].images.clear();
    let error = write_problems(dir.path().join("corpus"), &problems).unwrap_err().to_string();
    assert!(error.contains("problems.jsonl:5: problem ") && error.contains(&problems[4].id.to_string()), "{error}");
    assert!(error.ends_with("the text has 1 <image> placeholders for 0 images"), "{error}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn released_lines_are_understood() {
    let text = r#"{"index": 7, "problem": "1+1?", "answer": 2, "images": [], "source": "orz", "predictions": ["2"], "level": "easy"}"#;
    let problem = read_text(&format!("\n{text}\n\n")).pop().unwrap().unwrap();
    assert_eq!((problem.answer.as_str(), problem.source.as_str()), ("2", "orz"));
    assert_eq!(problem.capability, Capability::PERCEPTION);
    assert_eq!((problem.tags["predictions"].as_str(), problem.tags["level"].as_str()), (r#"["2"]"#, "easy"));
    assert_eq!(problem.id, content_id("1+1?", &[], "2"));
}

#[test]
fn errors_name_file_line_and_problem() {
    let good = r#"{"problem": "a", "answer": "b"}"#;
    for (line, expected) in [
        (r#"{"problem": "a"}"#, r#":3: problem #3: there is no column "answer"; the row has "problem""#),
        (
            r#"{"problem": "a", "answer": "b", "pass_rate": 2}"#,
            ":3: problem #3: the pass rate is 2, expected a number in [0, 1]",
        ),
        ("{", ":3: not a problem: EOF"),
        (
            r#"{"problem": "a", "problem": "b", "answer": "c"}"#,
            r#":3: not a problem: the key "problem" stands here twice"#,
        ),
        ("[]", ":3: not a problem: expected an object"),
        (
            r#"{"index": 9, "problem": "<image>a", "answer": "b"}"#,
            ":3: problem 9: the text has 1 <image> placeholders for 0 images",
        ),
        (r#"{"problem": "<image>", "answer": "b", "images": ["no.png"]}"#, ":3: problem #3: there is no image file "),
        (
            r#"{"problem": "a", "answer": ["b"]}"#,
            r#":3: problem #3: the answer is ["b"], expected a string or a number"#,
        ),
        (
            r#"{"problem": "a", "answer": "b", "x": 1, "tags": {"x": "2"}}"#,
            r#":3: problem #3: the key "x" stands in the line"#,
        ),
    ] {
        let message = message(&format!("{good}\n\n{line}"));
        assert!(message.starts_with(expected), "{message}");
    }
    let lines = read_text(&format!("{{\n{good}"));
    assert!(lines[0].is_err() && lines[1].is_ok(), "a bad line does not end the file");
}

#[test]
fn an_image_outside_is_refused_with_its_row_and_the_setting() {
    let dir = tempfile::tempdir().unwrap();
    let set = dir.path().join("set");
    fs::create_dir(&set).unwrap();
    fs::write(dir.path().join("secret.png"), "any").unwrap();
    let file = set.join("some.jsonl");
    fs::write(&file, r#"{"index": 4, "problem": "<image>", "answer": 1, "images": ["../secret.png"]}"#).unwrap();
    let open = || ProblemReader::open(&file).unwrap().capability(Capability::PERCEPTION);
    let error = open().next().unwrap().unwrap_err().to_string();
    assert!(error.starts_with(&format!("{}:1: problem 4: the image \"../secret.png\" is ", file.display())), "{error}");
    assert!(error.ends_with("or the setting `images_outside`"), "{error}");
    assert!(open().images_outside().next().unwrap().is_ok());
    assert!(open().image_dir(dir.path().join("set")).next().unwrap().is_err());
}
