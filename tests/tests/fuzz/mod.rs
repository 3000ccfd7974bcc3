//! Mutated files from outside: each is read or refused, without a panic and within a bound of
//! memory.

pub(crate) mod counting;
mod kinds;
mod mutate;

pub(crate) use kinds::Kind;

use seethink_core::{Purpose, Rng};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Outcome of many inputs of a kind.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Number of inputs.
    pub(crate) n: usize,
    /// Number of inputs that were read in spite of their changes.
    pub(crate) n_read: usize,
    /// Peak memory of an input in bytes, and the input's number.
    pub(crate) peak: (usize, usize),
    /// Longest time of an input, and the input's number.
    pub(crate) slowest: (Duration, usize),
    /// Failures, with the input's number.
    pub(crate) findings: Vec<(usize, String)>,
}

/// Message of the last panic.
static PANIC: Mutex<String> = Mutex::new(String::new());

/// Feeds the inputs with these numbers; each is a function of the seed and its number.
pub(crate) fn run(kind: &Kind, seed: u64, numbers: std::ops::Range<usize>) -> Outcome {
    std::panic::set_hook(Box::new(|panic| {
        *PANIC.lock().unwrap_or_else(PoisonError::into_inner) = panic.to_string();
    }));
    let mut outcome = Outcome::default();
    for number in numbers {
        let mut rng = Rng::new(seed, Purpose::World, &[kind.name.len() as u64, number as u64]);
        let input = kind.input(&mut rng);
        let begun = Instant::now();
        let (result, peak) = counting::peak_of(number, || catch_unwind(AssertUnwindSafe(|| kind.feed(&input))));
        outcome.n += 1;
        outcome.slowest = outcome.slowest.max((begun.elapsed(), number));
        outcome.peak = outcome.peak.max((peak, number));
        match result {
            Ok(read) => outcome.n_read += usize::from(read),
            Err(_) => {
                let message = PANIC.lock().unwrap_or_else(PoisonError::into_inner).clone();
                outcome.findings.push((number, message));
            }
        }
        if peak > kind.bound {
            outcome.findings.push((number, format!("took {peak} bytes, more than {}", kind.bound)));
        }
    }
    drop(std::panic::take_hook());
    outcome
}
