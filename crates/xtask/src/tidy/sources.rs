//! Rules for Rust sources.

use super::{File, Finding, Tree};

/// Maximum number of lines of a file.
const MAX_LINES: usize = 800;

/// Paths where file access is allowed; a path that ends in `/` is a folder.
const MAY_TOUCH_FILES: &[&str] = &[
    "crates/seethink-files/src/",
    "crates/seethink-data/src/",
    "crates/seethink-models/src/files.rs",
    "crates/seethink-models/src/weights/",
    // Memory figures of Linux, under /proc and /sys.
    "crates/seethink-rollout/src/capacity.rs",
    "crates/seethink-train/src/checkpoint.rs",
    "crates/seethink-train/src/metrics.rs",
    "crates/seethink-eval/src/",
    "crates/seethink-hub/src/",
    "crates/seethink-run/src/",
    "crates/seethink-cli/src/",
    "crates/xtask/src/",
];

/// Names that indicate file access.
const FILE_ACCESS: &[&str] = &["std::fs", "fs::", "File::open", "File::create", "OpenOptions"];

/// Paths where network access is allowed.
const MAY_USE_NETWORK: &[&str] =
    &["crates/seethink-eval/src/endpoint.rs", "crates/seethink-hub/src/", "crates/xtask/src/"];

/// Names that indicate network access.
const NETWORK_ACCESS: &[&str] = &["std::net", "TcpStream", "TcpListener", "ureq"];

/// Paths of code whose results depend on the arguments alone.
const WITHOUT_AMBIENT_STATE: &[&str] = &[
    "crates/seethink-core/src/",
    "crates/seethink-curriculum/src/",
    "crates/seethink-math/src/",
    "crates/seethink-reward/src/",
];

/// Names that indicate ambient state: clocks, generators that seed themselves, the environment, and
/// collections whose order changes from run to run.
const AMBIENT_STATE: &[&str] = &[
    "Instant::now",
    "SystemTime",
    "std::env",
    "env::var",
    "thread_rng",
    "rand::",
    "getrandom",
    "RandomState",
    "HashMap",
    "HashSet",
];

/// Checks that a file begins with a module comment.
pub(super) fn module_docs(tree: &Tree) -> Vec<Finding> {
    let undocumented = tree.with_extension("rs").filter(|(_, text)| !text.starts_with("//!"));
    undocumented
        .map(|(file, _)| file.finding(1, "expected the file to open with a `//!` comment that says what it is for"))
        .collect()
}

/// Checks the number of lines of a file.
pub(super) fn length(tree: &Tree) -> Vec<Finding> {
    let lines = tree.with_extension("rs").map(|(file, text)| (file, text.lines().count()));
    lines
        .filter(|(_, n_lines)| *n_lines > MAX_LINES)
        .map(|(file, n_lines)| file.finding(None, format!("{n_lines} lines; more than {MAX_LINES} are two modules")))
        .collect()
}

/// Checks that only the allowed paths access files or the network.
pub(super) fn file_and_network_access(tree: &Tree) -> Vec<Finding> {
    let outside =
        |table: &'static [&'static str]| move |file: &File| is_library(&file.path) && !is_in(&file.path, table);
    let files = "touches files, which is for the modules of docs/architecture.md";
    let mut findings = forbidden(tree, outside(MAY_TOUCH_FILES), FILE_ACCESS, files);
    let network = "uses the network, which is for the modules of docs/architecture.md";
    findings.extend(forbidden(tree, outside(MAY_USE_NETWORK), NETWORK_ACCESS, network));
    findings
}

/// Checks that deterministic code uses no clock, no unseeded randomness and no environment.
pub(super) fn ambient_state(tree: &Tree) -> Vec<Finding> {
    let pure = |file: &File| is_in(&file.path, WITHOUT_AMBIENT_STATE);
    forbidden(tree, pure, AMBIENT_STATE, "is ambient state, and this crate decides from its arguments alone")
}

