//! Mutation of files: slightly wrong content.

use seethink_core::Rng;
use serde_json::{Map, Value, json};

/// Edge values of number formats, and their neighbours.
const EDGES: [u64; 20] = [
    0,
    1,
    2,
    127,
    128,
    255,
    256,
    32_767,
    65_500,
    65_535,
    65_536,
    1 << 24,
    (1 << 31) - 1,
    1 << 31,
    (1 << 32) - 1,
    1 << 32,
    1 << 40,
    i64::MAX as u64,
    1 << 63,
    u64::MAX,
];

/// Values that no field expects, valid JSON or not.
const ODD_TEXTS: [&str; 16] = [
    "NaN",
    "Infinity",
    "-Infinity",
    "1e999",
    "-1e999",
    "1e-999",
    "-0",
    "123456789012345678901234567890",
    "0x10",
    "[tr",
    "\"\\ud800\"",
    "\"\\u0000\"",
    "{\"a\":1,\"a\":2}",
    "'a'",
    "",
    "//",
];

fn pick<'a, T>(rng: &mut Rng, items: &'a [T]) -> &'a T {
    &items[rng.below(items.len())]
}

fn at(rng: &mut Rng, length: usize) -> usize {
    if length == 0 { 0 } else { rng.below(length) }
}

/// Mutates the bytes in `range` a few times, at random; `other` lends pieces.
pub(crate) fn bytes(rng: &mut Rng, mut data: Vec<u8>, range: std::ops::Range<usize>, other: &[u8]) -> Vec<u8> {
    for _ in 0..1 + rng.below(4) {
        let end = range.end.min(data.len());
        let start = range.start.min(end);
        let place = start + at(rng, end - start);
        match rng.below(10) {
            0..3 => data.iter_mut().skip(place).take(1).for_each(|byte| *byte ^= 1 << (place % 8)),
            3 => {
                let value = *pick(rng, &[0, 1, 0x7f, 0x80, 0xff]);
                data.iter_mut().skip(place).take(1).for_each(|byte| *byte = value);
            }
            4..7 => {
                let (edge, width) = (*pick(rng, &EDGES), *pick(rng, &[2, 4, 8]));
                let (little, big) = (edge.to_le_bytes(), edge.to_be_bytes());
                let written = if rng.below(2) == 0 { &little[..width] } else { &big[8 - width..] };
                data.iter_mut().skip(place).zip(written).for_each(|(byte, new)| *byte = *new);
            }
            7 => data.truncate(place),
            8 => {
                let from = at(rng, other.len());
                let piece = &other[from..(from + at(rng, 64)).min(other.len())];
                let end = (place + at(rng, 64)).min(data.len());
                data.splice(place.min(end)..end, piece.iter().copied());
            }
            _ => {
                let end = (place + at(rng, 32)).min(data.len());
                let piece = data[place.min(end)..end].to_vec();
                let n = 1 + at(rng, 20);
                data.splice(place.min(end)..place.min(end), piece.repeat(n));
            }
        }
    }
    data
}

/// Mutates the structure of JSON a few times, at random, and sometimes the text; `other` lends
/// parts.
pub(crate) fn json(rng: &mut Rng, seed: &Value, other: &Value) -> Vec<u8> {
    let mut value = seed.clone();
    for _ in 0..1 + rng.below(3) {
        let new = part(rng, other);
        let n = count(&value);
        if let Some(place) = nth(&mut value, &mut at(rng, n)) {
            change(rng, place, new);
        }
    }
    let text = value.to_string();
    match rng.below(8) {
        0 => bytes(rng, text.into_bytes(), 0..usize::MAX, seed.to_string().as_bytes()),
        1 => {
            // Mutates the text in the place of a value.
            let places: Vec<usize> = text.match_indices(':').map(|(place, _)| place + 1).collect();
            let place = if places.is_empty() { 0 } else { *pick(rng, &places) };
            let end = text[place..].find([',', '}', ']']).map_or(text.len(), |length| place + length);
            [&text[..place], pick::<&str>(rng, &ODD_TEXTS), &text[end..]].concat().into_bytes()
        }
        2 => {
            let (open, close) = *pick(rng, &[("[", "]"), ("{\"a\":", "}")]);
            let depth = *pick(rng, &[100, 127, 129, 1000, 20_000]);
            let inner = [&open.repeat(depth), "1", &close.repeat(depth)].concat();
            text.replacen(":", &format!(":{inner},\"x\":"), 1).into_bytes()
        }
        _ => text.into_bytes(),
    }
}

fn change(rng: &mut Rng, place: &mut Value, new: Value) {
    match (rng.below(4), place) {
        (0, Value::Object(fields)) => {
            let key = fields.keys().nth(at(rng, fields.len())).cloned();
            if let Some(value) = key.and_then(|key| fields.remove(&key))
                && rng.below(2) == 0
            {
                fields.insert("renamed".into(), value);
            }
        }
        (0, Value::Array(items)) if !items.is_empty() => {
            let item = items[at(rng, items.len())].clone();
            let n = *pick(rng, &[0, 1, 100]);
            items.extend(std::iter::repeat_n(item, n));
        }
        (1, Value::String(text)) => {
            let longer = text.repeat(1 + at(rng, 300));
            *text = if rng.below(2) == 0 { longer } else { text.chars().rev().collect() };
        }
        (_, place) => *place = new,
    }
}

/// Random replacement of a value.
fn part(rng: &mut Rng, other: &Value) -> Value {
    match rng.below(10) {
        0..3 => json!(pick(rng, &EDGES)),
        3 => json!(-(*pick(rng, &EDGES) as i64 as f64)),
        4 => json!(pick(rng, &[0.5, -1.0, 1e-300, 1e300, f64::MIN_POSITIVE])),
        5 => pick(rng, &[json!(null), json!(true), json!([]), json!({}), json!(""), json!([[[]]]), json!([0, -1])])
            .clone(),
        6 => json!(pick(
            rng,
            &["a", "../../etc/passwd", "\u{0}", "(a+)+(?!b)", "(?:a{1000}){1000}", "\u{10ffff}\u{301}", "💥"]
        )),
        7 => Value::Object(Map::from_iter([("type".to_owned(), json!("Sequence"))])),
        _ => {
            let mut copy = other.clone();
            let n = count(&copy);
            nth(&mut copy, &mut at(rng, n)).map_or(Value::Null, |found| found.clone())
        }
    }
}

/// Number of values in a value, itself included.
fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(fields) => fields.values().map(count).sum(),
        _ => 0,
    }
}

fn nth<'a>(value: &'a mut Value, n: &mut usize) -> Option<&'a mut Value> {
    if *n == 0 {
        return Some(value);
    }
    *n -= 1;
    match value {
        Value::Array(items) => items.iter_mut().find_map(|item| nth(item, n)),
        Value::Object(fields) => fields.values_mut().find_map(|field| nth(field, n)),
        _ => None,
    }
}

/// Corrects the checksums of a PNG, so that the mutated parts are read.
pub(crate) fn mend_png(data: &mut [u8]) {
    let mut place = 8;
    while let Some(length) = data.get(place..place + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes)
    {
        let end = place + 8 + length as usize;
        if end + 4 > data.len() {
            return;
        }
        let mut sum = flate2::Crc::new();
        sum.update(&data[place + 4..end]);
        data[end..end + 4].copy_from_slice(&sum.sum().to_be_bytes());
        place = end + 4;
    }
}
