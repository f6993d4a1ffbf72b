//! Volumes: claims are bound to PersistentVolumes, which are made for them when their class says how.

use std::sync::Arc;

use serde_json::{Value, json};

use super::scheduler::{SELECTED, quantity};
use crate::cluster::Cluster;
use crate::controller::{Controller, Cx, Key, Next};
use crate::error::ApiError;
use crate::event::{News, record};
use crate::fault::Fault;
use crate::object::{annotation, is_deleting, list, name, namespace, set_in_metadata, text, uid};
use crate::registry::{Deletion, Write};
use crate::resource::GroupResource;
use crate::resource::builtin::{
    NODES, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS, STORAGE_CLASSES,
};
use crate::store::{Change, ChangeKind};

const NAME: &str = "persistentvolume-controller";
const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";
const BOUND_BY: &str = "pv.kubernetes.io/bound-by-controller";
const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";

/// Whether a claim is not bound before a pod that uses it has a node.
pub(super) fn waits_for_consumer(cluster: &Cluster, claim: &Value) -> bool {
    let class = class_of(cluster, claim);
    class.is_some_and(|class| text(&class, "/volumeBindingMode") == "WaitForFirstConsumer")
        && annotation(claim, SELECTED).is_none()
        && text(claim, "/spec/volumeName").is_empty()
}

/// A claim's class: the one that it names, or the default.
fn class_of(cluster: &Cluster, claim: &Value) -> Option<Arc<Value>> {
    let api = cluster.api();
    match &claim["spec"]["storageClassName"] {
        Value::String(class) if class.is_empty() => None,
        Value::String(class) => api.get(&STORAGE_CLASSES, "", class),
        _ => default_class(cluster),
    }
}

/// The youngest class that says of itself that it is the default.
fn default_class(cluster: &Cluster) -> Option<Arc<Value>> {
    let mut classes = cluster.api().list(&STORAGE_CLASSES, None);
    classes.retain(|class| annotation(class, DEFAULT_CLASS) == Some("true"));
    classes.sort_by_key(|class| text(class, "/metadata/creationTimestamp").to_owned());
    classes.pop()
}

/// Binds claims, makes volumes.
#[derive(Debug, Default)]
pub(super) struct Claims;

impl Controller for Claims {
    fn name(&self) -> &'static str {
        NAME
    }

    fn wakes(&self) -> Vec<GroupResource> {
        vec![
            PERSISTENT_VOLUME_CLAIMS,
            PERSISTENT_VOLUMES,
            STORAGE_CLASSES,
        ]
    }

    fn keys(&self, cluster: &Cluster, change: &Change) -> Vec<Key> {
        if change.resource == PERSISTENT_VOLUME_CLAIMS {
            return vec![Key::of(change)];
        }
        let claim = &change.object.value["spec"]["claimRef"];
        if change.resource == PERSISTENT_VOLUMES && claim.is_object() {
            return vec![Key::new(text(claim, "/namespace"), text(claim, "/name"))];
        }
        let claims = cluster.store().list(&PERSISTENT_VOLUME_CLAIMS, None).0;
        let waiting = claims
            .iter()
            .filter(|claim| text(&claim.value, "/status/phase") != "Bound");
        waiting
            .map(|claim| claim.place())
            .map(|(namespace, name)| Key { namespace, name })
            .collect()
    }

    fn reconcile(&mut self, cx: &mut Cx<'_>, key: &Key) -> Result<Next, ApiError> {
        let api = cx.cluster.api();
        let Some(claim) = api.get(&PERSISTENT_VOLUME_CLAIMS, &key.namespace, &key.name) else {
            return Ok(Next::Change);
        };
        if is_deleting(&claim) {
            return Ok(Next::Change);
        }
        if text(&claim, "/status/phase").is_empty() {
            set_phase(cx, &claim, "Pending")?;
        }
        let bound = text(&claim, "/spec/volumeName");
        if !bound.is_empty() {
            return keep_bound(cx, &claim, bound);
        }
        if claim["spec"]["storageClassName"].is_null()
            && let Some(class) = default_class(cx.cluster)
        {
            api.modify(
                &PERSISTENT_VOLUME_CLAIMS,
                &key.namespace,
                &key.name,
                NAME,
                |claim| {
                    claim["spec"]["storageClassName"] = json!(name(&class));
                },
            )?;
            return Ok(Next::Change);
        }
        if let Some(volume) = matching(cx.cluster, &claim) {
            return bind(cx, &claim, &volume);
        }
        if waits_for_consumer(cx.cluster, &claim) {
            record(
                cx.cluster,
                &claim,
                &News::normal(
                    NAME,
                    "WaitForFirstConsumer",
                    "waiting for first consumer to be created before binding",
                ),
            );
            return Ok(Next::Change);
        }
        let class_name = text(&claim, "/spec/storageClassName");
        let Some(class) = class_of(cx.cluster, &claim) else {
            if class_name.is_empty() {
                let message =
                    "no persistent volumes available for this claim and no storage class is set";
                record(
                    cx.cluster,
                    &claim,
                    &News::normal(NAME, "FailedBinding", message),
                );
            } else {
                let message = format!("storageclass.storage.k8s.io \"{class_name}\" not found");
                record(
                    cx.cluster,
                    &claim,
                    &News::warning(NAME, "ProvisioningFailed", &message),
                );
            }
            return Ok(Next::Change);
        };
        if text(&class, "/provisioner") == "kubernetes.io/no-provisioner" {
            return Ok(Next::Change);
        }
        provision(cx, &claim, &class)
    }
}

