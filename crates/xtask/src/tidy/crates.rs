//! Rules for crates: allowed dependencies, and lints.

use super::publication::FIELDS;
use super::{Crate, File, Finding, Tree};
use anyhow::{Context, Result};
use serde_json::Value;

/// Allowed dependencies of each crate within the workspace; the table of `docs/architecture.md`.
const EDGES: &[(&str, &[&str])] = &[
    ("seethink-core", &[]),
    ("seethink-files", &[]),
    ("seethink-curriculum", &["seethink-core"]),
    ("seethink-math", &[]),
    ("seethink-plot", &["seethink-core", "seethink-curriculum"]),
    ("seethink-reward", &["seethink-core", "seethink-math"]),
    ("seethink-data", &["seethink-core", "seethink-files"]),
    ("seethink-nn", &[]),
    ("seethink-models", &["seethink-core", "seethink-files", "seethink-nn"]),
    ("seethink-rollout", &["seethink-core", "seethink-data", "seethink-nn", "seethink-models"]),
    ("seethink-hub", &[]),
    (
        "seethink-train",
        &[
            "seethink-core",
            "seethink-files",
            "seethink-curriculum",
            "seethink-reward",
            "seethink-data",
            "seethink-nn",
            "seethink-models",
            "seethink-rollout",
        ],
    ),
    (
        "seethink-eval",
        &[
            "seethink-core",
            "seethink-files",
            "seethink-reward",
            "seethink-data",
            "seethink-models",
            "seethink-rollout",
            "seethink-hub",
        ],
    ),
    (
        "seethink-run",
        &[
            "seethink-core",
            "seethink-files",
            "seethink-curriculum",
            "seethink-plot",
            "seethink-reward",
            "seethink-data",
            "seethink-models",
            "seethink-rollout",
            "seethink-hub",
            "seethink-train",
            "seethink-eval",
        ],
    ),
    (
        "seethink",
        &[
            "seethink-core",
            "seethink-files",
            "seethink-curriculum",
            "seethink-math",
            "seethink-plot",
            "seethink-reward",
            "seethink-data",
            "seethink-nn",
            "seethink-models",
            "seethink-rollout",
            "seethink-hub",
            "seethink-train",
            "seethink-eval",
            "seethink-run",
        ],
    ),
    ("seethink-cli", &["seethink"]),
    ("xtask", &[]),
];

/// Additional dependencies of tests: the crate, and a crate that its development dependencies may
/// name beyond its row.
///
/// The solutions of the digits world must be right by the reward that trains on them.
const TEST_EDGES: &[(&str, &str)] = &[("seethink-data", "seethink-reward")];

/// Crates that may use any crate of the workspace.
const ON_TOP: &[&str] = &["experiments", "seethink-tests"];

/// Crates that must not depend on burn: their decisions can be tested without a model.
const WITHOUT_BURN: &[&str] = &[
    "seethink-core",
    "seethink-files",
    "seethink-curriculum",
    "seethink-math",
    "seethink-plot",
    "seethink-reward",
    "seethink-data",
];

/// Parses the output of `cargo metadata --no-deps`.
pub(super) fn parse_metadata(json: &str) -> Result<Vec<Crate>> {
    let metadata: Value = serde_json::from_str(json).context("cargo metadata did not print JSON")?;
    let name = |value: &Value| value["name"].as_str().map(str::to_owned).context("a package without a name");
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let package = |package: &Value| {
        let all = list(&package["dependencies"]);
        let (tests, others): (Vec<&Value>, Vec<&Value>) =
            all.iter().partition(|dependency| dependency["kind"] == "dev");
        let names = |dependencies: Vec<&Value>| dependencies.into_iter().map(name).collect::<Result<_>>();
        let is_empty = |field: &Value| field.is_null() || field.as_array().is_some_and(Vec::is_empty);
        let missing = FIELDS.iter().filter(|&&field| is_empty(&package[field]));
        Ok(Crate {
            name: name(package)?,
            dependencies: names(others)?,
            test_dependencies: names(tests)?,
            // `null` is any registry, an empty list is none.
            is_published: package["publish"].as_array().is_none_or(|registries| !registries.is_empty()),
            missing: missing.map(|&field| field.to_owned()).collect(),
        })
    };
    list(&metadata["packages"]).iter().map(package).collect()
}

