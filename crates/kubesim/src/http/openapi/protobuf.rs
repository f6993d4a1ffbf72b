//! The older document in the protobuf that Go clients read it in: which paths there are, and which
//! parameters their methods take. Schemas are not in it; those clients have the newer documents for.

use prost::encoding::{WireType, encode_key, encode_varint};
use serde_json::Value;

/// What clients ask for, and are answered with.
pub const KIND: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// A field that holds bytes: text or a message.
fn put(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    encode_key(number, WireType::LengthDelimited, out);
    // A length always fits.
    encode_varint(u64::try_from(bytes.len()).unwrap_or_default(), out);
    out.extend_from_slice(bytes);
}

/// A message of fields that hold bytes.
fn message(fields: &[(u32, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (number, bytes) in fields {
        put(&mut out, *number, bytes);
    }
    out
}

/// A document.
pub fn document(document: &Value) -> Vec<u8> {
    let text = |pointer: &str| {
        let value = document.pointer(pointer).and_then(Value::as_str);
        value.unwrap_or_default().as_bytes()
    };
    let info = message(&[(1, text("/info/title")), (2, text("/info/version"))]);
    let mut paths = Vec::new();
    for (path, item) in document["paths"].as_object().into_iter().flatten() {
        let item = path_item(item);
        put(&mut paths, 2, &message(&[(1, path.as_bytes()), (2, &item)]));
    }
    message(&[(1, text("/swagger")), (2, &info), (8, &paths)])
}

fn path_item(item: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    for (number, method) in [
        (2, "get"),
        (3, "put"),
        (4, "post"),
        (5, "delete"),
        (8, "patch"),
    ] {
        if item[method].is_object() {
            put(&mut out, number, &operation(&item[method]));
        }
    }
    out
}

fn operation(operation: &Value) -> Vec<u8> {
    let id = operation["operationId"].as_str().unwrap_or_default();
    let mut out = message(&[(5, id.as_bytes())]);
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let name = parameter["name"].as_str().unwrap_or_default();
        let query = message(&[(2, b"query"), (4, name.as_bytes()), (6, b"string")]);
        // Of the alternatives: a parameter, not in the body, in the query.
        let nested = message(&[(1, &message(&[(2, &message(&[(3, &query)]))]))]);
        put(&mut out, 8, &nested);
    }
    for key in ["x-kubernetes-action", "x-kubernetes-group-version-kind"] {
        // JSON is YAML.
        let yaml = operation[key].to_string();
        let value = message(&[(2, yaml.as_bytes())]);
        put(&mut out, 13, &message(&[(1, key.as_bytes()), (2, &value)]));
    }
    out
}
