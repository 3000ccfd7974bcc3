//! Loading a checkpoint takes little more memory than the model that comes out of it.
//!
//! A process of its own loads the checkpoint, so that what it took at most is what loading took. The model has the
//! proportions of a published one of 2 billion parameters: the embedding table, the largest tensor, is a sixth of it.
//! Linux only: the figures are those of `/proc/self/status`.
#![cfg(target_os = "linux")]
// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used)]

use burn::module::Module;
use seethink::models::WeightDtype;
use seethink::models::qwen3_vl::{Qwen3Vl, Qwen3VlConfig};
use seethink::prelude::Device;
use serde_json::json;
use std::path::Path;
use std::process::Command;

/// The programs run with it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Peak over the bytes of the loaded model: one tensor is held twice at a time, and the allocator rounds up.
const ALLOWED: f64 = 1.3;

/// Where the other process finds the checkpoint.
const FOLDER: &str = "SEETHINK_TEST_CHECKPOINT";

/// 90 million parameters.
fn config() -> Qwen3VlConfig {
    let config = json!({
        "model_type": "qwen3_vl", "image_token_id": 1, "tie_word_embeddings": true,
        "text_config": {
            "vocab_size": 14336, "hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 6,
            "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 64,
            "rope_theta": 1e4, "rope_scaling": {"rope_type": "default", "mrope_section": [16, 8, 8]}
        },
        "vision_config": {
            "depth": 2, "hidden_size": 256, "intermediate_size": 512, "num_heads": 4, "num_position_embeddings": 256,
            "out_hidden_size": 1024, "deepstack_visual_indexes": [0]
        }
    });
    serde_json::from_value(config).unwrap()
}

/// A line of `/proc/self/status`, bytes.
fn status(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[test]
#[ignore = "the other test runs it in a process of its own"]
fn load() {
    let folder = std::env::var(FOLDER).unwrap();
    let before = status("VmRSS");
    let model = Qwen3Vl::from_pretrained(Path::new(&folder), &Device::default()).unwrap();
    let peak = status("VmHWM") - before;
    let left = status("VmRSS") - before;
    println!("peak {peak} left {left} model {}", 4 * model.num_params());
}

#[test]
fn loading_takes_little_more_than_the_model() {
    let dir = tempfile::tempdir().unwrap();
    let model = config().init_seeded(1, &Device::default());
    for dtype in [WeightDtype::F32, WeightDtype::Bf16] {
        model.save_pretrained_as(dir.path(), dtype).unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        let output = command.args(["load", "--exact", "--ignored", "--nocapture"]).env(FOLDER, dir.path()).output();
        let printed = String::from_utf8(output.unwrap().stdout).unwrap();
        let figure = |name: &str| -> f64 {
            let mut words = printed.split_whitespace().skip_while(|word| *word != name);
            words.nth(1).unwrap_or_else(|| panic!("no {name} in {printed:?}")).parse().unwrap()
        };
        let (peak, left, size) = (figure("peak"), figure("left"), figure("model"));
        assert!(size > 3e8, "the model has {size} bytes only");
        println!("{dtype:?}: {:.0} MB, peak {:.3} of it, left {:.3}", size / 1e6, peak / size, left / size);
        // Below the model itself the figure would be wrong.
        assert!((1.0..ALLOWED).contains(&(peak / size)), "{dtype:?}: {:.3}, allowed {ALLOWED}", peak / size);
    }
}
