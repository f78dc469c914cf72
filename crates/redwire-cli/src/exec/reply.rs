//! Replies in print: as redis-cli shows them on a terminal, plainly for scripts, as bytes, or as JSON that
//! keeps their types.
//!
//! Promises that nothing a server sends can steer the terminal: bytes that are no printable ASCII are escaped
//! there, or replaced. Must not know where the text goes.

use redwire::{Error, Value};
use serde_json::{Value as Json, json};

/// A reply as redis-cli prints it on a terminal, the end of the last line left out.
pub(crate) fn for_people(value: &Value) -> String {
    let mut text = String::new();
    write_for_people(&mut text, value, 0);
    text
}

/// Writes `value`, of which further lines begin with `indent` spaces.
fn write_for_people(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Null => out.push_str("(nil)"),
        Value::Status(text) => out.push_str(&printable(text)),
        Value::Integer(number) => out.push_str(&format!("(integer) {number}")),
        Value::Bytes(bytes) => write_quoted(out, bytes),
        Value::Double(number) => out.push_str(&format!("(double) {}", double(*number))),
        Value::Boolean(truth) => out.push_str(if *truth { "(true)" } else { "(false)" }),
        Value::BigNumber(digits) => out.push_str(&format!("(big number) {}", printable(digits))),
        Value::Verbatim(_, text) => out.push_str(printable(text).trim_end_matches('\n')),
        Value::Error(error) => out.push_str(&error_for_people(error)),
        Value::Array(items) => write_list(out, items, ')', "array", indent),
        Value::Set(items) => write_list(out, items, '~', "set", indent),
        Value::Push(items) => write_list(out, items, '>', "push", indent),
        Value::Map(entries) => write_map(out, entries, indent),
        // What a later version of the library may know besides.
        other => out.push_str(&printable(&format!("{other:?}"))),
    }
}

fn write_list(out: &mut String, items: &[Value], sign: char, kind: &str, indent: usize) {
    if items.is_empty() {
        out.push_str(&format!("(empty {kind})"));
    }
    let width = digits(items.len());
    for (index, item) in items.iter().enumerate() {
        write_number(out, index, width, sign, indent);
        write_for_people(out, item, indent + width + 2);
    }
}

fn write_map(out: &mut String, entries: &[(Value, Value)], indent: usize) {
    if entries.is_empty() {
        out.push_str("(empty hash)");
    }
    let width = digits(entries.len());
    for (index, (key, value)) in entries.iter().enumerate() {
        write_number(out, index, width, '#', indent);
        write_for_people(out, key, indent + width + 2);
        out.push_str(" => ");
        write_for_people(out, value, indent + width + 2);
    }
}

/// The first item of a list goes on in the line where the list begins.
fn write_number(out: &mut String, index: usize, width: usize, sign: char, indent: usize) {
    if index > 0 {
        out.push('\n');
        out.extend(std::iter::repeat_n(' ', indent));
    }
    out.push_str(&format!("{:>width$}{sign} ", index + 1));
}

fn digits(number: usize) -> usize {
    number.to_string().len()
}

/// Bytes between double quotes, as they can be typed again.
pub(crate) fn write_quoted(out: &mut String, bytes: &[u8]) {
    out.push('"');
    for byte in bytes {
        match byte {
            b'"' | b'\\' => out.extend(['\\', char::from(*byte)]),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            7 => out.push_str("\\a"),
            8 => out.push_str("\\b"),
            b' '..=b'~' => out.push(char::from(*byte)),
            _ => out.push_str(&format!("\\x{byte:02x}")),
        }
    }
    out.push('"');
}

/// A server's error as redis-cli shows it.
pub(crate) fn error_for_people(error: &Error) -> String {
    format!("(error) {}", printable(error.message()))
}

/// Text without what steers a terminal; lines and columns stay.
pub(crate) fn printable(text: &str) -> String {
    let shown =
        |c: char| if c.is_control() && c != '\n' && c != '\t' { char::REPLACEMENT_CHARACTER } else { c };
    text.replace("\r\n", "\n").chars().map(shown).collect()
}

/// A reply as bytes: strings as they are, the items of a list one a line, nil empty.
pub(crate) fn raw(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_raw(&mut bytes, value);
    bytes
}

fn write_raw(out: &mut Vec<u8>, value: &Value) {
    let mut separated = |items: &mut dyn Iterator<Item = &Value>| {
        for (index, item) in items.enumerate() {
            if index > 0 {
                out.push(b'\n');
            }
            write_raw(out, item);
        }
    };
    match value {
        Value::Array(items) | Value::Set(items) | Value::Push(items) => separated(&mut items.iter()),
        Value::Map(entries) => separated(&mut entries.iter().flat_map(|(key, value)| [key, value])),
        Value::Null => {}
        Value::Integer(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Value::Double(number) => out.extend_from_slice(double(*number).as_bytes()),
        Value::Boolean(truth) => out.extend_from_slice(if *truth { b"true" } else { b"false" }),
        Value::BigNumber(digits) => out.extend_from_slice(digits.as_bytes()),
        Value::Error(error) => out.extend_from_slice(format!("(error) {}", error.message()).as_bytes()),
        Value::Bytes(_) | Value::Status(_) | Value::Verbatim(..) => {
            out.extend_from_slice(value.as_bytes().unwrap_or_default());
        }
        other => out.extend_from_slice(format!("{other:?}").as_bytes()),
    }
}

/// A reply as JSON: always an object of `type` and `value`. Bytes that are no text are in hexadecimal digits,
/// with the type `bytes`; a map is a list of pairs, since its keys may be of any type.
pub(crate) fn json(value: &Value) -> Json {
    let list = |items: &[Value]| Json::Array(items.iter().map(json).collect());
    let typed = |kind: &str, value: Json| json!({ "type": kind, "value": value });
    match value {
        Value::Null => typed("null", Json::Null),
        Value::Status(text) => typed("status", json!(text)),
        Value::Integer(number) => typed("integer", json!(number)),
        Value::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => typed("string", json!(text)),
            Err(_) => typed("bytes", json!(hexadecimal(bytes))),
        },
        // JSON has no word for what is infinite or no number.
        Value::Double(number) if number.is_finite() => typed("double", json!(number)),
        Value::Double(number) => typed("double", json!(double(*number))),
        Value::Boolean(truth) => typed("boolean", json!(truth)),
        Value::BigNumber(digits) => typed("big_number", json!(digits)),
        Value::Verbatim(format, text) => json!({ "type": "verbatim", "format": format, "value": text }),
        Value::Error(error) => error_json(error),
        Value::Array(items) => typed("array", list(items)),
        Value::Set(items) => typed("set", list(items)),
        Value::Push(items) => typed("push", list(items)),
        Value::Map(entries) => {
            let pairs = entries.iter().map(|(key, value)| json!([json(key), json(value)]));
            typed("map", Json::Array(pairs.collect()))
        }
        other => typed("unknown", json!(format!("{other:?}"))),
    }
}

/// A server's error as JSON.
pub(crate) fn error_json(error: &Error) -> Json {
    json!({ "type": "error", "code": error.code(), "value": error.message() })
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// As servers write doubles.
fn double(number: f64) -> String {
    match number {
        _ if number.is_nan() => "nan".to_owned(),
        f64::INFINITY => "inf".to_owned(),
        f64::NEG_INFINITY => "-inf".to_owned(),
        _ => number.to_string(),
    }
}

#[cfg(test)]
mod tests;
