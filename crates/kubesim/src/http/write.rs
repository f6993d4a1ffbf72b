//! Requests that write: create, replace, patch, delete.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, Response, header};
use serde_json::{Value, json};

use super::eviction;
use super::request::Request;
use super::respond::{self, Body};
use crate::error::ApiError;
use crate::registry::{Deletion, Warnings, Write};
use crate::resource::builtin::PODS;
use crate::store::Stored;

/// Answers a request that writes.
///
/// # Errors
/// What the registry refuses, and methods that there are not.
pub fn answer(request: &Request<'_>) -> Result<Response<Body>, ApiError> {
    let target = request.target;
    let write = Write {
        manager: request
            .query
            .text("fieldManager")
            .unwrap_or("unknown")
            .to_owned(),
        dry_run: request.query.text("dryRun") == Some("All"),
        subresource: target.subresource.clone().unwrap_or_default(),
        version: target.version.clone(),
        user: request.user.clone(),
        warnings: Warnings::kept(),
    };
    let mut response = written(request, &write)?;
    for warning in write.warnings.told() {
        // Quoted as in RFC 7234; what cannot stand in a header is left out.
        let text: String = warning.chars().filter(|c| !c.is_control()).collect();
        let text = text.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{text}\"")) {
            response.headers_mut().append(header::WARNING, value);
        }
    }
    Ok(response)
}

fn written(request: &Request<'_>, write: &Write) -> Result<Response<Body>, ApiError> {
    let api = request.cluster.api();
    let target = request.target;
    let id = &request.resource.id;
    let (namespace, name) = (request.namespace(), request.name());
    match (&request.parts.method, target.name.is_some()) {
        (&Method::POST, false) => {
            let mut object = request.stored_form(respond::object(request.body)?)?;
            if request.resource.namespaced {
                object["metadata"]["namespace"] = json!(namespace);
            }
            let stored = api.create(id, object, write)?;
            respond::stored(201, &stored, request)
        }
        (&Method::POST, true) if *id == PODS && write.subresource == "eviction" => {
            eviction::answer(request, write)
        }
        (&Method::PUT, true) => {
            let mut object = request.stored_form(respond::object(request.body)?)?;
            // Helm leaves it to the path.
            if request.resource.namespaced && object["metadata"]["namespace"].is_null() {
                object["metadata"]["namespace"] = json!(namespace);
            }
            let stored = api.update(id, object, write)?;
            respond::stored(200, &stored, request)
        }
        (&Method::PATCH, true) => {
            let stored = merge_patch(request, request.body, write)?;
            respond::stored(200, &stored, request)
        }
        (&Method::DELETE, true) => {
            let stored = api.delete(id, namespace, name, &deletion(request, write)?)?;
            respond::stored(200, &stored, request)
        }
        _ => Err(ApiError::new(
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        )),
    }
}

/// The options of a deletion, in the body or the query.
pub(super) fn deletion(request: &Request<'_>, write: &Write) -> Result<Deletion, ApiError> {
    let options = if request.body.is_empty() {
        Value::Null
    } else {
        respond::object(request.body)?
    };
    let text = |pointer: &str, key: &str| {
        let told = options.pointer(pointer).and_then(Value::as_str);
        told.or_else(|| request.query.text(key)).map(str::to_owned)
    };
    let orphans = match options["orphanDependents"].as_bool() {
        Some(true) => Some("Orphan".to_owned()),
        Some(false) => Some("Background".to_owned()),
        None => None,
    };
    let propagation = text("/propagationPolicy", "propagationPolicy").or(orphans);
    if let Some(other) = propagation.as_deref()
        && !matches!(other, "Orphan" | "Background" | "Foreground")
    {
        let message = format!(
            "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Unsupported value: \"{other}\": supported values: \"Background\", \"Foreground\", \"Orphan\""
        );
        return Err(ApiError::new(422, "Invalid", message));
    }
    let grace = request.query.text("gracePeriodSeconds");
    let grace = grace.and_then(|grace| grace.parse().ok());
    Ok(Deletion {
        propagation,
        grace: options["gracePeriodSeconds"].as_i64().or(grace),
        uid: text("/preconditions/uid", ""),
        revision: text("/preconditions/resourceVersion", ""),
        dry_run: write.dry_run || options["dryRun"] == json!(["All"]),
        write: write.clone(),
    })
}

fn merge_patch(
    request: &Request<'_>,
    body: &Bytes,
    write: &Write,
) -> Result<Arc<Stored>, ApiError> {
    let kind = request.parts.headers.get(http::header::CONTENT_TYPE);
    let steps = kind.is_some_and(|kind| kind.as_bytes() == b"application/json-patch+json");
    let api = request.cluster.api();
    let id = &request.resource.id;
    let old = api.stored(id, request.namespace(), request.name());
    let old = old.ok_or_else(|| ApiError::not_found(id, request.name()))?;
    let mut object: Value = request.served_form((*old.value).clone())?;
    if steps {
        let steps: json_patch::Patch = serde_json::from_slice(body)
            .map_err(|error| ApiError::bad_request(format!("failed to read the patch: {error}")))?;
        for step in steps.0 {
            // To a real server what is not there is null; kube's finalizers are added by that.
            if let json_patch::PatchOperation::Test(test) = &step
                && test.value.is_null()
                && object.pointer(test.path.as_str()).is_none()
            {
                continue;
            }
            json_patch::patch(&mut object, &[step])
                .map_err(|error| ApiError::new(422, "Invalid", error.to_string()))?;
        }
    } else {
        json_patch::merge(&mut object, &respond::object(body)?);
    }
    api.update(id, request.stored_form(object)?, write)
}
