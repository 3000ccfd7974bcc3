//! Memory of loading a checkpoint: little more than that of the loaded model.
//!
//! A process of its own loads the checkpoint, so that its peak memory is that of loading. The model
//! has the proportions of a published one of 2 billion parameters: the embedding table, the largest
//! tensor, is a seventh of it. It takes more than a gigabyte in the format in which it is loaded.
//! Linux only: the figures are those of `/proc/self/status`.
#![cfg(target_os = "linux")]
// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used)]

use seethink::burn::module::Module;
use seethink::models::qwen3_vl::Qwen3VlConfig;
use seethink::models::{AnyBackbone, SaveOptions, WeightDtype};
use seethink::prelude::Device;
use serde_json::json;
use std::path::Path;
use std::process::Command;

/// The allocator of the programs.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Maximum ratio of the peak to the bytes of the loaded model: beside the model there is a strip of
/// one tensor, and the allocator rounds up.
const ALLOWED: f64 = 1.15;

/// Environment variables of the other process: folder of the checkpoint, and format in which it is
/// loaded.
const FOLDER: &str = "SEETHINK_TEST_CHECKPOINT";
const DTYPE: &str = "SEETHINK_TEST_DTYPE";

/// Configuration of a model with 290 million parameters, or twice as many.
fn config(n_layers: usize) -> Qwen3VlConfig {
    let config = json!({
        "model_type": "qwen3_vl", "image_token_id": 1, "tie_word_embeddings": true,
        "text_config": {
            "vocab_size": 24576, "hidden_size": 1536, "intermediate_size": 4608, "num_hidden_layers": n_layers,
            "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 96,
            "rope_theta": 1e4, "rope_scaling": {"rope_type": "default", "mrope_section": [24, 12, 12]}
        },
        "vision_config": {
            "depth": 2, "hidden_size": 256, "intermediate_size": 512, "num_heads": 4, "num_position_embeddings": 256,
            "out_hidden_size": 1536, "deepstack_visual_indexes": [0]
        }
    });
    Qwen3VlConfig::from_json(config).unwrap()
}

/// Value of a line of `/proc/self/status`, bytes.
fn status(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[test]
#[ignore = "the other test runs it in a process of its own"]
fn load() {
    let folder = std::env::var(FOLDER).unwrap();
    let dtype: WeightDtype = std::env::var(DTYPE).unwrap().parse().unwrap();
    let before = status("VmRSS");
    let model = AnyBackbone::from_pretrained_as(Path::new(&folder), dtype, &Device::default()).unwrap();
    let peak = status("VmHWM") - before;
    let left = status("VmRSS") - before;
    println!("peak {peak} left {left} model {}", dtype.size() * model.num_params());
}

#[test]
fn loading_takes_little_more_than_the_model() {
    for (n_layers, stored, loaded, sharded) in
        [(9, "f32", "f32", false), (19, "bf16", "bf16", true), (9, "bf16", "f32", false)]
    {
        let dir = tempfile::tempdir().unwrap();
        let max_shard_bytes = if sharded { 200_000_000 } else { u64::MAX };
        let options = SaveOptions { dtype: Some(stored.parse().unwrap()), max_shard_bytes };
        config(n_layers).init_seeded(1, &Device::default()).save_pretrained_with(dir.path(), options).unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["load", "--exact", "--ignored", "--nocapture"]).env(FOLDER, dir.path()).env(DTYPE, loaded);
        let printed = String::from_utf8(command.output().unwrap().stdout).unwrap();
        let figure = |name: &str| -> f64 {
            let mut words = printed.split_whitespace().skip_while(|word| *word != name);
            words.nth(1).unwrap_or_else(|| panic!("no {name} in {printed:?}")).parse().unwrap()
        };
        let (peak, left, size) = (figure("peak"), figure("left"), figure("model"));
        assert!(size > 1e9, "the model has {size} bytes only");
        println!("{stored} as {loaded}: {:.0} MB, peak {:.3} of it, left {:.3}", size / 1e6, peak / size, left / size);
        // Below the model itself the figure would be wrong.
        assert!((1.0..ALLOWED).contains(&(peak / size)), "{stored} as {loaded}: {:.3}", peak / size);
    }
}
