//! Rows of volumes, claims and storage classes.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::cells::{age, elements, join, name, text};
use super::{Columns, built_in};

/// The columns of a resource about storage.
pub fn columns(group: &str, resource: &str) -> Option<Columns> {
    Some(match (group, resource) {
        ("", "persistentvolumeclaims") => built_in(
            &[
                "Name",
                "Status",
                "Volume",
                "Capacity",
                "Access Modes",
                "StorageClass",
                "VolumeAttributesClass",
                "Age",
                "*VolumeMode",
            ],
            claim,
        ),
        ("", "persistentvolumes") => built_in(
            &[
                "Name",
                "Capacity",
                "Access Modes",
                "Reclaim Policy",
                "Status",
                "Claim",
                "StorageClass",
                "VolumeAttributesClass",
                "Reason",
                "Age",
                "*VolumeMode",
            ],
            volume,
        ),
        ("storage.k8s.io", "storageclasses") => built_in(
            &[
                "Name",
                "Provisioner",
                "ReclaimPolicy",
                "VolumeBindingMode",
                "AllowVolumeExpansion",
                "Age",
            ],
            storage_class,
        ),
        ("storage.k8s.io", "csinodes") => built_in(&["Name", "#Drivers", "Age"], |object, now| {
            let drivers = json!(elements(object, "/spec/drivers").len());
            vec![name(object), drivers, age(object, now)]
        }),
        _ => return None,
    })
}

fn access_modes(object: &Value, pointer: &str) -> String {
    let modes: Vec<&str> = elements(object, pointer)
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let short = [
        ("ReadWriteOnce", "RWO"),
        ("ReadOnlyMany", "ROX"),
        ("ReadWriteMany", "RWX"),
        ("ReadWriteOncePod", "RWOP"),
    ];
    join(
        short
            .into_iter()
            .filter(|(mode, _)| modes.contains(mode))
            .map(|(_, short)| short),
    )
}

/// The phase, unless it is being deleted.
fn phase(object: &Value) -> Value {
    if object["metadata"]["deletionTimestamp"].is_string() {
        return json!("Terminating");
    }
    text(object, "/status/phase", "")
}

fn claim(object: &Value, now: Timestamp) -> Vec<Value> {
    let bound = object["spec"]["volumeName"]
        .as_str()
        .is_some_and(|volume| !volume.is_empty());
    let (capacity, modes) = if bound {
        let modes = access_modes(object, "/status/accessModes");
        (text(object, "/status/capacity/storage", ""), modes)
    } else {
        (json!(""), String::new())
    };
    vec![
        name(object),
        phase(object),
        text(object, "/spec/volumeName", ""),
        capacity,
        json!(modes),
        text(object, "/spec/storageClassName", ""),
        text(object, "/spec/volumeAttributesClassName", "<unset>"),
        age(object, now),
        text(object, "/spec/volumeMode", "<unset>"),
    ]
}

fn volume(object: &Value, now: Timestamp) -> Vec<Value> {
    let claim = &object["spec"]["claimRef"];
    let claim = match (claim["namespace"].as_str(), claim["name"].as_str()) {
        (Some(namespace), Some(name)) => format!("{namespace}/{name}"),
        _ => String::new(),
    };
    vec![
        name(object),
        text(object, "/spec/capacity/storage", ""),
        json!(access_modes(object, "/spec/accessModes")),
        text(object, "/spec/persistentVolumeReclaimPolicy", ""),
        phase(object),
        json!(claim),
        text(object, "/spec/storageClassName", ""),
        text(object, "/spec/volumeAttributesClassName", "<unset>"),
        text(object, "/status/reason", ""),
        age(object, now),
        text(object, "/spec/volumeMode", "<unset>"),
    ]
}

fn storage_class(object: &Value, now: Timestamp) -> Vec<Value> {
    let annotations = &object["metadata"]["annotations"];
    let default = annotations["storageclass.kubernetes.io/is-default-class"] == "true"
        || annotations["storageclass.beta.kubernetes.io/is-default-class"] == "true";
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let name = if default {
        format!("{name} (default)")
    } else {
        name.to_owned()
    };
    vec![
        json!(name),
        text(object, "/provisioner", ""),
        text(object, "/reclaimPolicy", "Delete"),
        text(object, "/volumeBindingMode", "Immediate"),
        json!(object["allowVolumeExpansion"] == true),
        age(object, now),
    ]
}
