//! Deleting all objects of a collection that a request selects.

use http::Response;
use serde_json::json;

use super::filter::Filter;
use super::request::Request;
use super::respond::{self, Body};
use super::write::{deletion, manager};
use crate::error::ApiError;
use crate::object::{name, namespace};
use crate::registry::Write;

/// Deletes what a request selects, and answers with the list of it.
///
/// # Errors
/// The first refusal; what is gone already is none.
pub fn delete(request: &Request<'_>) -> Result<Response<Body>, ApiError> {
    let filter = Filter::of(request)?;
    let write = Write {
        manager: manager(request),
        dry_run: request.query.text("dryRun") == Some("All"),
        user: request.user.clone(),
        warnings: request.warnings.clone(),
        ..Write::default()
    };
    let deletion = deletion(request, &write)?;
    let api = request.cluster.api();
    let id = &request.resource.id;
    let (objects, revision) = api.store().list(id, filter.namespace.as_deref());
    let mut deleted = Vec::new();
    for stored in objects.iter().filter(|stored| filter.matches(stored)) {
        let object = &stored.value;
        match api.delete(id, namespace(object), name(object), &deletion) {
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
            Ok(gone) => deleted.push(request.served_form((*gone.value).clone())?),
        }
    }
    let list = json!({
        "kind": format!("{}List", request.resource.kind), "apiVersion": request.api_version,
        "metadata": {"resourceVersion": revision.to_string()}, "items": deleted,
    });
    Ok(respond::json(200, &list))
}
