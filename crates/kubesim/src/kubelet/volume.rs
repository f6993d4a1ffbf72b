//! What is in volumes: files by PersistentVolume, which outlive pods, and what pods mount.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::cluster::Cluster;
use crate::object::{list, namespace, text};
use crate::resource::builtin::{
    CONFIG_MAPS, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, SECRETS,
};

/// Files by path, by the name of the PersistentVolume.
pub(crate) type Contents = BTreeMap<String, BTreeMap<String, String>>;

/// The PersistentVolume that is mounted at, or above, a path, and the path within it.
pub(super) fn at(
    cluster: &Cluster,
    pod: &Value,
    container: &Value,
    path: &str,
) -> Option<(String, String)> {
    let mounts = list(container, "/volumeMounts").iter().filter_map(|mount| {
        let at = text(mount, "/mountPath").trim_end_matches('/');
        let within = path
            .strip_prefix(at)
            .filter(|rest| rest.is_empty() || rest.starts_with('/'))?;
        Some((at.len(), mount, within))
    });
    let (_, mount, within) = mounts.max_by_key(|(length, ..)| *length)?;
    let volumes = list(pod, "/spec/volumes");
    let volume = volumes
        .iter()
        .find(|volume| volume["name"] == mount["name"])?;
    let claim = text(volume, "/persistentVolumeClaim/claimName");
    let claim = cluster
        .api()
        .get(&PERSISTENT_VOLUME_CLAIMS, namespace(pod), claim)?;
    let bound = text(&claim, "/spec/volumeName");
    (!bound.is_empty()).then(|| {
        (
            bound.to_owned(),
            format!("{}{within}", text(mount, "/subPath")),
        )
    })
}

/// Why a pod's volumes cannot be mounted, in the words of the kubelet; none when they can.
pub(super) fn missing(cluster: &Cluster, pod: &Value) -> Option<String> {
    let api = cluster.api();
    let place = namespace(pod);
    let absent = |volume: &Value, kind: &str, name: &str, optional: bool| {
        let id = if kind == "configmap" {
            &CONFIG_MAPS
        } else {
            &SECRETS
        };
        let gone = !name.is_empty() && !optional && api.get(id, place, name).is_none();
        gone.then(|| {
            format!(
                "MountVolume.SetUp failed for volume \"{}\" : {kind} \"{name}\" not found",
                text(volume, "/name")
            )
        })
    };
    list(pod, "/spec/volumes").iter().find_map(|volume| {
        let optional = |pointer: &str| crate::object::truth(volume, pointer);
        let projected = list(volume, "/projected/sources")
            .iter()
            .find_map(|source| {
                let of = |kind: &str, key: &str| {
                    let pointer = format!("/{key}/name");
                    absent(
                        volume,
                        kind,
                        text(source, &pointer),
                        crate::object::truth(source, &format!("/{key}/optional")),
                    )
                };
                of("configmap", "configMap").or_else(|| of("secret", "secret"))
            });
        absent(
            volume,
            "configmap",
            text(volume, "/configMap/name"),
            optional("/configMap/optional"),
        )
        .or_else(|| {
            absent(
                volume,
                "secret",
                text(volume, "/secret/secretName"),
                optional("/secret/optional"),
            )
        })
        .or(projected)
        .or_else(|| {
            claimed(
                cluster,
                place,
                text(volume, "/persistentVolumeClaim/claimName"),
            )
        })
    })
}

fn claimed(cluster: &Cluster, namespace: &str, claim: &str) -> Option<String> {
    if claim.is_empty() {
        return None;
    }
    let api = cluster.api();
    let Some(found) = api.get(&PERSISTENT_VOLUME_CLAIMS, namespace, claim) else {
        return Some(format!("persistentvolumeclaim \"{claim}\" not found"));
    };
    let volume = text(&found, "/spec/volumeName");
    if text(&found, "/status/phase") == "Bound"
        && api.get(&PERSISTENT_VOLUMES, "", volume).is_some()
    {
        return None;
    }
    Some(format!(
        "error processing PVC {namespace}/{claim}: PVC is not bound"
    ))
}
