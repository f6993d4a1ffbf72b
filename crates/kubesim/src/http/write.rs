//! Requests that write: create, replace, patch, delete.

use std::sync::Arc;

use http::{Method, Response, header};
use serde_json::{Value, json};

use super::request::Request;
use super::respond::{self, Body};
use super::{decode, eviction};
use crate::error::ApiError;
use crate::patch;
use crate::registry::{Applied, Deletion, RETRIES, Write, overtaken};
use crate::resource::builtin::PODS;
use crate::store::Stored;

const APPLY: &str = "application/apply-patch+yaml";
const STRATEGIC: &str = "application/strategic-merge-patch+json";

/// Answers a request that writes.
///
/// # Errors
/// What the registry refuses, and methods that there are not.
pub fn answer(request: &Request<'_>) -> Result<Response<Body>, ApiError> {
    let target = request.target;
    let write = Write {
        manager: manager(request),
        dry_run: request.query.text("dryRun") == Some("All"),
        subresource: target.subresource.clone().unwrap_or_default(),
        version: Some(request.api_version.clone()),
        user: request.user.clone(),
        warnings: request.warnings.clone(),
    };
    written(request, &write)
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
            let (stored, created) = patched(request, write)?;
            respond::stored(if created { 201 } else { 200 }, &stored, request)
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

/// Who writes: as it says, else the first word of what the client calls itself.
pub(super) fn manager(request: &Request<'_>) -> String {
    if let Some(told) = request.query.text("fieldManager") {
        return told.to_owned();
    }
    let agent = request.parts.headers.get(header::USER_AGENT);
    let agent = agent.and_then(|agent| agent.to_str().ok()?.split('/').next());
    agent.unwrap_or("unknown").to_owned()
}

/// Carries out a patch of any form; whether it created the object.
fn patched(request: &Request<'_>, write: &Write) -> Result<(Arc<Stored>, bool), ApiError> {
    let kind = request.parts.headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let api = request.cluster.api();
    let id = &request.resource.id;
    if kind == APPLY {
        return applied(request, write);
    }
    for _ in 0..RETRIES {
        let old = api.stored(id, request.namespace(), request.name());
        let old = old.ok_or_else(|| ApiError::not_found(id, request.name()))?;
        let mut object: Value = request.served_form((*old.value).clone())?;
        let told = object["metadata"]["resourceVersion"].clone();
        match kind {
            "application/json-patch+json" => patch::steps(&mut object, request.body)?,
            "application/merge-patch+json" => {
                json_patch::merge(&mut object, &respond::object(request.body)?);
            }
            STRATEGIC if request.resource.is_built_in() => {
                let patch = respond::object(request.body)?;
                api.shaped(&request.resource, &request.api_version, |shape| {
                    patch::strategic(&mut object, &patch, shape)
                })?;
            }
            other => return Err(unsupported(request, other)),
        }
        let named = object["metadata"]["resourceVersion"] != told;
        match api.update(id, request.stored_form(object)?, write) {
            // A patch that says nothing of the revision is for whichever there is.
            Err(error) if error.reason == "Conflict" && !named => {}
            updated => return Ok((updated?, false)),
        }
    }
    Err(overtaken(id, request.name()))
}

fn applied(request: &Request<'_>, write: &Write) -> Result<(Arc<Stored>, bool), ApiError> {
    if request.query.text("fieldManager").is_none_or(str::is_empty) {
        let message = "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch";
        return Err(ApiError::new(422, "Invalid", message));
    }
    let to = Applied {
        namespace: request.namespace(),
        name: request.name(),
        force: request.query.text("force") == Some("true"),
    };
    let mut object = respond::object(request.body)?;
    decode::check_applied(request, &mut object)?;
    request
        .cluster
        .api()
        .apply(&request.resource.id, object, to, write)
}

/// 415, with what is taken instead.
fn unsupported(request: &Request<'_>, kind: &str) -> ApiError {
    let mut taken = vec![
        "application/json-patch+json",
        "application/merge-patch+json",
        APPLY,
    ];
    if request.resource.is_built_in() {
        taken.push(STRATEGIC);
    }
    let message = format!(
        "the body of the request was in an unknown format {kind:?} - accepted media types include: {}",
        taken.join(", ")
    );
    ApiError::new(415, "UnsupportedMediaType", message)
}
