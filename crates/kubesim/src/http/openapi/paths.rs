//! The paths of a document: which methods each resource has, and that unknown fields can be refused.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::resource::Resource;

/// The paths of the resources of a group and version.
pub fn of(
    prefix: &str,
    version: &str,
    resources: &[Arc<Resource>],
    names: &BTreeMap<(String, String), String>,
) -> Map<String, Value> {
    let mut paths = Map::new();
    for resource in resources {
        let place = if resource.namespaced {
            "namespaces/{namespace}/"
        } else {
            ""
        };
        let base = format!("/{prefix}/{place}{}", resource.id.resource);
        let key = (resource.id.group.to_string(), resource.kind.to_string());
        let schema = names.get(&key).map_or_else(
            || json!({"type": "object"}),
            |name| json!({"$ref": format!("#/components/schemas/{name}")}),
        );
        let kind = json!({"group": resource.id.group, "version": version, "kind": resource.kind});
        let operation = |action: &str, writes: bool| {
            let mut operation = json!({
                "operationId": format!("{action}{}", resource.kind),
                "responses": {"200": {"description": "OK",
                    "content": {"application/json": {"schema": schema}}}},
                "x-kubernetes-action": action,
                "x-kubernetes-group-version-kind": kind,
            });
            if writes {
                operation["parameters"] = ["dryRun", "fieldManager", "fieldValidation"]
                    .map(|name| json!({"name": name, "in": "query", "schema": {"type": "string"}}))
                    .to_vec()
                    .into();
                operation["requestBody"] = json!({"content": {"*/*": {"schema": schema}}});
            }
            operation
        };
        paths.insert(
            base.clone(),
            json!({"get": operation("list", false), "post": operation("post", true)}),
        );
        paths.insert(
            format!("{base}/{{name}}"),
            json!({
                "get": operation("get", false),
                "put": operation("put", true),
                "patch": operation("patch", true),
                "delete": operation("delete", false),
            }),
        );
    }
    paths
}
