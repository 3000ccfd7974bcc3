//! CI checks, as a table of steps.
//!
//! All steps share one profile and so one build (release: numerics are too slow without
//! optimisation), but for the two steps whose features or flags leave nothing to share, which are
//! built without optimisation.

use crate::tidy;
use anyhow::{Context, Result};
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

struct Step {
    name: &'static str,
    what: &'static str,
    action: Action,
}

enum Action {
    /// The checks of `cargo xtask tidy`.
    Tidy,
    /// A command, with environment variables.
    Run { command: &'static [&'static str], variables: &'static [(&'static str, &'static str)] },
    /// A command that is skipped with a report if it is not installed; the last field says how to
    /// install it.
    RunIfInstalled { command: &'static [&'static str], install: &'static str },
    /// A command, with environment variables, that is skipped with a report where it cannot run;
    /// the last field says why it cannot.
    RunIf {
        possible: fn() -> bool,
        command: &'static [&'static str],
        variables: &'static [(&'static str, &'static str)],
        otherwise: &'static str,
    },
}

enum Outcome {
    Passed,
    Failed,
    Skipped(String),
}

/// Steps, cheapest first; other backends are last because no other step uses their build.
const STEPS: &[Step] = &[
    Step {
        name: "fmt",
        what: "formatting",
        action: Action::Run { command: &["cargo", "fmt", "--all", "--check"], variables: &[] },
    },
    Step {
        name: "typos",
        what: "spelling",
        action: Action::RunIfInstalled { command: &["typos"], install: "pip install typos" },
    },
    Step { name: "tidy", what: "structure", action: Action::Tidy },
    Step {
        name: "notebooks",
        what: "notebooks run and their assertions hold",
        action: Action::RunIfInstalled {
            command: &["jupyter-execute", "notebooks/01_read_a_run.ipynb", "notebooks/02_compare_arms.ipynb"],
            install: "pip install -r notebooks/requirements.txt",
        },
    },
    Step {
        name: "evcxr",
        what: "the notebook in Rust runs and its assertions hold",
        action: Action::RunIf {
            possible: || has_kernel("rust"),
            command: &["jupyter-execute", "notebooks/03_write_a_curriculum.ipynb"],
            variables: &[],
            otherwise: "Jupyter has no kernel `rust` (cargo install evcxr_jupyter --locked && evcxr_jupyter --install)",
        },
    },
    Step {
        name: "clippy",
        what: "lints",
        action: Action::Run {
            command: &["cargo", "clippy", "--release", "--workspace", "--all-targets", "--", "-D", "warnings"],
            variables: &[],
        },
    },
    Step {
        name: "features",
        what: "lints of what the examples build without parquet",
        action: Action::Run {
            command: &[
                "cargo",
                "clippy",
                "--release",
                "--package",
                "seethink-data",
                "--no-default-features",
                "--all-targets",
                "--",
                "-D",
                "warnings",
            ],
            variables: &[],
        },
    },
    Step {
        name: "publish",
        what: "every crate that is meant to be published can be, in the order of their dependencies",
        action: Action::Run {
            command: &["cargo", "publish", "--dry-run", "--workspace", "--no-verify", "--allow-dirty", "--locked"],
            variables: &[],
        },
    },
    Step {
        name: "doc",
        what: "documentation",
        action: Action::Run {
            command: &["cargo", "doc", "--release", "--workspace", "--no-deps"],
            variables: &[("RUSTDOCFLAGS", "-D warnings")],
        },
    },
    Step {
        name: "test",
        what: "tests, documentation examples and configurations",
        action: Action::Run { command: &["cargo", "test", "--release", "--workspace"], variables: &[] },
    },
    Step {
        name: "kit",
        what: "the script that measures on a GPU has a figure for every part, with what the tests have built",
        action: Action::Run { command: &["tests/gpu/run.sh", "--device", "flex", "--tiny"], variables: &[] },
    },
    Step {
        name: "backends",
        what: "parity of every family over a connection on loopback, and in WGSL where there is a graphics driver",
        action: Action::Run {
            command: &[
                "cargo",
                "test",
                "--profile",
                "quick",
                "--package",
                "seethink-tests",
                "--features",
                "remote,webgpu",
                "--test",
                "backends",
            ],
            variables: &[],
        },
    },
    Step {
        name: "sanitizer",
        what: "the unsafe code of the kernels, and of the crate that multiplies for them, stays in its memory",
        // AddressSanitizer, not Miri, which has no vector instructions. Stable compilers have it too, behind a
        // flag that they accept when told so.
        action: Action::RunIf {
            possible: has_sanitizer,
            command: &[
                "cargo",
                "test",
                "--profile",
                "quick",
                "--target",
                "host-tuple",
                "--package",
                "seethink-nn",
                "--lib",
            ],
            variables: &[("RUSTC_BOOTSTRAP", "1"), ("RUSTFLAGS", "-Zsanitizer=address")],
            otherwise: "the compiler comes without AddressSanitizer's runtime",
        },
    },
    Step {
        name: "gpu",
        what: "the main job links with CUDA, Vulkan and wgpu",
        // The CUDA backend's build script downloads a compiler; a stand-in takes its place.
        action: Action::Run {
            command: &["cargo", "run", "--quiet", "--release", "--package", "xtask", "--", "gpu-kit", "--link"],
            variables: &[],
        },
    },
];

