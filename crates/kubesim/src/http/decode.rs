//! What a client sent, before it is written: whether it is what the path says, which fields nobody
//! knows, and what is missing.

use http::Method;
use serde_json::{Value, json};

use super::names;
#[cfg(feature = "openapi")]
use super::openapi;
use super::request::Request;
use crate::error::ApiError;
use crate::object::{name, namespace, text};
use crate::schema::{self, Cause};

/// The fields of every object's metadata.
const META: [&str; 15] = [
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// What becomes of unknown fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unknown {
    Ignored,
    Warned,
    Refused,
}

/// Checks an object, takes unknown fields away, and fills in defaults.
///
/// # Errors
/// 400 or 422, as a real server says it.
pub fn check(request: &Request<'_>, object: &mut Value) -> Result<(), ApiError> {
    let unknown = unknown(request)?;
    is_meant(request, object)?;
    of_metadata(request, object)?;
    let is_put = request.parts.method == Method::PUT;
    if is_put
        && !request.resource.is_built_in()
        && text(object, "/metadata/resourceVersion").is_empty()
    {
        let why = "metadata.resourceVersion: Invalid value: 0x0: must be specified for an update";
        let (id, name) = (&request.resource.id, name(object));
        let message = format!("{id} \"{name}\" is invalid: {why}");
        return Err(ApiError::new(422, "Invalid", message));
    }
    let mut found = prune_metadata(object);
    found.extend(of_fields(request, object)?);
    if request.parts.method == Method::POST {
        names::check(request, object)?;
        // Who creates does not say how it is.
        let own_part = request.resource.status && !request.resource.is_built_in();
        if own_part && let Some(fields) = object.as_object_mut() {
            fields.shift_remove("status");
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    let told: Vec<String> = found
        .iter()
        .map(|field| format!("unknown field \"{field}\""))
        .collect();
    match unknown {
        Unknown::Ignored => {}
        Unknown::Warned => request.warnings.add(told),
        Unknown::Refused => return Err(refused(request, &told)),
    }
    Ok(())
}

/// Checks what is to be applied. Here an unknown field is always refused, for nobody could own it.
///
/// # Errors
/// 400 for what cannot be such an object, 500 (as a real server has it) for an unknown field.
pub fn check_applied(request: &Request<'_>, object: &mut Value) -> Result<(), ApiError> {
    unknown(request)?;
    if object["kind"] != *request.resource.kind {
        // The registry tells that.
        return Ok(());
    }
    of_metadata(request, object)?;
    let mut found = prune_metadata(object);
    let mut pruned = object.clone();
    found.extend(of_fields(request, &mut pruned)?);
    let Some(field) = found.first() else {
        return Ok(());
    };
    let (namespace, name, kind) = (request.namespace(), request.name(), &request.resource.kind);
    let message = format!(
        "failed to create typed patch object ({namespace}/{name}; {}, Kind={kind}): .{field}: field not declared in schema",
        request.api_version
    );
    Err(ApiError::new(500, "", message))
}

fn unknown(request: &Request<'_>) -> Result<Unknown, ApiError> {
    match request.query.text("fieldValidation").unwrap_or_default() {
        "Ignore" => Ok(Unknown::Ignored),
        "" | "Warn" => Ok(Unknown::Warned),
        "Strict" => Ok(Unknown::Refused),
        other => {
            let options = match request.parts.method {
                Method::POST => "CreateOptions",
                Method::PATCH => "PatchOptions",
                _ => "UpdateOptions",
            };
            let known = ["Ignore", "Strict", "Warn"].map(str::to_owned);
            let cause = schema::unsupported("fieldValidation", &json!(other), &known);
            Err(ApiError::invalid(options, "meta.k8s.io", "", &[cause]))
        }
    }
}

/// The refusal of a whole object.
fn refused(request: &Request<'_>, told: &[String]) -> ApiError {
    let why = format!("strict decoding error: {}", told.join(", "));
    if request.parts.method == Method::PATCH {
        let patch = String::from_utf8_lossy(request.body).into_owned();
        let cause = schema::invalid("patch", &json!(patch), &why);
        return ApiError::invalid("", "", "", &[cause]);
    }
    unfit(request, &why)
}

/// 400 for what cannot be an object of the kind.
fn unfit(request: &Request<'_>, why: &str) -> ApiError {
    let (kind, version) = (&request.resource.kind, &request.target.version);
    ApiError::bad_request(format!(
        "{kind} in version \"{version}\" cannot be handled as a {kind}: {why}"
    ))
}

/// Whether the object is what the path says.
fn is_meant(request: &Request<'_>, object: &Value) -> Result<(), ApiError> {
    let (said, meant) = (text(object, "/apiVersion"), request.api_version.as_str());
    if said != meant {
        return Err(ApiError::bad_request(format!(
            "the API version in the data ({said}) does not match the expected API version ({meant})"
        )));
    }
    let (said, meant) = (text(object, "/kind"), request.resource.kind.as_ref());
    if said != meant {
        let version = &request.target.version;
        return Err(ApiError::bad_request(format!(
            "{said} in version \"{version}\" cannot be handled as a {meant}"
        )));
    }
    Ok(())
}

/// Checks what all objects have, so that nobody stumbles over it.
fn of_metadata(request: &Request<'_>, object: &mut Value) -> Result<(), ApiError> {
    if object["metadata"].is_null() {
        object["metadata"] = json!({});
    }
    let mistyped = |field: &str, found: &Value, wanted: &str| {
        let why = format!(
            "json: cannot unmarshal {} into Go struct field ObjectMeta.{field} of type {wanted}",
            go_type(found)
        );
        unfit(request, &why)
    };
    let metadata = &object["metadata"];
    if !metadata.is_object() {
        return Err(mistyped("metadata", metadata, "v1.ObjectMeta"));
    }
    for field in [
        "name",
        "generateName",
        "namespace",
        "uid",
        "resourceVersion",
        "creationTimestamp",
        "deletionTimestamp",
    ] {
        let value = &metadata[field];
        if !(value.is_null() || value.is_string()) {
            return Err(mistyped(&format!("metadata.{field}"), value, "string"));
        }
    }
    for field in ["labels", "annotations"] {
        let value = &metadata[field];
        let place = format!("metadata.{field}");
        let Some(pairs) = value.as_object() else {
            if value.is_null() {
                continue;
            }
            return Err(mistyped(&place, value, "map[string]string"));
        };
        if let Some(value) = pairs
            .values()
            .find(|value| !(value.is_string() || value.is_null()))
        {
            return Err(mistyped(&place, value, "string"));
        }
    }
    for (field, of, wanted) in [
        (
            "finalizers",
            Value::is_string as fn(&Value) -> bool,
            "[]string",
        ),
        ("ownerReferences", Value::is_object, "[]v1.OwnerReference"),
    ] {
        let value = &metadata[field];
        let fits = match value {
            Value::Null => true,
            Value::Array(items) => items.iter().all(of),
            _ => false,
        };
        if !fits {
            return Err(mistyped(&format!("metadata.{field}"), value, wanted));
        }
    }
    let (name, own) = (name(object), request.name());
    if !own.is_empty() && !name.is_empty() && name != own {
        let why =
            format!("the name of the object ({name}) does not match the name on the URL ({own})");
        return Err(ApiError::bad_request(why));
    }
    let within = namespace(object);
    if request.resource.namespaced && !within.is_empty() && within != request.namespace() {
        let why =
            "the namespace of the provided object does not match the namespace sent on the request";
        return Err(ApiError::bad_request(why));
    }
    if request.resource.is_built_in() {
        for part in ["spec", "status"] {
            let value = &object[part];
            if !(value.is_null() || value.is_object()) {
                let kind = &request.resource.kind;
                let why = format!(
                    "json: cannot unmarshal {} into Go struct field {kind}.{part} of type v1.{kind}{}",
                    go_type(value),
                    if part == "spec" { "Spec" } else { "Status" }
                );
                return Err(unfit(request, &why));
            }
        }
    }
    Ok(())
}

/// A value's type, as Go's JSON calls it.
fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn prune_metadata(object: &mut Value) -> Vec<String> {
    let mut gone = Vec::new();
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.retain(|field, _| {
            let known = META.contains(&field.as_str());
            if !known {
                gone.push(format!("metadata.{field}"));
            }
            known
        });
    }
    gone
}

/// Takes unknown fields away, fills in defaults, and tells what was unknown.
fn of_fields(request: &Request<'_>, object: &mut Value) -> Result<Vec<String>, ApiError> {
    let id = &request.resource.id;
    let version = &request.target.version;
    if let Some(definition) = request.cluster.api().catalogue().definition(id)
        && let Some(schema) = definition.schema(version)
    {
        let gone = schema.prune(object);
        schema.fill(object);
        return Ok(gone);
    }
    #[cfg(feature = "openapi")]
    if request.resource.is_built_in() {
        let served = &request.served;
        return openapi::prune(&served.id.group, version, &served.kind, object)
            .map_err(|why| unfit(request, &why));
    }
    Ok(Vec::new())
}

/// A cause of a 422 about an object that is created.
pub(super) fn invalid(request: &Request<'_>, object: &Value, causes: &[Cause]) -> ApiError {
    let (kind, group) = (&request.resource.kind, &request.resource.id.group);
    ApiError::invalid(kind, group, name(object), causes)
}
