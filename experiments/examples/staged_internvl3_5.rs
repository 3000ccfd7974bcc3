//! Staged GRPO of an InternVL3.5 on real handwritten digits: base, perception, textual reasoning,
//! visual reasoning.
//!
//! `cargo run --release --example staged_internvl3_5` needs no argument and no network.

use experiments::program::program;
use seethink::run::config::BaseFamily;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<()> {
    program(BaseFamily::InternVl3_5)
}
