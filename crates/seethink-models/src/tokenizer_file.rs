//! Checks of `tokenizer.json` before the library reads it: only parts of byte-level BPE, no pattern
//! whose matching can run away, and no sequence of parts that turns a short text into a huge one.
//!
//! The library runs patterns on an engine that backtracks. It gives up after a million steps, and
//! then the rest of the text silently stays in one piece; before that, a pattern can take seconds
//! for every word. So a pattern must be one that the automata of the `regex` crate run in linear
//! time, or an alternation of such with `\s+(?!\S)`, which all tokenizers of this kind have: it
//! stops at the last but one of some blanks, and takes a step for each.

use crate::ProcessorError;
use fancy_regex::{Assertion, Expr, LookAround, Regex};
use seethink_core::SettingError;
use serde::Deserialize;
use serde_json::Value;
use std::path::Path;
use std::sync::OnceLock;

/// Maximum length of a pattern, characters.
const LONGEST_PATTERN: usize = 2048;
/// Maximum number of patterns of a file.
const MOST_PATTERNS: usize = 16;
/// Maximum bound of a counted repetition in a pattern; longer runs have no bound.
const MOST_REPEATS: usize = 64;
/// Maximum growth of the bytes of a text by all parts together; those of the four families multiply
/// by 24.
const MOST_GROWTH: usize = 256;
/// Number of steps after which the engine gives up.
const STEPS: usize = 1_000_000;

/// Parts of the file that are checked here.
#[derive(Deserialize)]
struct Parts {
    normalizer: Option<Value>,
    pre_tokenizer: Option<Value>,
    post_processor: Option<Value>,
    decoder: Option<Value>,
    model: Model,
}

#[derive(Deserialize)]
struct Model {
    #[serde(rename = "type")]
    kind: Option<String>,
    continuing_subword_prefix: Option<String>,
}

/// The pattern of a `ByteLevel` pre-tokenizer.
///
/// # Source
/// tokenizers 0.22 `pre_tokenizers/byte_level.rs`.
const BYTE_LEVEL: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

/// Kinds of parts that byte-level BPE uses: normalizers, pre-tokenizers, post-processors, decoders.
const NORMALIZERS: &[&str] = &["NFC", "NFD", "NFKC", "NFKD", "Replace", "Sequence"];
const PRE_TOKENIZERS: &[&str] = &["ByteLevel", "Digits", "Sequence", "Split"];
const POST_PROCESSORS: &[&str] = &["ByteLevel", "Sequence", "TemplateProcessing"];
const DECODERS: &[&str] = &["ByteFallback", "ByteLevel", "Fuse", "Replace", "Sequence", "Strip"];

/// Patterns that backtrack, with which the library might give up on a text.
#[derive(Clone, Default)]
pub(crate) struct Patterns(Vec<Pattern>);

#[derive(Clone)]
struct Pattern {
    text: String,
    /// Number of steps that a position of the text may take.
    steps: usize,
    /// Compiled pattern, for the first long text.
    regex: OnceLock<Option<Regex>>,
}

impl Pattern {
    fn new(text: &str, steps: usize) -> Self {
        Self { text: text.to_owned(), steps, regex: OnceLock::new() }
    }

    /// Compiled pattern; `None` if it is malformed, and then the library has refused it already.
    fn regex(&self) -> Option<&Regex> {
        self.regex.get_or_init(|| Regex::new(&self.text).ok()).as_ref()
    }
}

