//! Rules for publishing: which crates are published, and what their manifests and folders hold.

use super::{Finding, Tree};

/// Crates that are not published: programs and tests of this repository.
const UNPUBLISHED: &[&str] = &["xtask", "experiments", "seethink-tests"];

/// Fields of the manifest that a published crate has.
pub(super) const FIELDS: &[&str] = &["description", "license", "repository", "readme", "keywords", "categories"];

/// Files in the folder of a published crate, links to those in the root.
const LICENSES: &[&str] = &["LICENSE-APACHE", "LICENSE-MIT"];

/// Checks that all crates but the table's are published, with complete manifests and their licences.
pub(super) fn publication(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in &tree.crates {
        let folder = format!("crates/{}", package.name);
        let mut report =
            |message: String| findings.push(Finding { path: format!("{folder}/Cargo.toml"), line: None, message });
        let stays = UNPUBLISHED.contains(&package.name.as_str());
        if stays == package.is_published {
            let table = "the table of crates/xtask/src/tidy/publication.rs";
            let expected = if stays { "`publish = false`, as in" } else { "a crate to be published, or an entry in" };
            report(format!("expected {expected} {table}"));
        }
        if stays {
            continue;
        }
        if !package.missing.is_empty() {
            report(format!("a published crate has {FIELDS:?}; missing: {:?}", package.missing));
        }
        for name in LICENSES {
            if !tree.files.iter().any(|file| file.path == format!("{folder}/{name}")) {
                report(format!("expected {folder}/{name}, a link to ../../{name}"));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::{Crate, tree};

    fn messages(package: Crate) -> Vec<String> {
        let files = LICENSES.iter().map(|name| format!("crates/seethink-core/{name}")).collect::<Vec<_>>();
        let files: Vec<(&str, &str)> = files.iter().map(|path| (path.as_str(), "")).collect();
        let tree = Tree { crates: vec![package], ..tree(&files) };
        publication(&tree).into_iter().map(|finding| finding.message).collect()
    }

    fn package(name: &str, is_published: bool) -> Crate {
        Crate { name: name.into(), is_published, ..Crate::default() }
    }

    #[test]
    fn a_published_crate_is_complete() {
        assert_eq!(messages(package("seethink-core", true)), [] as [&str; 0]);
        assert_eq!(messages(package("seethink-nn", true)).len(), 2, "both licences are missing");
        let incomplete = Crate { missing: vec!["keywords".into()], ..package("seethink-core", true) };
        assert!(messages(incomplete)[0].contains("missing: [\"keywords\"]"));
    }

    #[test]
    fn the_table_says_what_stays_here() {
        assert_eq!(messages(package("xtask", false)), [] as [&str; 0]);
        assert!(messages(package("xtask", true))[0].contains("`publish = false`"));
        assert!(messages(package("seethink-core", false))[0].contains("a crate to be published"));
    }
}
