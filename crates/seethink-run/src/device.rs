//! Compute devices by name, as in `--device`.

use burn::tensor::{Device, DeviceType, Devices};
use std::error::Error;

/// Backend that is compiled in.
struct Backend {
    name: &'static str,
    /// Default device, for a name without a number.
    default: fn() -> Device,
    list: fn() -> Devices,
}

/// Names of all backends, which are also the features that enable them.
const FEATURES: [&str; 7] = ["cuda", "metal", "rocm", "vulkan", "wgpu", "flex", "remote"];

/// Backends of this build, best first.
const LOCAL: &[Backend] = &[
    #[cfg(feature = "cuda")]
    Backend { name: "cuda", default: || Device::cuda(0), list: || Device::enumerate(DeviceType::Cuda) },
    #[cfg(feature = "metal")]
    Backend {
        name: "metal",
        default: || Device::metal(Default::default()),
        list: || Device::enumerate(DeviceType::Metal),
    },
    #[cfg(feature = "rocm")]
    Backend { name: "rocm", default: || Device::rocm(0), list: || Device::enumerate(DeviceType::Rocm) },
    #[cfg(feature = "vulkan")]
    Backend {
        name: "vulkan",
        default: || Device::vulkan(Default::default()),
        list: || Device::enumerate(DeviceType::Vulkan),
    },
    #[cfg(feature = "wgpu")]
    Backend {
        name: "wgpu",
        default: || Device::wgpu(Default::default()),
        list: || Device::enumerate(DeviceType::Wgpu),
    },
    #[cfg(feature = "flex")]
    Backend { name: "flex", default: Device::flex, list: || Device::enumerate(DeviceType::Flex) },
];

/// Errors of choosing a device by name.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// No backend has this name.
    #[error("there is no device `{name}`; expected `auto` or one of {} (compiled in: {})", list(&FEATURES), list(&backends()))]
    Unknown {
        /// Requested name.
        name: String,
    },
    /// The backend exists but is not part of this build.
    #[error(
        "device `{name}` is not compiled in; build with `--features {backend}`, or choose from what is: {}",
        list(&backends())
    )]
    NotCompiledIn {
        /// Requested name.
        name: String,
        /// The backend, which is also the feature to enable.
        backend: &'static str,
    },
    /// The part after the backend's name is malformed.
    #[error("`{name}` is not a device; expected {expected}")]
    Malformed {
        /// Requested name.
        name: String,
        /// Expected form of the name.
        expected: &'static str,
    },
    /// The backend is compiled in, but its hardware or driver is missing.
    #[error("there is no device `{name}` on this machine: `{backend}` finds {found}, counted from 0")]
    Absent {
        /// Requested name.
        name: String,
        /// The backend.
        backend: &'static str,
        /// Number of devices of this backend on this machine.
        found: usize,
    },
    /// `auto` finds no device.
    #[error("`auto` finds no device (compiled in: {}); build with `--features flex` for the CPU", list(&backends()))]
    NoDevice,
    /// The server of a remote device does not answer, or refuses the connection.
    #[error("cannot connect to the remote device {url}")]
    Connect {
        /// The server's address.
        url: String,
        /// Cause of the failure.
        source: Box<dyn Error + Send + Sync>,
    },
}

/// Names of the backends of this build, best first.
pub fn backends() -> Vec<&'static str> {
    let remote = cfg!(feature = "remote").then_some("remote");
    LOCAL.iter().map(|backend| backend.name).chain(remote).collect()
}

