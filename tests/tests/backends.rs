//! The parity tests on backends other than `flex`, which all other tests run on.
//!
//! `cargo test --release -p seethink-tests --features remote --test backends`: every operation goes over a connection on
//! loopback to a server whose device is `flex`, and comes back.
#![cfg(feature = "remote")]

use seethink::burn::server::{RemoteServer, WebSocketTransport};
use seethink::burn::tensor::Device;
use seethink_tests::parity::{Settings, assert_parity};
use std::net::TcpListener;
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

fn settings() -> Settings {
    Settings { device: remote(), ..Settings::new() }
}

#[test]
fn qwen2_5_vl() {
    assert_parity("qwen2_5_vl", &settings());
}

#[test]
fn qwen3_vl() {
    assert_parity("qwen3_vl", &settings());
}

#[test]
fn internvl3() {
    assert_parity("internvl3", &settings());
}

#[test]
fn internvl3_5() {
    assert_parity("internvl3_5", &settings());
}
