//! What can be wrong with a configuration.

use ron::error::Error as Ron;
use std::error::Error;
use std::path::PathBuf;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: std::io::Error,
    },
    /// The file is not a configuration.
    #[error("{}:{line}:{column}: {}{}\n{excerpt}", path.display(), at(key, error), explain(error))]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line, counted from 1.
        line: usize,
        /// Column in characters, counted from 1.
        column: usize,
        /// The key that was being read, as `--set` spells it; `.` for the whole.
        key: String,
        /// What the parser says.
        error: Box<Ron>,
        /// The line, with a mark under the column.
        excerpt: String,
    },
    /// An override without a path or without a value.
    #[error("`--set {assignment}`: expected path=value, as in `--set grpo.group_size=16`")]
    Assignment {
        /// The override.
        assignment: String,
    },
    /// An override of something that is not there.
    #[error("`--set {assignment}`: there is no `{part}` in {place}; {}", one_of(valid))]
    UnknownKey {
        /// The override.
        assignment: String,
        /// The part of its path that is unknown.
        part: String,
        /// What has no such part.
        place: String,
        /// What it has instead.
        valid: Vec<String>,
    },
    /// An override with a value that does not fit.
    #[error("`--set {assignment}`: {key}: {error}")]
    Value {
        /// The override.
        assignment: String,
        /// Where the value does not fit.
        key: String,
        /// Why.
        error: serde_json::Error,
    },
    /// Infinity or NaN where an override would have to carry it along.
    #[error("`--set` works on finite numbers only, but the configuration holds infinity or NaN; write a large number")]
    NotFinite,
    /// A value out of range.
    #[error("in {section}: {error}")]
    Setting {
        /// The section of the configuration.
        section: &'static str,
        /// Which value, and what was expected.
        error: Box<dyn Error + Send + Sync>,
    },
}

/// What the parser says, in the words of this file.
fn explain(error: &Ron) -> String {
    match error {
        Ron::NoSuchStructField { expected, found, .. } => format!("unknown key `{found}`; {}", one_of(expected)),
        Ron::NoSuchEnumVariant { expected, found, .. } => format!("unknown variant `{found}`; {}", one_of(expected)),
        Ron::MissingStructField { field, .. } => format!("missing key `{field}`"),
        Ron::DuplicateStructField { field, .. } => format!("key `{field}` stands here twice"),
        other => {
            let text = other.to_string();
            let mut letters = text.chars();
            letters.next().map_or(String::new(), |first| first.to_lowercase().chain(letters).collect())
        }
    }
}

/// `in key: `, or nothing for the whole; the key that holds the trouble, where the trouble is a key.
fn at(key: &str, error: &Ron) -> String {
    let holder = match error {
        Ron::NoSuchStructField { found, .. } => key.strip_suffix(found.as_str()),
        _ => key.strip_suffix('?'),
    };
    match holder.unwrap_or(key).trim_end_matches('.') {
        "" => String::new(),
        key => format!("in {key}: "),
    }
}

/// `expected one of …`.
fn one_of(names: &[impl AsRef<str>]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{}`", name.as_ref())).collect();
    match quoted.as_slice() {
        [] => "it has no parts".to_owned(),
        [name] => format!("expected {name}"),
        names => format!("expected one of {}", names.join(", ")),
    }
}
