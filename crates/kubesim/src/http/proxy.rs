//! `nodes/proxy`: what a kubelet says of itself; `pods/proxy`: whether something answers, and by TLS.

use http::Response;
use serde_json::{Value, json};

use super::request::Request;
use super::respond::{self, Body};
use crate::error::ApiError;
use crate::network::{self, Speaks};
use crate::object::text;
use crate::resource::builtin::{NODES, PODS};

/// Answers for a node's kubelet; `path` is what follows `proxy`.
///
/// # Errors
/// 404 for a node that there is not, and for what the kubelet does not serve.
pub fn node(request: &Request<'_>, path: &str) -> Result<Response<Body>, ApiError> {
    let name = request.name();
    let api = request.cluster.api();
    let node = api
        .get(&NODES, "", name)
        .ok_or_else(|| ApiError::not_found(&NODES, name))?;
    match path.trim_end_matches('/') {
        "configz" => {
            let configuration = request.cluster.server().kubelet_configuration(name);
            Ok(respond::json(200, &json!({"kubeletconfig": configuration})))
        }
        "healthz" => Ok(respond::text(200, "ok".to_owned())),
        "stats/summary" => {
            let here = api.store().on_node(name);
            let pods: Vec<Value> = here
                .iter()
                .map(|pod| {
                    let pod = &pod.value;
                    let metadata = &pod["metadata"];
                    json!({
                        "podRef": {
                            "name": metadata["name"], "namespace": metadata["namespace"],
                            "uid": metadata["uid"],
                        },
                        "startTime": pod["status"]["startTime"],
                    })
                })
                .collect();
            let summary = json!({
                "node": {"nodeName": name, "startTime": node["metadata"]["creationTimestamp"]},
                "pods": pods,
            });
            Ok(respond::json(200, &summary))
        }
        _ => Ok(respond::text(404, "404 page not found\n".to_owned())),
    }
}

/// Answers for what listens at a pod's address, `[SCHEME:]POD[:PORT]`. There is no content: a server of
/// plain HTTP says nothing, one of TLS asks who it is that asks.
///
/// # Errors
/// 404 for a pod that there is not, 503 when nothing answers, or not in the scheme's language.
pub fn pod(request: &Request<'_>) -> Result<Response<Body>, ApiError> {
    let words: Vec<&str> = request.name().split(':').collect();
    let (scheme, name, port) = match words.as_slice() {
        [name] => ("http", *name, ""),
        [name, port] => ("http", *name, *port),
        [scheme, name, port] => (*scheme, *name, *port),
        _ => return Err(ApiError::bad_request("invalid pod request".to_owned())),
    };
    let port = if port.is_empty() { "80" } else { port };
    let Ok(port) = port.parse::<u16>() else {
        return Err(ApiError::bad_request(format!("invalid port {port:?}")));
    };
    let namespace = request.namespace();
    let pod = request
        .cluster
        .api()
        .get(&PODS, namespace, name)
        .ok_or_else(|| ApiError::not_found(&PODS, name))?;
    let unreached = |why: &str| {
        ApiError::new(
            503,
            "ServiceUnavailable",
            format!("error trying to reach service: {why}"),
        )
    };
    let address = text(&pod, "/status/podIP");
    match (scheme, network::speaks(request.cluster, address, port)) {
        (_, None) => Err(unreached(&format!(
            "dial tcp {address}:{port}: connect: connection refused"
        ))),
        ("https", Some(Speaks::Plain)) => {
            Err(unreached("http: server gave HTTP response to HTTPS client"))
        }
        ("https", Some(Speaks::Tls)) => Ok(respond::text(401, "Unauthorized".to_owned())),
        (_, Some(Speaks::Plain)) => Ok(respond::text(200, String::new())),
        (_, Some(Speaks::Tls)) => Ok(respond::text(
            400,
            "Client sent an HTTP request to an HTTPS server.\n".to_owned(),
        )),
    }
}

/// Refuses what would need processes and sockets in the simulated containers.
///
/// # Errors
/// Always: 501.
pub fn refuse(what: &str) -> Result<Response<Body>, ApiError> {
    Err(ApiError::new(
        501,
        "NotImplemented",
        format!(
            "{what} is not possible here: containers are simulated, there are no processes in them"
        ),
    ))
}
