//! Rules for every file: size, leftovers, paths of one machine, configurations.

use super::{File, Finding, Tree};

/// Maximum size of a file in the repository, bytes.
const MAX_BYTES: u64 = 6_000_000;

/// Markers of work to be done later. Spelled in halves, so that this file does not find itself.
const LEFTOVERS: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("db", "g!("),
    concat!("to", "do!("),
    concat!("unimpl", "emented!("),
];

/// Paths of folders that exist on one machine only. Spelled in halves as well.
const MACHINE_PATHS: &[&str] = &[
    concat!("/ho", "me/"),
    concat!("/ro", "ot/"),
    concat!("/wo", "rk/"),
    concat!("/Use", "rs/"),
    concat!("/tm", "p/"),
];

/// Extensions of hand-written files, as opposed to data and lock files.
const WRITTEN: &[&str] = &["rs", "md", "toml", "ron", "sh", "py", "yml", "yaml"];

/// Checks the size of every file.
pub(super) fn size(tree: &Tree) -> Vec<Finding> {
    let large = tree.files.iter().filter(|file| file.size > MAX_BYTES);
    large
        .map(|file| file.finding(None, format!("{} bytes; the repository keeps at most {MAX_BYTES}", file.size)))
        .collect()
}

/// Checks that no file has a marker of work to be done later.
pub(super) fn leftovers(tree: &Tree) -> Vec<Finding> {
    in_written(tree, |line| {
        let found = LEFTOVERS.iter().find(|name| find_word(line, name))?;
        Some(format!("`{found}` is a leftover; do it or put it into an issue"))
    })
}

/// Checks that no file has a path of a single machine.
pub(super) fn machine_paths(tree: &Tree) -> Vec<Finding> {
    in_written(tree, |line| {
        let found = MACHINE_PATHS.iter().find(|path| find_word(line, path))?;
        Some(format!("`{found}…` exists on one machine only; use a path relative to the repository or an argument"))
    })
}

/// Checks that every configuration is loaded by a test, which names the file or one of its folders.
pub(super) fn configs_are_tested(tree: &Tree) -> Vec<Finding> {
    let is_test = |file: &File| file.path.starts_with("tests/") || file.path.contains("/tests/");
    let tests: Vec<&str> = tree.with_extension("rs").filter(|(file, _)| is_test(file)).map(|(_, text)| text).collect();
    let is_tested = |path: &str| {
        // With the closing quote of a literal: `configs"` is the whole folder, `configs/micro"` a
        // part of it.
        let folders = path.match_indices('/').map(|(at, _)| &path[..at]);
        let mut named = folders.chain([path]).map(|path| format!("{path}\""));
        named.any(|name| tests.iter().any(|test| find_word(test, &name)))
    };
    let configs = tree.files.iter().filter(|file| file.path.starts_with("configs/") && file.path.ends_with(".ron"));
    configs
        .filter(|file| !is_tested(&file.path))
        .map(|file| file.finding(None, "no test under tests/ loads this file or its folder"))
        .collect()
}

/// Checks that every entry of the log begins with a date, and that the newest is first.
pub(super) fn log_order(tree: &Tree) -> Vec<Finding> {
    let Some((file, text)) = tree.with_extension("md").find(|(file, _)| file.path == "docs/log.md") else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    let mut earlier: Option<&str> = None;
    for (number, line) in (1..).zip(text.lines()) {
        let Some(heading) = line.strip_prefix("## ") else { continue };
        match heading.split_once(": ").map(|(date, _)| date).filter(|date| is_date(date)) {
            None => {
                findings.push(file.finding(number, "expected an entry of the form `## 2026-11-23: what it is about`"))
            }
            // Dates of this form are in the order of their texts.
            Some(date) if earlier.is_some_and(|above| above < date) => {
                findings.push(file.finding(number, "is newer than the entry above it; the newest is first"));
            }
            date => earlier = date,
        }
    }
    findings
}

/// Returns whether a text is a date such as `2026-11-23`.
fn is_date(text: &str) -> bool {
    text.len() == 10
        && text
            .bytes()
            .enumerate()
            .all(|(i, byte)| if matches!(i, 4 | 7) { byte == b'-' } else { byte.is_ascii_digit() })
}

/// Findings for lines of hand-written files.
fn in_written(tree: &Tree, check: impl Fn(&str) -> Option<String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, text) in WRITTEN.iter().flat_map(|extension| tree.with_extension(extension)) {
        for (number, line) in (1..).zip(text.lines()) {
            findings.extend(check(line).map(|message| file.finding(number, message)));
        }
    }
    findings
}

/// Returns whether `word` occurs in `line` without going on to the left, so that a URL's path is
/// not an absolute one.
fn find_word(line: &str, word: &str) -> bool {
    let goes_on = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-');
    line.match_indices(word).any(|(at, _)| !line[..at].chars().next_back().is_some_and(goes_on))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::{places, tree};

    #[test]
    fn large_files_stay_out() {
        let mut tree = tree(&[("small.bin", ""), ("large.bin", "")]);
        tree.files[0].size = MAX_BYTES;
        tree.files[1].size = MAX_BYTES + 1;
        assert_eq!(size(&tree).len(), 1);
    }

    #[test]
    fn leftovers_and_machine_paths_are_found_in_what_people_write() {
        let left = format!("fine\n// {}: later\n", LEFTOVERS[0]);
        let place = format!("fine\nread(\"{}me/model\")\n", MACHINE_PATHS[0]);
        let url = format!("see https://example.org{}page\n", MACHINE_PATHS[0]);
        let files = [("a.rs", left.as_str()), ("b.jsonl", &left), ("c.md", &place), ("d.md", &url)];
        assert_eq!(places(leftovers, &files), [("a.rs".to_owned(), Some(2))]);
        assert_eq!(places(machine_paths, &files), [("c.md".to_owned(), Some(2))]);
    }

    #[test]
    fn the_log_has_dates_and_its_newest_entry_first() {
        let log = "# Log\n\n## 2026-11-23: c\n\n## 2026-11-21: a\n\n## 2026-11-22: b\n## 2026-11-21: a\n## later: d\n";
        let found = places(log_order, &[("docs/log.md", log), ("docs/other.md", "## no date\n")]);
        assert_eq!(found, [("docs/log.md".to_owned(), Some(7)), ("docs/log.md".to_owned(), Some(9))]);
    }

    #[test]
    fn configurations_are_named_by_a_test() {
        let configs = [("configs/micro/a.ron", ""), ("configs/paper/b.ron", "")];
        let with = |test: &'static str| {
            places(configs_are_tested, &[configs[0], configs[1], ("tests/tests/configs.rs", test)])
        };
        assert_eq!(with("").len(), 2);
        assert_eq!(with("walk(\"../configs\")"), []);
        assert_eq!(with("walk(\"../configs/micro\")"), [("configs/paper/b.ron".to_owned(), None)]);
        assert_eq!(with("load(\"configs/paper/b.ron\")"), [("configs/micro/a.ron".to_owned(), None)]);
        assert_eq!(with("load(\"myconfigs\")").len(), 2);
    }
}
