//! Benchmark of judging: the graded answers of the fixture that are no longer than typical answers,
//! all of a rule in turn.
//!
//! `tests/parity/grader_speed.py` runs this and the originals on the same answers.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use seethink_reward::Rule;
use std::hint::black_box;

/// The allocator of the programs.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Maximum length of a typical answer, bytes.
const LONGEST: usize = 200;

fn judge(criterion: &mut Criterion) {
    let lines = include_str!("../tests/fixtures/grader.jsonl").lines();
    let cases: Vec<serde_json::Value> = lines.filter_map(|line| serde_json::from_str(line).ok()).collect();
    let mut group = criterion.benchmark_group("judge");
    for (name, theirs, rule) in
        [("mathruler", "mathruler", Rule::Mathruler), ("math_verify", "math-verify", Rule::MATH_VERIFY)]
    {
        let text = |case: &serde_json::Value, key: &str| case[key].as_str().unwrap_or("").to_owned();
        let answers: Vec<(String, String)> = cases
            .iter()
            .filter(|case| case["rule"] == theirs && case["kind"] != "completion_boxed")
            .map(|case| (text(case, "gold"), text(case, "prediction")))
            .filter(|(gold, prediction)| gold.len().max(prediction.len()) <= LONGEST)
            .collect();
        group.throughput(Throughput::Elements(answers.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                answers.iter().filter(|(gold, answer)| rule.judge(black_box(gold), answer).is_right()).count()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, judge);
criterion_main!(benches);
