//! The runs of a table as one array job of Slurm, so that a table scales to a cluster.

use super::result::{COMMIT, commit};
use super::run::{self, Task};
use anyhow::{Context, Result, ensure};
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

/// Writes an array job, a task per run that is not done yet, submits it and waits until it is over.
///
/// Cluster and program share the folder `out`. What a task prints goes to a log beside its run. A job that was killed can be
/// submitted again: runs that are done stay done, the others go on from their last checkpoint.
///
/// # Errors
/// If there is no Slurm, it refuses the job, or a run failed; those that are done stay done.
pub fn submit(tasks: &[Task], out: &Path, device: &str, options: &[String]) -> Result<()> {
    let open = run::open(tasks, out)?;
    if open.is_empty() {
        return Ok(());
    }
    std::fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    let out = std::fs::canonicalize(out)?;
    let path = out.join("array.sbatch");
    seethink::run::report::write_file(&path, script(&open, &out, device, options)?.as_bytes())?;
    println!("{} runs in {}", open.len(), path.display());
    let sbatch = Command::new("sbatch").arg("--wait").arg(&path).output();
    let output = sbatch.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            anyhow::anyhow!(
                "there is no `sbatch` here: install Slurm, or leave --launcher slurm out to run on this machine"
            )
        }
        _ => anyhow::Error::new(error).context("cannot start sbatch"),
    })?;
    let missing = run::open(open.iter().copied(), &out)?;
    ensure!(
        missing.is_empty(),
        "{} of {} runs have no result: {} (their logs lie beside their folders below {}) {}",
        missing.len(),
        open.len(),
        missing.iter().map(|task| task.name()).collect::<Vec<_>>().join(", "),
        out.display(),
        String::from_utf8_lossy(&output.stderr).trim(),
    );
    Ok(())
}

/// The text of the job.
fn script(tasks: &[&Task], out: &Path, device: &str, options: &[String]) -> Result<String> {
    let program = std::env::current_exe()?;
    let mut text = String::from("#!/bin/bash\n#SBATCH --job-name=seethink\n");
    let _ = writeln!(text, "#SBATCH --array=0-{}\n#SBATCH --output=/dev/null", tasks.len() - 1);
    options.iter().for_each(|option| {
        let _ = writeln!(text, "#SBATCH {option}");
    });
    // A task has the cores that it was given, and not those of the whole node.
    text += "export RAYON_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}\n";
    let _ = writeln!(text, "export {COMMIT}={}", quote(&commit()));
    text += "case $SLURM_ARRAY_TASK_ID in\n";
    for (i, task) in tasks.iter().enumerate() {
        let words: Vec<String> = run::arguments(task, out, device).iter().map(|word| quote(word)).collect();
        let log = task.folder(out).with_extension("log").display().to_string();
        let folder = task.folder(out).parent().unwrap_or(out).display().to_string();
        let _ = writeln!(
            text,
            "{i}) mkdir -p {} && exec {} {} > {} 2>&1 ;;",
            quote(&folder),
            quote(&program.display().to_string()),
            words.join(" "),
            quote(&log)
        );
    }
    Ok(text + "esac\n")
}

/// A word as a shell reads it back.
fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}
