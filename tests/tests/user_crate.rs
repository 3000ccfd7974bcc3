//! Test of a crate that depends on `seethink` alone: built outside of the workspace, it trains to a
//! report.
// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::Command;

/// Copies a folder.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

#[test]
fn a_crate_with_its_own_curriculum_reward_and_problems_trains_to_a_report_in_under_60_lines() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let fixture = repository.join("tests/fixtures/user_crate");
    assert!(fs::read_to_string(fixture.join("src/main.rs")).unwrap().lines().count() < 60);
    let manifest = fs::read_to_string(fixture.join("Cargo.toml")).unwrap();
    let dependencies = manifest.split("[dependencies]").nth(1).unwrap().lines().filter(|line| line.contains('='));
    assert_eq!(dependencies.count(), 1, "{manifest}");

    // In the same place every time, and with the versions and the target folder of the workspace,
    // so that no dependency is compiled again.
    let temporary = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let package = temporary.join("user_crate");
    let _ = fs::remove_dir_all(&package);
    copy(&fixture, &package);
    let absolute = repository.join("crates/seethink").display().to_string();
    let mut manifest = manifest.replace("../../../crates/seethink", &absolute);
    // Cargo compiles the crates of a path again for each workspace: here without optimisation, as they
    // run for two steps.
    for entry in fs::read_dir(repository.join("crates")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if !["seethink-cli", "xtask"].contains(&&*name) {
            manifest += &format!("\n[profile.release.package.{name}]\nopt-level = 0\n");
        }
    }
    fs::write(package.join("Cargo.toml"), manifest).unwrap();
    fs::copy(repository.join("Cargo.lock"), package.join("Cargo.lock")).unwrap();
    let mut cargo = Command::new(env!("CARGO"));
    // Some build scripts run again where the variables of a package differ, as they do in a test.
    let of_package = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in std::env::vars().filter(|(name, _)| of_package(name)) {
        cargo.env_remove(name);
    }
    let status = cargo
        .args(["run", "--offline", "--release", "--"])
        .arg(repository.join("experiments/assets/digits-v1-base/qwen3_vl"))
        .arg("run")
        .current_dir(&package)
        .env("CARGO_TARGET_DIR", temporary.parent().unwrap())
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
    for name in ["report.html", "config.ron", "model/model.safetensors"] {
        assert!(package.join("run").join(name).exists(), "{name}");
    }
    let config = fs::read_to_string(package.join("run/config.ron")).unwrap();
    assert!(config.contains("curriculum: Custom(\"mastery\")"), "{config}");
}
