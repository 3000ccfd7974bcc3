//! The light verifier against the verdicts of others (`fixtures/README.md` says whose).
//!
//! It may miss what needs algebra, and how often is pinned here; it must never call right what they call wrong.

use seethink_core::{Capability, Problem, ProblemId};
use seethink_reward::{Reward, ThinkBoxedReward, choice_letter, is_correct, is_think_tagged, last_boxed};
use serde_json::Value;

/// The cases of one rule.
fn cases(rule: &str) -> Vec<Value> {
    let lines = include_str!("fixtures/grader.jsonl").lines();
    let cases = lines.map(|line| serde_json::from_str::<Value>(line).expect("the fixture is JSON lines"));
    cases.filter(|case| case["rule"] == rule).collect()
}

fn text<'a>(case: &'a Value, key: &str) -> &'a str {
    case[key].as_str().expect("every case has its texts")
}

#[test]
fn the_released_reward() {
    let reward = ThinkBoxedReward::default();
    let cases = cases("easyr1-math");
    let mut different = Vec::new();
    for case in &cases {
        let problem = Problem {
            id: ProblemId(0),
            capability: Capability::TEXTUAL_REASONING,
            prompt: String::new(),
            images: vec![],
            answer: text(case, "gold").into(),
            solution: None,
            pass_rate: None,
            source: String::new(),
            tags: Default::default(),
        };
        let score = reward.score(&problem, text(case, "prediction"));
        let expected = |key: &str| case["expected"][key].as_f64().unwrap() as f32;
        assert_eq!(score.part("format"), Some(expected("format")), "{case}");
        if score.part("accuracy") == Some(expected("accuracy")) {
            assert!((score.value - expected("overall")).abs() < 1e-6, "{case}");
        } else {
            different.push(text(case, "id"));
        }
    }
    // `\boxed{A. because it fits}` for A: an option letter may be followed by its text, as in "A: 3".
    assert_eq!((cases.len(), different), (88, vec!["357187d4adb2"]));
}

#[test]
fn boxed_choices() {
    let cases = cases("boxed-choice");
    for case in &cases {
        let content = last_boxed(text(case, "prediction"));
        let choice =
            content.map_or("None".into(), |content| choice_letter(content).map_or(content.into(), String::from));
        assert_eq!(choice, text(case, "expected"), "{case}");
    }
    assert_eq!(cases.len(), 11);
}

#[test]
fn think_tags() {
    let cases = cases("trl think_format_reward");
    for case in &cases {
        assert_eq!(Value::from(is_think_tagged(text(case, "prediction"))), case["expected"], "{case}");
    }
    assert_eq!(cases.len(), 7);
}

#[test]
fn equal_answers() {
    // rule, cases, how many of them are right but not recognised
    for (rule, n_cases, n_missed) in [("mathruler", 412, 23), ("mathvision", 49, 0), ("hendrycks", 12, 3)] {
        let cases = cases(rule);
        let mut missed = Vec::new();
        for case in &cases {
            let prediction = text(case, "prediction");
            let answer = if case["kind"] == "answer" { Some(prediction) } else { last_boxed(prediction) };
            let right = answer.is_some_and(|answer| is_correct(answer, text(case, "gold")));
            let expected = case["expected"] == true;
            assert!(expected || !right, "called right: {case}");
            if expected && !right {
                missed.push(text(case, "id"));
            }
        }
        assert_eq!((cases.len(), missed.len()), (n_cases, n_missed), "{rule}: {missed:?}");
    }
}
