//! Build script: fingerprint of the sources that affect the results of a run, for
//! `experiment::origin`.

use sha2::{Digest, Sha256};
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

/// Files and folders that affect the results of a run, apart from its settings and its base model:
/// reward, world, rollouts, training, models, the training job, and the versions of dependencies.
/// Tables, statistics and pages are not included.
const SOURCES: [&str; 16] = [
    "../Cargo.lock",
    "../crates/seethink-core/src",
    "../crates/seethink-curriculum/src",
    "../crates/seethink-data/src",
    "../crates/seethink-math/src",
    "../crates/seethink-models/src",
    "../crates/seethink-nn/src",
    "../crates/seethink-reward/src",
    "../crates/seethink-rollout/src",
    "../crates/seethink-train/src",
    "../crates/seethink-run/src/captions.rs",
    "../crates/seethink-run/src/config",
    "../crates/seethink-run/src/job.rs",
    "../crates/seethink-run/src/stage_evaluation.rs",
    "../crates/seethink-eval/src/benchmark.rs",
    "../crates/seethink-eval/src/outcome.rs",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    let mut hash = Sha256::new();
    for source in SOURCES {
        println!("cargo:rerun-if-changed={source}");
        for file in files(Path::new(source))? {
            hash.update(file.to_string_lossy().as_bytes());
            // Comments and blank lines do not affect results.
            let text = String::from_utf8_lossy(&fs::read(&file)?).into_owned();
            let lines = text.lines().filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with("//"));
            lines.for_each(|line| hash.update(format!("\n{line}").as_bytes()));
            hash.update([0]);
        }
    }
    let code: String = hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    println!("cargo:rustc-env=SEETHINK_CODE={code}");
    Ok(())
}

/// Lists a file, or all files below a folder in the order of their names.
fn files(path: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let mut entries: Vec<PathBuf> = fs::read_dir(path)
        .map_err(|error| format!("{}: {error}", path.display()))?
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<_>>()?;
    entries.sort();
    Ok(entries.iter().map(|entry| files(entry)).collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}
