//! The parity tests, the operators of the layers and sampling on backends other than `flex`, which
//! all other tests run on.
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

/// Shared with the tests of the layers themselves, which compare formats.
#[path = "../../crates/seethink-nn/src/properties/cases.rs"]
mod cases;

use seethink::burn::server::{RemoteServer, WebSocketTransport};
use seethink::burn::tensor::{Device, DeviceType};
use seethink::nn as layers;
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

/// Completions that are sampled on the device against those that `flex` samples on the host.
mod rollouts {
    use super::{Settings, remote, say_that_nothing_ran, webgpu};
    use seethink::burn::tensor::Device;
    use seethink::core::{Completion, Purpose};
    use seethink::rollout::{DrawKey, Generator, Prompt, PromptFormat, Sampling};
    use seethink_tests::tiny;

    #[test]
    fn over_a_connection() {
        assert_same(&remote());
    }

    #[test]
    fn in_wgsl() {
        match webgpu() {
            Some(settings) => assert_same(&settings),
            None => say_that_nothing_ran("rollouts::in_wgsl"),
        }
    }

    fn assert_same(settings: &Settings) {
        let plain = Sampling::plain(12);
        let of_few = Sampling { temperature: 0.7, top_p: 0.8, top_k: 20, ..plain };
        for sampling in [plain, of_few, Sampling { repetition_penalty: 1.3, ..of_few }] {
            let (found, expected) = (completions(sampling, &settings.device), completions(sampling, &Device::flex()));
            assert!(expected.iter().any(|completion| completion.tokens != expected[0].tokens), "nothing was drawn");
            for (found, expected) in found.iter().zip(&expected) {
                assert_eq!(found.tokens, expected.tokens, "{sampling:?}");
                for (found, expected) in found.log_probs.iter().zip(&expected.log_probs) {
                    assert!((found - expected).abs() <= 1e-5 * settings.slack as f32, "{found}, not {expected}");
                }
            }
        }
    }

    /// Three completions each of a problem of every capability.
    fn completions(sampling: Sampling, device: &Device) -> Vec<Completion> {
        let (model, processor) = (tiny::config(1072, 32).init_seeded(1, device), tiny::processor());
        let format = PromptFormat { system: None, suffix: String::new() };
        let problems = tiny::problems(1);
        let inputs = format.encode_all(&processor, &problems.iter().collect::<Vec<_>>()).unwrap();
        let prompts: Vec<_> =
            problems.iter().zip(&inputs).map(|(problem, input)| Prompt::new(problem.id, input)).collect();
        let generator = Generator { model: &model, processor: &processor, sampling, max_batch: 64 };
        let key = DrawKey { seed: 1, purpose: Purpose::Rollout, step: 0 };
        let groups = generator.generate(&prompts, 3, key, &mut |_, _| true).unwrap().groups;
        groups.into_iter().flat_map(|group| group.completions).collect()
    }
}

/// The operators of the layers against those of `flex`, which are fused.
mod operators {
    use super::cases::{Sizes, cases};
    use super::{Settings, layers, remote, say_that_nothing_ran, webgpu};
    use layers::{CacheShape, HeadShape, KvCache};
    use seethink::burn::tensor::{DType, Device, Int, Tensor, TensorData};

    #[test]
    fn over_a_connection() {
        assert_same(&remote());
    }

    #[test]
    fn in_wgsl() {
        match webgpu() {
            Some(settings) => assert_same(&settings),
            None => say_that_nothing_ran("operators::in_wgsl"),
        }
    }

    fn assert_same(settings: &Settings) {
        for case in cases(Sizes { batch: 2, seq: 5, d: 4 }) {
            let run = |device: &Device| {
                let device = device.clone().autodiff();
                let x: Vec<Tensor<2>> = case.shapes.iter().map(|&shape| wave(shape, &device).require_grad()).collect();
                let y = case.run(&x);
                let gradients = (y.clone() * wave(y.dims(), &device)).sum().backward();
                let gradients = x.iter().map(|x| values(x.grad(&gradients).expect("every argument has a gradient")));
                [vec![values(y)], gradients.collect()].concat()
            };
            let outputs = run(&settings.device).into_iter().zip(run(&Device::flex()));
            for (index, (found, expected)) in outputs.enumerate() {
                close(&format!("output or gradient {index} of {}", case.name), &found, &expected, settings);
            }
        }
        close("cached attention", &cached(&settings.device), &cached(&Device::flex()), settings);
    }

    /// What the tokens of a prompt and of two branches see by a cache.
    fn cached(device: &Device) -> Vec<f32> {
        let heads = HeadShape { n_heads: 4, n_kv_heads: 2, d: 4 };
        let shape = CacheShape { n_layers: 1, batch: 2, heads, max_seq: 8 };
        let mut cache = KvCache::new(shape, DType::F32, device);
        let read = |cache: &mut KvCache, segments: Tensor<2, Int>| {
            let [batch, seq] = segments.dims();
            let mask = cache.extend(segments);
            values(cache.attend(0, wave([batch, seq, heads.width()], device), &mask))
        };
        let mut seen = read(&mut cache, Tensor::from_ints([[-1, 0, 0], [0, 0, 0]], device));
        // What padding sees is undefined.
        seen.drain(..heads.n_heads * heads.d);
        cache.select(&[1, 0, 1]);
        [seen, read(&mut cache, Tensor::zeros([3, 2], device)), read(&mut cache, Tensor::zeros([3, 1], device))]
            .concat()
    }

    /// Numbers between −2 and 2.
    fn wave<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
        let numbers: Vec<f32> =
            (0..shape.iter().product()).map(|i: usize| 2.0 * (i as f32 * 1.7 + 0.3).sin()).collect();
        Tensor::from_data(TensorData::new(numbers, shape), (device, DType::F32))
    }

    fn values<const D: usize>(x: Tensor<D>) -> Vec<f32> {
        x.try_into_vec_as().expect("in f32")
    }

    fn close(what: &str, found: &[f32], expected: &[f32], settings: &Settings) {
        assert_eq!(found.len(), expected.len(), "{what}");
        let scale = expected.iter().fold(1.0f32, |max, x| max.max(x.abs()));
        let tolerance = 1e-5 * settings.slack as f32 * scale;
        for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
            assert!((found - expected).abs() <= tolerance, "{what} at {at}: {found} instead of {expected}");
        }
    }
}
