//! Fuzzing of the rules: judges millions of malformed texts by every rule: none may panic, and none
//! may take long.
//!
//! `cargo run --release -p seethink-reward --example fuzz -- 10000000 [SEED]`

#[path = "../tests/inputs/mod.rs"]
mod inputs;

use inputs::Inputs;
use seethink_reward::{Extractor, Judgement, Rule};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Number of slowest inputs that are kept, and printed of these.
const KEPT: usize = 50;
const SHOWN: usize = 5;
const RULES: [Rule; 9] = [
    Rule::MATH_VERIFY,
    Rule::Mathruler,
    Rule::MATH_VERIFY,
    Rule::MathVision,
    Rule::MATH_VERIFY,
    Rule::Hendrycks,
    Rule::Gsm8k,
    Rule::Choice,
    Rule::Light,
];
const EXTRACTORS: [Extractor; 6] = [
    Extractor::Boxed,
    Extractor::AnyBox,
    Extractor::AnswerTag,
    Extractor::Phrase,
    Extractor::FinalNumber,
    Extractor::ChoiceLetter,
];

fn main() {
    let mut arguments = std::env::args().skip(1).map(|word| word.parse::<usize>());
    let n = arguments.next().and_then(Result::ok).unwrap_or(1_000_000);
    let seed = arguments.next().and_then(Result::ok).unwrap_or(0) as u64;
    let cases = include_str!("../tests/fixtures/grader.jsonl").lines();
    let cases: Vec<serde_json::Value> = cases.filter_map(|line| serde_json::from_str(line).ok()).collect();
    let corpus: Vec<String> = cases
        .iter()
        .flat_map(|case| ["gold", "prediction"].map(|key| case[key].as_str().unwrap_or("").to_owned()))
        .filter(|text| text.len() < 400)
        .collect();
    let (next, n_right) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let slowest = Mutex::new(Vec::<(Duration, Rule, String, String)>::new());
    let begun = Instant::now();
    let n_threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..n_threads {
            scope.spawn(|| {
                loop {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    if i >= n {
                        break;
                    }
                    // A few answers of the corpus, not a copy of all.
                    let few = (0..3).map(|n| corpus[(i * 7 + n * 131) % corpus.len()].clone());
                    let mut inputs = Inputs::new(seed ^ (i as u64) << 20, few.collect());
                    let (truth, answer) = (inputs.text(), inputs.text());
                    let answer = if i % 5 == 0 { truth.clone() } else { answer };
                    let rule = RULES[i % RULES.len()];
                    let (mut time, judgement) = timed(&rule, &truth, &answer);
                    if time > Duration::from_micros(500) {
                        let again = (0..4).map(|_| timed(&rule, &truth, &answer).0);
                        time = again.min().map_or(time, |again| again.min(time));
                    }
                    for extracted in EXTRACTORS.iter().filter_map(|extractor| extractor.find(&answer)) {
                        assert!(answer[extracted.at..].starts_with(extracted.text));
                    }
                    n_right.fetch_add(usize::from(judgement.is_right()), Ordering::Relaxed);
                    let mut slowest = slowest.lock().unwrap_or_else(PoisonError::into_inner);
                    if slowest.len() < KEPT || slowest.last().is_some_and(|last| time > last.0) {
                        slowest.push((time, rule, truth, answer));
                        slowest.sort_by_key(|one| std::cmp::Reverse(one.0));
                        slowest.truncate(KEPT);
                    }
                }
            });
        }
    });
    println!("{n} inputs in {:.0} s, {} right", begun.elapsed().as_secs_f64(), n_right.load(Ordering::Relaxed));
    // Measured again, when nothing else of ours runs: other programs may have taken their turns
    // before.
    let slowest = slowest.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter();
    let again = |(first, rule, truth, answer): (Duration, Rule, String, String)| {
        let time = (0..20).map(|_| timed(&rule, &truth, &answer).0).min().map_or(first, |again| again.min(first));
        (time, format!("{rule} {truth:?} {answer:?}"))
    };
    let mut slowest: Vec<_> = slowest.map(again).collect();
    slowest.sort_by(|one, other| other.cmp(one));
    slowest.iter().take(SHOWN).for_each(|(time, input)| println!("{time:?} {input}"));
}

fn timed(rule: &Rule, truth: &str, answer: &str) -> (Duration, Judgement) {
    let start = Instant::now();
    let judgement = rule.judge(truth, answer);
    (start.elapsed(), judgement)
}
