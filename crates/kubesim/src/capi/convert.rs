//! Cluster API's objects in v1beta1 and v1beta2, as far as their fields differ.

use serde_json::{Value, json};

use super::kinds::{OLDER, STORED};
use crate::error::ApiError;
use crate::object::text;
use crate::resource::conversion::Conversion;

/// The conversion of every kind of Cluster API.
pub struct Versions;

impl Conversion for Versions {
    fn convert(&self, mut object: Value, to: &str) -> Result<Value, ApiError> {
        let from = text(&object, "/apiVersion").to_owned();
        if from == to {
            return Ok(object);
        }
        let older = to.ends_with(OLDER);
        object["apiVersion"] = json!(to);
        if older {
            topology_to_older(&mut object);
            conditions_to_older(&mut object);
        } else {
            topology_to_stored(&mut object);
            conditions_to_stored(&mut object);
        }
        walk(&mut object, older);
        Ok(object)
    }
}

/// `topology.classRef.name` was `topology.class`.
fn topology_to_older(object: &mut Value) {
    let Some(topology) = object
        .pointer_mut("/spec/topology")
        .and_then(Value::as_object_mut)
    else {
        return;
    };
    if let Some(reference) = topology.shift_remove("classRef") {
        topology.insert("class".to_owned(), reference["name"].clone());
        if reference["namespace"].is_string() {
            topology.insert("classNamespace".to_owned(), reference["namespace"].clone());
        }
    }
}

fn topology_to_stored(object: &mut Value) {
    let Some(topology) = object
        .pointer_mut("/spec/topology")
        .and_then(Value::as_object_mut)
    else {
        return;
    };
    if let Some(class) = topology.shift_remove("class") {
        let mut reference = json!({"name": class});
        if let Some(space) = topology.shift_remove("classNamespace") {
            reference["namespace"] = space;
        }
        topology.insert("classRef".to_owned(), reference);
    }
}

/// An object of one field.
fn within(name: &str, value: Value) -> Value {
    Value::Object([(name.to_owned(), value)].into_iter().collect())
}

/// Conditions of the older version are kept beside those of the newer.
fn conditions_to_older(object: &mut Value) {
    let Some(status) = object.get_mut("status").and_then(Value::as_object_mut) else {
        return;
    };
    let newer = status.shift_remove("conditions");
    let older = status
        .shift_remove("deprecated")
        .and_then(|mut deprecated| Some(deprecated.pointer_mut("/v1beta1/conditions")?.take()));
    if let Some(older) = older.filter(Value::is_array) {
        status.insert("conditions".to_owned(), older);
    }
    if let Some(newer) = newer {
        status.insert("v1beta2".to_owned(), within("conditions", newer));
    }
    if let Some(initialization) = status.shift_remove("initialization") {
        for (new, old) in [
            ("infrastructureProvisioned", "infrastructureReady"),
            ("controlPlaneInitialized", "controlPlaneReady"),
            ("bootstrapDataSecretCreated", "bootstrapReady"),
            ("provisioned", "ready"),
        ] {
            if let Some(value) = initialization.get(new) {
                status.insert(old.to_owned(), value.clone());
            }
        }
    }
}

fn conditions_to_stored(object: &mut Value) {
    let Some(status) = object.get_mut("status").and_then(Value::as_object_mut) else {
        return;
    };
    let older = status.shift_remove("conditions");
    let newer = status
        .shift_remove("v1beta2")
        .and_then(|mut newer| Some(newer.get_mut("conditions")?.take()));
    if let Some(newer) = newer.filter(Value::is_array) {
        status.insert("conditions".to_owned(), newer);
    }
    if let Some(older) = older {
        let older = within("v1beta1", within("conditions", older));
        status.insert("deprecated".to_owned(), older);
    }
    let mut initialization = serde_json::Map::new();
    for (old, new) in [
        ("infrastructureReady", "infrastructureProvisioned"),
        ("controlPlaneReady", "controlPlaneInitialized"),
        ("bootstrapReady", "bootstrapDataSecretCreated"),
        ("ready", "provisioned"),
    ] {
        if let Some(value) = status.shift_remove(old) {
            initialization.insert(new.to_owned(), value);
        }
    }
    if !initialization.is_empty() {
        status.insert("initialization".to_owned(), Value::Object(initialization));
    }
}

