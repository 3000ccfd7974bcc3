//! Rules for Markdown: links, the table of contents of the book, pictures.

use super::{File, Finding, Tree};
use crate::markdown::{anchors, is_external, outside_fences, path_and_anchor, resolve, targets};
use std::collections::{BTreeMap, BTreeSet};

/// Folder of the book's pages.
pub(crate) const DOCS: &str = "docs/";

/// Table of contents of the book.
pub(crate) const SUMMARY: &str = "docs/SUMMARY.md";

/// Folder of the pictures of the documentation.
const PICTURES: &str = "docs/images/";

/// Maximum size of a picture of the documentation, bytes: the front page shows it to everyone.
const MAX_PICTURE_BYTES: u64 = 300_000;

/// Checks that relative links of Markdown files lead to existing files or folders, and their
/// anchors to headings.
pub(crate) fn links(tree: &Tree) -> Vec<Finding> {
    let files = tree.files.iter().map(|file| file.path.as_str());
    // A link may also lead to a folder.
    let existing: BTreeSet<&str> = files
        .flat_map(|path| std::iter::once(path).chain(path.match_indices('/').map(move |(at, _)| &path[..at])))
        .collect();
    let headings: BTreeMap<&str, BTreeSet<String>> =
        tree.with_extension("md").map(|(file, text)| (file.path.as_str(), anchors(text))).collect();
    let fault = |file: &File, target: &str| {
        let (path, anchor) = path_and_anchor(target);
        let resolved = if path.is_empty() { Some(file.path.clone()) } else { resolve(&file.path, path) };
        let Some(resolved) = resolved.filter(|path| existing.contains(path.as_str())) else {
            return Some(format!("the link `{target}` leads nowhere"));
        };
        let is_missing = headings.get(resolved.as_str()).is_some_and(|known| !known.contains(anchor));
        (!anchor.is_empty() && is_missing)
            .then(|| format!("the link `{target}`: {resolved} has no heading `#{anchor}`"))
    };
    let mut findings = Vec::new();
    for (file, text) in tree.with_extension("md") {
        for (number, line) in outside_fences(text) {
            let inside = targets(line).map(|(_, target)| target).filter(|target| !is_external(target));
            findings.extend(inside.filter_map(|target| Some(file.finding(number, fault(file, target)?))));
        }
    }
    findings
}

/// Checks that the table of contents lists every page of the documentation exactly once.
pub(crate) fn contents(tree: &Tree) -> Vec<Finding> {
    let pages = tree.with_extension("md").filter(|(file, _)| file.path.starts_with(DOCS) && file.path != SUMMARY);
    let Some((summary, text)) = tree.with_extension("md").find(|(file, _)| file.path == SUMMARY) else {
        let first = pages.take(1);
        return first.map(|(page, _)| page.finding(None, format!("expected a table of contents, {SUMMARY}"))).collect();
    };
    let listed: Vec<String> = outside_fences(text)
        .flat_map(|(_, line)| targets(line).filter_map(|(_, target)| resolve(SUMMARY, target)).collect::<Vec<_>>())
        .collect();
    let count = |path: &str| listed.iter().filter(|one| *one == path).count();
    let wrong = pages.filter(|(page, _)| count(&page.path) != 1);
    wrong
        .map(|(page, _)| {
            summary.finding(None, format!("lists {} {} times; expected once", page.path, count(&page.path)))
        })
        .collect()
}

/// Checks that the pictures of the documentation are small.
pub(super) fn pictures(tree: &Tree) -> Vec<Finding> {
    let large = tree.files.iter().filter(|file| file.path.starts_with(PICTURES) && file.size >= MAX_PICTURE_BYTES);
    large
        .map(|file| file.finding(None, format!("{} bytes; a picture has fewer than {MAX_PICTURE_BYTES}", file.size)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::{places, tree};

    #[test]
    fn links_lead_to_files_folders_and_headings() {
        let guide = "# Here\n[a](../README.md) [b](style.md#names) [c](https://example.org/x#y) [d](#here) [e](../crates)\n\
                     [f](missing.md) [g](../../outside.md)\n```\n[h](in-code.md)\n```\n![i](also-missing.png)\n\
                     [j](style.md#verbs) [k](#there) [l](../crates/a/src/lib.rs#L3)\n";
        let files =
            [("docs/guide.md", guide), ("docs/style.md", "# Names\n"), ("README.md", ""), ("crates/a/src/lib.rs", "")];
        let lines = [3, 3, 7, 8, 8].map(|line| ("docs/guide.md".to_owned(), Some(line)));
        assert_eq!(places(links, &files), lines);
        let messages: Vec<String> = links(&tree(&files)).into_iter().map(|finding| finding.message).collect();
        assert!(messages[3].contains("docs/style.md has no heading `#verbs`"), "{messages:?}");
    }

    #[test]
    fn every_page_is_in_the_contents_once() {
        let pages = [("docs/a.md", ""), ("docs/b/c.md", ""), ("README.md", "")];
        let with = |summary: &'static str| places(contents, &[&pages[..], &[(SUMMARY, summary)]].concat());
        assert_eq!(with("# Summary\n- [A](a.md)\n    - [C](b/c.md)\n"), []);
        assert_eq!(with("- [A](a.md)\n"), [(SUMMARY.to_owned(), None)]);
        assert_eq!(with("- [A](a.md)\n- [C](b/c.md)\n- [A again](a.md)\n").len(), 1);
        assert_eq!(places(contents, &pages), [("docs/a.md".to_owned(), None)]);
    }

    #[test]
    fn large_pictures_are_found() {
        let mut tree = tree(&[("docs/images/a.png", ""), ("docs/images/b.png", ""), ("assets/c.png", "")]);
        tree.files[0].size = MAX_PICTURE_BYTES - 1;
        tree.files[1].size = MAX_PICTURE_BYTES;
        tree.files[2].size = MAX_PICTURE_BYTES;
        assert_eq!(
            pictures(&tree).iter().map(|finding| finding.path.as_str()).collect::<Vec<_>>(),
            ["docs/images/b.png"]
        );
    }
}