/// Device of this name: `auto`, a backend (`flex`, `cuda`, …), one of its devices (`cuda:1`), or
/// `remote:ws://host:port`.
///
/// `auto` selects the best backend of this build that finds a device on this machine.
///
/// # Errors
/// If the backend is unknown or not compiled in, or this machine has no such device; the message
/// lists the alternatives.
///
/// # Examples
/// ```
/// let device = seethink_run::device("auto")?;
/// assert!(seethink_run::device("cuda:x").is_err());
/// # Ok::<(), seethink_run::DeviceError>(())
/// ```
pub fn device(name: &str) -> Result<Device, DeviceError> {
    if name == "auto" {
        let found = LOCAL.iter().find(|backend| !(backend.list)().is_empty());
        return found.map(|backend| (backend.default)()).ok_or(DeviceError::NoDevice);
    }
    let (backend, which) = name.split_once(':').map_or((name, None), |(backend, which)| (backend, Some(which)));
    let Some(feature) = FEATURES.into_iter().find(|&feature| feature == backend) else {
        return Err(DeviceError::Unknown { name: name.to_owned() });
    };
    if feature == "remote" {
        let expected = "`remote:ws://host:port`";
        return match which {
            Some(url) if url.starts_with("ws://") => remote(name, url),
            _ => Err(DeviceError::Malformed { name: name.to_owned(), expected }),
        };
    }
    let index: Option<usize> = which.map(str::parse).transpose().map_err(|_| DeviceError::Malformed {
        name: name.to_owned(),
        expected: "the name of a backend, or that with a number as in `cuda:1`",
    })?;
    let Some(backend) = LOCAL.iter().find(|backend| backend.name == feature) else {
        return Err(DeviceError::NotCompiledIn { name: name.to_owned(), backend: feature });
    };
    let devices = (backend.list)();
    match index {
        None if !devices.is_empty() => Ok((backend.default)()),
        Some(index) if index < devices.len() => Ok(devices[index].clone()),
        _ => Err(DeviceError::Absent { name: name.to_owned(), backend: feature, found: devices.len() }),
    }
}

#[cfg(feature = "remote")]
fn remote(_name: &str, url: &str) -> Result<Device, DeviceError> {
    let host = burn::remote::RemoteHost::websocket(url);
    let connected = Device::remote_options(&host).init();
    connected.map_err(|source| DeviceError::Connect { url: url.to_owned(), source: Box::new(source) })
}

#[cfg(not(feature = "remote"))]
fn remote(name: &str, _url: &str) -> Result<Device, DeviceError> {
    Err(DeviceError::NotCompiledIn { name: name.to_owned(), backend: "remote" })
}

/// Formats a list as `a, b, c`, or `none`.
fn list(names: &[&str]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(name: &str) -> String {
        device(name).unwrap_err().to_string()
    }

    #[test]
    fn unknown_names_list_what_there_is() {
        let message = refusal("gpu:0");
        assert!(message.contains("`gpu:0`") && message.contains("auto") && message.contains("vulkan"), "{message}");
        assert!(message.contains(&backends().join(", ")), "{message}");
        assert!(refusal("").contains("there is no device ``"));
    }

    #[test]
    fn what_was_left_out_names_its_feature() {
        let missing = FEATURES.into_iter().filter(|feature| !backends().contains(feature));
        for feature in missing {
            let name = if feature == "remote" { "remote:ws://localhost:3000" } else { feature };
            let message = refusal(name);
            assert!(message.contains(&format!("--features {feature}")), "{message}");
            assert!(message.ends_with(&list(&backends())), "{message}");
        }
    }

    #[test]
    fn numbers_and_addresses_are_checked() {
        for name in ["flex:", "flex:one", "cuda:-1", "cuda:0:0"] {
            assert!(refusal(name).contains("`cuda:1`"), "{name}");
        }
        for name in ["remote", "remote:", "remote:host:3000", "remote:http://host:3000"] {
            assert!(refusal(name).contains("remote:ws://host:port"), "{name}");
        }
    }

    #[cfg(feature = "flex")]
    #[test]
    fn the_cpu_is_always_there_and_there_is_one() {
        assert_eq!(device("flex").unwrap(), Device::flex());
        assert_eq!(device("flex:0").unwrap(), Device::flex());
        let message = refusal("flex:1");
        assert!(message.contains("`flex` finds 1"), "{message}");
    }

    #[cfg(feature = "flex")]
    #[test]
    fn auto_takes_the_best_that_is_there() {
        let auto = device("auto").unwrap();
        let usable: Vec<Device> = backends().into_iter().filter_map(|name| device(name).ok()).collect();
        assert_eq!(auto, usable[0]);
    }

    #[cfg(feature = "remote")]
    #[test]
    fn a_server_that_is_not_there_is_an_error() {
        assert!(refusal("remote:ws://127.0.0.1:1").contains("ws://127.0.0.1:1"));
    }
}
