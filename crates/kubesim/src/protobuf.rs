//! Objects as Go clients send them: Kubernetes' protobuf, read into JSON.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use prost::encoding::{WireType, decode_key, decode_varint};
use serde_json::{Map, Value, json};

use crate::clock::{micro_stamp, stamp};
use crate::error::ApiError;

/// What each message begins with.
pub const MAGIC: &[u8] = b"k8s\0";
/// How deep messages may lie in one another.
const DEPTH: usize = 64;

/// A field of a message.
struct Field {
    name: &'static str,
    kind: &'static str,
    repeated: bool,
    mapped: bool,
    /// Whether zero is something else than nothing.
    pointer: bool,
}

type Messages = BTreeMap<&'static str, BTreeMap<u32, Field>>;

/// Kubernetes' messages by name, e.g. `core.v1.Pod`.
fn messages() -> &'static Messages {
    static MESSAGES: OnceLock<Messages> = OnceLock::new();
    MESSAGES.get_or_init(|| {
        let lines = include_str!("../data/messages.txt").lines();
        let lines = lines.filter(|line| !line.starts_with('#'));
        lines
            .filter_map(|line| {
                let mut words = line.split(' ');
                Some((words.next()?, words.filter_map(field).collect()))
            })
            .collect()
    })
}

fn field(text: &'static str) -> Option<(u32, Field)> {
    let mut words = text.splitn(3, ':');
    let number = words.next()?.parse().ok()?;
    let (kind, name) = (words.next()?, words.next()?);
    let (repeated, pointer) = (kind.starts_with('?'), kind.starts_with('!'));
    let kind = kind.trim_start_matches(['?', '!']);
    let value = kind
        .strip_prefix("map<")
        .and_then(|kind| kind.strip_suffix('>'));
    let field = Field {
        name,
        kind: value.unwrap_or(kind),
        repeated,
        mapped: value.is_some(),
        pointer,
    };
    Some((number, field))
}

/// The message of a kind of Kubernetes' own, e.g. `apps.v1.Deployment`.
pub(crate) fn message_of(api_version: &str, kind: &str) -> Option<&'static str> {
    let (group, version) = api_version
        .rsplit_once('/')
        .unwrap_or(("core", api_version));
    let group = group.split('.').next().unwrap_or_default();
    let name = format!("{group}.{version}.{kind}");
    messages()
        .get_key_value(name.as_str())
        .map(|(name, _)| *name)
}

/// A field of a message by its name in JSON: which message holds it (one that stands for its own fields,
/// maybe), and the message that its value, its items or its entries are, when they are one.
pub(crate) fn field_of(message: &str, name: &str) -> Option<(&'static str, Option<&'static str>)> {
    let (message, fields) = messages().get_key_value(message)?;
    let found = fields.values().find(|field| field.name == name);
    if let Some(field) = found {
        let kind = messages().get_key_value(field.kind);
        return Some((message, kind.map(|(kind, _)| *kind)));
    }
    let inline = fields.values().filter(|field| field.name.is_empty());
    inline.filter_map(|field| field_of(field.kind, name)).next()
}

