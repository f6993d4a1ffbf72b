//! The Cluster that is created from release N, and the one patch that moves it to N+1.

use std::time::Duration;

use anyhow::Context as _;
use kube::api::{ApiResource, GroupVersionKind, Patch, PatchParams};
use kube::{Api, Client, core::DynamicObject};
use serde_json::{Value, json};

use super::trouble::Trouble;
use crate::stack::{ClusterApiVersion, Spec};

/// How long to wait before the patch is tried again.
const AGAIN: Duration = Duration::from_millis(500);
/// How long the one patch may take; its webhooks have at most 30 s of it.
const PATCH: Duration = Duration::from_secs(40);

/// The Cluster object for a stack, in the API version that the stack asks for.
#[must_use]
pub fn cluster(
    spec: &Spec,
    namespace: &str,
    name: &str,
    class: &str,
    version: &str,
    run: &str,
) -> Value {
    let topology = &spec.cluster;
    let workers: Vec<Value> = topology
        .workers
        .iter()
        .map(|worker| {
            json!({"class": worker.class, "name": worker.name.to_string(), "replicas": worker.replicas})
        })
        .collect();
    let variables: Vec<Value> = topology
        .variables
        .iter()
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect();
    let network = &topology.network;
    let mut object = json!({
        "apiVersion": topology.api_version.as_str(),
        "kind": "Cluster",
        "metadata": {"name": name, "namespace": namespace, "labels": {"stackgate/run": run}},
        "spec": {
            "clusterNetwork": {
                "pods": {"cidrBlocks": network.pods.iter().map(ToString::to_string).collect::<Vec<_>>()},
                "services": {"cidrBlocks": network.services.iter().map(ToString::to_string).collect::<Vec<_>>()},
                "serviceDomain": network.service_domain.to_string(),
            },
            "topology": {
                "controlPlane": {"replicas": topology.control_plane.replicas},
                "workers": {"machineDeployments": workers},
                "variables": variables,
            },
        },
    });
    merge(&mut object, move_to(topology.api_version, class, version));
    object
}

/// What moves a Cluster to a class and a version: one patch, since two are refused by the Cluster
/// Stack Operator's webhook when the version differs.
#[must_use]
pub fn move_to(api: ClusterApiVersion, class: &str, version: &str) -> Value {
    let mut topology = json!({"version": version});
    match api {
        ClusterApiVersion::V1Beta1 => topology["class"] = json!(class),
        ClusterApiVersion::V1Beta2 => topology["classRef"] = json!({"name": class}),
    }
    json!({"spec": {"topology": topology}})
}

/// Patches class and version in one go, and makes sure that both were taken: a field of the other
/// API version is dropped without a word.
///
/// # Errors
/// [`Trouble::Stack`] when a webhook refuses the move or the class is not taken, else
/// [`Trouble::Infrastructure`].
pub async fn upgrade(
    client: &Client,
    spec: &Spec,
    namespace: &str,
    name: &str,
    class: &str,
    version: &str,
) -> Result<(), Trouble> {
    let api_version = spec.cluster.api_version;
    let (group, api) = api_version.as_str().split_once('/').unwrap_or_default();
    let resource = ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk(group, api, "Cluster"),
        "clusters",
    );
    let clusters: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
    let patch = Patch::Merge(move_to(api_version, class, version));
    let params = PatchParams::default();
    // It may be given again and again: it says where to go, not how far.
    let patching = async {
        loop {
            match clusters.patch(name, &params, &patch).await {
                Err(error) if passes(&error) => tokio::time::sleep(AGAIN).await,
                ended => return ended,
            }
        }
    };
    let patched = tokio::time::timeout(PATCH, patching)
        .await
        .with_context(|| format!("no answer to the patch of Cluster {namespace}/{name}"))?
        .map_err(|error| match error {
            // What the schema or a webhook refuses; anything else says nothing about the stack.
            kube::Error::Api(status) if matches!(status.code, 400 | 403 | 422) => Trouble::stack(format!(
                "the management cluster refuses to move Cluster {namespace}/{name} to {class} {version}: {}",
                status.message
            )),
            other => Trouble::Infrastructure(
                anyhow::Error::new(other).context(format!("failed to patch Cluster {namespace}/{name}")),
            ),
        })?;
    let topology = &patched.data["spec"]["topology"];
    let live_class = match api_version {
        ClusterApiVersion::V1Beta1 => &topology["class"],
        ClusterApiVersion::V1Beta2 => &topology["classRef"]["name"],
    };
    if live_class != class || topology["version"] != version {
        return Err(Trouble::stack(format!(
            "Cluster {namespace}/{name} was patched to {class} {version}, but says {live_class} {}",
            topology["version"]
        )));
    }
    Ok(())
}

/// Whether a failure is one of the moment: another write, a busy server, a connection.
fn passes(error: &kube::Error) -> bool {
    match error {
        // A webhook's own refusal may carry any code.
        kube::Error::Api(status) => {
            matches!(status.code, 409 | 429 | 500..=599)
                && !status.message.contains("denied the request")
        }
        kube::Error::Service(_) | kube::Error::HyperError(_) => true,
        _ => false,
    }
}

/// Merges `patch` into `target`, objects key by key.
fn merge(target: &mut Value, patch: Value) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (key, value) in patch {
                merge(target.entry(key).or_insert(Value::Null), value);
            }
        }
        (target, patch) => *target = patch,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_api_version_has_its_own_place_for_the_class() {
        let old = move_to(ClusterApiVersion::V1Beta1, "docker-demo-1-35-v1", "v1.35.0");
        let new = move_to(ClusterApiVersion::V1Beta2, "docker-demo-1-35-v1", "v1.35.0");
        assert_eq!(
            old,
            json!({"spec": {"topology": {"version": "v1.35.0", "class": "docker-demo-1-35-v1"}}})
        );
        assert_eq!(
            new,
            json!({"spec": {"topology": {"version": "v1.35.0", "classRef": {"name": "docker-demo-1-35-v1"}}}})
        );
    }
}
