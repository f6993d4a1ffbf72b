//! Discovery: which groups, versions and resources are served.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, header};
use serde_json::{Value, json};

use super::accept;
use super::respond::{self, Body};
use crate::cluster::Cluster;
use crate::error::ApiError;
use crate::resource::{Resource, priority};

/// Verbs of a resource that is stored.
const VERBS: &[&str] = &[
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
];
const CHANGE: &[&str] = &["get", "patch", "update"];

/// Subresources beside `status`: resource, name, kind with its group and version, verbs.
type Part = (
    &'static str,
    &'static str,
    &'static str,
    (&'static str, &'static str),
    &'static str,
    &'static [&'static str],
);

const SCALE: (&str, &str) = ("autoscaling", "v1");

const PARTS: &[Part] = &[
    (
        "",
        "namespaces",
        "finalize",
        ("", ""),
        "Namespace",
        &["update"],
    ),
    ("", "nodes", "proxy", ("", ""), "NodeProxyOptions", &["get"]),
    ("", "pods", "binding", ("", ""), "Binding", &["create"]),
    (
        "",
        "pods",
        "eviction",
        ("policy", "v1"),
        "Eviction",
        &["create"],
    ),
    ("", "pods", "log", ("", ""), "Pod", &["get"]),
    ("", "pods", "proxy", ("", ""), "PodProxyOptions", &["get"]),
    (
        "",
        "replicationcontrollers",
        "scale",
        SCALE,
        "Scale",
        CHANGE,
    ),
    (
        "",
        "serviceaccounts",
        "token",
        ("authentication.k8s.io", "v1"),
        "TokenRequest",
        &["create"],
    ),
    ("apps", "deployments", "scale", SCALE, "Scale", CHANGE),
    ("apps", "replicasets", "scale", SCALE, "Scale", CHANGE),
    ("apps", "statefulsets", "scale", SCALE, "Scale", CHANGE),
    (
        "certificates.k8s.io",
        "certificatesigningrequests",
        "approval",
        ("", ""),
        "CertificateSigningRequest",
        CHANGE,
    ),
];

/// The verbs of a resource.
fn verbs(resource: &Resource) -> &'static [&'static str] {
    match resource.kind.as_ref() {
        "Binding"
        | "SelfSubjectReview"
        | "TokenReview"
        | "LocalSubjectAccessReview"
        | "SelfSubjectAccessReview"
        | "SelfSubjectRulesReview"
        | "SubjectAccessReview" => &["create"],
        "ComponentStatus" => &["get", "list"],
        _ => VERBS,
    }
}

/// A subresource of a resource.
struct Subresource {
    name: String,
    group: String,
    version: String,
    kind: String,
    verbs: Vec<&'static str>,
}

fn subresources(cluster: &Cluster, resource: &Resource, version: &str) -> Vec<Subresource> {
    let mut found: Vec<Subresource> = PARTS
        .iter()
        .filter(|part| part.0 == resource.id.group && part.1 == resource.id.resource)
        .map(|&(_, _, name, (group, version), kind, verbs)| Subresource {
            name: name.to_owned(),
            group: group.to_owned(),
            version: version.to_owned(),
            kind: kind.to_owned(),
            verbs: verbs.to_vec(),
        })
        .collect();
    if resource.status {
        found.push(Subresource {
            name: "status".to_owned(),
            group: String::new(),
            version: String::new(),
            kind: resource.kind.to_string(),
            verbs: CHANGE.to_vec(),
        });
    }
    if !resource.is_built_in() && scales(cluster, resource, version) {
        found.push(Subresource {
            name: "scale".to_owned(),
            group: SCALE.0.to_owned(),
            version: SCALE.1.to_owned(),
            kind: "Scale".to_owned(),
            verbs: CHANGE.to_vec(),
        });
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

/// Whether a definition gives a version the subresource `scale`.
fn scales(cluster: &Cluster, resource: &Resource, version: &str) -> bool {
    let definition = cluster.api().catalogue().definition(&resource.id);
    definition.is_some_and(|definition| definition.scale(version).is_some())
}

/// Whether a resource has a subresource in a version.
pub fn has_part(cluster: &Cluster, resource: &Resource, version: &str, name: &str) -> bool {
    let mut parts = subresources(cluster, resource, version).into_iter();
    parts.any(|part| part.name == name)
}

/// Groups with their versions, the preferred first, in the order of a real server: the core, then by
/// name.
fn groups(cluster: &Cluster) -> Vec<(String, Vec<String>)> {
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for resource in cluster.api().catalogue().all() {
        let versions = groups.entry(resource.id.group.to_string()).or_default();
        for version in &resource.versions {
            if !versions.iter().any(|known| known == version) {
                versions.push(version.to_string());
            }
        }
    }
    for versions in groups.values_mut() {
        versions.sort_by_key(|version| std::cmp::Reverse(priority(version)));
    }
    groups.into_iter().collect()
}

fn of_version(cluster: &Cluster, group: &str, version: &str) -> Vec<Arc<Resource>> {
    let mut all = cluster.api().catalogue().all();
    all.retain(|resource| resource.id.group == group && resource.serves(version));
    all
}

/// `/`.
pub fn root() -> Response<Body> {
    respond::json(
        200,
        &json!({"paths": [
            "/api", "/api/v1", "/apis", "/healthz", "/livez", "/openapi/v2", "/openapi/v3",
            "/readyz", "/version",
        ]}),
    )
}

/// `/api`, `/apis` and what is below.
///
/// # Errors
/// 404 for a group or version that is not served.
pub fn answer(
    cluster: &Cluster,
    words: &[&str],
    headers: &HeaderMap,
) -> Result<Response<Body>, ApiError> {
    match words {
        [root] if accept::wants_aggregated_discovery(headers) => {
            Ok(aggregated(cluster, root == &"api", headers))
        }
        ["api"] => Ok(respond::json(
            200,
            &json!({
                "kind": "APIVersions", "versions": ["v1"],
                "serverAddressByClientCIDRs": [
                    {"clientCIDR": "0.0.0.0/0", "serverAddress": "127.0.0.1:6443"}],
            }),
        )),
        ["apis"] => {
            let groups = groups(cluster);
            let groups = groups.iter().filter(|(name, _)| !name.is_empty());
            let groups: Vec<Value> = groups
                .map(|(name, versions)| group(name, versions))
                .collect();
            let list = json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups});
            Ok(respond::json(200, &list))
        }
        ["api", version] => resources(cluster, "", version),
        ["apis", name] => {
            let groups = groups(cluster);
            let (name, versions) = groups
                .iter()
                .find(|(known, _)| known == name)
                .ok_or_else(ApiError::no_such_path)?;
            let mut found = group(name, versions);
            found["kind"] = json!("APIGroup");
            found["apiVersion"] = json!("v1");
            Ok(respond::json(200, &found))
        }
        ["apis", group, version] => resources(cluster, group, version),
        _ => Err(ApiError::no_such_path()),
    }
}

