//! Functions that encode and decode: base64, base32, JSON, YAML.

use std::fmt::Write as _;

use serde_json::Value as Json;

use super::{Function, Value, pure, text_arg};
use crate::stack::chart::template::format;
use crate::stack::chart::yaml;

pub(super) static FUNCTIONS: &[Function] = &[
    pure("b64enc", 1, 1, |a| match &a[0] {
        // A file that is not text, from `.Files.Get`.
        Value::Bytes(bytes) => Ok(Value::text(base64(bytes))),
        _ => Ok(Value::text(base64(text_arg(a, 0)?.as_bytes()))),
    }),
    pure("b64dec", 1, 1, |a| {
        Ok(Value::text(decoded(
            decode(text_arg(a, 0)?, BASE64, 6),
            "base64",
        )))
    }),
    pure("b32enc", 1, 1, |a| {
        Ok(Value::text(encode(text_arg(a, 0)?.as_bytes(), BASE32, 5)))
    }),
    pure("b32dec", 1, 1, |a| {
        Ok(Value::text(decoded(
            decode(text_arg(a, 0)?, BASE32, 5),
            "base32",
        )))
    }),
    pure("toJson", 1, 1, |a| Ok(or_empty(json(&a[0], None, true)))),
    pure("mustToJson", 1, 1, |a| {
        json(&a[0], None, true).map(Value::text)
    }),
    pure("toPrettyJson", 1, 1, |a| {
        Ok(or_empty(json(&a[0], Some(0), true)))
    }),
    pure("mustToPrettyJson", 1, 1, |a| {
        json(&a[0], Some(0), true).map(Value::text)
    }),
    pure("toRawJson", 1, 1, |a| {
        json(&a[0], None, false).map(Value::text)
    }),
    pure("mustToRawJson", 1, 1, |a| {
        json(&a[0], None, false).map(Value::text)
    }),
    pure("fromJson", 1, 1, |a| {
        Ok(object(parse_json(text_arg(a, 0)?)))
    }),
    pure("mustFromJson", 1, 1, |a| {
        Ok(Value::from_helm(&parse_json(text_arg(a, 0)?)?))
    }),
    pure("fromJsonArray", 1, 1, |a| {
        Ok(array(parse_json(text_arg(a, 0)?)))
    }),
    pure("toYaml", 1, 1, |a| Ok(or_empty(to_yaml(&a[0])))),
    pure("fromYaml", 1, 1, |a| {
        Ok(object(parse_yaml(text_arg(a, 0)?)))
    }),
    pure("fromYamlArray", 1, 1, |a| {
        Ok(array(parse_yaml(text_arg(a, 0)?)))
    }),
];

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Standard base64 with padding.
pub(in crate::stack::chart) fn base64(bytes: &[u8]) -> String {
    encode(bytes, BASE64, 6)
}

/// Base 2^`bits` with padding.
fn encode(bytes: &[u8], alphabet: &[u8], bits: usize) -> String {
    let group = if bits == 6 { (3, 4) } else { (5, 8) };
    let mut out = String::with_capacity(bytes.len().div_ceil(group.0) * group.1);
    for chunk in bytes.chunks(group.0) {
        let number = chunk.iter().fold(0u64, |n, b| (n << 8) | u64::from(*b));
        let number = number << (8 * (group.0 - chunk.len()));
        let digits = (chunk.len() * 8).div_ceil(bits);
        for i in 0..group.1 {
            if i >= digits {
                out.push('=');
                continue;
            }
            let digit = (number >> (bits * (group.1 - 1 - i))) as usize & (alphabet.len() - 1);
            out.push(char::from(alphabet[digit]));
        }
    }
    out
}

/// The bytes, or the offset of the first character that does not belong.
fn decode(text: &str, alphabet: &[u8], bits: usize) -> Result<Vec<u8>, usize> {
    let clean: Vec<u8> = text
        .bytes()
        .filter(|b| !matches!(b, b'\n' | b'\r'))
        .collect();
    let group = if bits == 6 { 4 } else { 8 };
    let payload = clean
        .iter()
        .rposition(|b| *b != b'=')
        .map_or(0, |last| last + 1);
    let (mut out, mut buffer, mut held) = (Vec::new(), 0u32, 0);
    for (i, byte) in clean[..payload].iter().enumerate() {
        let digit = alphabet.iter().position(|a| a == byte).ok_or(i)?;
        buffer = (buffer << bits) | u32::try_from(digit).unwrap_or(0);
        held += bits;
        if held >= 8 {
            held -= 8;
            out.push((buffer >> held) as u8);
            buffer &= (1 << held) - 1;
        }
    }
    if !clean.len().is_multiple_of(group) || clean.len() - payload >= group {
        return Err(payload);
    }
    Ok(out)
}

/// The text that base64 stands for.
pub(super) fn from_base64(text: &str) -> Option<String> {
    decode(text, BASE64, 6)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
}

/// Sprig prints the error instead of failing.
fn decoded(bytes: Result<Vec<u8>, usize>, name: &str) -> String {
    match bytes {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(at) => format!("illegal {name} data at input byte {at}"),
    }
}

