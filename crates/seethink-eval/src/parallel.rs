//! Parallel requests.

use std::panic::resume_unwind;
use std::thread::{self, ScopedJoinHandle};

/// Maps every item on a thread of its own and returns the results in the order of the items: for
/// requests, which wait most of the time.
pub(crate) fn in_parallel<T: Sync, R: Send>(items: &[T], map: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let map = &map;
    thread::scope(|scope| {
        let threads: Vec<_> = items.iter().map(|item| scope.spawn(move || map(item))).collect();
        let join = |thread: ScopedJoinHandle<'_, R>| thread.join().unwrap_or_else(|panic| resume_unwind(panic));
        threads.into_iter().map(join).collect()
    })
}