impl Patterns {
    /// Checks the text of a `tokenizer.json`; `path` is that of the file.
    ///
    /// # Errors
    /// If the text is not JSON, has a part that byte-level BPE does not use, or a pattern that may
    /// run away.
    pub(crate) fn check(json: &[u8], path: &Path) -> Result<Self, ProcessorError> {
        let setting = |key, found: String, expected| ProcessorError::Setting {
            path: path.to_owned(),
            error: SettingError::new(key, found, expected),
        };
        let parts: Parts =
            serde_json::from_slice(json).map_err(|source| ProcessorError::Json { path: path.to_owned(), source })?;
        let Model { kind, continuing_subword_prefix } = parts.model;
        if kind.as_deref() != Some("BPE") {
            return Err(setting("model.type", format!("{kind:?}"), "\"BPE\""));
        }
        // The library cuts the prefix off every token, however short.
        if let Some(prefix) = continuing_subword_prefix.filter(|prefix| !prefix.is_empty()) {
            return Err(setting(
                "model.continuing_subword_prefix",
                format!("{prefix:?}"),
                "nothing, as for all tokens of bytes",
            ));
        }
        let (mut patterns, mut total) = (Vec::new(), 1usize);
        for (name, part, kinds, expected) in [
            ("normalizer", &parts.normalizer, NORMALIZERS, "NFC, NFD, NFKC, NFKD, Replace or Sequence"),
            ("pre_tokenizer", &parts.pre_tokenizer, PRE_TOKENIZERS, "ByteLevel, Digits, Sequence or Split"),
            ("post_processor", &parts.post_processor, POST_PROCESSORS, "ByteLevel, Sequence or TemplateProcessing"),
            ("decoder", &parts.decoder, DECODERS, "ByteFallback, ByteLevel, Fuse, Replace, Sequence or Strip"),
        ] {
            let Some(part) = part else { continue };
            if let Some(found) = foreign_kind(part, kinds) {
                return Err(setting(name, format!("of type {found}"), expected));
            }
            collect(part, &mut patterns);
            total = total.saturating_mul(growth(part));
        }
        if total > MOST_GROWTH {
            return Err(setting(
                "growth",
                format!("up to {total} bytes for each of a text"),
                "at most 256 over normalizer, pre_tokenizer, post_processor and decoder",
            ));
        }
        if patterns.len() > MOST_PATTERNS {
            return Err(setting("pattern", format!("one of {}", patterns.len()), "at most 16 patterns"));
        }
        let mut backtracking = Vec::new();
        for pattern in patterns {
            let steps = steps(pattern).ok_or_else(|| {
                setting(
                    "pattern",
                    shown(pattern),
                    "alternatives of bounded repetitions without look-around, but for \\s+(?!\\S)",
                )
            })?;
            if steps > 0 {
                backtracking.push(Pattern::new(pattern, steps));
            }
        }
        Ok(Self(backtracking))
    }

    /// Creates the list of a single pattern, which must be valid.
    pub(crate) fn of(pattern: &str) -> Self {
        Self(steps(pattern).map(|steps| Pattern::new(pattern, steps)).into_iter().collect())
    }

    /// Checks that the library would match its patterns to the end of this text.
    ///
    /// # Errors
    /// If it would give up; the error of the engine.
    pub(crate) fn run_through(&self, text: &str) -> Result<(), Box<fancy_regex::Error>> {
        // Short texts end before the limit of steps.
        let is_long = |pattern: &&Pattern| text.len().saturating_mul(pattern.steps) > STEPS;
        let regexes = self.0.iter().filter(is_long).filter_map(Pattern::regex);
        match regexes.flat_map(|regex| regex.find_iter(text)).find_map(Result::err) {
            Some(error) => Err(Box::new(error)),
            None => Ok(()),
        }
    }
}

/// Finds the first `type` in a part that is not among `kinds`.
fn foreign_kind<'a>(part: &'a Value, kinds: &[&str]) -> Option<&'a Value> {
    match part {
        Value::Object(fields) => {
            let own = fields.get("type").filter(|kind| !kind.as_str().is_some_and(|kind| kinds.contains(&kind)));
            // The pieces of a template are named like kinds, and are not kinds.
            let below = || {
                fields
                    .iter()
                    .filter(|(key, _)| *key != "special_tokens")
                    .find_map(|(_, value)| foreign_kind(value, kinds))
            };
            own.or_else(below)
        }
        Value::Array(items) => items.iter().find_map(|item| foreign_kind(item, kinds)),
        _ => None,
    }
}

/// Collects all patterns of a part.
fn collect<'a>(part: &'a Value, patterns: &mut Vec<&'a str>) {
    match part {
        Value::Object(fields) => {
            // A pre-tokenizer of this kind has a pattern of its own, unless that is switched off.
            if fields.get("type") == Some(&"ByteLevel".into()) && fields.get("use_regex") != Some(&false.into()) {
                patterns.push(BYTE_LEVEL);
            }
            fields.iter().for_each(|(key, value)| match (key.as_str(), value) {
                ("Regex", Value::String(pattern)) => patterns.push(pattern),
                (_, value) => collect(value, patterns),
            });
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, patterns)),
        _ => {}
    }
}

