//! Every family against the reference implementation, quantity by quantity
//! (fixtures/models/README.md).

use seethink_tests::parity::{Settings, assert_parity};

#[test]
fn qwen2_5_vl() {
    assert_parity("qwen2_5_vl", &Settings::new());
}

#[test]
fn qwen3_vl() {
    assert_parity("qwen3_vl", &Settings::new());
}

#[test]
fn internvl3() {
    assert_parity("internvl3", &Settings::new());
}

#[test]
fn internvl3_5() {
    assert_parity("internvl3_5", &Settings::new());
}
