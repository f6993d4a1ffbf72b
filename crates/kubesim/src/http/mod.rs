//! The API over HTTP: a `tower::Service` from request to response.

mod accept;
mod access;
mod collection;
mod decode;
mod discovery;
mod eviction;
mod faults;
mod filter;
mod health;
mod logs;
mod names;
#[cfg(feature = "openapi")]
mod openapi;
mod parts;
mod path;
mod proxy;
mod query;
mod read;
mod request;
mod respond;
mod scale;
mod shape;
mod table;
mod watch;
mod write;

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::BodyExt;

use crate::cluster::Cluster;
use crate::error::ApiError;
use crate::past::refuse_write;
pub(crate) use faults::Transport;
pub use faults::Unreachable;
pub use respond::Body;

/// A body that is there at once.
#[must_use]
pub fn body(bytes: Bytes) -> Body {
    http_body_util::Full::new(bytes).boxed_unsync()
}

/// All of a body that comes to an end.
pub async fn bytes(body: Body) -> Bytes {
    match body.collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(never) => match never {},
    }
}

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
    type Error = Unreachable;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Unreachable>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Unreachable>> {
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
            let told =
                || answer(&cluster, &parts, &body).unwrap_or_else(|error| respond::refusal(&error));
            if parts.extensions.get::<Onlooker>().is_some() {
                return Ok(told());
            }
            let query = query::Query::of(&parts.uri);
            let asked = faults::Asked {
                method: &parts.method,
                query: &query,
            };
            faults::around(&cluster, &asked, told).await
        })
    }
}

/// Marks a request of somebody outside of the simulation.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(
    not(feature = "serve"),
    expect(dead_code, reason = "only a server over HTTPS has them")
)]
pub(crate) struct Onlooker;

/// 401, for who has not proved who he is.
#[cfg(feature = "serve")]
pub(crate) fn refuse_stranger() -> Response<Body> {
    respond::refusal(&ApiError::new(401, "Unauthorized", "Unauthorized"))
}

fn answer(
    cluster: &Cluster,
    parts: &http::request::Parts,
    body: &Bytes,
) -> Result<Response<Body>, ApiError> {
    let Some(target) = path::parse(parts.uri.path()) else {
        access::enforce_path(cluster, parts)?;
        return about_the_server(cluster, parts);
    };
    let request = request::Request::new(cluster, &target, parts, body)?;
    access::enforce(&request)?;
    if let Some(answer) = access::review(&request) {
        return answer;
    }
    if !matches!(parts.method, Method::GET | Method::HEAD)
        && let Some(why) = cluster.server().frozen()
    {
        return Err(refuse_write(&why));
    }
    let mut response = about_objects(&request)?;
    respond::warn(&mut response, &request.warnings.told());
    Ok(response)
}

fn about_objects(request: &request::Request<'_>) -> Result<Response<Body>, ApiError> {
    if let Some(answer) = elsewhere(request) {
        return answer;
    }
    let (cluster, target) = (request.cluster, request.target);
    if let Some(part) = &target.subresource
        && !discovery::has_part(cluster, &request.served, &target.version, part)
    {
        return Err(ApiError::no_such_path());
    }
    let definition = cluster.api().catalogue().definition(&request.resource.id);
    if let Some(warning) =
        definition.and_then(|one| one.warning(&target.version).map(str::to_owned))
    {
        request.warnings.add(vec![warning]);
    }
    let method = &request.parts.method;
    if *method == Method::DELETE && target.name.is_none() {
        return collection::delete(request);
    }
    if !matches!(*method, Method::GET | Method::HEAD) {
        return write::answer(request);
    }
    if request.query.is_set("watch") {
        watch::start(request)
    } else if target.name.is_some() {
        read::get(request)
    } else {
        read::list(request)
    }
}

/// Answers subresources that are not parts of stored objects; none for all others.
fn elsewhere(request: &request::Request<'_>) -> Option<Result<Response<Body>, ApiError>> {
    let target = request.target;
    let part = target.subresource.as_deref()?;
    if part == "scale" {
        return scale::answer(request);
    }
    if !target.group.is_empty() {
        return None;
    }
    let (part, path) = part.split_once('/').unwrap_or((part, ""));
    match (target.resource.as_str(), part) {
        ("pods", "log") => Some(logs::answer(request)),
        ("nodes", "proxy") => Some(proxy::node(request, path)),
        ("pods", "proxy") => Some(proxy::pod(request)),
        ("pods", "exec" | "attach" | "portforward") | ("services", "proxy") => {
            Some(proxy::refuse(&format!("{}/{part}", target.resource)))
        }
        (_, part) => parts::answer(request, part),
    }
}

/// Answers what is about no resource.
fn about_the_server(
    cluster: &Cluster,
    parts: &http::request::Parts,
) -> Result<Response<Body>, ApiError> {
    if !matches!(parts.method, Method::GET | Method::HEAD) {
        return Err(ApiError::no_such_path());
    }
    let words: Vec<&str> = parts
        .uri
        .path()
        .split('/')
        .filter(|word| !word.is_empty())
        .collect();
    match words.as_slice() {
        ["version"] => Ok(health::version(cluster)),
        ["readyz" | "livez" | "healthz", ..] => health::answer(cluster, &words, &parts.uri),
        ["api" | "apis", ..] => discovery::answer(cluster, &words, &parts.headers),
        #[cfg(feature = "openapi")]
        ["openapi", ..] => openapi::answer(cluster, &words, &parts.headers),
        [] => Ok(discovery::root()),
        _ => Err(ApiError::no_such_path()),
    }
}
