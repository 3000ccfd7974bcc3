//! Configuration overrides `--set path=value`.
//!
//! The configuration is converted to JSON, the value is replaced there, and the JSON is read as
//! strictly as a file is.

use super::{ConfigError, RunConfig};
use serde_json::{Map, Value, json};

/// Replaces one value of a configuration.
pub(super) fn apply(config: &RunConfig, assignment: &str) -> Result<RunConfig, ConfigError> {
    let (path, text) = match assignment.split_once('=') {
        Some((path, text)) if !path.trim().is_empty() => (path.trim(), text.trim()),
        _ => return Err(ConfigError::Assignment { assignment: assignment.to_owned() }),
    };
    let wrong = |key: String, error| ConfigError::Value { assignment: assignment.to_owned(), key, error };
    let mut root = serde_json::to_value(config).map_err(|error| wrong(path.to_owned(), error))?;
    // JSON has no infinity and no NaN: both are written as `null`, which would be read as something
    // else.
    if serde_json::from_value(root.clone()).ok().as_ref() != Some(config) {
        return Err(ConfigError::NotFinite);
    }
    let mut place = &mut root;
    let mut place_name = "the configuration".to_owned();
    let parts: Vec<&str> = path.split(['.', '[', ']']).filter(|part| !part.is_empty()).collect();
    let mut added = None;
    for (i, part) in parts.iter().enumerate() {
        let unknown = ConfigError::UnknownKey {
            assignment: assignment.to_owned(),
            part: (*part).to_owned(),
            place: place_name,
            valid: names(place),
        };
        // Keys with default values are left out of the JSON; whether this key exists is checked
        // when the JSON is read.
        if place.as_object().is_some_and(|map| !map.contains_key(*part)) {
            place[*part] = json!({});
            added.get_or_insert((i + 1, unknown));
            place = &mut place[*part];
        } else {
            place = child(place, part).ok_or(unknown)?;
        }
        place_name = format!("`{part}`");
    }
    *place = parse(text);
    serde_path_to_error::deserialize(root).map_err(|error| {
        let depth = error.path().iter().count();
        match added {
            // The parent has no such key.
            Some((at, unknown))
                if depth < at || (depth == at && error.inner().to_string().starts_with("unknown field")) =>
            {
                unknown
            }
            _ => wrong(error.path().to_string(), error.into_inner()),
        }
    })
}

/// Child of this name or position.
fn child<'a>(value: &'a mut Value, part: &str) -> Option<&'a mut Value> {
    match value {
        Value::Object(map) => map.get_mut(part),
        Value::Array(items) => items.get_mut(part.parse::<usize>().ok()?),
        _ => None,
    }
}

/// Names or positions of the children.
fn names(value: &Value) -> Vec<String> {
    match value {
        Value::Object(map) => map.keys().cloned().collect(),
        Value::Array(items) => (0..items.len()).map(|index| index.to_string()).collect(),
        _ => Vec::new(),
    }
}

/// Parses a value as typed: JSON, other syntax of a file, or else text.
fn parse(text: &str) -> Value {
    let text = text.trim();
    if text == "None" {
        return Value::Null;
    }
    if let Ok(value) = serde_json::from_str(text) {
        return value;
    }
    if let Some((name, content)) = text.strip_suffix(')').and_then(|open| open.split_once('('))
        && name.chars().all(char::is_alphanumeric)
    {
        let content = fields(content);
        return if matches!(name, "" | "Some") { content } else { json!({ name: content }) };
    }
    if let Some(items) = text.strip_prefix('[').and_then(|open| open.strip_suffix(']')) {
        return split(items).into_iter().map(parse).collect();
    }
    match text.split_once("..=").map(|(start, end)| (parse(start), parse(end))) {
        Some((start @ Value::Number(_), end @ Value::Number(_))) => json!({ "start": start, "end": end }),
        _ => Value::String(text.to_owned()),
    }
}

/// Parses the content of parentheses: named fields, one value, or several.
fn fields(content: &str) -> Value {
    let items = split(content);
    let named = |item: &&str| {
        let (name, value) = item.split_once(':')?;
        let is_name = name.trim().chars().all(|c| c.is_alphanumeric() || c == '_');
        is_name.then(|| (name.trim().to_owned(), parse(value)))
    };
    match (items.iter().map(named).collect::<Option<Map<_, _>>>(), items.as_slice()) {
        (Some(fields), _) => Value::Object(fields),
        (None, [item]) => parse(item),
        (None, items) => items.iter().map(|item| parse(item)).collect(),
    }
}

/// Splits at the commas outside of brackets and strings.
fn split(text: &str) -> Vec<&str> {
    let (mut depth, mut quoted) = (0, false);
    let items = text.split(|c| {
        match c {
            '"' => quoted = !quoted,
            '(' | '[' | '{' if !quoted => depth += 1,
            ')' | ']' | '}' if !quoted => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0 && !quoted
    });
    items.map(str::trim).filter(|item| !item.is_empty()).collect()
}
