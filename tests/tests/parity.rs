//! Every family against the reference implementation, quantity by quantity (fixtures/models/README.md).

use seethink_tests::parity::{self, Settings};
use std::path::Path;

/// Rows that a folder must have; a family may have more.
const QUANTITIES: [&str; 28] = [
    "resized pictures, 8 bits",
    "image token counts",
    "image grids",
    "pixel values",
    "pixel values on white",
    "pixel values in a batch",
    "rendered prompts",
    "token ids of prompts",
    "expanded prompts",
    "grids in prompts",
    "positions",
    "tokens of texts",
    "texts of tokens",
    "vision encoder per block",
    "image features",
    "hidden states per layer",
    "after the final norm",
    "logits",
    "log-sum-exp of the logits",
    "most likely tokens",
    "log-probabilities of next tokens",
    "greedy tokens",
    "log-probabilities of greedy tokens",
    "cached decoding against one pass",
    "loss",
    "gradients",
    "parameter norms after AdamW",
    "bytes of saved tensors",
];

fn check(family: &str) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/models").join(family);
    let table = parity::compare(&dir, &Settings::new()).expect("the fixtures are whole");
    println!("{table}");
    for quantity in QUANTITIES {
        assert!(table.row(quantity).is_some_and(|row| row.n > 0), "{quantity} was not compared");
    }
    let failed: Vec<_> = table.rows.iter().filter(|row| !row.pass).collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn qwen2_5_vl() {
    check("qwen2_5_vl");
}

#[test]
fn qwen3_vl() {
    check("qwen3_vl");
}

#[test]
fn internvl3() {
    check("internvl3");
}

#[test]
fn internvl3_5() {
    check("internvl3_5");
}
