//! Conformance of the rules: judges answers graded by others and prints how often ours agree:
//! `cargo xtask conformance grader`.

#[path = "../tests/cases/mod.rs"]
mod cases;

use std::process::ExitCode;

fn main() -> ExitCode {
    let path = std::env::args()
        .nth(1)
        .unwrap_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/grader.jsonl").into());
    let tallies =
        std::fs::read_to_string(&path).map_err(|error| error.to_string()).and_then(|lines| cases::judge(&lines));
    match tallies {
        Ok(tallies) => {
            println!("{:<36} {:>6} {:>9} {:>12} {:>7}", "rule, kind", "cases", "agreed", "false right", "missed");
            for (name, tally) in &tallies {
                let percent = format!("{:.1} %", tally.percent());
                println!(
                    "{name:<36} {:>6} {percent:>9} {:>12} {:>7}",
                    tally.n,
                    tally.false_right.len(),
                    tally.missed.len()
                );
            }
            for (name, tally) in &tallies {
                for (what, ids) in [("false right", &tally.false_right), ("missed", &tally.missed)] {
                    ids.iter().for_each(|id| println!("{what}: {id} ({name})"));
                }
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{path}: {error}");
            ExitCode::FAILURE
        }
    }
}
