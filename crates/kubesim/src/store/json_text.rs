//! Objects as JSON text. All that clients see of a store is written here: it is most of what they read.

use bytes::Bytes;
use serde_json::{Map, Value};

/// About how long objects are.
const USUAL: usize = 1024;

/// A value as JSON text.
pub(crate) fn bytes(from: &Value) -> Bytes {
    let mut out = Vec::new();
    value(from, &mut out);
    Bytes::from(out)
}

/// An object as clients see it: with its `managedFields`, unless these are null.
pub(super) fn whole(object: &Value, managed: &Value) -> Bytes {
    let Value::Object(fields) = object else {
        return bytes(object);
    };
    let mut out = Vec::with_capacity(USUAL);
    map(fields, &mut out, |name, found, out| match found {
        Value::Object(metadata) if name == "metadata" && !managed.is_null() => {
            map(metadata, out, |_, found, out| value(found, out));
            out.pop();
            out.extend_from_slice(if metadata.is_empty() { b"" } else { b"," });
            out.extend_from_slice(b"\"managedFields\":");
            value(managed, out);
            out.push(b'}');
        }
        _ => value(found, out),
    });
    Bytes::from(out)
}

fn value(from: &Value, out: &mut Vec<u8>) {
    match from {
        Value::String(from) => text(from, out),
        Value::Object(fields) => map(fields, out, |_, found, out| value(found, out)),
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                value(item, out);
            }
            out.push(b']');
        }
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Null => out.extend_from_slice(b"null"),
        Value::Number(_) => by_serde(from, out),
    }
}

fn map(fields: &Map<String, Value>, out: &mut Vec<u8>, below: impl Fn(&str, &Value, &mut Vec<u8>)) {
    out.push(b'{');
    for (index, (name, found)) in fields.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        text(name, out);
        out.push(b':');
        below(name, found, out);
    }
    out.push(b'}');
}

fn text(from: &str, out: &mut Vec<u8>) {
    if is_plain(from.as_bytes()) {
        out.reserve(from.len() + 2);
        out.push(b'"');
        out.extend_from_slice(from.as_bytes());
        out.push(b'"');
    } else {
        by_serde(from, out);
    }
}

/// Whether nothing has to be escaped. Eight bytes at a time: hardly anything has.
fn is_plain(text: &[u8]) -> bool {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    // The high bit of each byte that is 0, and, only beside such a one, maybe of others.
    let zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    let (words, rest) = text.as_chunks::<8>();
    let plain = |word: &[u8; 8]| {
        let word = u64::from_ne_bytes(*word);
        let control = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
        let quote = zero(word ^ (ONES * u64::from(b'"')));
        let backslash = zero(word ^ (ONES * u64::from(b'\\')));
        control | quote | backslash == 0
    };
    let one = |byte: &u8| *byte >= 0x20 && *byte != b'"' && *byte != b'\\';
    words.iter().all(plain) && rest.iter().all(one)
}

fn by_serde<T: serde::Serialize + ?Sized>(from: &T, out: &mut Vec<u8>) {
    // Texts and numbers always serialise, and a vector takes everything.
    drop(serde_json::to_writer(out, from));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn it_is_the_same_text_as_serdes() {
        let mut values = vec![
            json!({"a": [], "b": {}, "c": [1, -2, 1.5, u64::MAX], "d": [true, false, null]}),
            json!("a \"quoted\" text, longer than eight bytes\\ \n\u{7f}\u{80}ä€𝄞"),
        ];
        // Every byte that there is, at every place of a word.
        let characters = (0..0x100_u32).filter_map(char::from_u32);
        values.extend(characters.flat_map(|one| {
            (0..10).map(move |before| json!({format!("{}{one}", "x".repeat(before)): "y"}))
        }));
        for one in values {
            assert_eq!(bytes(&one), one.to_string());
        }
    }

    #[test]
    fn managed_fields_stand_at_the_end_of_the_metadata() {
        let told = |object: Value, managed: Value| {
            let told = whole(&object, &managed);
            String::from_utf8(told.to_vec()).unwrap()
        };
        let object = json!({"metadata": {"name": "a"}, "spec": {"metadata": {}}});
        assert_eq!(told(object.clone(), json!(null)), object.to_string());
        assert_eq!(
            told(object, json!([{"manager": "me"}])),
            r#"{"metadata":{"name":"a","managedFields":[{"manager":"me"}]},"spec":{"metadata":{}}}"#
        );
        assert_eq!(
            told(json!({"metadata": {}}), json!([])),
            r#"{"metadata":{"managedFields":[]}}"#
        );
    }
}
