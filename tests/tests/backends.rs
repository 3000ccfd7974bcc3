//! The parity tests on backends other than `flex`, which all other tests run on.
//!
//! `cargo test --release -p seethink-tests --features remote,webgpu --test backends`
//!
//! - remote: every operation goes over a connection on loopback to a server whose device is `flex`,
//!   and comes back. The
//!   tolerances are those of `flex`.
//! - webgpu: kernels in WGSL on the machine's graphics device; Mesa's software driver will do. Sums
//!   are done in another order and functions are less exact, so tolerances are thirty times as
//!   wide. Without any driver there is nothing to test, which fails only where the environment has
//!   `SEETHINK_WEBGPU=required`, as CI does.

use seethink::burn::server::{RemoteServer, WebSocketTransport};
use seethink::burn::tensor::{Device, DeviceType};
use seethink_tests::parity::{Settings, assert_parity};
use std::io::Write;
use std::net::TcpListener;
use std::sync::OnceLock;

/// Settings for a device behind a server that runs as long as the test.
fn remote() -> Settings {
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
    Settings {
        device: seethink::run::device(&format!("remote:{address}")).expect("the server is up"),
        ..Settings::new()
    }
}

/// Settings for a device that computes in WGSL, if there is a driver.
fn webgpu() -> Option<Settings> {
    if Device::enumerate(DeviceType::Wgpu).is_empty() {
        let required = std::env::var("SEETHINK_WEBGPU").is_ok_and(|value| value == "required");
        assert!(!required, "no graphics driver; Mesa's is mesa-vulkan-drivers in Debian");
        return None;
    }
    Some(Settings { device: Device::wgpu(Default::default()), slack: 30.0, ..Settings::new() })
}

/// Reports on the terminal that a test passes without having tested anything. The harness shows
/// what tests print only if they fail, but always shows what is written to the standard error
/// stream itself.
fn say_that_nothing_ran(test: &str) {
    let line =
        format!("{test} ran on nothing: there is no graphics driver (SEETHINK_WEBGPU=required makes that a failure)\n");
    std::io::stderr().write_all(line.as_bytes()).expect("the standard error stream is open");
}

macro_rules! families {
    ($($family:ident)*) => {$(
        mod $family {
            #[test]
            fn over_a_connection() {
                super::assert_parity(stringify!($family), &super::remote());
            }

            #[test]
            fn in_wgsl() {
                match super::webgpu() {
                    Some(settings) => super::assert_parity(stringify!($family), &settings),
                    None => super::say_that_nothing_ran(concat!(stringify!($family), "::in_wgsl")),
                }
            }
        }
    )*};
}

families! { qwen2_5_vl qwen3_vl internvl3 internvl3_5 }
