//! A few hundred changed files of every kind; `examples/fuzz_files.rs` does the same with many.
// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used)]

mod fuzz;

use fuzz::{Kind, counting::Counting, run};

/// Allocator that counts the memory that an input takes.
#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Inputs that failed once: kind, seed and number.
const FOUND: [(&str, u64, usize); 5] =
    [("parquet", 1, 1799), ("parquet", 1, 2706), ("parquet", 1, 3887), ("images", 1, 7204), ("images", 1, 42_481)];

/// One test, so that nothing else allocates meanwhile.
#[test]
fn changed_files_are_read_or_refused_within_bounds() {
    for kind in Kind::all() {
        for (_, seed, number) in FOUND.iter().filter(|(name, ..)| *name == kind.name) {
            let outcome = run(&kind, *seed, *number..number + 1);
            assert!(outcome.findings.is_empty(), "{}: {:?}", kind.name, outcome.findings);
        }
        let outcome = run(&kind, 17, 0..300);
        assert!(outcome.findings.is_empty(), "{}: {:?}", kind.name, outcome.findings);
        let share = outcome.n_read as f64 / outcome.n as f64;
        assert!((0.005..0.9).contains(&share), "{}: {share} were read, so that little was tried", kind.name);
    }
}