fn or_empty(text: Result<String, String>) -> Value {
    Value::text(text.unwrap_or_default())
}

fn to_yaml(value: &Value) -> Result<String, String> {
    let text = yaml::to_yaml(&value.to_json()?);
    Ok(text.strip_suffix('\n').unwrap_or(&text).to_owned())
}

fn parse_json(text: &str) -> Result<Json, String> {
    serde_json::from_str(text).map_err(|e| e.to_string())
}

fn parse_yaml(text: &str) -> Result<Json, String> {
    yaml::parse(text).map_err(|e| {
        format!(
            "error converting YAML to JSON: yaml: line {}: {}",
            e.line, e.message
        )
    })
}

/// A map; where it cannot be one, a map whose `Error` says why.
fn object(parsed: Result<Json, String>) -> Value {
    let error = match parsed {
        Ok(json @ Json::Object(_)) => return Value::from_helm(&json),
        Ok(Json::Null) => return Value::map::<&str>([]),
        Ok(other) => format!(
            "json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
            json_kind(&other)
        ),
        Err(error) => error,
    };
    Value::map([("Error", Value::text(error))])
}

fn array(parsed: Result<Json, String>) -> Value {
    let error = match parsed {
        Ok(json @ Json::Array(_)) => return Value::from_helm(&json),
        Ok(Json::Null) => return Value::list([]),
        Ok(other) => {
            format!(
                "json: cannot unmarshal {} into Go value of type []interface {{}}",
                json_kind(&other)
            )
        }
        Err(error) => error,
    };
    Value::texts([error])
}

fn json_kind(json: &Json) -> &'static str {
    match json {
        Json::Null => "null",
        Json::Bool(_) => "bool",
        Json::Number(_) => "number",
        Json::String(_) => "string",
        Json::Array(_) => "array",
        Json::Object(_) => "object",
    }
}

/// JSON as Go writes it: keys sorted, `<`, `>` and `&` escaped where `html` says so.
fn json(value: &Value, pretty: Option<usize>, html: bool) -> Result<String, String> {
    let mut out = String::new();
    write(&mut out, &value.to_json()?, pretty, html);
    Ok(out)
}

fn write(out: &mut String, json: &Json, pretty: Option<usize>, html: bool) {
    let inner = pretty.map(|level| level + 1);
    let line = |out: &mut String, level: Option<usize>| {
        if let Some(level) = level {
            out.push('\n');
            out.extend(std::iter::repeat_n("  ", level));
        }
    };
    match json {
        Json::Array(items) if !items.is_empty() => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                line(out, inner);
                write(out, item, inner, html);
            }
            line(out, pretty);
            out.push(']');
        }
        Json::Object(map) if !map.is_empty() => {
            out.push('{');
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| key.as_str());
            for (i, (key, item)) in entries.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                line(out, inner);
                string(out, key, html);
                out.push_str(if pretty.is_some() { ": " } else { ":" });
                write(out, item, inner, html);
            }
            line(out, pretty);
            out.push('}');
        }
        Json::String(text) => string(out, text, html),
        Json::Number(number) if number.is_f64() => {
            out.push_str(&float(number.as_f64().unwrap_or(0.0)));
        }
        other => {
            let _ = write!(out, "{other}");
        }
    }
}

/// Go writes floats out in full between 1e-6 and 1e21.
fn float(value: f64) -> String {
    if value != 0.0 && !(1e-6..1e21).contains(&value.abs()) {
        return format::float(value).replace("e-0", "e-");
    }
    value.to_string()
}

fn string(out: &mut String, text: &str, html: bool) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if (c as u32) < 0x20
                || matches!(c, '\u{2028}' | '\u{2029}')
                || (html && matches!(c, '<' | '>' | '&')) =>
            {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn json_is_written_as_in_go() {
        let value = Value::from_helm(&serde_json::json!({"b": [1, 1.5], "a": "<x>\u{1}", "e": {}}));
        assert_eq!(
            json(&value, None, true).unwrap(),
            r#"{"a":"\u003cx\u003e\u0001","b":[1,1.5],"e":{}}"#
        );
        assert_eq!(
            json(&value, None, false).unwrap(),
            r#"{"a":"<x>\u0001","b":[1,1.5],"e":{}}"#
        );
        assert_eq!(
            json(&value, Some(0), false).unwrap(),
            "{\n  \"a\": \"<x>\\u0001\",\n  \"b\": [\n    1,\n    1.5\n  ],\n  \"e\": {}\n}"
        );
    }

    proptest! {
        #[test]
        fn encodings_are_reversible(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            prop_assert_eq!(decode(&encode(&bytes, BASE64, 6), BASE64, 6).unwrap(), bytes.clone());
            prop_assert_eq!(decode(&encode(&bytes, BASE32, 5), BASE32, 5).unwrap(), bytes);
        }

        #[test]
        fn arbitrary_text_never_panics(text in "\\PC{0,30}|[A-Za-z0-9=+/\n]{0,20}") {
            let _ = (decode(&text, BASE64, 6), decode(&text, BASE32, 5));
        }
    }
}
