//! `nodes/proxy`: what a kubelet says of itself.

use http::Response;
use serde_json::{Value, json};

use super::request::Request;
use super::respond::{self, Body};
use crate::error::ApiError;
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
            let pods = api.list(&PODS, None);
            let here = pods.iter().filter(|pod| pod["spec"]["nodeName"] == name);
            let pods: Vec<Value> = here
                .map(|pod| {
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
