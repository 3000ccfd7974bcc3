//! Staged GRPO of an InternVL3 on real handwritten digits: base, perception, textual reasoning, visual reasoning.
//!
//! `cargo run --release --example staged_internvl3` needs no argument and no network.

use experiments::job;
use seethink::config::BaseFamily;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<()> {
    job::program(BaseFamily::InternVl3)
}
