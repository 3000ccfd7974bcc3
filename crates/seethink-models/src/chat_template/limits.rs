//! Limits on chat templates, which are programs that come with a checkpoint.
//!
//! minijinja counts instructions (fuel), but one instruction can double a text. So the instructions
//! that concatenate texts and lists are replaced by functions that count their output, everything
//! that is printed is counted, and filters whose results can be far larger than their input are
//! either counted or not available.

use minijinja::machinery::{Instruction, Instructions, Vm, get_compiled_template, make_string_output};
use minijinja::value::{Kwargs, Rest, Value, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, State};
use serde::Serialize as _;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::io;

/// Maximum number of instructions of a rendering. The templates of the supported families take some
/// hundred for a question with images.
pub const TEMPLATE_FUEL: u64 = 1_000_000;
/// Maximum bytes of text that a rendering creates, intermediate texts and lists included; text that
/// stands in the template itself may be printed up to as many bytes again.
pub const TEMPLATE_BYTES: usize = 128 << 20;

/// Bytes charged for a piece of text, beside its length.
const PIECE: usize = 64;
/// Bytes charged for a place in a list, beside its item.
const ITEM: usize = 64;

/// Maximum nesting depth of lists and maps that are printed.
const DEEPEST: usize = 64;

thread_local! {
    /// Bytes left of [`TEMPLATE_BYTES`] for the rendering on this thread.
    static LEFT: Cell<usize> = const { Cell::new(0) };
}

/// # Errors
/// If the bytes left do not suffice.
fn charge(n: usize) -> Result<(), Error> {
    let left = LEFT.get().checked_sub(n);
    LEFT.set(left.unwrap_or(0));
    let error = || {
        let mib = TEMPLATE_BYTES >> 20;
        Error::new(ErrorKind::InvalidOperation, format!("the template makes more than {mib} MiB of text"))
    };
    left.map(drop).ok_or_else(error)
}

/// A text whose bytes are charged.
#[derive(Default)]
struct Counted(String);

impl fmt::Write for Counted {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // However short, a piece takes time.
        charge(text.len() + PIECE).map_err(|_| fmt::Error)?;
        self.0.push_str(text);
        Ok(())
    }
}

impl io::Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // serde_json writes whole characters.
        let text = std::str::from_utf8(bytes).map_err(io::Error::other)?;
        self.write_str(text).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Concatenated text of the values, charged.
fn counted(values: &[&Value]) -> Result<String, Error> {
    let mut out = Counted::default();
    for value in values {
        measure(value, 0)?;
        write!(out, "{value}").or_else(|_| charge(usize::MAX))?;
    }
    Ok(out.0)
}

/// Charges the places of a list or map and of those in it before it is printed: printing goes on to
/// the end of a list after the text is refused, and a namespace may contain itself.
fn measure(value: &Value, depth: usize) -> Result<(), Error> {
    let Some(len) = value.len().filter(|_| is_list(value) || value.kind() == ValueKind::Map) else { return Ok(()) };
    if depth == DEEPEST {
        let message = format!("the template makes lists or maps that are nested more than {DEEPEST} times");
        return Err(Error::new(ErrorKind::InvalidOperation, message));
    }
    charge(len.saturating_mul(ITEM))?;
    for item in value.try_iter()? {
        measure(&item, depth + 1)?;
        if value.kind() == ValueKind::Map {
            measure(&value.get_item(&item)?, depth + 1)?;
        }
    }
    Ok(())
}

/// Functions that replace instructions. No template can define these names.
const CONCAT: &str = "~";
const ADD: &str = "+";
const MULTIPLY: &str = "*";
const LIST: &str = "[]";

/// Compiles a template under these limits.
///
/// # Errors
/// If the template is malformed.
pub(super) fn add_template(environment: &mut Environment<'_>, name: &'static str, source: String) -> Result<(), Error> {
    limit(environment);
    environment.add_template_owned(name, source)?;
    let template = environment.get_template(name)?;
    let compiled = get_compiled_template(&template);
    let all = std::iter::once(&compiled.instructions).chain(compiled.blocks.values());
    let printed = |instructions: &Instructions<'_>| {
        let texts = (0..instructions.len() as u32).filter_map(|at| match instructions.get(at) {
            Some(Instruction::EmitRaw(text)) => Some(text.len()),
            _ => None,
        });
        texts.max()
    };
    // Text of the template itself is not counted when it is printed: each time takes an
    // instruction.
    let longest = all.filter_map(printed).max().unwrap_or(0).max(1);
    environment.set_fuel(Some(TEMPLATE_FUEL.min((TEMPLATE_BYTES / longest) as u64)));
    Ok(())
}

