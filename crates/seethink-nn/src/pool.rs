//! The threads that compute.

use crate::FastPath;
use burn::tensor::Device;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Longest time that [`in_pool`] waits for the threads of the pool to come.
const PATIENCE: Duration = Duration::from_millis(2);

/// True while a call of [`in_pool`] keeps the threads of the pool awake.
static KEPT_AWAKE: AtomicBool = AtomicBool::new(false);

/// Runs `f` on a thread of rayon's pool if the device is the processor, so that the operators in it
/// share their work with the other threads at once.
///
/// From outside of the pool each operator would wake it and wait for it, and between two operators
/// its threads would fall asleep; both take longer than a small operator. So `f` runs on one of its
/// threads, and the others look for work until `f` returns, at the price of their idle time.
pub fn in_pool<R: Send>(device: &Device, f: impl FnOnce() -> R + Send) -> R {
    let awake = device.clone().inner() == Device::flex() && FastPath::AwakeThreads.is_on();
    if !awake || rayon::current_thread_index().is_some() {
        return f();
    }
    let watch = Watch::default();
    rayon::scope(|scope| {
        let n_others = rayon::current_num_threads() - 1;
        // One call at a time, so that the threads of one never wait for those of another.
        if n_others == 0 || KEPT_AWAKE.swap(true, Ordering::Acquire) {
            return f();
        }
        // Ends the watch even if `f` panics.
        let _end = EndOfWatch(&watch);
        for _ in 0..n_others {
            scope.spawn(|_| watch.keep());
        }
        watch.begin(n_others);
        f()
    })
}

/// Threads that stay awake and look for work.
///
/// A thread may keep watch only beneath everything else that it does: above a share of `f`'s work
/// it would wait for `f`, and `f` for the share. So `f` begins when every other thread has come, and
/// as none of them does anything else until then, each has come once. If one does not come in time,
/// because it has other work, nobody keeps watch.
#[derive(Default)]
struct Watch {
    n_come: AtomicUsize,
    begun: AtomicBool,
    ended: AtomicBool,
}

impl Watch {
    /// Waits for the other threads.
    fn begin(&self, n_others: usize) {
        let since = Instant::now();
        while self.n_come.load(Ordering::Acquire) < n_others {
            if since.elapsed() > PATIENCE {
                self.ended.store(true, Ordering::Release);
                return;
            }
            std::hint::spin_loop();
        }
        self.begun.store(true, Ordering::Release);
    }

    /// Looks for work from the beginning to the end of the watch.
    fn keep(&self) {
        if self.ended.load(Ordering::Acquire) {
            return;
        }
        self.n_come.fetch_add(1, Ordering::AcqRel);
        while !self.ended.load(Ordering::Acquire) {
            let begun = self.begun.load(Ordering::Acquire);
            if !begun || rayon::yield_now() != Some(rayon::Yield::Executed) {
                std::hint::spin_loop();
            }
        }
    }
}

struct EndOfWatch<'a>(&'a Watch);

impl Drop for EndOfWatch<'_> {
    fn drop(&mut self) {
        self.0.ended.store(true, Ordering::Release);
        KEPT_AWAKE.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rayon::prelude::*;

    /// A sum that waits for shares of it at every level.
    fn sum(range: std::ops::Range<u64>) -> u64 {
        if range.end - range.start < 4 {
            return range.sum();
        }
        let middle = range.start + (range.end - range.start) / 2;
        let (a, b) = rayon::join(|| sum(range.start..middle), || sum(middle..range.end));
        a + b
    }

    #[test]
    fn calls_return_whoever_else_uses_the_pool() {
        let device = Device::flex();
        let expected: u64 = (0..5000).sum();
        // Several calls at once, and work in the pool beside them.
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| (0..200).for_each(|_| assert_eq!(in_pool(&device, || sum(0..5000)), expected)));
            }
            scope.spawn(|| (0..500).into_par_iter().for_each(|_| assert_eq!(sum(0..5000), expected)));
        });
        rayon::scope(|_| assert_eq!(in_pool(&device, || sum(0..5000)), expected));
    }

    #[test]
    fn a_panic_ends_the_watch() {
        let panicked = std::panic::catch_unwind(|| in_pool(&Device::flex(), || panic!("of the test")));
        assert!(panicked.is_err());
        assert_eq!(in_pool(&Device::flex(), || 3), 3);
    }
}