/// Names of the steps, as `--only` and `--skip` take them.
pub(crate) fn step_names() -> Vec<&'static str> {
    STEPS.iter().map(|step| step.name).collect()
}

/// Runs the chosen steps; returns whether all passed.
///
/// # Errors
/// If a step cannot be started.
pub(crate) fn run(root: &Path, only: &[String], skip: &[String]) -> Result<bool> {
    let chosen = |step: &&Step| {
        let named = |names: &[String]| names.iter().any(|name| name == step.name);
        (only.is_empty() || named(only)) && !named(skip)
    };
    let mut timings: Vec<(&Step, Outcome, Duration)> = Vec::new();
    for step in STEPS.iter().filter(chosen) {
        println!("\n=== {}: {} ===\n    {}", step.name, step.what, step.action.shown());
        let start = Instant::now();
        let outcome = step.action.perform(root)?;
        let failed = matches!(outcome, Outcome::Failed);
        timings.push((step, outcome, start.elapsed()));
        if failed {
            break;
        }
    }
    print!("\n{}", table(&timings));
    let failed = timings.iter().find(|(_, outcome, _)| matches!(outcome, Outcome::Failed));
    if let Some((step, ..)) = failed {
        println!("\n`{}` failed. To run it again: cargo xtask validate --only {}", step.name, step.name);
    }
    Ok(failed.is_none())
}

impl Action {
    /// Formats the command as typed in a shell.
    fn shown(&self) -> String {
        match self {
            Self::Tidy => "cargo xtask tidy".to_owned(),
            Self::RunIfInstalled { command, .. } => command.join(" "),
            Self::Run { command, variables } | Self::RunIf { command, variables, .. } => {
                let quoted = |(name, value): &(&str, &str)| format!("{name}='{value}' ");
                variables.iter().map(quoted).collect::<String>() + &command.join(" ")
            }
        }
    }

    fn perform(&self, root: &Path) -> Result<Outcome> {
        let (command, variables, install) = match *self {
            Self::Tidy => return Ok(if tidy::run(root)? { Outcome::Passed } else { Outcome::Failed }),
            Self::RunIf { possible, otherwise, .. } if !possible() => return Ok(skipped(otherwise.to_owned())),
            Self::Run { command, variables } => (command, variables, None),
            Self::RunIf { command, variables, otherwise, .. } => (command, variables, Some(otherwise)),
            Self::RunIfInstalled { command, install } => (command, &[][..], Some(install)),
        };
        let status =
            Command::new(command[0]).args(&command[1..]).envs(variables.iter().copied()).current_dir(root).status();
        match (status, install) {
            (Ok(status), _) => Ok(if status.success() { Outcome::Passed } else { Outcome::Failed }),
            (Err(error), Some(install)) if error.kind() == ErrorKind::NotFound => {
                Ok(skipped(format!("`{}` is not installed ({install})", command[0])))
            }
            (Err(error), _) => Err(error).with_context(|| format!("cannot start `{}`", self.shown())),
        }
    }
}

/// Reports why a step is skipped.
fn skipped(reason: String) -> Outcome {
    println!("skipped: {reason}");
    Outcome::Skipped(reason)
}

/// Returns whether Jupyter has a kernel of this name.
fn has_kernel(name: &str) -> bool {
    let listed = Command::new("jupyter-kernelspec").arg("list").output();
    listed.is_ok_and(|output| lists_kernel(&String::from_utf8_lossy(&output.stdout), name))
}