fn set_phase(cx: &Cx<'_>, claim: &Value, phase: &str) -> Result<(), ApiError> {
    cx.cluster.api().modify(
        &PERSISTENT_VOLUME_CLAIMS,
        namespace(claim),
        name(claim),
        NAME,
        |claim| {
            if !claim["status"].is_object() {
                claim["status"] = json!({});
            }
            claim["status"]["phase"] = json!(phase);
        },
    )?;
    Ok(())
}

/// Makes a claim that names its volume bound to it, or lost when that is gone.
fn keep_bound(cx: &Cx<'_>, claim: &Value, volume: &str) -> Result<Next, ApiError> {
    let Some(volume) = cx.cluster.api().get(&PERSISTENT_VOLUMES, "", volume) else {
        if annotation(claim, BIND_COMPLETED).is_some() && text(claim, "/status/phase") != "Lost" {
            record(
                cx.cluster,
                claim,
                &News::warning(
                    NAME,
                    "ClaimLost",
                    "Bound claim has lost its PersistentVolume. Data on the volume is lost!",
                ),
            );
            set_phase(cx, claim, "Lost")?;
        }
        return Ok(Next::Change);
    };
    bind(cx, claim, &volume)
}

/// A free volume that fits a claim: the smallest.
fn matching(cluster: &Cluster, claim: &Value) -> Option<Arc<Value>> {
    let mut volumes = cluster.api().list(&PERSISTENT_VOLUMES, None);
    let size = quantity(&claim["spec"]["resources"]["requests"]["storage"]);
    let class = text(claim, "/spec/storageClassName");
    volumes.retain(|volume| {
        let reference = &volume["spec"]["claimRef"];
        let mine = reference["name"] == claim["metadata"]["name"]
            && reference["namespace"] == claim["metadata"]["namespace"];
        let free = reference.is_null()
            || (mine && (reference["uid"].is_null() || text(reference, "/uid") == uid(claim)));
        let modes = list(volume, "/spec/accessModes");
        let selector = &claim["spec"]["selector"];
        free && !is_deleting(volume)
            && text(volume, "/spec/storageClassName") == class
            && quantity(&volume["spec"]["capacity"]["storage"]) >= size
            && list(claim, "/spec/accessModes")
                .iter()
                .all(|mode| modes.contains(mode))
            && (selector.is_null()
                || crate::matching::selects(selector, &volume["metadata"]["labels"]))
    });
    volumes.into_iter().min_by_key(|volume| {
        // One that is meant for this claim comes before any other.
        (
            volume["spec"]["claimRef"].is_null(),
            quantity(&volume["spec"]["capacity"]["storage"]),
        )
    })
}

