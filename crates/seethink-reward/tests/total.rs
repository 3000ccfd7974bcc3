//! Any completion gets a score, in linear time.

mod inputs;

use inputs::Inputs;
use proptest::prelude::*;
use seethink_core::{Capability, Problem, ProblemId};
use seethink_reward::{AnswerReward, Reward, Rule, Score, choice_letter, is_correct, is_think_tagged, stated_choice};

fn score(completion: &str, truth: &str) -> Score {
    let problem = Problem {
        id: ProblemId(0),
        capability: Capability::PERCEPTION,
        prompt: String::new(),
        images: vec![],
        answer: truth.into(),
        solution: None,
        pass_rate: None,
        source: String::new(),
        tags: Default::default(),
    };
    AnswerReward::default().score(&problem, completion.into())
}

/// Pieces that the verifier looks at, and some that it does not expect.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("<think>".to_string()),
        Just("</think>".to_string()),
        Just("< / think >".to_string()),
        Just(r"\boxed{".to_string()),
        Just(r"\text{".to_string()),
        Just(r"\frac{".to_string()),
        Just(r"^\circ".to_string()),
        "[{}()\\\\$.,:/+%A-Da-d0-9 -]{1,3}",
        ".{0,4}",
    ];
    proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4000) })]

    #[test]
    fn any_completion_has_a_score(completion in pieces(), truth in pieces()) {
        let score = score(&completion, &truth);
        let (accuracy, format) = (score.part("accuracy").unwrap(), score.part("format").unwrap());
        prop_assert!([0.0, 1.0].contains(&accuracy) && [0.0, 1.0].contains(&format));
        prop_assert!((score.value - 0.9 * accuracy - 0.1 * format).abs() < 1e-6);
        let is_boxed = completion.contains(r"\boxed{");
        prop_assert!(accuracy == 0.0 || is_boxed);
        is_think_tagged(&completion);
        prop_assert!(stated_choice(&completion, &[&truth, "red"]).is_none_or(|option| option < 2));
    }

    #[test]
    fn numbers_equal_themselves_and_no_others(a in -100_000i64..100_000, b in -100_000i64..100_000, places in 0usize..4) {
        let (same, spelling) = (a.to_string(), format!("{a}{}", ["", ".0", ".00", ".000"][places]));
        prop_assert!(is_correct(&spelling, &same) && is_correct(&same, &spelling));
        prop_assert_eq!(is_correct(&b.to_string(), &spelling), a == b);
    }

    #[test]
    fn letters_are_never_confused(answer in 0u8..26, truth in 0u8..26, form in 0usize..6) {
        let (answer, truth) = (char::from(b'A' + answer), char::from(b'A' + truth));
        let text = match form {
            0 => answer.to_string(),
            1 => answer.to_ascii_lowercase().to_string(),
            2 => format!("({answer})"),
            3 => format!("{answer}."),
            4 => format!("{answer}: 17"),
            _ => format!(r"\text{{{answer}}}"),
        };
        prop_assert_eq!(choice_letter(&text), Some(answer));
        prop_assert_eq!(is_correct(&text, &truth.to_string()), answer == truth);
    }
}

/// A megabyte of anything takes milliseconds: quadratic time would take hours.
#[test]
fn long_completions_take_linear_time() {
    let n = 1 << 20;
    let repeat = |piece: &str| piece.repeat(n / piece.len());
    for filling in [
        "x",
        " ",
        "{",
        "}",
        "{}",
        "\\",
        "$",
        "<",
        "< ",
        "</think",
        "</think>",
        "<think>",
        r"\boxed{",
        r"\boxed{}",
        r"\text{",
        "9",
        "1,",
        "the ",
        "is\t",
        "é",
        "🦀",
        "(",
        "A ",
        "(A",
        "answer is ",
        "option ",
        "1/",
        r"\frac{",
        "%",
        r"\left",
    ] {
        let filling = repeat(filling);
        for completion in [
            filling.clone(),
            format!("<think>{filling}"),
            format!(r"<think>{filling}</think> \boxed{{7}}"),
            format!(r"<think></think>\boxed{{{filling}}}"),
        ] {
            for truth in ["7", "A", "red"] {
                score(&completion, truth);
                stated_choice(&completion, &[truth, "red", "blue"]);
            }
        }
        assert!(!is_correct("7", &filling), "an endless ground truth equals nothing");
    }
}

/// `examples/fuzz.rs` does this for millions of texts.
#[test]
fn formulas_that_nobody_would_write_are_judged() {
    let corpus =
        ["$\\frac{1}{2}x^2 - \\sqrt[3]{8}$", "\\boxed{(1,2) \\cup [3,\\infty)}", "The answer is $x = 3 \\pm 2$."];
    let mut inputs = Inputs::new(1, corpus.map(str::to_owned).into());
    for i in 0..20_000 {
        let (truth, answer) = (inputs.text(), inputs.text());
        let rule = [Rule::MATH_VERIFY, Rule::Mathruler, Rule::MathVision, Rule::Hendrycks, Rule::Gsm8k][i % 5];
        let judgement = rule.judge(&truth, &answer);
        assert_eq!(judgement, rule.judge(&truth, &answer));
    }
}

#[test]
fn no_box_equals_no_truth() {
    for completion in
        ["", "None", "the answer is 7", r"\boxed{}", r"\boxed{ }", r"\boxed{\text{}}", r"\boxed{$$}", r"\boxed{7"]
    {
        for truth in ["", " ", "None", "none", "7", "A", "{}", "$$"] {
            assert_eq!(score(completion, truth).part("accuracy"), Some(0.0), "{completion:?} for {truth:?}");
        }
    }
}
