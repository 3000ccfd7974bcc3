//! Which crate may depend on which.

use super::{Crate, Finding, Tree};
use anyhow::{Context, Result};
use serde_json::Value;

/// Each crate and the crates of this workspace that it may depend on; the table of `docs/architecture.md`.
const EDGES: &[(&str, &[&str])] = &[
    ("seethink-core", &[]),
    ("seethink-curriculum", &["seethink-core"]),
    ("seethink-reward", &["seethink-core"]),
    ("seethink-data", &["seethink-core"]),
    ("seethink-nn", &[]),
    ("seethink-models", &["seethink-core", "seethink-nn"]),
    ("seethink-rollout", &["seethink-core", "seethink-nn", "seethink-models"]),
    (
        "seethink-train",
        &[
            "seethink-core",
            "seethink-curriculum",
            "seethink-reward",
            "seethink-data",
            "seethink-nn",
            "seethink-models",
            "seethink-rollout",
        ],
    ),
    ("xtask", &[]),
];

/// These stand on top of everything and may use any crate of the workspace.
const ON_TOP: &[&str] = &["seethink", "experiments", "seethink-tests"];

/// These never see burn: what they decide can be tested without a model.
const WITHOUT_BURN: &[&str] = &["seethink-core", "seethink-curriculum", "seethink-reward", "seethink-data"];

/// Reads `cargo metadata --no-deps`.
pub(super) fn parse_metadata(json: &str) -> Result<Vec<Crate>> {
    let metadata: Value = serde_json::from_str(json).context("cargo metadata did not print JSON")?;
    let name = |value: &Value| value["name"].as_str().map(str::to_owned).context("a package without a name");
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let package = |package: &Value| {
        let dependencies = list(&package["dependencies"]).iter().map(name).collect::<Result<_>>()?;
        Ok(Crate { name: name(package)?, dependencies })
    };
    list(&metadata["packages"]).iter().map(package).collect()
}

/// Dependencies point the way of the architecture, also in tests, and only the tensor crates know burn.
pub(super) fn edges(tree: &Tree) -> Vec<Finding> {
    let ours = |name: &&String| tree.crates.iter().any(|package| package.name == **name);
    let mut findings = Vec::new();
    for package in tree.crates.iter().filter(|package| !ON_TOP.contains(&package.name.as_str())) {
        let mut report = |message: String| {
            findings.push(Finding { path: format!("crates/{}/Cargo.toml", package.name), line: None, message });
        };
        let Some((_, allowed)) = EDGES.iter().find(|(name, _)| *name == package.name) else {
            report("the crate is not in the table of crates/xtask/src/tidy/crates.rs; add it there and to docs/architecture.md".into());
            continue;
        };
        for dependency in package.dependencies.iter().filter(ours).filter(|name| !allowed.contains(&name.as_str())) {
            report(format!("`{}` may not depend on `{dependency}`; allowed: {allowed:?}", package.name));
        }
        let is_burn = |name: &&String| *name == "burn" || name.starts_with("burn-");
        if WITHOUT_BURN.contains(&package.name.as_str())
            && let Some(burn) = package.dependencies.iter().find(is_burn)
        {
            report(format!("`{}` is free of tensors and may not depend on `{burn}`", package.name));
        }
    }
    findings
}

/// Every crate takes its lints from the workspace.
pub(super) fn lints(tree: &Tree) -> Vec<Finding> {
    let manifests = tree.with_extension("toml").filter(|(file, _)| file.path.ends_with("/Cargo.toml"));
    let inherits =
        |text: &str| text.split("[lints]").nth(1).is_some_and(|rest| rest.trim_start().starts_with("workspace = true"));
    manifests
        .filter(|(_, text)| !inherits(text))
        .map(|(file, _)| file.finding(None, "expected `[lints]` with `workspace = true`"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::places;

    fn messages(crates: &[(&str, &[&str])]) -> Vec<String> {
        let package = |&(name, dependencies): &(&str, &[&str])| Crate {
            name: name.into(),
            dependencies: dependencies.iter().map(|&name| name.into()).collect(),
        };
        let tree = Tree { files: Vec::new(), crates: crates.iter().map(package).collect() };
        edges(&tree).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn the_table_is_without_cycles() {
        // A crate may depend only on crates whose rows stand above its own.
        for (row, (name, allowed)) in EDGES.iter().enumerate() {
            for dependency in *allowed {
                assert!(EDGES[..row].iter().any(|(above, _)| above == dependency), "{name} -> {dependency}");
            }
        }
    }

    #[test]
    fn the_documentation_has_the_same_table() {
        let documented = include_str!("../../../../docs/architecture.md");
        for (name, allowed) in EDGES {
            let short: Vec<&str> = allowed.iter().map(|name| name.trim_start_matches("seethink-")).collect();
            let last = if short.is_empty() { "–".to_owned() } else { short.join(", ") };
            let row = documented.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
            assert!(
                row.is_some_and(|row| row.ends_with(&format!("| {last} |"))),
                "{name}: expected {last}, found {row:?}"
            );
        }
    }

    #[test]
    fn edges_point_one_way() {
        let core = ("seethink-core", &["serde"] as &[&str]);
        assert_eq!(messages(&[core, ("seethink-curriculum", &["seethink-core", "ron"])]), [] as [&str; 0]);
        let back = messages(&[("seethink-core", &["seethink-reward"]), ("seethink-reward", &["seethink-core"])]);
        assert!(back.len() == 1 && back[0].contains("`seethink-core` may not depend on `seethink-reward`"), "{back:?}");
        assert_eq!(messages(&[core, ("experiments", &["seethink-core"])]), [] as [&str; 0]);
    }

    #[test]
    fn pure_crates_do_not_know_burn_and_every_crate_has_a_row() {
        assert!(messages(&[("seethink-curriculum", &["burn-core"])])[0].contains("burn-core"));
        assert_eq!(messages(&[("seethink-nn", &["burn"])]), [] as [&str; 0]);
        assert!(messages(&[("seethink-zoo", &[])])[0].contains("not in the table"));
    }

    #[test]
    fn metadata_gives_all_kinds_of_dependencies() {
        let json = r#"{"packages": [{"name": "a", "dependencies": [
            {"name": "b", "kind": null}, {"name": "c", "kind": "dev"}]}]}"#;
        let crates = parse_metadata(json).unwrap();
        assert_eq!(
            (crates[0].name.as_str(), crates[0].dependencies.as_slice()),
            ("a", &["b".to_owned(), "c".into()][..])
        );
        assert!(parse_metadata("{").is_err());
    }

    #[test]
    fn lints_are_inherited() {
        let files = [
            ("crates/a/Cargo.toml", "[package]\n\n[lints]\nworkspace = true\n"),
            ("crates/b/Cargo.toml", "[package]\n"),
            ("Cargo.toml", "[workspace]\n"),
        ];
        assert_eq!(places(lints, &files), [("crates/b/Cargo.toml".to_owned(), None)]);
    }
}