/// Findings for every forbidden name in the code of the files under `scope`.
fn forbidden(tree: &Tree, scope: impl Fn(&File) -> bool, names: &[&str], why: &str) -> Vec<Finding> {
    let files = tree.with_extension("rs").filter(|(file, _)| scope(file));
    let in_line = |line: &str| names.iter().find(|name| has_name(line, name)).copied();
    let findings = files.flat_map(|(file, text)| {
        code(text).filter_map(move |(number, line)| Some(file.finding(number, format!("`{}` {why}", in_line(line)?))))
    });
    findings.collect()
}

/// Returns whether a path is a source of a library crate, as opposed to its tests, benchmarks and
/// build script.
fn is_library(path: &str) -> bool {
    path.starts_with("crates/") && path.split('/').nth(2) == Some("src")
}

fn is_in(path: &str, places: &[&str]) -> bool {
    places.iter().any(|place| if place.ends_with('/') { path.starts_with(place) } else { path == *place })
}

/// Numbered lines of code: neither comments nor the tests at the end.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = (1..).zip(text.lines()).take_while(|(_, line)| *line != "#[cfg(test)]");
    lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// Returns whether `name` occurs in `line` without going on to the left: `HashMap` is not in
/// `MyHashMap`.
fn has_name(line: &str, name: &str) -> bool {
    let before = |at: usize| line[..at].chars().next_back();
    line.match_indices(name).any(|(at, _)| !before(at).is_some_and(|c| c.is_alphanumeric() || c == '_'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::places;

    #[test]
    fn sources_open_with_their_purpose() {
        let files = [("a.rs", "//! It is a.\n"), ("b.rs", "use std::fmt;\n//! late\n"), ("c.md", "# c\n")];
        assert_eq!(places(module_docs, &files), [("b.rs".to_owned(), Some(1))]);
    }

    #[test]
    fn long_files_are_two() {
        let (fits, too_long) = ("//!\n".repeat(MAX_LINES), "//!\n".repeat(MAX_LINES + 1));
        assert_eq!(places(length, &[("a.rs", &fits), ("b.rs", &too_long)]), [("b.rs".to_owned(), None)]);
    }

    #[test]
    fn files_are_touched_where_the_table_says() {
        let touching = "//! a\nuse std::fs;\n";
        let files = [
            ("crates/seethink-rollout/src/a.rs", touching),
            ("crates/seethink-train/src/loss.rs", "//! b\n\nlet file = File::open(path)?;\n"),
            ("crates/seethink-data/src/a.rs", touching),
            ("crates/seethink-train/src/checkpoint.rs", touching),
            ("crates/seethink-rollout/tests/a.rs", touching),
            ("tests/tests/a.rs", touching),
            (
                "crates/seethink-nn/src/a.rs",
                "//! a\n// std::fs is not used\n#[cfg(test)]\nmod tests { use std::fs; }\n",
            ),
            ("crates/seethink-nn/src/b.rs", "//! a\nuse models::ProfileFile::opened;\n"),
            ("crates/seethink-run/src/device.rs", "//! a\nuse ureq::Agent;\n"),
            ("crates/seethink-hub/src/remote.rs", "//! a\nuse ureq::Agent;\n"),
        ];
        let expected = [
            ("crates/seethink-rollout/src/a.rs".to_owned(), Some(2)),
            ("crates/seethink-train/src/loss.rs".into(), Some(3)),
            ("crates/seethink-run/src/device.rs".into(), Some(2)),
        ];
        assert_eq!(places(file_and_network_access, &files), expected);
    }

    #[test]
    fn pure_crates_have_no_ambient_state() {
        let clock = "//! a\nlet now = std::time::Instant::now();\n";
        let hashed = "//! a\nuse std::collections::{BTreeMap, HashMap};\n";
        let files = [
            ("crates/seethink-curriculum/src/a.rs", clock),
            ("crates/seethink-reward/src/a.rs", hashed),
            ("crates/seethink-train/src/a.rs", clock),
            ("crates/seethink-curriculum/tests/a.rs", clock),
        ];
        let expected = [
            ("crates/seethink-curriculum/src/a.rs".to_owned(), Some(2)),
            ("crates/seethink-reward/src/a.rs".into(), Some(2)),
        ];
        assert_eq!(places(ambient_state, &files), expected);
    }
}