/// Checks that dependencies follow the table, in tests too but for [`TEST_EDGES`], and that only
/// the tensor crates depend on burn.
pub(super) fn edges(tree: &Tree) -> Vec<Finding> {
    let is_ours = |name: &str| tree.crates.iter().any(|package| package.name == name);
    let mut findings = Vec::new();
    for package in tree.crates.iter().filter(|package| !ON_TOP.contains(&package.name.as_str())) {
        let mut report = |message: String| {
            findings.push(Finding { path: format!("crates/{}/Cargo.toml", package.name), line: None, message });
        };
        let Some((_, allowed)) = EDGES.iter().find(|(name, _)| *name == package.name) else {
            report("the crate is not in the table of crates/xtask/src/tidy/crates.rs; add it there and to docs/architecture.md".into());
            continue;
        };
        let in_row = |dependency: &str| !is_ours(dependency) || allowed.contains(&dependency);
        let for_tests = |dependency: &str| TEST_EDGES.contains(&(package.name.as_str(), dependency));
        let wrong = package.dependencies.iter().filter(|name| !in_row(name));
        let wrong_in_tests = package.test_dependencies.iter().filter(|name| !in_row(name) && !for_tests(name));
        for dependency in wrong.chain(wrong_in_tests) {
            report(format!("`{}` may not depend on `{dependency}`; allowed: {allowed:?}", package.name));
        }
        let is_burn = |name: &&String| *name == "burn" || name.starts_with("burn-");
        if WITHOUT_BURN.contains(&package.name.as_str())
            && let Some(burn) = package.dependencies.iter().chain(&package.test_dependencies).find(is_burn)
        {
            report(format!("`{}` is free of tensors and may not depend on `{burn}`", package.name));
        }
    }
    findings
}

/// Checks that every crate of the workspace inherits its lints.
pub(super) fn lints(tree: &Tree) -> Vec<Finding> {
    let is_crate = |file: &File| file.path.ends_with("/Cargo.toml") && !file.path.starts_with("tests/fixtures/");
    let is_member = |text: &str| !text.lines().any(|line| line == "[workspace]");
    let manifests = tree.with_extension("toml").filter(|(file, text)| is_crate(file) && is_member(text));
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

    fn package(name: &str, dependencies: &[&str], test_dependencies: &[&str]) -> Crate {
        let owned = |names: &[&str]| names.iter().map(|&name| name.into()).collect();
        Crate {
            name: name.into(),
            dependencies: owned(dependencies),
            test_dependencies: owned(test_dependencies),
            ..Crate::default()
        }
    }

    fn messages_of(crates: Vec<Crate>) -> Vec<String> {
        edges(&Tree { files: Vec::new(), crates }).into_iter().map(|finding| finding.message).collect()
    }

    fn messages(crates: &[(&str, &[&str])]) -> Vec<String> {
        messages_of(crates.iter().map(|(name, dependencies)| package(name, dependencies, &[])).collect())
    }

    #[test]
    fn the_table_is_without_cycles() {
        // A crate may depend only on crates whose rows are above its own.
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
    fn tests_may_go_further_where_the_table_says() {
        let with = |normal: &[&str], tests: &[&str]| {
            messages_of(vec![package("seethink-reward", &[], &[]), package("seethink-data", normal, tests)])
        };
        assert_eq!(with(&[], &["seethink-reward", "proptest"]), [] as [&str; 0]);
        assert_eq!(with(&["seethink-reward"], &[]).len(), 1);
        let core = vec![package("seethink-reward", &[], &[]), package("seethink-core", &[], &["seethink-reward"])];
        assert_eq!(messages_of(core).len(), 1);
        assert!(with(&[], &["burn"])[0].contains("free of tensors"));
    }

    #[test]
    fn pure_crates_do_not_know_burn_and_every_crate_has_a_row() {
        assert!(messages(&[("seethink-curriculum", &["burn-core"])])[0].contains("burn-core"));
        assert_eq!(messages(&[("seethink-nn", &["burn"])]), [] as [&str; 0]);
        assert!(messages(&[("seethink-zoo", &[])])[0].contains("not in the table"));
    }

    #[test]
    fn metadata_tells_dependencies_of_tests_apart() {
        let json = r#"{"packages": [{"name": "a", "dependencies": [
            {"name": "b", "kind": null}, {"name": "c", "kind": "dev"},
            {"name": "d", "kind": "build"}], "publish": [], "description": "a", "license": "MIT",
            "repository": "a", "readme": null, "keywords": [], "categories": ["science"]}]}"#;
        let crates = parse_metadata(json).unwrap();
        let missing = vec!["readme".into(), "keywords".into()];
        assert_eq!(crates, [Crate { missing, ..package("a", &["b", "d"], &["c"]) }]);
        let published = json.replace("\"publish\": []", "\"publish\": null");
        assert!(parse_metadata(&published).unwrap()[0].is_published);
        assert!(parse_metadata("{").is_err());
    }

    #[test]
    fn lints_are_inherited() {
        let files = [
            ("crates/a/Cargo.toml", "[package]\n\n[lints]\nworkspace = true\n"),
            ("crates/b/Cargo.toml", "[package]\n"),
            ("Cargo.toml", "[workspace]\n"),
            ("tests/fixtures/c/Cargo.toml", "[package]\n"),
            ("tests/stand-in/Cargo.toml", "[package]\n\n[workspace]\n"),
        ];
        assert_eq!(places(lints, &files), [("crates/b/Cargo.toml".to_owned(), None)]);
    }
}