fn group(name: &str, versions: &[String]) -> Value {
    let shown: Vec<Value> = versions
        .iter()
        .map(|version| json!({"groupVersion": format!("{name}/{version}"), "version": version}))
        .collect();
    json!({"name": name, "versions": shown, "preferredVersion": shown.first()})
}

/// An `APIResourceList`.
fn resources(cluster: &Cluster, group: &str, version: &str) -> Result<Response<Body>, ApiError> {
    let served = of_version(cluster, group, version);
    let Some(first) = served.first() else {
        return Err(ApiError::no_such_path());
    };
    let mut shown = Vec::new();
    for resource in &served {
        let mut entry = json!({
            "name": resource.id.resource, "singularName": resource.singular,
            "namespaced": resource.namespaced, "kind": resource.kind, "verbs": verbs(resource),
        });
        if !resource.short_names.is_empty() {
            entry["shortNames"] = json!(resource.short_names);
        }
        if !resource.categories.is_empty() {
            entry["categories"] = json!(resource.categories);
        }
        shown.push(entry);
        for part in subresources(cluster, resource, version) {
            let mut entry = json!({
                "name": format!("{}/{}", resource.id.resource, part.name), "singularName": "",
                "namespaced": resource.namespaced, "kind": part.kind, "verbs": part.verbs,
            });
            if !part.group.is_empty() {
                entry["group"] = json!(part.group);
                entry["version"] = json!(part.version);
            }
            shown.push(entry);
        }
    }
    let mut list = json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": first.api_version(version),
    });
    list["resources"] = Value::Array(shown);
    Ok(respond::json(200, &list))
}

/// All groups, versions and resources below `/api` or `/apis` at once.
fn aggregated(cluster: &Cluster, core: bool, headers: &HeaderMap) -> Response<Body> {
    const KIND: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    // It changes only with what is served; a client that has this one need not get it again.
    let tag = format!("\"{}-{core}\"", cluster.api().catalogue().generation());
    let known = headers.get(header::IF_NONE_MATCH);
    if known.is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        let mut response = respond::bytes(200, KIND, Bytes::new());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    let groups = groups(cluster);
    let groups = groups.iter().filter(|(name, _)| name.is_empty() == core);
    let items: Vec<Value> = groups
        .map(|(name, versions)| {
            let versions: Vec<Value> = versions
                .iter()
                .map(|version| {
                    let resources = of_version(cluster, name, version);
                    let resources = resources.iter().map(|r| discovered(cluster, r, version));
                    json!({
                        "version": version, "freshness": "Current",
                        "resources": resources.collect::<Vec<_>>(),
                    })
                })
                .collect();
            let mut metadata = json!({"creationTimestamp": null});
            if !core {
                metadata["name"] = json!(name);
            }
            json!({"metadata": metadata, "versions": versions})
        })
        .collect();
    let list = json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {}, "items": items,
    });
    let mut response = respond::bytes(200, KIND, Bytes::from(list.to_string()));
    let headers = response.headers_mut();
    headers.insert(header::VARY, header::HeaderValue::from_static("Accept"));
    if let Ok(tag) = header::HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    response
}

fn discovered(cluster: &Cluster, resource: &Resource, version: &str) -> Value {
    let kind = |group: &str, version: &str, kind: &str| json!({"group": group, "version": version, "kind": kind});
    let mut entry = json!({
        "resource": resource.id.resource,
        "responseKind": kind(&resource.id.group, version, &resource.kind),
        "scope": if resource.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": resource.singular,
        "verbs": verbs(resource),
    });
    if !resource.short_names.is_empty() {
        entry["shortNames"] = json!(resource.short_names);
    }
    if !resource.categories.is_empty() {
        entry["categories"] = json!(resource.categories);
    }
    let parts: Vec<Value> = subresources(cluster, resource, version)
        .iter()
        .map(|part| {
            let (group, version) = if part.group.is_empty() {
                (resource.id.group.as_ref(), version)
            } else {
                (part.group.as_str(), part.version.as_str())
            };
            json!({
                "subresource": part.name, "responseKind": kind(group, version, &part.kind),
                "verbs": part.verbs,
            })
        })
        .collect();
    if !parts.is_empty() {
        entry["subresources"] = json!(parts);
    }
    entry
}
