//! Staged GRPO of a Qwen2.5-VL on real handwritten digits: base, perception, textual reasoning,
//! visual reasoning.
//!
//! `cargo run --release --example staged_qwen2_5` needs no argument and no network.

use experiments::program::program;
use seethink::run::config::BaseFamily;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<()> {
    program(BaseFamily::Qwen2_5Vl)
}
