//! Errors of a configuration.

use ron::error::Error as Ron;
use std::error::Error;
use std::path::PathBuf;

/// Errors of reading a configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Error of the system.
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
        /// Key of the faulty value, as `--set` spells it; `.` for the whole file.
        key: String,
        /// Error of the parser.
        error: Box<Ron>,
        /// Faulty line, with a mark under the column.
        excerpt: String,
    },
    /// An override without a path or a value.
    #[error("`--set {assignment}`: expected path=value, as in `--set grpo.group_size=16`")]
    Assignment {
        /// The override.
        assignment: String,
    },
    /// An override of an unknown key.
    #[error("`--set {assignment}`: there is no `{part}` in {place}; {}", one_of(valid))]
    UnknownKey {
        /// The override.
        assignment: String,
        /// Unknown part of its path.
        part: String,
        /// Place that has no such part.
        place: String,
        /// Parts that the place has.
        valid: Vec<String>,
    },
    /// An override with a value of the wrong type.
    #[error("`--set {assignment}`: {key}: {error}")]
    Value {
        /// The override.
        assignment: String,
        /// Key at which the value does not fit.
        key: String,
        /// Error of the parser.
        error: serde_json::Error,
    },
    /// Infinity or NaN in a configuration with overrides, which are applied by way of JSON.
    #[error("`--set` works on finite numbers only, but the configuration holds infinity or NaN; write a large number")]
    NotFinite,
    /// A value out of range.
    #[error("in {section}: {error}")]
    Setting {
        /// Section of the configuration.
        section: &'static str,
        /// Error that names the value and its range.
        error: Box<dyn Error + Send + Sync>,
    },
}

/// Explains an error of the parser, in terms of configuration files.
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

/// Formats the place of an error: `in key: `, or nothing for the whole file; for an unknown key,
/// the place is its parent.
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

/// Formats `expected one of …`.
fn one_of(names: &[impl AsRef<str>]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{}`", name.as_ref())).collect();
    match quoted.as_slice() {
        [] => "it has no parts".to_owned(),
        [name] => format!("expected {name}"),
        names => format!("expected one of {}", names.join(", ")),
    }
}
