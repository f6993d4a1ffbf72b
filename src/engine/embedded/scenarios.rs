//! What some faults need to show: a workload that is harmed by them.

use kubesim::registry::{Deletion, Write};
use kubesim::resource::builtin::{DEPLOYMENTS, NODES};
use kubesim::{ApiError, Cluster, Fault, GroupResource};
use serde_json::{Value, json};

/// Who writes, in managed fields.
const MANAGER: &str = "scenario";
/// Where it lives.
const NAMESPACE: &str = "default";
/// A container that does nothing.
const IMAGE: &str = "registry.k8s.io/pause:3.10.1";

/// Sets up what has to be there before a fault is injected, and be well.
///
/// # Errors
/// When the API server does not take it: the fault will find nothing to harm.
pub(super) fn prepare(fault: Fault, cluster: &Cluster) -> Result<(), ApiError> {
    if fault == Fault::VolumeLost {
        let name = "keeps-data";
        let mut workload = workload("StatefulSet", name, 1);
        workload["spec"]["serviceName"] = json!(name);
        workload["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] =
            json!([{"name": "data", "mountPath": "/data"}]);
        workload["spec"]["volumeClaimTemplates"] = json!([{
            "metadata": {"name": "data"},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Gi"}},
            },
        }]);
        create(cluster, "apps", "statefulsets", workload)?;
    }
    if fault == Fault::NodeLosesLabels {
        // As whoever runs the cluster sets them, and sees to it that new nodes get them, too.
        for node in cluster.api().list(&NODES, None) {
            let name = node["metadata"]["name"].as_str().unwrap_or_default();
            let labelled = |node: &mut Value| {
                node["metadata"]["labels"]["example.org/pool"] = json!("simulated");
            };
            cluster.api().modify(&NODES, "", name, MANAGER, labelled)?;
        }
    }
    Ok(())
}

/// Sets up what makes a fault happen.
///
/// # Errors
/// As for [`prepare`].
pub(super) fn begin(fault: Fault, cluster: &Cluster) -> Result<(), ApiError> {
    if fault == Fault::DrainBlocked {
        let name = "never-disrupted";
        create(
            cluster,
            "apps",
            "deployments",
            workload("Deployment", name, 1),
        )?;
        let budget = json!({
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": name}}},
        });
        create(cluster, "policy", "poddisruptionbudgets", budget)?;
    }
    Ok(())
}

/// Deletes the first Deployment that the Cluster Stack Operator has applied, behind its back; whether
/// there is one.
///
/// # Errors
/// When the API server does not let it go.
pub(super) fn drift(cluster: &Cluster) -> Result<bool, ApiError> {
    let owned = [("clusterstack.x-k8s.io/instance", "owned")];
    let api = cluster.api();
    let first = api.labelled(&DEPLOYMENTS, Some("kube-system"), &owned);
    let Some(name) = first
        .first()
        .and_then(|one| one["metadata"]["name"].as_str())
    else {
        return Ok(false);
    };
    api.delete(&DEPLOYMENTS, "kube-system", name, &Deletion::default())?;
    Ok(true)
}

fn workload(kind: &str, name: &str, replicas: u32) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "main", "image": IMAGE}]},
            },
        },
    })
}

fn create(
    cluster: &Cluster,
    group: &'static str,
    plural: &'static str,
    object: Value,
) -> Result<(), ApiError> {
    let id = GroupResource::new(group, plural);
    let created = cluster.api().create(&id, object, &Write::by(MANAGER));
    created.map(drop)
}
