//! Staged GRPO of a Qwen3-VL on real handwritten digits: base, perception, textual reasoning,
//! visual reasoning.
//!
//! `cargo run --release --example staged_qwen3` needs no argument and no network.

use experiments::program::program;
use seethink::run::config::BaseFamily;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<()> {
    program(BaseFamily::Qwen3Vl)
}