fn limit(environment: &mut Environment<'_>) {
    environment.set_formatter(|out, _, value| match value.as_str() {
        Some(text) => charge(text.len()).and_then(|()| Ok(out.write_str(text)?)),
        // As `format!`, and not with Jinja's HTML escapes: the output goes to a model.
        None if value.is_undefined() => Ok(()),
        None => Ok(out.write_str(&counted(&[value])?)?),
    });
    environment.add_function(CONCAT, |left: Value, right: Value| counted(&[&left, &right]));
    environment.add_function(ADD, add);
    environment.add_function(MULTIPLY, multiply);
    environment.add_function(LIST, |items: Rest<Value>| list(items.0.into_iter()));
    for name in ["batch", "chain", "format", "indent", "pprint", "slice", "zip"] {
        environment.remove_filter(name);
    }
    environment.add_filter("join", join);
    environment.add_filter("list", |items: Value| items.try_iter().and_then(list));
    environment.add_filter("replace", |text: Value, from: Value, to: Value| replace(&text, &from, &to));
    environment.add_filter("tojson", to_json);
    environment.add_filter("string", |value: Value| counted(&[&value]));
    environment.set_unknown_method_callback(|state, value, method, arguments| match (method, arguments) {
        ("replace", [from, to]) if value.kind() == ValueKind::String => Ok(replace(value, from, to)?.into()),
        ("join", [items]) if value.kind() == ValueKind::String => Ok(join(items.clone(), Some(value.clone()))?.into()),
        ("replace" | "join" | "format", _) => Err(Error::from(ErrorKind::UnknownMethod)),
        _ => minijinja_contrib::pycompat::unknown_method_callback(state, value, method, arguments),
    });
}

/// Renders the template of this name.
///
/// # Errors
/// If the template's own rendering fails, or goes beyond the limits.
pub(super) fn render(environment: &Environment<'_>, name: &str, context: Value) -> Result<String, Error> {
    let template = environment.get_template(name)?;
    let compiled = get_compiled_template(&template);
    let instructions = replaced(&compiled.instructions);
    let blocks: BTreeMap<_, _> = compiled.blocks.iter().map(|(name, block)| (*name, replaced(block))).collect();
    LEFT.set(TEMPLATE_BYTES);
    let mut text = String::new();
    Vm::new(environment)
        .eval(&instructions, context, &blocks, &mut make_string_output(&mut text), AutoEscape::None)
        .map_err(|error| explained(error, environment.fuel()))?;
    Ok(text)
}

/// Explains exhausted fuel: minijinja's message says nothing to those who did not write the
/// template.
fn explained(error: Error, fuel: Option<u64>) -> Error {
    match fuel.filter(|_| error.kind() == ErrorKind::OutOfFuel) {
        Some(fuel) => {
            let message = format!("the template takes more than {fuel} instructions");
            Error::new(ErrorKind::OutOfFuel, message).with_source(error)
        }
        None => error,
    }
}

/// Replaces concatenating instructions by functions that count.
fn replaced<'a>(instructions: &Instructions<'a>) -> Instructions<'a> {
    let mut out = Instructions::new(instructions.name(), instructions.source());
    for at in 0..instructions.len() as u32 {
        let Some(instruction) = instructions.get(at) else { continue };
        let instruction = match instruction {
            Instruction::StringConcat => Instruction::CallFunction(CONCAT, Some(2)),
            Instruction::Add => Instruction::CallFunction(ADD, Some(2)),
            Instruction::Mul => Instruction::CallFunction(MULTIPLY, Some(2)),
            Instruction::BuildList(Some(n)) if *n > 0 && *n <= usize::from(u16::MAX) => {
                Instruction::CallFunction(LIST, Some(*n as u16))
            }
            other => other.clone(),
        };
        match instructions.get_span(at) {
            Some(span) => out.add_with_span(instruction, span),
            None => out.add_with_line(instruction, instructions.get_line(at).unwrap_or(0) as u16),
        };
    }
    out
}

