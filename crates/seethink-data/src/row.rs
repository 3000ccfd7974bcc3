//! Rows of JSON-lines and parquet files: untyped names and values.

use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::fmt;
use std::sync::Arc;

/// Place of a row in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// The line or row, from 1.
    pub(crate) line: u64,
    /// Offset of the line in the file, bytes; 0 in a table.
    pub(crate) offset: u64,
}

/// The named values of a row, in the file's order.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Row(pub(crate) Vec<(String, Cell)>);

/// Value of a row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell {
    /// Null, boolean, number or text.
    Scalar(Value),
    /// Bytes, which JSON does not have.
    #[cfg_attr(not(feature = "parquet"), allow(dead_code, reason = "only tables have bytes"))]
    Bytes(Arc<[u8]>),
    List(Vec<Cell>),
    Struct(Row),
}

impl Row {
    /// Value of this name; `None` if missing or null.
    pub(crate) fn get(&self, name: &str) -> Option<&Cell> {
        self.cell(name).filter(|cell| !cell.is_null())
    }

    /// Value of this name, which may be null.
    pub(crate) fn cell(&self, name: &str) -> Option<&Cell> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, cell)| cell)
    }
}

impl Cell {
    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Self::Scalar(Value::Null))
    }

    /// Formats a scalar: text as it is, any other scalar as JSON.
    pub(crate) fn scalar_text(&self) -> Option<String> {
        match self {
            Self::Scalar(Value::String(text)) => Some(text.clone()),
            Self::Scalar(value) => Some(value.to_string()),
            _ => None,
        }
    }

    /// Formats a value: text as it is, anything else as JSON; `None` where it contains bytes.
    pub(crate) fn text(&self) -> Option<String> {
        self.scalar_text().or_else(|| self.to_json().map(|value| value.to_string()))
    }

    fn to_json(&self) -> Option<Value> {
        match self {
            Self::Scalar(value) => Some(value.clone()),
            Self::Bytes(_) => None,
            Self::List(items) => items.iter().map(Self::to_json).collect::<Option<_>>().map(Value::Array),
            Self::Struct(Row(fields)) => {
                let field = |(key, cell): &(String, Self)| cell.to_json().map(|value| (key.clone(), value));
                fields.iter().map(field).collect::<Option<_>>().map(Value::Object)
            }
        }
    }

    /// Excerpt of the value for a message: at most sixty characters.
    pub(crate) fn excerpt(&self) -> String {
        match self {
            Self::Bytes(bytes) => format!("{} bytes", bytes.len()),
            other => {
                other.to_json().map_or_else(|| "a structure with bytes".to_owned(), |value| cut(&value.to_string()))
            }
        }
    }
}

/// Deserialises any JSON value, but refuses an object with a repeated key.
impl<'de> Deserialize<'de> for Cell {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CellVisitor)
    }
}

struct CellVisitor;

impl<'de> Visitor<'de> for CellVisitor {
    type Value = Cell;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Cell, E> {
        Ok(Cell::Scalar(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Cell, E> {
        Ok(Cell::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Cell, E> {
        Ok(Cell::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Cell, E> {
        Ok(Cell::Scalar(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Cell, E> {
        Ok(Cell::Scalar(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Cell, E> {
        Ok(Cell::Scalar(value.into()))
    }

    fn visit_string<E>(self, value: String) -> Result<Cell, E> {
        Ok(Cell::Scalar(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Cell, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Cell::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Cell, A::Error> {
        let mut row = Row::default();
        while let Some((key, cell)) = fields.next_entry::<String, Cell>()? {
            if row.cell(&key).is_some() {
                return Err(A::Error::custom(format_args!("the key {key:?} stands here twice")));
            }
            row.0.push((key, cell));
        }
        Ok(Cell::Struct(row))
    }
}

/// Cuts a text to at most sixty characters.
pub(crate) fn cut(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