/// Maximum number of bytes that a part makes of each byte of a text; nested parts are multiplied.
///
/// A byte becomes a character of two bytes, and two bytes that are no text one of three; composed
/// and decomposed characters have at most three times as many (eleven with compatibility
/// decompositions, as of U+FDFA), a replacement comes once for a byte and once more for the end, a
/// template repeats its sequence.
fn growth(part: &Value) -> usize {
    match part {
        Value::Object(fields) => {
            let own = match fields.get("type").and_then(Value::as_str) {
                Some("NFC" | "NFD") => 3,
                Some("NFKC" | "NFKD") => 11,
                Some("ByteLevel") => 2,
                Some("Replace") => 1 + fields.get("content").and_then(Value::as_str).map_or(0, str::len),
                Some("TemplateProcessing") => fields
                    .get("single")
                    .and_then(Value::as_array)
                    .map_or(1, |pieces| pieces.iter().filter(|piece| piece.get("Sequence").is_some()).count().max(1)),
                _ => 1,
            };
            fields.values().map(growth).fold(own, usize::saturating_mul)
        }
        Value::Array(items) => items.iter().map(growth).fold(1, usize::saturating_mul),
        _ => 1,
    }
}

fn shown(pattern: &str) -> String {
    let cut: String = pattern.chars().take(80).collect();
    if cut.len() < pattern.len() { format!("{cut:?}…") } else { format!("{cut:?}") }
}

/// Number of steps of the backtracking engine per position of the text, 0 if it need not backtrack;
/// `None` for a pattern that is refused.
fn steps(pattern: &str) -> Option<usize> {
    if pattern.chars().nth(LONGEST_PATTERN).is_some() {
        return None;
    }
    let tree = Expr::parse_tree(pattern).ok()?.expr;
    if is_linear(&tree, false) {
        return Some(0);
    }
    let mut tree = &tree;
    while let Expr::Group(inner) = tree {
        tree = inner;
    }
    let alternatives = match tree {
        Expr::Alt(alternatives) => alternatives.as_slice(),
        single => std::slice::from_ref(single),
    };
    let fine = |one: &Expr| is_linear(one, false) || is_last_blank(one);
    alternatives.iter().all(fine).then_some(alternatives.len() + 2)
}

/// Returns whether an expression is `\s+(?!\S)`.
fn is_last_blank(expression: &Expr) -> bool {
    let is_class = |expression: &Expr, class: &str| matches!(expression, Expr::Delegate { inner, size: 1, casei: _ } if inner == class);
    match expression {
        Expr::Concat(parts) => match parts.as_slice() {
            [
                Expr::Repeat { child, lo: 1, hi: usize::MAX, greedy: true },
                Expr::LookAround(ahead, LookAround::LookAheadNeg),
            ] => is_class(child, "\\s") && is_class(ahead, "\\S"),
            _ => false,
        },
        _ => false,
    }
}

