//! The book: `cargo xtask book` checks the links of the documentation and builds it with mdBook.
//!
//! Pages link to files of the repository by relative paths, which work on the repository's site and
//! not in a book of `docs/` alone. So the book is built from a copy of `docs/`, in which links that
//! leave it are those of the site.

use crate::markdown::{is_external, outside_fences, path_and_anchor, resolve, targets};
use crate::tidy::links::{DOCS, SUMMARY};
use crate::tidy::{self, Tree};
use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

/// Folder of the copy, below the root.
const SOURCE: &str = "target/book-source";

/// Folder of the book, as `book.toml` says.
const BOOK: &str = "target/book";

/// URL of the repository's site.
const SITE: &str = env!("CARGO_PKG_REPOSITORY");

/// Checks the links, copies the pages and builds the book; returns whether all of it succeeded.
///
/// # Errors
/// If the repository cannot be read, the copy cannot be written, or mdBook cannot be started.
pub(crate) fn run(root: &Path) -> Result<bool> {
    let tree = Tree::read(root)?;
    if !tidy::run_for_book(&tree) {
        return Ok(false);
    }
    copy(root, &tree)?;
    let mut mdbook = Command::new("mdbook");
    let built = mdbook.arg("build").current_dir(root).env("MDBOOK_BOOK__SRC", SOURCE).status();
    match built {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            println!(
                "The links are right. The book was not built: `mdbook` is missing (cargo install mdbook --locked)"
            );
            Ok(false)
        }
        built => {
            let passed = built.context("cannot start mdbook")?.success();
            if passed {
                println!("{BOOK}/index.html");
            }
            Ok(passed)
        }
    }
}

/// Copies the pages and their pictures, with the links of the book.
fn copy(root: &Path, tree: &Tree) -> Result<()> {
    let target = root.join(SOURCE);
    if target.exists() {
        std::fs::remove_dir_all(&target).with_context(|| format!("cannot remove {}", target.display()))?;
    }
    let files: BTreeSet<&str> = tree.files.iter().map(|file| file.path.as_str()).collect();
    for path in files.iter().filter(|path| path.starts_with(DOCS)) {
        let to = target.join(&path[DOCS.len()..]);
        let folder = to.parent().with_context(|| format!("{} has no folder", to.display()))?;
        std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let unwritable = || format!("cannot copy {path} to {}", to.display());
        let content = std::fs::read(root.join(path)).with_context(unwritable)?;
        let content = match String::from_utf8(content) {
            Ok(text) if path.ends_with(".md") => with_links_of_the_book(path, &text, &files).into_bytes(),
            Ok(text) => text.into_bytes(),
            Err(binary) => binary.into_bytes(),
        };
        std::fs::write(&to, content).with_context(unwritable)?;
    }
    Ok(())
}

/// Replaces links that lead out of the pages, or to a folder, by those of the repository's site.
fn with_links_of_the_book(page: &str, text: &str, files: &BTreeSet<&str>) -> String {
    let outside: BTreeSet<usize> = outside_fences(text).map(|(number, _)| number).collect();
    let mut rewritten = String::with_capacity(text.len());
    for (number, line) in (1..).zip(text.lines()) {
        let mut line = line.to_owned();
        if outside.contains(&number) {
            let links = targets(&line).filter_map(|(place, target)| Some((place, site_link(page, target, files)?)));
            for (place, link) in links.collect::<Vec<_>>().into_iter().rev() {
                line.replace_range(place, &link);
            }
        }
        rewritten += &line;
        rewritten.push('\n');
    }
    rewritten
}

/// Link on the repository's site for a target in `page`; `None` where the book has the target.
fn site_link(page: &str, target: &str, files: &BTreeSet<&str>) -> Option<String> {
    let (path, anchor) = path_and_anchor(target);
    if path.is_empty() || is_external(target) {
        return None;
    }
    let path = resolve(page, path)?;
    let is_file = files.contains(path.as_str());
    // The table of contents is no page of the book.
    if is_file && path.starts_with(DOCS) && path != SUMMARY {
        return None;
    }
    // `raw`, so that a picture is shown and not the page about it.
    let is_picture = [".png", ".svg"].iter().any(|extension| path.ends_with(extension));
    let kind = if is_picture {
        "raw"
    } else if is_file {
        "blob"
    } else {
        "tree"
    };
    let anchor = if anchor.is_empty() { String::new() } else { format!("#{anchor}") };
    Some(format!("{SITE}/{kind}/HEAD/{path}{anchor}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_out_of_the_book_lead_to_the_repository() {
        let files =
            ["docs/a.md", "docs/b/c.md", "docs/images/d.png", "README.md", "crates/x/src/lib.rs", "results/e.svg"];
        let page = "[a](a.md#x) ![d](images/d.png) [top](#top) [w](https://example.org)\n\
                    [r](../README.md#run) [x](../crates/x/src/lib.rs) [b](b) ![e](../results/e.svg)\n\
                    ```text\n[x](../README.md)\n```\n";
        let expected = format!(
            "[a](a.md#x) ![d](images/d.png) [top](#top) [w](https://example.org)\n\
             [r]({SITE}/blob/HEAD/README.md#run) [x]({SITE}/blob/HEAD/crates/x/src/lib.rs) [b]({SITE}/tree/HEAD/docs/b) \
             ![e]({SITE}/raw/HEAD/results/e.svg)\n\
             ```text\n[x](../README.md)\n```\n"
        );
        assert_eq!(with_links_of_the_book("docs/a.md", page, &files.into()), expected);
        assert_eq!(with_links_of_the_book("docs/b/c.md", "[a](../a.md)\n", &files.into()), "[a](../a.md)\n");
    }

    #[test]
    fn the_settings_of_the_book_name_its_folders() {
        let settings = include_str!("../../../book.toml");
        assert!(settings.contains("src = \"docs\"") && settings.contains(&format!("build-dir = \"{BOOK}\"")));
    }
}