fn bind(cx: &Cx<'_>, claim: &Value, volume: &Value) -> Result<Next, ApiError> {
    let api = cx.cluster.api();
    let reference = json!({
        "kind": "PersistentVolumeClaim", "apiVersion": "v1", "namespace": namespace(claim),
        "name": name(claim), "uid": uid(claim),
    });
    api.modify(&PERSISTENT_VOLUMES, "", name(volume), NAME, |volume| {
        if text(volume, "/spec/claimRef/uid") != uid(claim) {
            volume["spec"]["claimRef"] = reference.clone();
            set_in_metadata(volume, "annotations", BOUND_BY, "yes");
        }
        volume["status"]["phase"] = json!("Bound");
    })?;
    api.modify(&PERSISTENT_VOLUME_CLAIMS, namespace(claim), name(claim), NAME, |claim| {
        claim["spec"]["volumeName"] = json!(name(volume));
        set_in_metadata(claim, "annotations", BIND_COMPLETED, "yes");
        if annotation(claim, BOUND_BY).is_none() {
            set_in_metadata(claim, "annotations", BOUND_BY, "yes");
        }
        claim["status"] = json!({
            "phase": "Bound", "accessModes": volume["spec"]["accessModes"], "capacity": volume["spec"]["capacity"],
        });
    })?;
    Ok(Next::Change)
}

fn provision(cx: &Cx<'_>, claim: &Value, class: &Value) -> Result<Next, ApiError> {
    let provisioner = text(class, "/provisioner");
    let volume_name = format!("pvc-{}", uid(claim));
    let selected = annotation(claim, SELECTED);
    let policy = match text(class, "/reclaimPolicy") {
        "" => "Delete",
        told => told,
    };
    let mut volume = json!({
        "apiVersion": "v1", "kind": "PersistentVolume",
        "metadata": {"name": volume_name, "annotations": {PROVISIONED_BY: provisioner}},
        "spec": {
            "capacity": {"storage": claim["spec"]["resources"]["requests"]["storage"]},
            "accessModes": claim["spec"]["accessModes"], "volumeMode": "Filesystem",
            "persistentVolumeReclaimPolicy": policy, "storageClassName": name(class),
            "claimRef": {
                "kind": "PersistentVolumeClaim", "apiVersion": "v1", "namespace": namespace(claim),
                "name": name(claim), "uid": uid(claim),
            },
        },
        "status": {"phase": "Pending"},
    });
    if is_local(provisioner) {
        volume["spec"]["hostPath"] = json!({"path": format!("/var/local-path-provisioner/{volume_name}_{}_{}", namespace(claim), name(claim)), "type": "DirectoryOrCreate"});
        if let Some(node) = selected {
            volume["spec"]["nodeAffinity"] = json!({"required": {"nodeSelectorTerms": [
                {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}]}});
        }
    } else {
        volume["spec"]["csi"] = json!({"driver": provisioner, "volumeHandle": volume_name});
    }
    let external = format!(
        "Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by the system administrator. If volume creation is delayed, please verify that the provisioner is running and correctly registered."
    );
    record(
        cx.cluster,
        claim,
        &News::normal(NAME, "ExternalProvisioning", &external),
    );
    match cx
        .cluster
        .api()
        .create(&PERSISTENT_VOLUMES, volume, &Write::by(provisioner))
    {
        Err(error) if error.reason != "AlreadyExists" => return Err(error),
        _ => {}
    }
    let message = format!("Successfully provisioned volume {volume_name}");
    record(
        cx.cluster,
        claim,
        &News::normal(provisioner, "ProvisioningSucceeded", &message),
    );
    let created = cx.cluster.api().get(&PERSISTENT_VOLUMES, "", &volume_name);
    created.map_or(Ok(Next::Change), |volume| bind(cx, claim, &volume))
}

