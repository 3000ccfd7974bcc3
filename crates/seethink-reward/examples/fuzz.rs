//! Judges millions of texts that nobody would write, by every rule: none may panic, and none may take long.
//!
//! `cargo run --release -p seethink-reward --example fuzz -- 10000000 [SEED]`

#[path = "../tests/inputs/mod.rs"]
mod inputs;

use inputs::Inputs;
use seethink_reward::{Extractor, Rule};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

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
    let slowest = Mutex::new((Duration::ZERO, String::new()));
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
                    let mut inputs = Inputs::new(seed ^ (i as u64) << 20, corpus.clone_from_index(i));
                    let (truth, answer) = (inputs.text(), inputs.text());
                    let answer = if i % 5 == 0 { truth.clone() } else { answer };
                    let rule = RULES[i % RULES.len()];
                    let timed = || {
                        let start = Instant::now();
                        let judgement = rule.judge(&truth, &answer);
                        (start.elapsed(), judgement)
                    };
                    let (mut time, judgement) = timed();
                    if time > Duration::from_micros(500) {
                        // Other programs take their turns too.
                        time = (0..4).map(|_| timed().0).min().map_or(time, |again| again.min(time));
                    }
                    let n_found = EXTRACTORS.iter().filter(|extractor| extractor.find(&answer).is_some()).count();
                    assert!(n_found <= EXTRACTORS.len());
                    n_right.fetch_add(usize::from(judgement.is_right()), Ordering::Relaxed);
                    let mut slowest = slowest.lock().unwrap_or_else(PoisonError::into_inner);
                    if time > slowest.0 {
                        *slowest = (time, format!("{rule} {truth:?} {answer:?}"));
                    }
                }
            });
        }
    });
    let (time, input) = slowest.into_inner().unwrap_or_else(PoisonError::into_inner);
    println!(
        "{n} inputs in {:.0} s, {} right; the slowest took {time:?}: {input}",
        begun.elapsed().as_secs_f64(),
        n_right.load(Ordering::Relaxed)
    );
}

/// A few answers of a corpus, so that not all of it is copied.
trait Few {
    fn clone_from_index(&self, i: usize) -> Vec<String>;
}

impl Few for Vec<String> {
    fn clone_from_index(&self, i: usize) -> Vec<String> {
        (0..3).filter_map(|n| self.get((i * 7 + n * 131) % self.len().max(1)).cloned()).collect()
    }
}
