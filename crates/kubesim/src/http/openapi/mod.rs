//! OpenAPI documents: what `kubectl explain` shows, and what clients validate against.

mod builtin;
mod known;
mod paths;
mod protobuf;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, header};
use serde_json::{Map, Value, json};

use super::accept;
use super::respond::{self, Body};
use crate::cluster::Cluster;
use crate::error::ApiError;
use crate::resource::Resource;
use crate::resource::builtin::CUSTOM_RESOURCE_DEFINITIONS;
pub use known::prune;

/// What older clients call the form of [`protobuf`].
const OLDER_PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";

/// Answers `/openapi/v2`, `/openapi/v3` and what is below.
///
/// # Errors
/// 404 for a group that is not served, 406 for a form that there is not.
pub fn answer(
    cluster: &Cluster,
    words: &[&str],
    headers: &HeaderMap,
) -> Result<Response<Body>, ApiError> {
    let state = state(cluster);
    if !accept::accepts_json(headers) {
        if words != ["openapi", "v2"] || !accept::accepts(headers, OLDER_PROTOBUF) {
            return Err(accept::not_acceptable("application/json"));
        }
        let binary = || Bytes::from(protobuf::document(&v2(cluster)));
        let document = kept(cluster, &state, "v2.pb", || Some(binary()));
        return Ok(respond::bytes(
            200,
            protobuf::KIND,
            document.unwrap_or_default(),
        ));
    }
    let document = match words {
        ["openapi", "v2"] => made(cluster, &state, "v2", || Some(v2(cluster))),
        ["openapi", "v3"] => made(cluster, &state, "v3", || Some(root(cluster, &state))),
        ["openapi", "v3", path @ ..] => {
            let path = path.join("/");
            made(cluster, &state, &format!("v3/{path}"), || {
                v3(cluster, &path)
            })
        }
        _ => None,
    };
    let document = document.ok_or_else(ApiError::no_such_path)?;
    let tag = format!("\"{state}\"");
    let known = headers.get(header::IF_NONE_MATCH);
    let mut response = respond::bytes(200, "application/json", document);
    if known.is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        response = respond::bytes(200, "application/json", Bytes::new());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    if let Ok(tag) = header::HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    Ok(response)
}

/// What documents depend on: what is served, and the newest of its definitions.
fn state(cluster: &Cluster) -> String {
    let (definitions, _) = cluster.store().list(&CUSTOM_RESOURCE_DEFINITIONS, None);
    let newest = definitions
        .iter()
        .map(|definition| definition.revision)
        .max();
    let generation = cluster.api().catalogue().generation();
    format!("{generation}-{}", newest.unwrap_or_default())
}

/// A document, made once for a state.
fn made(
    cluster: &Cluster,
    state: &str,
    name: &str,
    make: impl FnOnce() -> Option<Value>,
) -> Option<Bytes> {
    kept(cluster, state, name, || {
        Some(Bytes::from(make()?.to_string()))
    })
}

fn kept(
    cluster: &Cluster,
    state: &str,
    name: &str,
    make: impl FnOnce() -> Option<Bytes>,
) -> Option<Bytes> {
    if let Some(document) = cluster.server().document(name, state) {
        return Some(document);
    }
    let document = make()?;
    cluster
        .server()
        .keep_document(name, state, document.clone());
    Some(document)
}

/// Served resources by the path of their group and version, `api/v1` or `apis/apps/v1`.
fn served(cluster: &Cluster) -> BTreeMap<String, Vec<Arc<Resource>>> {
    let mut served: BTreeMap<String, Vec<Arc<Resource>>> = BTreeMap::new();
    for resource in cluster.api().catalogue().all() {
        for version in &resource.versions {
            let path = match resource.id.group.as_ref() {
                "" => format!("api/{version}"),
                group => format!("apis/{group}/{version}"),
            };
            served.entry(path).or_default().push(resource.clone());
        }
    }
    served
}

