//! What the server says of itself: its version, and part by part whether it is well.

use std::fmt::Write as _;

use http::{Response, Uri};
use serde_json::json;

use super::query::Query;
use super::respond::{self, Body};
use crate::cluster::Cluster;
use crate::error::ApiError;

/// The parts that all three endpoints ask, in the order of a real server.
const PARTS: &[&str] = &[
    "ping",
    "log",
    "etcd",
    "poststarthook/start-apiserver-admission-initializer",
    "poststarthook/generic-apiserver-start-informers",
    "poststarthook/priority-and-fairness-config-consumer",
    "poststarthook/priority-and-fairness-filter",
    "poststarthook/storage-object-count-tracker-hook",
    "poststarthook/start-apiextensions-informers",
    "poststarthook/start-apiextensions-controllers",
    "poststarthook/crd-informer-synced",
    "poststarthook/start-system-namespaces-controller",
    "poststarthook/start-cluster-authentication-info-controller",
    "poststarthook/start-kube-apiserver-identity-lease-controller",
    "poststarthook/start-kube-apiserver-identity-lease-garbage-collector",
    "poststarthook/start-legacy-token-tracking-controller",
    "poststarthook/start-service-ip-repair-controllers",
    "poststarthook/rbac/bootstrap-roles",
    "poststarthook/scheduling/bootstrap-system-priority-classes",
    "poststarthook/priority-and-fairness-config-producer",
    "poststarthook/bootstrap-controller",
    "poststarthook/start-kubernetes-service-cidr-controller",
    "poststarthook/aggregator-reload-proxy-client-cert",
    "poststarthook/start-kube-aggregator-informers",
    "poststarthook/apiservice-status-local-available-controller",
    "poststarthook/apiservice-status-remote-available-controller",
    "poststarthook/apiservice-registration-controller",
    "poststarthook/apiservice-discovery-controller",
    "poststarthook/kube-apiserver-autoregistration",
    "autoregister-completion",
    "poststarthook/apiservice-openapi-controller",
    "poststarthook/apiservice-openapiv3-controller",
];

/// The parts of an endpoint.
fn parts(endpoint: &str) -> Vec<&'static str> {
    let mut parts = PARTS.to_vec();
    if endpoint == "readyz" {
        // Only whether it is ready depends on these.
        parts.insert(3, "etcd-readiness");
        parts.insert(4, "informer-sync");
        parts.push("shutdown");
    }
    parts
}

/// `/version`.
pub fn version(cluster: &Cluster) -> Response<Body> {
    let version = cluster.server().version();
    let mut numbers = version.trim_start_matches('v').split('.');
    let (major, minor) = (numbers.next(), numbers.next());
    respond::json(
        200,
        &json!({
            "major": major.unwrap_or_default(),
            "minor": minor.unwrap_or_default(),
            "emulationMajor": major.unwrap_or_default(),
            "emulationMinor": minor.unwrap_or_default(),
            "gitVersion": version,
            "gitCommit": "",
            "gitTreeState": "clean",
            "buildDate": "1970-01-01T00:00:00Z",
            "goVersion": "",
            "compiler": "gc",
            "platform": "linux/amd64",
        }),
    )
}

/// `/readyz`, `/livez`, `/healthz`, as a whole or one part.
///
/// # Errors
/// 404 for a part that there is not.
pub fn answer(cluster: &Cluster, words: &[&str], uri: &Uri) -> Result<Response<Body>, ApiError> {
    let endpoint = words.first().copied().unwrap_or_default();
    let query = Query::of(uri);
    let server = cluster.server();
    if words.len() > 1 {
        let part = words[1..].join("/");
        if !parts(endpoint).contains(&part.as_str()) {
            return Err(ApiError::no_such_path());
        }
        return Ok(match server.ill(&part) {
            None => respond::text(200, "ok".to_owned()),
            Some(why) => respond::text(500, format!("internal server error: {why}\n")),
        });
    }
    let excluded = query.all("exclude");
    let (mut shown, mut failed) = (String::new(), Vec::new());
    for part in parts(endpoint) {
        let line = if excluded.contains(&part) {
            format!("[+]{part} excluded: ok")
        } else if server.ill(part).is_some() {
            failed.push(part);
            format!("[-]{part} failed: reason withheld")
        } else {
            format!("[+]{part} ok")
        };
        // Writing to a String does not fail.
        let _ = writeln!(shown, "{line}");
    }
    if !failed.is_empty() {
        return Ok(respond::text(
            500,
            format!("{shown}{endpoint} check failed\n"),
        ));
    }
    if query.text("verbose").is_none() {
        return Ok(respond::text(200, "ok".to_owned()));
    }
    Ok(respond::text(
        200,
        format!("{shown}{endpoint} check passed\n"),
    ))
}
