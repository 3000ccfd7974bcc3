//! Markdown as the rules and the book need it: links, headings and their anchors.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Numbered lines of a text outside of code blocks.
pub(crate) fn outside_fences(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    (1..).zip(text.lines()).filter(move |(_, line)| {
        let is_fence = line.trim_start().starts_with("```");
        fenced ^= is_fence;
        !fenced && !is_fence
    })
}

/// Link targets in a line, images included, with their places: `[text](target)`.
pub(crate) fn targets(line: &str) -> impl Iterator<Item = (Range<usize>, &str)> {
    line.match_indices("](").filter_map(|(at, opening)| {
        let from = at + opening.len();
        let to = from + line[from..].find([')', ' '])?;
        Some((from..to, &line[from..to]))
    })
}

/// Returns whether a target leaves the repository.
pub(crate) fn is_external(target: &str) -> bool {
    target.contains("://") || target.starts_with("mailto:")
}

/// Splits a target into its path and its anchor; both may be empty.
pub(crate) fn path_and_anchor(target: &str) -> (&str, &str) {
    target.split_once('#').unwrap_or((target, ""))
}

/// Resolves a relative path in the file `from` to a path from the root; `None` outside the
/// repository.
pub(crate) fn resolve(from: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in path.trim_end_matches('/').split('/') {
        match part {
            "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Anchors of the headings of a text, as repository sites and mdBook make them: lower case, hyphens
/// for spaces, no punctuation, `-1` after a repeated one.
pub(crate) fn anchors(text: &str) -> BTreeSet<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let headings = outside_fences(text).filter_map(|(_, line)| {
        let title = line.trim_start_matches('#');
        (title.len() < line.len()).then(|| title.strip_prefix(' ')).flatten()
    });
    let anchors = headings.map(|title| {
        let plain = without_targets(title.trim());
        let letters = plain.chars().flat_map(char::to_lowercase);
        let kept = letters.filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        let n_before = seen.entry(anchor.clone()).or_default();
        *n_before += 1;
        if *n_before == 1 { anchor } else { format!("{anchor}-{}", *n_before - 1) }
    });
    anchors.collect()
}

/// The line with `[text](target)` reduced to `[text](`.
fn without_targets(line: &str) -> String {
    let mut plain = line.to_owned();
    for (place, _) in targets(line).collect::<Vec<_>>().into_iter().rev() {
        plain.replace_range(place, "");
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_found_with_their_places() {
        let line = "![a](x.png) and [b](y.md#c \"title\"), not (z.md)";
        let found: Vec<&str> = targets(line).map(|(_, target)| target).collect();
        assert_eq!(found, ["x.png", "y.md#c"]);
        assert!(targets(line).all(|(place, target)| &line[place] == target));
        assert_eq!(path_and_anchor("y.md#c"), ("y.md", "c"));
        assert_eq!(path_and_anchor("y.md"), ("y.md", ""));
    }

    #[test]
    fn paths_are_resolved_inside_the_repository_only() {
        assert_eq!(resolve("docs/a.md", "../crates/"), Some("crates".into()));
        assert_eq!(resolve("docs/a.md", "./b.md"), Some("docs/b.md".into()));
        assert_eq!(resolve("docs/a.md", "../../outside.md"), None);
    }

    #[test]
    fn headings_have_the_anchors_of_the_repository_site() {
        let text =
            "# The `Vlm<E>`, twice?\n## 1. A [link](a.md)\n```sh\n# a comment\n```\n## Same\n## Same\n#no-heading\n";
        let expected = ["the-vlme-twice", "1-a-link", "same", "same-1"];
        assert_eq!(anchors(text), expected.map(str::to_owned).into());
    }
}
