//! Subresources that are only created: a pod's binding to a node, a service account's token.

use http::{Method, Response};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::request::Request;
use super::respond::{self, Body};
use crate::authorization::User;
use crate::clock::stamp;
use crate::error::ApiError;
use crate::object::{set_condition, text};
use crate::resource::GroupResource;
use crate::resource::builtin::PODS;

/// What a refused binding is called.
const BINDINGS: GroupResource = GroupResource::new("", "pods/binding");

/// Answers a request about one of these; none for all others.
pub fn answer(request: &Request<'_>, part: &str) -> Option<Result<Response<Body>, ApiError>> {
    let act = match (request.target.resource.as_str(), part) {
        ("pods", "binding") => bind,
        ("serviceaccounts", "token") => token,
        _ => return None,
    };
    if request.parts.method != Method::POST {
        return Some(Err(ApiError::new(
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        )));
    }
    Some(respond::object(request.body).and_then(|sent| act(request, sent)))
}

/// Binds a pod to a node, as schedulers do.
fn bind(request: &Request<'_>, sent: Value) -> Result<Response<Body>, ApiError> {
    let node = text(&sent, "/target/name").to_owned();
    if node.is_empty() {
        let cause = ("target.name", "FieldValueRequired", "Required value");
        let cause = (cause.0.to_owned(), cause.1, cause.2.to_owned());
        return Err(ApiError::invalid("Binding", "", request.name(), &[cause]));
    }
    let api = request.cluster.api();
    let (namespace, name) = (request.namespace(), request.name());
    let pod = api.get(&PODS, namespace, name);
    let pod = pod.ok_or_else(|| ApiError::not_found(&PODS, name))?;
    let bound = text(&pod, "/spec/nodeName");
    if !bound.is_empty() {
        let why = format!("pod {name} is already assigned to node \"{bound}\"");
        return Err(ApiError::conflict(&BINDINGS, name, &why));
    }
    let now = api.clock().stamp();
    if request.query.text("dryRun") != Some("All") {
        api.modify(&PODS, namespace, name, "scheduler", |pod| {
            pod["spec"]["nodeName"] = json!(node);
            let scheduled = json!({"type": "PodScheduled", "status": "True"});
            set_condition(&mut pod["status"], scheduled, &now, &[]);
        })?;
    }
    let success = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
    Ok(respond::json(201, &success))
}

/// Gives a token by which a client is the service account.
fn token(request: &Request<'_>, mut sent: Value) -> Result<Response<Body>, ApiError> {
    let api = request.cluster.api();
    let (namespace, name) = (request.namespace(), request.name());
    let id = &request.resource.id;
    if api.get(id, namespace, name).is_none() {
        return Err(ApiError::not_found(id, name));
    }
    if !(sent["spec"].is_object() || sent["spec"].is_null()) {
        return Err(ApiError::bad_request("expected spec to be an object"));
    }
    let seconds = sent["spec"]["expirationSeconds"].as_i64().unwrap_or(3600);
    let end = api
        .clock()
        .now()
        .saturating_add(SignedDuration::from_secs(seconds));
    let token = format!("{}.{}", api.uid(), api.uid());
    let own = format!("system:serviceaccounts:{namespace}");
    let user = format!("system:serviceaccount:{namespace}:{name}");
    let groups = ["system:serviceaccounts", own.as_str()];
    request
        .cluster
        .server()
        .add_token(&token, User::new(&user, &groups));
    sent["apiVersion"] = json!("authentication.k8s.io/v1");
    sent["kind"] = json!("TokenRequest");
    sent["metadata"] = json!({"name": name, "namespace": namespace});
    sent["spec"]["expirationSeconds"] = json!(seconds);
    sent["status"] = json!({
        "token": token,
        "expirationTimestamp": stamp(end.unwrap_or(Timestamp::MAX)),
    });
    Ok(respond::json(201, &sent))
}