/// Whether a provisioner's volumes live on one node.
fn is_local(provisioner: &str) -> bool {
    provisioner.contains("local-path")
        || provisioner.contains("host-path")
        || provisioner.contains("hostpath")
}

/// Reclaims volumes whose claim is gone, and loses them when that is what goes wrong.
#[derive(Debug, Default)]
pub(super) struct Volumes;

impl Controller for Volumes {
    fn name(&self) -> &'static str {
        "persistentvolume-reclaimer"
    }

    fn wakes(&self) -> Vec<GroupResource> {
        vec![PERSISTENT_VOLUMES, PERSISTENT_VOLUME_CLAIMS, NODES, PODS]
    }

    fn keys(&self, cluster: &Cluster, change: &Change) -> Vec<Key> {
        let object = &change.object.value;
        if change.resource == PERSISTENT_VOLUMES {
            return vec![Key::of(change)];
        }
        let deleted = change.kind == ChangeKind::Deleted;
        if change.resource == PERSISTENT_VOLUME_CLAIMS {
            let volume = text(object, "/spec/volumeName");
            return if deleted && !volume.is_empty() {
                vec![Key::new("", volume)]
            } else {
                Vec::new()
            };
        }
        // A volume is missed when its pods come again: after a node, or one of them, has gone.
        let fault = cluster.machines().suffer(Fault::VolumeLost);
        if !deleted || !fault {
            return Vec::new();
        }
        let bound = cluster.store().list(&PERSISTENT_VOLUMES, None).0;
        let mut bound = bound
            .iter()
            .filter(|volume| text(&volume.value, "/status/phase") == "Bound");
        let mounted = |claim: &str| {
            list(object, "/spec/volumes")
                .iter()
                .any(|volume| text(volume, "/persistentVolumeClaim/claimName") == claim)
        };
        let lost = bound.find(|volume| {
            let claim = &volume.value["spec"]["claimRef"];
            change.resource == NODES
                || (text(claim, "/namespace") == namespace(object) && mounted(text(claim, "/name")))
        });
        lost.map(|volume| vec![Key::new("lost", name(&volume.value))])
            .unwrap_or_default()
    }

    fn reconcile(&mut self, cx: &mut Cx<'_>, key: &Key) -> Result<Next, ApiError> {
        let api = cx.cluster.api();
        let Some(volume) = api.get(&PERSISTENT_VOLUMES, "", &key.name) else {
            cx.cluster.machines().wipe(&key.name);
            return Ok(Next::Change);
        };
        let deletion = Deletion::default();
        if key.namespace == "lost" {
            cx.cluster.machines().wipe(&key.name);
            cx.cluster.machines().note(Fault::VolumeLost);
            api.delete(&PERSISTENT_VOLUMES, "", &key.name, &deletion)?;
            return Ok(Next::Change);
        }
        let reference = &volume["spec"]["claimRef"];
        let phase = text(&volume, "/status/phase");
        if reference.is_null() || text(reference, "/uid").is_empty() {
            if phase != "Available" && !is_deleting(&volume) {
                api.modify(&PERSISTENT_VOLUMES, "", &key.name, NAME, |volume| {
                    volume["status"]["phase"] = json!("Available")
                })?;
            }
            return Ok(Next::Change);
        }
        let claim = api.get(
            &PERSISTENT_VOLUME_CLAIMS,
            text(reference, "/namespace"),
            text(reference, "/name"),
        );
        if claim.is_some_and(|claim| uid(&claim) == text(reference, "/uid")) || phase == "Pending" {
            return Ok(Next::Change);
        }
        if text(&volume, "/spec/persistentVolumeReclaimPolicy") == "Delete" {
            api.delete(&PERSISTENT_VOLUMES, "", &key.name, &deletion)?;
        } else if phase != "Released" {
            api.modify(&PERSISTENT_VOLUMES, "", &key.name, NAME, |volume| {
                volume["status"]["phase"] = json!("Released")
            })?;
        }
        Ok(Next::Change)
    }
}
