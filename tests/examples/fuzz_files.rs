//! Fuzzing of file formats: reads many slightly changed files: none may panic, and none may exceed
//! the memory bound of its kind.
//!
//! `cargo run --release -p seethink-tests --example fuzz_files -- 100000 [KIND [SEED [FIRST]]]`
//! The inputs from number FIRST on are fed; `1 KIND SEED NUMBER` feeds one again.

#[path = "../tests/fuzz/mod.rs"]
mod fuzz;

use fuzz::{Kind, counting::Counting, run};
use std::process::ExitCode;
use std::time::Instant;

/// Allocator that counts the memory that an input takes.
#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Maximum number of findings that are printed of each kind.
const SHOWN: usize = 10;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default: u64| arguments.get(at).and_then(|word| word.parse().ok()).unwrap_or(default);
    let (n, seed, first) = (number(0, 10_000) as usize, number(2, 0), number(3, 0) as usize);
    let wanted = arguments.get(1).filter(|name| *name != "all");
    let mut failed = false;
    println!("| kind | inputs | read | peak, MiB | bound, MiB | slowest, ms | findings | seconds |");
    println!("|---|---|---|---|---|---|---|---|");
    for kind in Kind::all().iter().filter(|kind| wanted.is_none_or(|name| name == kind.name)) {
        let begun = Instant::now();
        let outcome = run(kind, seed, first..first + n);
        let mib = |bytes: usize| bytes as f64 / f64::from(1 << 20);
        println!(
            "| {} | {} | {} | {:.1} | {} | {:.0} | {} | {:.0} |",
            kind.name,
            outcome.n,
            outcome.n_read,
            mib(outcome.peak.0),
            mib(kind.bound),
            outcome.slowest.0.as_secs_f64() * 1e3,
            outcome.findings.len(),
            begun.elapsed().as_secs_f64()
        );
        eprintln!("{}: most memory for input {}, most time for input {}", kind.name, outcome.peak.1, outcome.slowest.1);
        for (input, what) in outcome.findings.iter().take(SHOWN) {
            eprintln!("{}, input {input}: {what}", kind.name);
        }
        failed |= !outcome.findings.is_empty();
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
