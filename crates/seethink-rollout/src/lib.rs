//! Generation: prefill, cached decode, batching, sampling, stopping.
