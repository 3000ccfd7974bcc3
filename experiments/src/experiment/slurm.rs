//! Slurm launcher: the runs of a table as one array job.

use super::result::{COMMIT, commit};
use super::run::{self, Task};
use anyhow::{Context, Result, ensure};
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

/// Submits an array job, with a task per missing run, and waits until it is over.
///
/// Cluster and program share the folder `out`. The output of a task goes to a log beside its run. A
/// killed job can be submitted again: finished runs are kept, the others resume from their last
/// checkpoint.
///
/// # Errors
/// If there is no Slurm, it refuses the job, or a run failed; finished runs are kept.
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

/// Formats the job script.
fn script(tasks: &[&Task], out: &Path, device: &str, options: &[String]) -> Result<String> {
    let program = std::env::current_exe()?;
    let mut text = String::from("#!/bin/bash\n#SBATCH --job-name=seethink\n");
    let _ = writeln!(text, "#SBATCH --array=0-{}\n#SBATCH --output=/dev/null", tasks.len() - 1);
    options.iter().for_each(|option| {
        let _ = writeln!(text, "#SBATCH {option}");
    });
    // A task uses the cores allocated to it, and not those of the whole node.
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

/// Quotes a word for the shell.
fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}
