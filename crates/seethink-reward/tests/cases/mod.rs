//! Answers graded by others, and how often our rules agree: shared by the test and by
//! `examples/conformance.rs`.

use seethink_core::{Capability, Problem, ProblemId};
use seethink_reward::{
    AnswerReward, Extractor, Format, MathVerify, Reward, Rule, choice_letter, is_think_tagged, last_boxed,
};
use serde_json::Value;
use std::collections::BTreeMap;

/// Tally of the cases of one rule and kind.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Number of cases.
    pub(crate) n: usize,
    /// Ids of wrong answers that are judged right.
    pub(crate) false_right: Vec<String>,
    /// Ids of right answers that are judged wrong, or given another score.
    pub(crate) missed: Vec<String>,
}

impl Tally {
    /// Share of cases that are judged as expected, percent.
    pub(crate) fn percent(&self) -> f64 {
        100.0 * (self.n - self.false_right.len() - self.missed.len()) as f64 / self.n.max(1) as f64
    }
}

/// Judges every case of a file in JSON lines; known defects of the originals are left out.
///
/// # Errors
/// If a line is no case, or its rule does not exist.
pub(crate) fn judge(lines: &str) -> Result<BTreeMap<String, Tally>, String> {
    let mut tallies = BTreeMap::<String, Tally>::new();
    for (number, line) in (1..).zip(lines.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        let at = |what: String| format!("line {number}: {what}");
        let case: Value = serde_json::from_str(line).map_err(|error| at(error.to_string()))?;
        if case["note"].as_str().is_some_and(|note| note.to_lowercase().contains("known defect")) {
            continue;
        }
        let agreement = agrees(&case).map_err(at)?;
        let text = |key: &str| case[key].as_str().unwrap_or("").to_owned();
        let exotic = if case["exotic"] == true { ", exotic" } else { "" };
        let tally = tallies.entry(format!("{}, {}{exotic}", text("rule"), text("kind"))).or_default();
        tally.n += 1;
        match agreement {
            Agreement::Yes => {}
            Agreement::FalseRight => tally.false_right.push(text("id")),
            Agreement::Missed => tally.missed.push(text("id")),
        }
    }
    Ok(tallies)
}

enum Agreement {
    Yes,
    FalseRight,
    Missed,
}

fn agrees(case: &Value) -> Result<Agreement, String> {
    let text = |key: &str| case[key].as_str().ok_or_else(|| format!("no text `{key}`"));
    let (rule, kind, gold, prediction) = (text("rule")?, text("kind")?, text("gold")?, text("prediction")?);
    let expected = &case["expected"];
    let right = match (rule, kind) {
        ("mathruler", "completion_boxed") => {
            Rule::MathrulerAsReleased.judge(gold, last_boxed(prediction).unwrap_or("None")).is_right()
        }
        ("mathruler", _) => Rule::MathrulerAsReleased.judge(gold, prediction).is_right(),
        ("hendrycks", _) => Rule::Hendrycks.judge(gold, prediction).is_right(),
        ("mathvision", _) => Rule::MathVision.judge(gold, prediction).is_right(),
        ("final number", _) => Rule::Gsm8k.judge(gold, prediction).is_right(),
        ("math-verify", _) => Rule::MathVerify(settings(&case["opts"])).judge(gold, prediction).is_right(),
        ("trl think_format_reward", _) => is_think_tagged(prediction),
        ("boxed-choice", _) => {
            let content = last_boxed(prediction);
            let choice = content.map_or("None".into(), |box_| choice_letter(box_).map_or(box_.into(), String::from));
            return Ok(if *expected == choice { Agreement::Yes } else { Agreement::Missed });
        }
        ("easyr1-math", _) => return Ok(scored(&math_reward(), gold, prediction, expected)),
        ("easyr1-r1v", _) => return Ok(scored(&r1v_reward(), gold, prediction, expected)),
        _ => return Err(format!("no rule `{rule}`")),
    };
    let expected = expected.as_bool().ok_or("`expected` is neither true nor false")?;
    Ok(match (right, expected) {
        (true, false) => Agreement::FalseRight,
        (false, true) => Agreement::Missed,
        _ => Agreement::Yes,
    })
}

/// Reward of EasyR1's `math.py`.
fn math_reward() -> AnswerReward {
    AnswerReward { rule: Rule::MathrulerAsReleased, ..AnswerReward::default() }
}

/// Reward of EasyR1's `r1v.py`.
fn r1v_reward() -> AnswerReward {
    AnswerReward {
        accuracy_weight: 0.5,
        format_weight: 0.5,
        format: Format::ThinkAnswer,
        answer: Extractor::AnswerTag,
        rule: Rule::MathrulerAsReleased,
        ..AnswerReward::default()
    }
}

fn scored(reward: &AnswerReward, gold: &str, prediction: &str, expected: &Value) -> Agreement {
    let problem = Problem {
        id: ProblemId(0),
        capability: Capability::TEXTUAL_REASONING,
        prompt: String::new(),
        images: vec![],
        answer: gold.into(),
        solution: None,
        pass_rate: None,
        source: String::new(),
        tags: Default::default(),
    };
    let score = reward.score(&problem, prediction.into());
    let expected = |key: &str| expected[key].as_f64().unwrap_or(f64::NAN) as f32;
    let same = score.part("format") == Some(expected("format"))
        && score.part("accuracy") == Some(expected("accuracy"))
        && (score.value - expected("overall")).abs() < 1e-6;
    match same {
        true => Agreement::Yes,
        false if score.part("accuracy") > Some(expected("accuracy")) => Agreement::FalseRight,
        false => Agreement::Missed,
    }
}

/// Settings of math-verify in a case.
fn settings(options: &Value) -> MathVerify {
    let usual = MathVerify::USUAL;
    let types = options["match_types"].as_array();
    let has = |name: &str, usual: bool| types.map_or(usual, |types| types.iter().any(|one| one == name));
    let flag = |name: &str, usual: bool| options[name].as_bool().unwrap_or(usual);
    MathVerify {
        latex: has("latex", usual.latex),
        plain: has("expr", usual.plain),
        places: options["precision"].as_u64().map_or(usual.places, |places| places as u32),
        strict: flag("strict", usual.strict),
        relations_as_sets: flag("allow_set_relation_comp", usual.relations_as_sets),
    }
}
