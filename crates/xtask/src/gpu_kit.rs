//! Kit for a machine that has a GPU and no network (docs/gpu.md), and the link of the main job with
//! CUDA.
//!
//! cubecl-cuda depends on a code generator whose build downloads LLVM. Both builds here put
//! `tests/gpu/cubecl-llvm` in its place and have kernels written in CUDA C++ instead; because that
//! changes manifests and `Cargo.lock`, they build a copy of the repository.

use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Maximum size of a kit, bytes.
const MAX_BYTES: u64 = 60_000_000;

/// Lines that the manifests of programs get, so that cubecl's own C++ generator is the one in use.
const CUDA_CPP: &str =
    "\n[dependencies.cubecl]\nversion = \"0.11.3\"\ndefault-features = false\nfeatures = [\"cuda-cpp\"]\n";

/// Files of a kit beside its program, or folders of them.
const CARRIED: &[&str] = &["tests/gpu/run.sh", "tests/perf/compare.py", "tests/fixtures/models/"];

/// Builds the kit in `out`, which is replaced; returns whether its build passed.
///
/// # Errors
/// If git, cargo or xz cannot be started, a file cannot be copied, or the kit is larger than it may
/// be.
pub(crate) fn kit(root: &Path, out: &Path) -> Result<bool> {
    let target = target(root)?;
    let example = ["build", "--release", "--package", "seethink-tests", "--example", "kit"];
    let stripped = ["--features", "cuda,vulkan", "--config", "profile.release.debug=false"];
    if !build(root, &target, &[&example[..], &stripped, &["--config", "profile.release.strip=true"]].concat())? {
        return Ok(false);
    }
    let partial = out.with_extension("partial");
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    let mut bytes = 0;
    let carried = |file: &&PathBuf| CARRIED.iter().any(|place| file.starts_with(place));
    for file in files(root)?.iter().filter(carried) {
        let to = partial.join(file);
        fs::create_dir_all(to.parent().context("a file without a folder")?)?;
        bytes += fs::copy(root.join(file), &to).with_context(|| format!("cannot copy {}", file.display()))?;
    }
    let program = partial.join("kit.xz");
    let status = Command::new("xz")
        .args(["--compress", "--threads=0", "--stdout"])
        .arg(target.join("release/examples/kit"))
        .stdout(Stdio::from(fs::File::create(&program)?))
        .status()
        .context("cannot start `xz`, which compresses the program")?;
    ensure!(status.success(), "`xz` failed");
    let compressed = fs::metadata(&program)?.len();
    bytes += compressed;
    let size = format!("{:.1} MB, {:.1} MB of it the program", bytes as f64 / 1e6, compressed as f64 / 1e6);
    ensure!(bytes < MAX_BYTES, "the kit has {size}; expected less than {} MB", MAX_BYTES / 1_000_000);
    if out.exists() {
        fs::remove_dir_all(out)?;
    }
    fs::rename(&partial, out)?;
    println!("carry {} ({size}) and run there, for cuda or vulkan:", out.display());
    println!("    tests/gpu/run.sh --device cuda --out results");
    Ok(true)
}

/// Links the main job with CUDA, Vulkan and wgpu, without optimisation; returns whether that passed.
///
/// # Errors
/// If git or cargo cannot be started, or a file cannot be copied.
pub(crate) fn link(root: &Path) -> Result<bool> {
    let example = ["build", "--profile", "quick", "--example", "staged_qwen3"];
    build(root, &target(root)?, &[&example[..], &["--features", "cuda,vulkan,wgpu"]].concat())
}

/// Folder of the builds.
fn target(root: &Path) -> Result<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    Ok(std::path::absolute(target)?.join("gpu-kit-build"))
}

/// Runs cargo on a copy of the repository with the stand-in; returns whether it passed.
fn build(root: &Path, target: &Path, arguments: &[&str]) -> Result<bool> {
    let copy = target.join("tree");
    for file in files(root)? {
        let mut content = fs::read(root.join(&file)).with_context(|| format!("cannot read {}", file.display()))?;
        if ["tests/Cargo.toml", "experiments/Cargo.toml"].iter().any(|manifest| file == Path::new(manifest)) {
            content.extend_from_slice(CUDA_CPP.as_bytes());
        }
        let to = copy.join(&file);
        // What has not changed keeps its time, and is not compiled again.
        if fs::read(&to).is_ok_and(|old| old == content) {
            continue;
        }
        fs::create_dir_all(to.parent().context("a file without a folder")?)?;
        fs::write(&to, content).with_context(|| format!("cannot write {}", to.display()))?;
    }
    let status = Command::new("cargo")
        .args(arguments)
        .arg("--target-dir")
        .arg(target)
        .args(["--config", "patch.crates-io.cubecl-llvm.path=\"tests/gpu/cubecl-llvm\""])
        .current_dir(&copy)
        .status()
        .context("cannot start cargo")?;
    Ok(status.success())
}

/// Files of the repository as they are now, that git does not ignore.
fn files(root: &Path) -> Result<Vec<PathBuf>> {
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .context("cannot start git")?;
    ensure!(listed.status.success(), "git cannot list the files of {}", root.display());
    let names = String::from_utf8(listed.stdout).context("a file name is no UTF-8")?;
    let files = names.split_terminator('\0').map(PathBuf::from);
    Ok(files.filter(|file| root.join(file).is_file()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_carried_is_there() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let files = files(&root).unwrap();
        for place in CARRIED {
            assert!(files.iter().any(|file| file.starts_with(place)), "{place} is not there");
        }
        assert!(files.iter().any(|file| file == Path::new("tests/gpu/cubecl-llvm/Cargo.toml")));
        // The stand-in and the feature are of the version that the lock file has.
        let lock = fs::read_to_string(root.join("Cargo.lock")).unwrap();
        let stand_in = fs::read_to_string(root.join("tests/gpu/cubecl-llvm/Cargo.toml")).unwrap();
        for name in ["cubecl", "cubecl-llvm"] {
            assert!(lock.contains(&format!("name = \"{name}\"\nversion = \"0.11.3\"\n")), "{name} has changed");
        }
        assert!(stand_in.contains("version = \"0.11.3\"") && CUDA_CPP.contains("version = \"0.11.3\""));
    }
}
