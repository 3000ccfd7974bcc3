//! Structural checks beyond the compiler: the invariants of `docs/architecture.md`, and leftovers.
//!
//! A rule is a function from the repository, read once, to findings; it touches no file and is
//! tested on made-up trees.

mod circles;
mod crates;
pub(crate) mod links;
mod publication;
mod sources;
mod text;

use anyhow::{Context, Result, ensure};
use std::fmt;
use std::path::Path;
use std::process::{Command, Output};

/// Repository tree that the rules check.
pub(crate) struct Tree {
    /// Files that are tracked by git, or untracked and not ignored.
    pub(crate) files: Vec<File>,
    /// Packages of the workspace.
    pub(crate) crates: Vec<Crate>,
}

/// File of the repository.
pub(crate) struct File {
    /// Path from the root, with forward slashes.
    pub(crate) path: String,
    /// Size, bytes.
    pub(crate) size: u64,
    /// Content, if it is UTF-8 and at most a mebibyte.
    pub(crate) text: Option<String>,
}

/// Package of the workspace.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Crate {
    pub(crate) name: String,
    /// Names of its dependencies.
    pub(crate) dependencies: Vec<String>,
    /// Names of its additional development dependencies.
    pub(crate) test_dependencies: Vec<String>,
    /// True if the manifest allows it to be published.
    pub(crate) is_published: bool,
    /// Fields for publishing that its manifest lacks.
    pub(crate) missing: Vec<String>,
}

/// Finding of a rule.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) path: String,
    /// Line, counted from 1; `None` for the whole file.
    pub(crate) line: Option<usize>,
    pub(crate) message: String,
}

/// Maximum size of a file that is read as text, bytes.
const MAX_TEXT_BYTES: u64 = 1 << 20;

/// A rule: a function from the tree to findings.
type Rule = fn(&Tree) -> Vec<Finding>;

/// All rules.
const RULES: &[Rule] = &[
    circles::circles,
    crates::edges,
    crates::lints,
    publication::publication,
    sources::module_docs,
    sources::length,
    sources::file_and_network_access,
    sources::ambient_state,
    text::size,
    text::leftovers,
    text::machine_paths,
    text::configs_are_tested,
    text::log_order,
    links::links,
    links::contents,
    links::pictures,
];

/// Rules of the documentation: those that the book depends on.
const BOOK_RULES: &[Rule] = &[links::links, links::contents];

/// Prints all findings; returns whether there are none.
///
/// # Errors
/// If the repository cannot be read.
pub(crate) fn run(root: &Path) -> Result<bool> {
    Ok(check("tidy", &Tree::read(root)?, RULES))
}

/// Prints the findings about the documentation: links, anchors, table of contents; returns whether
/// there are none.
pub(crate) fn run_for_book(tree: &Tree) -> bool {
    check("links", tree, BOOK_RULES)
}

/// Prints the findings of some rules; returns whether there are none.
fn check(name: &str, tree: &Tree, rules: &[Rule]) -> bool {
    let mut findings: Vec<Finding> = rules.iter().flat_map(|rule| rule(tree)).collect();
    findings.sort_by(|a, b| (&a.path, a.line).cmp(&(&b.path, b.line)));
    for finding in &findings {
        println!("{finding}");
    }
    let (n_files, n_crates) = (tree.files.len(), tree.crates.len());
    println!("{name}: {} findings in {n_files} files of {n_crates} crates", findings.len());
    findings.is_empty()
}

impl Tree {
    /// Reads the repository.
    ///
    /// # Errors
    /// If git or cargo cannot list it, or a file cannot be read.
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let listed = stdout(root, "git", &["ls-files", "-z", "--cached", "--others", "--exclude-standard"])?;
        let paths = listed.split('\0').filter(|path| !path.is_empty());
        // A file that was deleted may still be in git's index.
        let existing = paths.filter(|path| root.join(path).is_file());
        let files = existing.map(|path| File::read(root, path)).collect::<Result<_>>()?;
        let metadata = stdout(root, "cargo", &["metadata", "--no-deps", "--format-version", "1"])?;
        Ok(Self { files, crates: crates::parse_metadata(&metadata)? })
    }

    /// Text files with this extension.
    pub(crate) fn with_extension(&self, extension: &str) -> impl Iterator<Item = (&File, &str)> {
        let has_extension = move |file: &&File| file.path.rsplit_once('.').is_some_and(|(_, found)| found == extension);
        self.files.iter().filter(has_extension).filter_map(|file| Some((file, file.text.as_deref()?)))
    }
}

impl File {
    fn read(root: &Path, path: &str) -> Result<Self> {
        let full = root.join(path);
        let unreadable = || format!("cannot read {path}");
        let size = full.metadata().with_context(unreadable)?.len();
        let text = if size > MAX_TEXT_BYTES {
            None
        } else {
            String::from_utf8(std::fs::read(&full).with_context(unreadable)?).ok()
        };
        Ok(Self { path: path.to_owned(), size, text })
    }

    pub(crate) fn finding(&self, line: impl Into<Option<usize>>, message: impl Into<String>) -> Finding {
        Finding { path: self.path.clone(), line: line.into(), message: message.into() }
    }
}

/// Runs a program and returns what it prints.
fn stdout(root: &Path, program: &str, arguments: &[&str]) -> Result<String> {
    let run = || format!("{program} {}", arguments.join(" "));
    let Output { status, stdout, stderr } = Command::new(program)
        .args(arguments)
        .current_dir(root)
        .output()
        .with_context(|| format!("cannot start `{}`", run()))?;
    ensure!(status.success(), "`{}` failed: {}", run(), String::from_utf8_lossy(&stderr).trim());
    String::from_utf8(stdout).with_context(|| format!("`{}` did not print UTF-8", run()))
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.path, self.message),
            None => write!(f, "{}: {}", self.path, self.message),
        }
    }
}

/// Tree of text files, for the tests of rules.
#[cfg(test)]
pub(crate) fn tree(files: &[(&str, &str)]) -> Tree {
    let file =
        |&(path, text): &(&str, &str)| File { path: path.into(), size: text.len() as u64, text: Some(text.into()) };
    Tree { files: files.iter().map(file).collect(), crates: Vec::new() }
}

/// Places of a rule's findings in a tree of test files.
#[cfg(test)]
pub(crate) fn places(rule: fn(&Tree) -> Vec<Finding>, files: &[(&str, &str)]) -> Vec<(String, Option<usize>)> {
    rule(&tree(files)).into_iter().map(|finding| (finding.path, finding.line)).collect()
}
