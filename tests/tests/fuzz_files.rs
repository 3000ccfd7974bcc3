//! A few hundred changed files of every kind; `examples/fuzz_files.rs` does the same with many.
// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used)]

mod fuzz;

use fuzz::{Kind, counting::Counting, run};

/// What an input takes is counted.
#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One test, so that nothing else allocates meanwhile.
#[test]
fn changed_files_are_read_or_refused_within_bounds() {
    for kind in Kind::all() {
        let outcome = run(&kind, 17, 0..300);
        assert!(outcome.findings.is_empty(), "{}: {:?}", kind.name, outcome.findings);
        let share = outcome.n_read as f64 / outcome.n as f64;
        assert!((0.005..0.9).contains(&share), "{}: {share} were read, so that little was tried", kind.name);
    }
}