/// What differs wherever it stands: references, kubeadm's extra arguments, a class's templates.
fn walk(value: &mut Value, older: bool) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| walk(item, older)),
        Value::Object(fields) => {
            // ClusterClass: `ref` is `templateRef` in v1beta2.
            let (from, to) = if older {
                ("templateRef", "ref")
            } else {
                ("ref", "templateRef")
            };
            let mut is_template = false;
            for (key, field) in fields.iter_mut() {
                is_template |= key == from && text(field, "/kind").ends_with("Template");
                if key.ends_with("xtraArgs") {
                    arguments(field, older);
                } else if key.ends_with("Ref") || key == "ref" {
                    reference(field, older);
                }
            }
            if is_template && let Some(one) = fields.shift_remove(from) {
                fields.insert(to.to_owned(), one);
            }
            fields.values_mut().for_each(|field| walk(field, older));
        }
        _ => {}
    }
}

/// A map in v1beta1, a list of name and value in v1beta2.
fn arguments(value: &mut Value, older: bool) {
    let converted = match (&*value, older) {
        (Value::Object(map), false) => {
            let list = map
                .iter()
                .map(|(name, value)| json!({"name": name, "value": value}));
            Value::Array(list.collect())
        }
        (Value::Array(list), true) => {
            let map = list
                .iter()
                .map(|one| (text(one, "/name").to_owned(), one["value"].clone()));
            Value::Object(map.collect())
        }
        _ => return,
    };
    *value = converted;
}

/// References name a group in v1beta2, an apiVersion and namespace in v1beta1. Those of a class to its
/// templates keep their apiVersion in both.
fn reference(value: &mut Value, older: bool) {
    let kind = text(value, "/kind").to_owned();
    let Some(fields) = value.as_object_mut() else {
        return;
    };
    if older {
        if let Some(group) = fields.shift_remove("apiGroup") {
            let group = group.as_str().unwrap_or_default();
            fields.insert("apiVersion".to_owned(), json!(format!("{group}/{STORED}")));
        }
    } else if !kind.ends_with("Template") {
        if let Some(version) = fields.shift_remove("apiVersion") {
            let group = version
                .as_str()
                .unwrap_or_default()
                .split('/')
                .next()
                .unwrap_or_default()
                .to_owned();
            fields.insert("apiGroup".to_owned(), json!(group));
        }
        for field in ["namespace", "uid", "resourceVersion"] {
            fields.shift_remove(field);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_keeps_its_meaning_in_both_versions() {
        let stored = json!({"apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Cluster",
            "spec": {"topology": {"classRef": {"name": "c"}, "version": "v1.35.0"},
                "controlPlaneRef": {"apiGroup": "controlplane.cluster.x-k8s.io", "kind": "KubeadmControlPlane", "name": "p"}},
            "status": {"conditions": [{"type": "Available"}],
                "deprecated": {"v1beta1": {"conditions": [{"type": "Ready"}]}},
                "initialization": {"infrastructureProvisioned": true}}});
        let older = Versions
            .convert(stored.clone(), "cluster.x-k8s.io/v1beta1")
            .unwrap();
        assert_eq!(older["spec"]["topology"]["class"], "c");
        assert_eq!(
            older["spec"]["controlPlaneRef"]["apiVersion"],
            "controlplane.cluster.x-k8s.io/v1beta2"
        );
        assert_eq!(older["status"]["conditions"][0]["type"], "Ready");
        assert_eq!(older["status"]["infrastructureReady"], true);
        let back = Versions.convert(older, "cluster.x-k8s.io/v1beta2").unwrap();
        assert_eq!(back, stored);
    }

    #[test]
    fn extra_arguments_are_a_map_in_the_older_version() {
        let older = json!({"apiVersion": "bootstrap.cluster.x-k8s.io/v1beta1", "kind": "KubeadmConfigTemplate",
            "spec": {"template": {"spec": {"joinConfiguration": {"nodeRegistration": {"kubeletExtraArgs": {"v": "2"}}}}}}});
        let stored = Versions
            .convert(older.clone(), "bootstrap.cluster.x-k8s.io/v1beta2")
            .unwrap();
        let arguments = stored
            .pointer("/spec/template/spec/joinConfiguration/nodeRegistration/kubeletExtraArgs");
        assert_eq!(arguments, Some(&json!([{"name": "v", "value": "2"}])));
        assert_eq!(
            Versions
                .convert(stored, "bootstrap.cluster.x-k8s.io/v1beta1")
                .unwrap(),
            older
        );
    }
}