/// Returns whether automata can run an expression, with a size that its length bounds; `counted`:
/// inside a counted repetition.
fn is_linear(expression: &Expr, counted: bool) -> bool {
    match expression {
        Expr::Empty | Expr::Any { .. } | Expr::Literal { .. } | Expr::Delegate { .. } => true,
        Expr::Assertion(assertion) => {
            use Assertion::{EndLine, EndText, StartLine, StartText};
            matches!(assertion, StartText | EndText | StartLine { .. } | EndLine { .. })
        }
        Expr::Concat(parts) | Expr::Alt(parts) => parts.iter().all(|part| is_linear(part, counted)),
        Expr::Group(inner) => is_linear(inner, counted),
        Expr::Repeat { child, lo, hi, .. } => {
            let counts = *lo > 1 || !matches!(hi, 1 | &usize::MAX);
            let n = if *hi == usize::MAX { *lo } else { *hi };
            !(counts && counted) && n <= MOST_REPEATS && is_linear(child, counts || counted)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(change: impl FnOnce(&mut Value)) -> Result<Patterns, String> {
        let mut file = json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
            "normalizer": {"type": "NFC"},
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": "\\s+(?!\\S)|\\s+|\\S+"}, "behavior": "Isolated", "invert": false},
                {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false}]},
            "post_processor": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false},
            "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false},
            "model": {"type": "BPE", "continuing_subword_prefix": "", "vocab": {"a": 0}, "merges": []}
        });
        change(&mut file);
        Patterns::check(file.to_string().as_bytes(), Path::new("tokenizer.json")).map_err(|error| error.to_string())
    }

    #[test]
    fn patterns_of_released_tokenizers_are_accepted() {
        let qwen = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
        let llama = qwen.replace(r"\p{N}|", r"\p{N}{1,3}|");
        for pattern in [qwen, &llama, BYTE_LEVEL, &format!("({qwen})"), r"\s+(?!\S)"] {
            assert!(steps(pattern).is_some_and(|steps| steps > 2), "{pattern}");
        }
        for pattern in [r"\p{N}{1,3}", " ", r"[^a]+|a", "(?:ab)*c"] {
            assert_eq!(steps(pattern), Some(0), "{pattern}");
        }
        assert!(check(|_| {}).is_ok());
    }

    #[test]
    fn patterns_that_may_run_away_are_refused() {
        for pattern in [
            r"(a+)+(?!b)",
            r"(a|a)*(?=b)",
            r"(a*)\1",
            r"(?>a+)b",
            r"a+(?=b)",
            r"\s+(?!\S)a",
            r"(\s+(?!\S))*",
            r"(?<=a)b",
            r"(?:a{60}){60}",
            r"a{1000}",
            r"(",
            r"\b\w+",
        ] {
            assert_eq!(steps(pattern), None, "{pattern}");
        }
        assert_eq!(steps(&"a|".repeat(2000)), None);
        let message =
            check(|file| file["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = json!("(x+x+)+(?!y)"));
        let message = message.err().unwrap();
        assert!(message.starts_with("tokenizer.json: `pattern` is \"(x+x+)+(?!y)\", expected "), "{message}");
        let replace = json!({"type": "Replace", "pattern": {"Regex": "(a*)*(?!b)"}, "content": ""});
        assert!(check(|file| file["normalizer"] = replace.clone()).is_err());
        assert!(check(|file| file["decoder"] = replace).is_err());
    }

    #[test]
    fn parts_that_multiply_a_text_are_refused() {
        let byte_level =
            json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false});
        let replace = json!({"type": "Replace", "pattern": {"String": "a"}, "content": "aaaaaaaa"});
        let twice = json!({"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A", "type_id": 0}},
            {"Sequence": {"id": "A", "type_id": 0}}], "pair": [], "special_tokens": {}});
        for (part, list, item, allowed) in [
            ("pre_tokenizer", "pretokenizers", &byte_level, 3),
            ("normalizer", "normalizers", &replace, 1),
            ("post_processor", "processors", &twice, 3),
            ("decoder", "decoders", &replace, 1),
        ] {
            let with = |n: usize| check(|file| file[part] = json!({"type": "Sequence", list: vec![item.clone(); n]}));
            assert!(with(allowed).is_ok(), "{part}");
            let message = with(30).err().unwrap();
            assert!(message.starts_with("tokenizer.json: `growth` is up to "), "{message}");
        }
    }

    #[test]
    fn parts_of_other_kinds_are_refused() {
        for (part, value, name) in [
            ("normalizer", json!({"type": "Precompiled", "precompiled_charsmap": ""}), "normalizer"),
            ("pre_tokenizer", json!({"type": "Sequence", "pretokenizers": [{"type": "Metaspace"}]}), "pre_tokenizer"),
            ("decoder", json!({"type": 7}), "decoder"),
            ("model", json!({"type": "Unigram", "vocab": []}), "model.type"),
            ("model", json!({"type": "BPE", "continuing_subword_prefix": "##"}), "model.continuing_subword_prefix"),
        ] {
            let message = check(|file| file[part] = value).err().unwrap();
            assert!(message.starts_with(&format!("tokenizer.json: `{name}` is ")), "{message}");
        }
        assert!(Patterns::check(b"{", Path::new("tokenizer.json")).is_err());
    }

    #[test]
    fn a_text_on_which_the_library_would_give_up_is_told() {
        let Ok(patterns) = check(|file| {
            file["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = json!("\\s+(?!\\S)|q");
        }) else {
            panic!("a fine pattern")
        };
        assert!(patterns.run_through(&"q".repeat(2_000_000)).is_ok());
        assert!(patterns.run_through(&"x".repeat(10_000)).is_ok());
        assert!(patterns.run_through(&"x".repeat(2_000_000)).is_err());
    }
}
