//! Whether what was written to a volume before the upgrade is there during and after it, wherever its pod runs.
//!
//! The pod is evicted like any other and has to come back with its volume: while it is away, nobody can read the
//! data, which counts. A volume that is a directory of a node goes with the node, by its nature; that is
//! told, and not measured.

use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::Client;
use kube::api::{Api, ListParams};
use serde_json::{Value, json};

use super::Probe;
use super::pods::{self, Place};
use crate::checks::scs::NODE_LOCAL;
use crate::cluster::{Context, Progress, View, WaitError, kinds, wait};
use crate::record::Blocker;

/// The probe.
pub const PROBE: Probe = Probe {
    name: "volume",
    title: "What was written to a volume can be read wherever its pod runs",
    cause: "volume-not-kept",
    about: ("PersistentVolumeClaim", CLAIM),
    forbids: false,
    moves: true,
    lost: "the data in a volume could not be read",
    // To be detached from one machine and attached to another takes a cloud's volume up to a few minutes.
    longest_gap: |_| Duration::from_secs(300),
    share_lost: None,
    is_lost: |word| word != "ok",
    ask: None,
};

/// The word with which it is told that the data is not there any more: no budget allows that.
pub const GONE: &str = "LOST";
/// The claim.
const CLAIM: &str = "data";
/// The pod that writes, once.
const WRITER: &str = "writer";
/// Where the data is.
const FILE: &str = "/data/kept";
/// What `agnhost mounttest` writes.
const WRITTEN: &str = "mount-tester new file";
/// Annotation of the StorageClass that claims have which name none.
const DEFAULT: &str = "storageclass.kubernetes.io/is-default-class";
/// How long an answer of the API server may take.
const ANSWER: Duration = Duration::from_secs(20);

/// Whether the default StorageClass has volumes that outlive a node.
///
/// # Errors
/// Why not.
pub async fn suits(client: &Client) -> Result<()> {
    let api: Api<StorageClass> = Api::all(client.clone());
    let asked = tokio::time::timeout(ANSWER, api.list(&ListParams::default())).await;
    let classes =
        asked.map_err(|_| anyhow!("the API server does not tell its StorageClasses"))??;
    let default = classes.items.iter().find(|class| {
        let annotations = class.metadata.annotations.as_ref();
        annotations
            .and_then(|all| all.get(DEFAULT))
            .is_some_and(|value| value == "true")
    });
    let Some(class) = default else {
        bail!("there is no default StorageClass");
    };
    if NODE_LOCAL.contains(&class.provisioner.as_str()) {
        bail!(
            "volumes of the default StorageClass ({}) are directories of a node, and go with it",
            class.provisioner
        );
    }
    Ok(())
}

/// The claim, and the pod that writes.
pub fn writer() -> Vec<Value> {
    let mut container = pods::container(
        "write",
        json!(["mounttest", format!("--new_file_0644={FILE}")]),
    );
    container["volumeMounts"] = mounts();
    let mut spec = with_volume(pods::pod(WRITER, container));
    spec["restartPolicy"] = json!("OnFailure");
    vec![
        json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": CLAIM},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
        }),
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": WRITER}, "spec": spec}),
    ]
}

/// The workload that reads, one replica that is away while it moves.
pub fn keeper() -> Value {
    let mut container = pods::asking(&[format!("{}=5=kept={FILE}", PROBE.name)]);
    container["volumeMounts"] = mounts();
    container["env"] = json!([{"name": "KEPT", "value": WRITTEN}]);
    let mut keeper = pods::deployment(pods::KEEPER, container, 1);
    keeper["spec"]["strategy"] = json!({"type": "Recreate"});
    let template = &mut keeper["spec"]["template"];
    template["spec"] = with_volume(template["spec"].take());
    keeper
}

fn mounts() -> Value {
    json!([{"name": "data", "mountPath": "/data"}])
}

fn with_volume(mut pod: Value) -> Value {
    pod["volumes"] = json!([{"name": "data", "persistentVolumeClaim": {"claimName": CLAIM}}]);
    // Not every volume knows owners (`fsGroup`): folders of a node are root's.
    pod["securityContext"] =
        json!({"runAsUser": 0, "fsGroup": 65534, "seccompProfile": {"type": "RuntimeDefault"}});
    pod
}

/// Waits until the data is written.
///
/// # Errors
/// When it does not come to it, or the volume turns out to be a directory of a node.
pub async fn written(
    context: &Context,
    client: &Client,
    place: &Place,
    view: &View,
    within: Duration,
) -> Result<()> {
    let namespace = place.namespace.as_str();
    let views = [view];
    let waited = wait(
        context,
        "probe volume: the data is written",
        within,
        &views,
        None,
        || match view.get(&kinds::POD, namespace, WRITER) {
            Some(pod) if pod.str("/status/phase") == "Succeeded" => Progress::Done(()),
            Some(pod) => Progress::Blocked(vec![
                pod.unless_true("PodScheduled")
                    .unwrap_or_else(|| pod.blocker("has not ended")),
            ]),
            None => Progress::Blocked(vec![Blocker::new(place.object("Pod", WRITER), "missing")]),
        },
    );
    match waited.await {
        Ok(()) => {}
        Err(WaitError::Deadline { blockers, .. }) => {
            let why = blockers.first().map(ToString::to_string);
            bail!(
                "nothing could be written to a volume: {}",
                why.unwrap_or_default()
            );
        }
        Err(error) => return Err(error.into()),
    }
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), namespace);
    let bound = claims
        .get(CLAIM)
        .await?
        .spec
        .and_then(|spec| spec.volume_name);
    let volumes: Api<PersistentVolume> = Api::all(client.clone());
    let volume = volumes.get(&bound.unwrap_or_default()).await?.spec;
    if volume.is_some_and(|spec| spec.host_path.is_some() || spec.local.is_some()) {
        bail!("volumes of the default StorageClass are directories of a node, and go with it");
    }
    Ok(())
}
