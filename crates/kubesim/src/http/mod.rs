//! The API over HTTP: a `tower::Service` from request to response.

mod path;
mod query;
mod respond;
mod watch;

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::BodyExt;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::error::ApiError;
use crate::registry::{Deletion, Write};
use crate::resource::Resource;
use crate::store::Stored;

use path::Target;
use query::Query;
pub use respond::Body;

/// A cluster's API as a service; clones are the same.
#[derive(Clone, Debug)]
pub struct Service(Cluster);

impl Service {
    pub(crate) fn new(cluster: Cluster) -> Self {
        Self(cluster)
    }
}

impl<B> tower_service::Service<Request<B>> for Service
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: std::fmt::Display,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let cluster = self.0.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = match body.collect().await {
                Ok(body) => body.to_bytes(),
                Err(error) => {
                    let refusal =
                        ApiError::bad_request(format!("failed to read the body: {error}"));
                    return Ok(respond::refusal(&refusal));
                }
            };
            let answer = answer(&cluster, &parts, &body);
            Ok(answer.unwrap_or_else(|error| respond::refusal(&error)))
        })
    }
}

fn answer(
    cluster: &Cluster,
    parts: &http::request::Parts,
    body: &Bytes,
) -> Result<Response<Body>, ApiError> {
    let query = Query::of(&parts.uri);
    match path::parse(parts.uri.path()) {
        Some(target) => on_resource(cluster, parts, &target, &query, body),
        None => Err(ApiError::no_such_path()),
    }
}

fn on_resource(
    cluster: &Cluster,
    parts: &http::request::Parts,
    target: &Target,
    query: &Query,
    body: &Bytes,
) -> Result<Response<Body>, ApiError> {
    let api = cluster.api();
    let resource = api.resource(&target.id())?;
    if !resource.serves(&target.version) {
        return Err(ApiError::no_such_path());
    }
    let namespace = target.namespace.as_deref().unwrap_or_default();
    let name = target.name.as_deref().unwrap_or_default();
    let write = Write {
        manager: query.text("fieldManager").unwrap_or("unknown").to_owned(),
        dry_run: query.text("dryRun") == Some("All"),
        subresource: target.subresource.clone().unwrap_or_default(),
    };
    match (&parts.method, target.name.is_some()) {
        (&Method::GET, false) if query.is_set("watch") => {
            watch::start(cluster, &resource, target, query)
        }
        (&Method::GET, false) => Ok(list(cluster, &resource, target)),
        (&Method::GET, true) => {
            let stored = api.stored(&resource.id, namespace, name);
            let stored = stored.ok_or_else(|| ApiError::not_found(&resource.id, name))?;
            Ok(respond::stored(200, &stored, &resource, &target.version))
        }
        (&Method::POST, false) => {
            let mut object = respond::object(body)?;
            if resource.namespaced {
                object["metadata"]["namespace"] = json!(namespace);
            }
            let stored = api.create(&resource.id, object, &write)?;
            Ok(respond::stored(201, &stored, &resource, &target.version))
        }
        (&Method::PUT, true) => {
            let stored = api.update(&resource.id, respond::object(body)?, &write)?;
            Ok(respond::stored(200, &stored, &resource, &target.version))
        }
        (&Method::PATCH, true) => {
            let stored = merge_patch(cluster, &resource, namespace, name, body, &write)?;
            Ok(respond::stored(200, &stored, &resource, &target.version))
        }
        (&Method::DELETE, true) => {
            let stored = api.delete(&resource.id, namespace, name, &Deletion::default())?;
            Ok(respond::stored(200, &stored, &resource, &target.version))
        }
        _ => Err(ApiError::new(
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        )),
    }
}

fn merge_patch(
    cluster: &Cluster,
    resource: &Resource,
    namespace: &str,
    name: &str,
    body: &Bytes,
    write: &Write,
) -> Result<Arc<Stored>, ApiError> {
    let patch = respond::object(body)?;
    let api = cluster.api();
    let old = api.stored(&resource.id, namespace, name);
    let old = old.ok_or_else(|| ApiError::not_found(&resource.id, name))?;
    let mut object = (*old.value).clone();
    json_patch::merge(&mut object, &patch);
    api.update(&resource.id, object, write)
}

fn list(cluster: &Cluster, resource: &Resource, target: &Target) -> Response<Body> {
    let (objects, revision) = cluster
        .store()
        .list(&resource.id, target.namespace.as_deref());
    let items: Vec<Value> = objects.iter().map(|stored| stored.whole()).collect();
    respond::json(
        200,
        &json!({
            "kind": format!("{}List", resource.kind),
            "apiVersion": resource.api_version(&target.version),
            "metadata": {"resourceVersion": revision.to_string()},
            "items": items,
        }),
    )
}
