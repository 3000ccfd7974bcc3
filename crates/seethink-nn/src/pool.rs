//! The threads that compute.

use burn::tensor::Device;
use std::sync::atomic::{AtomicBool, Ordering};

/// Runs `f` on a thread of rayon's pool if the device is the processor, so that the operators in it
/// share their work with the other threads at once.
///
/// From outside of the pool each operator would wake it and wait for it, and between operators its
/// threads would fall asleep; both take longer than a small operator. Therefore `f` runs on one of
/// its threads, and the others look for work until `f` returns.
pub fn in_pool<R: Send>(device: &Device, f: impl FnOnce() -> R + Send) -> R {
    if device.clone().inner() != Device::flex() || rayon::current_thread_index().is_some() {
        return f();
    }
    let returned = AtomicBool::new(false);
    rayon::scope(|scope| {
        // Set even if `f` panics.
        let _guard = SetOnDrop(&returned);
        for _ in 1..rayon::current_num_threads() {
            let main = rayon::current_thread_index();
            let returned = &returned;
            scope.spawn(move |_| { if rayon::current_thread_index() != main { look_for_work(returned) } });
        }
        f()
    })
}

/// Does what others share until the flag is set.
fn look_for_work(returned: &AtomicBool) {
    while !returned.load(Ordering::Relaxed) {
        if rayon::yield_now() != Some(rayon::Yield::Executed) {
            std::hint::spin_loop();
        }
    }
}

struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