/// Reads an object.
///
/// # Errors
/// 400 when it is cut short or is of no known kind.
pub fn read(body: &[u8]) -> Result<Value, ApiError> {
    let wrong = |why: &str| ApiError::bad_request(format!("failed to read the object: {why}"));
    let envelope = body
        .strip_prefix(MAGIC)
        .ok_or_else(|| wrong("it does not begin as Kubernetes' protobuf does"))?;
    let short = || wrong("the protobuf is cut short");
    let (mut raw, mut api_version, mut kind) = (&[][..], String::new(), String::new());
    for (number, value) in fields(envelope).ok_or_else(short)? {
        match (number, value) {
            (1, Wire::Bytes(bytes)) => {
                for (number, value) in fields(bytes).ok_or_else(short)? {
                    match (number, value) {
                        (1, Wire::Bytes(bytes)) => api_version = text(bytes),
                        (2, Wire::Bytes(bytes)) => kind = text(bytes),
                        _ => {}
                    }
                }
            }
            (2, Wire::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    let (group, version) = api_version
        .rsplit_once('/')
        .unwrap_or(("core", &api_version));
    let group = group.split('.').next().unwrap_or_default();
    let names = [
        format!("{group}.{version}.{kind}"),
        format!("meta.v1.{kind}"),
    ];
    let name = names
        .iter()
        .find(|name| messages().contains_key(name.as_str()));
    let name =
        name.ok_or_else(|| wrong(&format!("no protobuf is known for {kind} of {api_version}")))?;
    let Some(Value::Object(read)) = message(name, raw, 0) else {
        return Err(short());
    };
    let mut object = json!({"apiVersion": api_version, "kind": kind});
    if let Some(fields) = object.as_object_mut() {
        fields.extend(read);
    }
    Ok(object)
}

/// A field's value on the wire.
enum Wire<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message; none when it is cut short.
fn fields(mut bytes: &[u8]) -> Option<Vec<(u32, Wire<'_>)>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let (number, kind) = decode_key(&mut bytes).ok()?;
        let value = match kind {
            WireType::Varint => Wire::Number(decode_varint(&mut bytes).ok()?),
            WireType::LengthDelimited => {
                let length = usize::try_from(decode_varint(&mut bytes).ok()?).ok()?;
                let (value, rest) = bytes.split_at_checked(length)?;
                bytes = rest;
                Wire::Bytes(value)
            }
            WireType::SixtyFourBit => {
                let (value, rest) = bytes.split_first_chunk::<8>()?;
                bytes = rest;
                Wire::Number(u64::from_le_bytes(*value))
            }
            WireType::ThirtyTwoBit => {
                let (value, rest) = bytes.split_first_chunk::<4>()?;
                bytes = rest;
                Wire::Number(u64::from(u32::from_le_bytes(*value)))
            }
            WireType::StartGroup | WireType::EndGroup => return None,
        };
        found.push((number, value));
    }
    Some(found)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A signed number as the wire has it: two's complement in 64 bits.
fn signed(number: u64) -> i64 {
    i64::from_ne_bytes(number.to_ne_bytes())
}

/// A message in JSON; none when it is cut short or too deep.
fn message(name: &str, bytes: &[u8], depth: usize) -> Option<Value> {
    if depth > DEPTH {
        return None;
    }
    if let Some(value) = special(name, bytes) {
        return value;
    }
    let known = messages().get(name)?;
    let mut object = Map::new();
    for (number, wire) in fields(bytes)? {
        // What is newer than the table is left out, as by a server of that age.
        let Some(field) = known.get(&number) else {
            continue;
        };
        if field.mapped {
            let Wire::Bytes(entry) = wire else {
                return None;
            };
            let (key, value) = entry_of(field.kind, entry, depth)?;
            let map = object.entry(field.name).or_insert_with(|| json!({}));
            map[key] = value;
            continue;
        }
        let value = value(field.kind, &wire, depth)?;
        if field.repeated {
            let list = object.entry(field.name).or_insert_with(|| json!([]));
            list.as_array_mut()?.push(value);
        } else if field.name.is_empty() {
            object.extend(value.as_object().cloned().unwrap_or_default());
        } else if field.pointer || !is_nothing(&value) {
            object.insert(field.name.to_owned(), value);
        }
    }
    Some(Value::Object(object))
}

fn entry_of(kind: &str, bytes: &[u8], depth: usize) -> Option<(String, Value)> {
    let (mut key, mut found) = (String::new(), None);
    for (number, wire) in fields(bytes)? {
        match (number, &wire) {
            (1, Wire::Bytes(bytes)) => key = text(bytes),
            (2, _) => found = Some(value(kind, &wire, depth)?),
            _ => {}
        }
    }
    let empty = || {
        if kind == "string" {
            json!("")
        } else {
            Value::Null
        }
    };
    Some((key, found.unwrap_or_else(empty)))
}

fn value(kind: &str, wire: &Wire<'_>, depth: usize) -> Option<Value> {
    Some(match (kind, wire) {
        ("string", Wire::Bytes(bytes)) => json!(text(bytes)),
        ("bytes", Wire::Bytes(bytes)) => json!(STANDARD.encode(bytes)),
        ("bool", Wire::Number(number)) => json!(*number != 0),
        ("int32" | "int64", Wire::Number(number)) => json!(signed(*number)),
        ("double", Wire::Number(number)) => json!(f64::from_bits(*number)),
        (_, Wire::Bytes(bytes)) => message(kind, bytes, depth + 1)?,
        _ => return None,
    })
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

/// Messages that are no objects in JSON.
fn special(name: &str, bytes: &[u8]) -> Option<Option<Value>> {
    let numbers = || -> Option<(i64, i64, String)> {
        let (mut first, mut second, mut word) = (0, 0, String::new());
        for (number, wire) in fields(bytes)? {
            match (number, wire) {
                (1, Wire::Number(value)) => first = signed(value),
                (2, Wire::Number(value)) => second = signed(value),
                (1 | 3, Wire::Bytes(bytes)) => word = text(bytes),
                _ => {}
            }
        }
        Some((first, second, word))
    };
    let time = || {
        let (seconds, nanos, _) = numbers()?;
        Timestamp::new(seconds, i32::try_from(nanos).ok()?).ok()
    };
    Some(match name {
        // Nothing is Go's year 1.
        "meta.v1.Time" | "meta.v1.MicroTime" if bytes.is_empty() => Some(Value::Null),
        "meta.v1.Time" => time().map(|time| json!(stamp(time))),
        "meta.v1.MicroTime" => time().map(|time| json!(micro_stamp(time))),
        "api.resource.Quantity" => numbers().map(|(_, _, word)| json!(word)),
        "util.intstr.IntOrString" => numbers().map(|(kind, number, word)| {
            if kind == 0 {
                json!(number)
            } else {
                json!(word)
            }
        }),
        "pkg.runtime.RawExtension" | "meta.v1.FieldsV1" => {
            numbers().map(|(_, _, word)| serde_json::from_str(&word).unwrap_or(Value::Null))
        }
        "authorization.v1.ExtraValue"
        | "authentication.v1.ExtraValue"
        | "certificates.v1.ExtraValue" => fields(bytes).map(|fields| {
            let words = fields.into_iter().filter_map(|(_, wire)| match wire {
                Wire::Bytes(bytes) => Some(json!(text(bytes))),
                Wire::Number(_) => None,
            });
            words.collect()
        }),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A field with bytes.
    fn put(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2, u8::try_from(bytes.len()).unwrap()];
        out.extend_from_slice(bytes);
        out
    }

    fn wrapped(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
        let kind = [put(1, api_version.as_bytes()), put(2, kind.as_bytes())].concat();
        [MAGIC.to_vec(), put(1, &kind), put(2, raw)].concat()
    }

    #[test]
    fn an_object_is_read_as_its_json_would_say_it() {
        // Deployment: metadata.name, spec.replicas 0, a template with a probe whose handler is inline.
        let probe = put(1, &put(2, &put(1, b"/healthz")));
        let container = [put(1, b"c"), put(2, b"image"), put(10, &probe), put(5, b"")].concat();
        let template = put(2, &put(2, &container));
        let spec = [vec![8, 0], put(3, &template), put(4, b"")].concat();
        let metadata = [
            put(1, b"web"),
            put(2, b""),
            put(8, b""),
            put(11, &[put(1, b"k"), put(2, b"v")].concat()),
        ];
        let raw = [put(1, &metadata.concat()), put(2, &spec), put(3, b"")].concat();
        let read = read(&wrapped("apps/v1", "Deployment", &raw)).unwrap();
        assert_eq!(
            read,
            json!({
                "apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": {"name": "web", "labels": {"k": "v"}},
                "spec": {"replicas": 0, "template": {"spec": {"containers": [
                    {"name": "c", "image": "image", "livenessProbe": {"httpGet": {"path": "/healthz"}}}]}}},
            })
        );
    }

    #[test]
    fn what_is_cut_short_or_unknown_is_refused() {
        let whole = wrapped("v1", "ConfigMap", &put(1, &put(1, b"a")));
        assert!(read(&whole).is_ok());
        for end in 0..whole.len() {
            // A shorter text is either refused or lacks what was cut off; it never panics.
            let _ = read(&whole[..end]);
        }
        assert_eq!(read(&whole[..whole.len() - 1]).unwrap_err().code, 400);
        assert_eq!(read(b"{}").unwrap_err().code, 400);
        let unknown = read(&wrapped("a.example/v1", "Thing", b"")).unwrap_err();
        assert!(
            unknown.message.contains("Thing of a.example/v1"),
            "{unknown}"
        );
    }
}