/// `/openapi/v3`.
fn root(cluster: &Cluster, state: &str) -> Value {
    let paths: Map<String, Value> = served(cluster)
        .into_keys()
        .map(|path| {
            let address = format!("/openapi/v3/{path}?hash={state}");
            (path, json!({"serverRelativeURL": address}))
        })
        .collect();
    json!({"paths": paths})
}

/// `/openapi/v3/…`: one group and version.
fn v3(cluster: &Cluster, path: &str) -> Option<Value> {
    let served = served(cluster);
    let resources = served.get(path)?;
    let version = path.rsplit('/').next().unwrap_or_default();
    let mut schemas = Map::new();
    let mut names = BTreeMap::new();
    builtin::add(&mut schemas, &mut names, |group, of| {
        of == version && resources.iter().any(|resource| resource.id.group == group)
    });
    for resource in resources {
        if let Some((name, schema)) = custom(cluster, resource, version) {
            names.insert(
                (resource.id.group.to_string(), resource.kind.to_string()),
                name.clone(),
            );
            schemas.insert(name, schema);
        }
    }
    let paths = paths::of(path, version, resources, &names);
    Some(json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": cluster.server().version()},
        "paths": paths,
        "components": {"schemas": schemas},
    }))
}

/// `/openapi/v2`: all of it in one, in the older form.
fn v2(cluster: &Cluster) -> Value {
    let (mut definitions, mut paths) = (Map::new(), Map::new());
    for path in served(cluster).into_keys() {
        let Some(mut document) = v3(cluster, &path) else {
            continue;
        };
        older(&mut document);
        let mut take = |pointer: &str, into: &mut Map<String, Value>| {
            if let Some(Value::Object(part)) = document.pointer_mut(pointer).map(Value::take) {
                into.extend(part);
            }
        };
        take("/components/schemas", &mut definitions);
        take("/paths", &mut paths);
    }
    json!({
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": cluster.server().version()},
        "paths": paths,
        "definitions": definitions,
    })
}

/// Says a document's parts as OpenAPI v2 does.
fn older(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(reference)) = fields.get_mut("$ref") {
                *reference = reference.replace("#/components/schemas/", "#/definitions/");
            }
            fields.shift_remove("requestBody");
            fields.shift_remove("nullable");
            fields.values_mut().for_each(older);
        }
        Value::Array(items) => items.iter_mut().for_each(older),
        _ => {}
    }
}

/// The schema that a definition gives a version of its kind.
fn custom(cluster: &Cluster, resource: &Resource, version: &str) -> Option<(String, Value)> {
    if resource.is_built_in() {
        return None;
    }
    let api = cluster.api();
    let definition = api.get(&CUSTOM_RESOURCE_DEFINITIONS, "", &resource.id.to_string())?;
    let versions = definition["spec"]["versions"].as_array()?;
    let version = versions.iter().find(|known| known["name"] == version)?;
    let mut schema = version["schema"]["openAPIV3Schema"].clone();
    if !schema.is_object() {
        schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    }
    let text = "APIVersion defines the versioned schema of this representation of an object.";
    schema["properties"]["apiVersion"] = json!({"type": "string", "description": text});
    let text = "Kind is a string value representing the REST resource this object represents.";
    schema["properties"]["kind"] = json!({"type": "string", "description": text});
    schema["properties"]["metadata"] = json!({
        "description": "Standard object's metadata.",
        "allOf": [{"$ref": format!("#/components/schemas/{}", builtin::META)}],
    });
    let group = resource.id.group.as_ref();
    let version = version["name"].as_str()?;
    let kind = json!([{"group": group, "version": version, "kind": resource.kind}]);
    schema["x-kubernetes-group-version-kind"] = kind;
    let reversed: Vec<&str> = group.split('.').rev().collect();
    Some((
        format!("{}.{version}.{}", reversed.join("."), resource.kind),
        schema,
    ))
}
