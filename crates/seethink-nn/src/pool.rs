//! The threads that compute.

use burn::tensor::Device;

/// Runs `f` on a thread of rayon's pool if the device is the processor, so that the operators in it
/// share their work with the other threads at once: from outside, each would wake the pool and wait
/// for it, which takes longer than a small operator.
pub fn in_pool<R: Send>(device: &Device, f: impl FnOnce() -> R + Send) -> R {
    if device.clone().inner() == Device::flex() { rayon::scope(|_| f()) } else { f() }
}
