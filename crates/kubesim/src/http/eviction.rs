//! `POST pods/NAME/eviction`.

use http::Response;
use serde_json::{Value, json};

use super::request::Request;
use super::respond::{self, Body};
use crate::error::ApiError;
use crate::registry::{Deletion, Write};

/// Evicts a pod.
///
/// # Errors
/// What is wrong with the request; what the eviction refuses.
pub fn answer(request: &Request<'_>, write: &Write) -> Result<Response<Body>, ApiError> {
    let eviction = respond::object(request.body)?;
    let (said, kind) = (&eviction["apiVersion"], &eviction["kind"]);
    if *kind != "Eviction" || !(*said == "policy/v1" || *said == "policy/v1beta1") {
        let message = format!("expected an Eviction of policy/v1, not {kind} of {said}");
        return Err(ApiError::bad_request(message));
    }
    if eviction["metadata"]["name"] != request.name() {
        let message = "name in URL does not match name in Eviction object";
        return Err(ApiError::bad_request(message));
    }
    let options = &eviction["deleteOptions"];
    let text = |pointer: &str| {
        options
            .pointer(pointer)
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    let deletion = Deletion {
        propagation: text("/propagationPolicy"),
        grace: options["gracePeriodSeconds"].as_i64(),
        uid: text("/preconditions/uid"),
        revision: text("/preconditions/resourceVersion"),
        dry_run: write.dry_run || options["dryRun"] == json!(["All"]),
        write: write.clone(),
    };
    let api = request.cluster.api();
    api.evict(request.namespace(), request.name(), &deletion)?;
    let success = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201,
    });
    Ok(respond::json(201, &success))
}