/// Creates a list; its items are charged by their printed length.
fn list(items: impl Iterator<Item = Value>) -> Result<Value, Error> {
    let mut all = Vec::new();
    for item in items {
        charge(ITEM)?;
        if !matches!(item.kind(), ValueKind::String | ValueKind::Number | ValueKind::Bool) {
            counted(&[&item])?;
        }
        all.push(item);
    }
    Ok(all.into())
}

fn is_list(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable)
}

fn add(state: &State<'_, '_>, left: Value, right: Value) -> Result<Value, Error> {
    match (left.as_str(), right.as_str()) {
        (Some(_), Some(_)) => Ok(counted(&[&left, &right])?.into()),
        _ if is_list(&left) && is_list(&right) => list(left.try_iter()?.chain(right.try_iter()?)),
        _ => original(state, "left + right", left, right),
    }
}

fn multiply(state: &State<'_, '_>, left: Value, right: Value) -> Result<Value, Error> {
    let operands = [(&left, &right), (&right, &left)];
    let repeated = operands.into_iter().find(|(value, _)| value.as_str().is_some() || is_list(value));
    let Some((value, n)) = repeated.and_then(|(value, n)| Some((value, n.as_usize()?))) else {
        return original(state, "left * right", left, right);
    };
    match value.as_str() {
        Some(text) => {
            charge(text.len().saturating_mul(n))?;
            Ok(text.repeat(n).into())
        }
        None => {
            charge(value.len().unwrap_or(0).saturating_mul(n).saturating_mul(ITEM))?;
            let items: Vec<Value> = value.try_iter()?.collect();
            list((0..n).flat_map(|_| items.iter().cloned()))
        }
    }
}

/// Evaluates the original instruction.
fn original(state: &State<'_, '_>, expression: &str, left: Value, right: Value) -> Result<Value, Error> {
    let operands = BTreeMap::from([("left", left), ("right", right)]);
    state.env().compile_expression(expression)?.eval(Value::from(operands))
}

fn join(items: Value, separator: Option<Value>) -> Result<String, Error> {
    let mut out = Counted::default();
    let separator = counted(&[&separator.unwrap_or_else(|| "".into())])?;
    for (n, item) in items.try_iter()?.enumerate() {
        measure(&item, 0)?;
        let between = if n == 0 { "" } else { &separator };
        write!(out, "{between}{item}").or_else(|_| charge(usize::MAX))?;
    }
    Ok(out.0)
}

fn replace(text: &Value, from: &Value, to: &Value) -> Result<String, Error> {
    let [text, from, to] = [text, from, to].map(|value| counted(&[value]));
    let (text, from, to) = (text?, from?, to?);
    charge(text.matches(&from).count().saturating_mul(to.len()))?;
    Ok(text.replace(&from, &to))
}

/// Python's `json.dumps(value, ensure_ascii=False)`, which templates were written for: a space
/// after every comma and colon, and nothing escaped for HTML.
fn to_json(value: &Value, options: Kwargs) -> Result<Value, Error> {
    let indent: Option<usize> = options.get("indent")?;
    // Models see the reference's output with these settings at their defaults only.
    let _: (Option<bool>, Option<bool>) = (options.get("ensure_ascii")?, options.get("sort_keys")?);
    options.assert_all_used()?;
    let mut out = Counted::default();
    charge(indent.unwrap_or(0))?;
    measure(value, 0)?;
    let indentation = " ".repeat(indent.unwrap_or(0));
    let written = match indent {
        Some(_) => {
            let formatter = serde_json::ser::PrettyFormatter::with_indent(indentation.as_bytes());
            value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, formatter))
        }
        None => value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, Spaced)),
    };
    written.map_err(|error| match charge(1) {
        Err(beyond) => beyond,
        Ok(()) => Error::new(ErrorKind::BadSerialization, "tojson cannot write this value").with_source(error),
    })?;
    Ok(out.0.into())
}

/// JSON formatter: one line, with Python's spaces.
struct Spaced;

impl serde_json::ser::Formatter for Spaced {
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}
