//! Requests that read: one object, a collection.

use http::Response;
use serde_json::{Value, json};

use super::request::Request;
use super::respond::{self, Body};
use crate::error::ApiError;

/// One object.
///
/// # Errors
/// 404 when it does not exist.
pub fn get(request: &Request<'_>) -> Result<Response<Body>, ApiError> {
    let id = &request.resource.id;
    let stored = request
        .cluster
        .api()
        .stored(id, request.namespace(), request.name())
        .ok_or_else(|| ApiError::not_found(id, request.name()))?;
    respond::stored(200, &stored, request)
}

/// A collection.
///
/// # Errors
/// When an object cannot be converted.
pub fn list(request: &Request<'_>) -> Result<Response<Body>, ApiError> {
    let store = request.cluster.store();
    let (objects, revision) = store.list(&request.resource.id, request.target.namespace.as_deref());
    let items: Result<Vec<Value>, ApiError> = objects
        .iter()
        .map(|stored| request.served_form(stored.whole()))
        .collect();
    Ok(respond::json(
        200,
        &json!({
            "kind": format!("{}List", request.resource.kind),
            "apiVersion": request.api_version,
            "metadata": {"resourceVersion": revision.to_string()},
            "items": items?,
        }),
    ))
}