/// Returns whether the compiler comes with the runtime of AddressSanitizer.
fn has_sanitizer() -> bool {
    let folder = Command::new("rustc").args(["--print", "target-libdir"]).output();
    let folder = folder.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let files = folder.and_then(std::fs::read_dir).into_iter().flatten().flatten();
    files.filter_map(|file| file.file_name().into_string().ok()).any(|name| name.contains("_rt.asan"))
}

/// Returns whether the output of `jupyter-kernelspec list` names this kernel: under a heading, the
/// indented lines are names and folders.
fn lists_kernel(listed: &str, name: &str) -> bool {
    let kernels = listed.lines().filter(|line| line.starts_with(' '));
    kernels.filter_map(|line| line.split_whitespace().next()).any(|kernel| kernel == name)
}

/// Formats the table of timings: one line a step, and the sum.
fn table(timings: &[(&Step, Outcome, Duration)]) -> String {
    let line =
        |name: &str, time: Duration, outcome: &str| format!("{name:<9} {:>8.1} s  {outcome}\n", time.as_secs_f64());
    let mut lines = String::new();
    for (step, outcome, time) in timings {
        let outcome = match outcome {
            Outcome::Passed => "passed".to_owned(),
            Outcome::Failed => "FAILED".to_owned(),
            Outcome::Skipped(reason) => format!("skipped: {reason}"),
        };
        lines += &line(step.name, *time, &outcome);
    }
    lines + &line("total", timings.iter().map(|(.., time)| time).sum(), "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_notebook_is_run() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../notebooks");
        let notebooks = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        let steps: Vec<String> = STEPS.iter().map(|step| step.action.shown()).collect();
        for name in notebooks.filter_map(|name| name.into_string().ok()).filter(|name| name.ends_with(".ipynb")) {
            let path = format!("notebooks/{name}");
            assert!(steps.iter().any(|step| step.split(' ').any(|word| word == path)), "{name} is not run");
        }
    }

    #[test]
    fn a_kernel_is_found_by_its_name() {
        let listed =
            "Available kernels:\n  python3    /usr/share/jupyter/kernels/python3\n  rust       /kernels/rust\n";
        assert!(lists_kernel(listed, "rust") && lists_kernel(listed, "python3"));
        assert!(!lists_kernel(listed, "rus") && !lists_kernel(listed, "Available") && !lists_kernel("", "rust"));
    }

    #[test]
    fn what_is_not_possible_is_skipped() {
        let run_if = |possible| {
            let action = Action::RunIf { possible, command: &["cargo", "--version"], variables: &[], otherwise: "why" };
            action.perform(Path::new(".")).unwrap()
        };
        assert!(matches!(run_if(|| true), Outcome::Passed));
        assert!(matches!(run_if(|| false), Outcome::Skipped(reason) if reason == "why"));
    }

    fn run_if_installed(command: &'static [&'static str]) -> Outcome {
        Action::RunIfInstalled { command, install: "pip install it" }.perform(Path::new(".")).unwrap()
    }

    #[test]
    fn a_missing_optional_program_skips_and_a_failing_one_fails() {
        match run_if_installed(&["no-program-has-this-name"]) {
            Outcome::Skipped(reason) => assert!(reason.contains("pip install it"), "{reason}"),
            Outcome::Passed | Outcome::Failed => panic!("it cannot have run"),
        }
        assert!(matches!(run_if_installed(&["cargo", "--version"]), Outcome::Passed));
        assert!(matches!(run_if_installed(&["cargo", "--no-such-flag"]), Outcome::Failed));
        let missing = Action::Run { command: &["no-program-has-this-name"], variables: &[] };
        assert!(missing.perform(Path::new(".")).is_err());
    }

    #[test]
    fn the_table_has_a_line_for_each_step_and_the_sum() {
        let timings = [
            (&STEPS[0], Outcome::Passed, Duration::from_millis(1500)),
            (&STEPS[1], Outcome::Skipped("no typos".into()), Duration::ZERO),
            (&STEPS[2], Outcome::Failed, Duration::from_millis(500)),
        ];
        let table = table(&timings);
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), 4);
        assert!(lines[1].ends_with("skipped: no typos") && lines[2].ends_with("FAILED"), "{table}");
        assert!(lines[3].contains(" 2.0 s"), "{table}");
    }

    #[test]
    fn what_is_shown_can_be_typed() {
        let doc = STEPS.iter().find(|step| step.name == "doc").unwrap();
        assert!(doc.action.shown().starts_with("RUSTDOCFLAGS='-D warnings' cargo doc"));
    }
}
