//! The parity tests on backends other than `flex`, which all other tests run on.
//!
//! `cargo test --release -p seethink-tests --features remote --test backends`: every operation goes over a connection on
//! loopback to a server whose device is `flex`, and comes back.
#![cfg(feature = "remote")]

use seethink::burn::server::{RemoteServer, WebSocketTransport};
use seethink::burn::tensor::Device;
use seethink_tests::parity::{self, Settings};
use std::net::TcpListener;
use std::path::Path;
use std::sync::OnceLock;

/// A device behind a server that runs as long as the test.
fn remote() -> Device {
    static ADDRESS: OnceLock<String> = OnceLock::new();
    let address = ADDRESS.get_or_init(|| {
        // Bound before anyone connects, on a port that is free.
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = format!("ws://{}", listener.local_addr().expect("it is bound"));
        std::thread::spawn(move || {
            let served = RemoteServer::new([Device::flex()]).serve(WebSocketTransport::from_listener(listener));
            eprintln!("the server ended: {served:?}");
        });
        address
    });
    seethink::device(&format!("remote:{address}")).expect("the server is up")
}

fn check(family: &str) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/models").join(family);
    let settings = Settings { device: remote(), ..Settings::new() };
    let table = parity::compare(&dir, &settings).expect("the fixtures are whole");
    println!("{table}");
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
