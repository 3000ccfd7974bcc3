//! Conformance of our rules with the verdicts of published graders (`fixtures/README.md` names
//! them).

mod cases;

use seethink_reward::{is_correct, last_boxed};
use serde_json::Value;

const CASES: &str = include_str!("fixtures/grader.jsonl");
const SPELLINGS: &str = include_str!("fixtures/spellings.jsonl");
const PAGE: &str = include_str!("../../../docs/verifier.md");

#[test]
fn rules_agree_with_their_originals() {
    let tallies = cases::judge(CASES).expect("the fixture is made of cases");
    let mut exotic_and_not = (0, 0);
    for (name, tally) in &tallies {
        assert_eq!(tally.false_right, [""; 0], "{name}: called right");
        let at_least = match name.as_str() {
            "math-verify, expr" => 97.0,
            "math-verify, parse_equiv" => 98.0,
            "math-verify, parse_equiv, exotic" => 0.0,
            _ => 100.0,
        };
        assert!(tally.percent() >= at_least, "{name}: {:.1} %, {:?}", tally.percent(), tally.missed);
        for id in &tally.missed {
            assert!(PAGE.contains(&format!("`{id}`")), "docs/verifier.md does not say who is right about {id}");
        }
        if name.starts_with("math-verify, parse_equiv") {
            exotic_and_not = (exotic_and_not.0 + tally.n, exotic_and_not.1 + tally.missed.len());
        }
    }
    assert_eq!(tallies.values().map(|tally| tally.n).sum::<usize>(), 1129);
    assert!(exotic_and_not.1 * 20 <= exotic_and_not.0, "{exotic_and_not:?}");
}

/// Answers joined without blanks, moduli, products of braces, and texts that only look like them:
/// judged as by math-verify.
#[test]
fn spellings_are_read_as_math_verify_reads_them() {
    let tallies = cases::judge(SPELLINGS).expect("the fixture is made of cases");
    let counts: Vec<(&str, usize)> = tallies.iter().map(|(name, tally)| (name.as_str(), tally.n)).collect();
    assert_eq!(counts, [("math-verify, braces", 112), ("math-verify, joined", 130), ("math-verify, modulus", 130)]);
    for (name, tally) in &tallies {
        assert_eq!(
            (&tally.false_right[..], &tally.missed[..]),
            (&[][..], &[][..]),
            "{name}: called right, called wrong"
        );
    }
}

/// The light rule may miss answers that need algebra, and how often is pinned here; it must never
/// judge right an answer that they judge wrong.
#[test]
fn the_light_rule_is_never_lenient() {
    let cases = CASES.lines().map(|line| serde_json::from_str::<Value>(line).expect("the fixture is JSON lines"));
    let cases: Vec<Value> = cases.collect();
    for (rule, n_cases, n_missed) in [("mathruler", 412, 23), ("mathvision", 49, 0), ("hendrycks", 12, 3)] {
        let text = |case: &Value, key: &str| case[key].as_str().expect("every case has its texts").to_owned();
        let mut missed = Vec::new();
        let cases: Vec<&Value> = cases.iter().filter(|case| case["rule"] == rule).collect();
        for case in &cases {
            let prediction = text(case, "prediction");
            let answer = if case["kind"] == "answer" { Some(prediction.as_str()) } else { last_boxed(&prediction) };
            let right = answer.is_some_and(|answer| is_correct(answer, &text(case, "gold")));
            let expected = case["expected"] == true;
            assert!(expected || !right, "called right: {case}");
            if expected && !right {
                missed.push(text(case, "id"));
            }
        }
        assert_eq!((cases.len(), missed.len()), (n_cases, n_missed), "{rule}: {missed:?}");
    }
}
