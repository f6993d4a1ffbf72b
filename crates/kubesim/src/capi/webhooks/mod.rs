//! What Cluster API's webhooks refuse and complete: Clusters by their topology, classes that are in use,
//! templates that must not change.

mod topology;

use std::sync::Arc;

use serde_json::{Value, json};

use super::kinds::{BOOTSTRAP, CLUSTER_CLASSES, CLUSTERS, CONTROL_PLANE, CORE, INFRASTRUCTURE};
use super::variables::{Cause, forbidden, invalid, required};
use crate::admission::{Admission, AdmissionRequest, Operation, denied};
use crate::error::ApiError;
use crate::object::{is_deleting, name, namespace, text};
use crate::registry::Registry;
use crate::resource::GroupResource;
use crate::resource::catalogue::Catalogue;
use crate::store::Store;

pub(super) use topology::class_of;

/// What the webhooks read. Not the registry, which knows the webhooks: neither would ever end.
struct Reader {
    store: Store,
    catalogue: Catalogue,
}

impl Reader {
    fn get(&self, id: &GroupResource, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let stored = self.store.get(id, namespace, name);
        stored.map(|stored| stored.value.clone())
    }

    /// The objects of a resource in a namespace (or in all) that bear these labels.
    fn list(
        &self,
        id: &GroupResource,
        namespace: Option<&str>,
        labels: &[(&str, &str)],
    ) -> Vec<Arc<Value>> {
        let (objects, _) = self.store.list(id, namespace);
        let bears = |object: &Value| {
            let own = &object["metadata"]["labels"];
            labels.iter().all(|(key, value)| own[*key] == *value)
        };
        let values = objects.iter().map(|stored| stored.value.clone());
        values.filter(|object| bears(object)).collect()
    }
}

/// Webhooks of one management cluster.
pub struct Webhooks {
    reader: Reader,
}

impl Webhooks {
    /// The webhooks over a cluster's API.
    #[must_use]
    pub fn new(api: &Registry) -> Arc<Self> {
        Arc::new(Self {
            reader: Reader {
                store: api.store().clone(),
                catalogue: api.catalogue().clone(),
            },
        })
    }
}

impl Admission for Webhooks {
    fn name(&self) -> &'static str {
        "validation.cluster.x-k8s.io"
    }

    fn wants(&self, operation: Operation, resource: &GroupResource, subresource: &str) -> bool {
        let group = resource.group.as_ref();
        let ours = [CORE, BOOTSTRAP, CONTROL_PLANE, INFRASTRUCTURE].contains(&group);
        let deletion = operation == Operation::Delete;
        ours && subresource.is_empty() && (!deletion || *resource == CLUSTER_CLASSES)
    }

    fn admit(&self, request: &mut AdmissionRequest<'_>) -> Result<Vec<String>, ApiError> {
        let id = &request.resource.id;
        if request.operation == Operation::Delete {
            return self.class_is_unused(request.subject()).map(|()| Vec::new());
        }
        // What is on its way out only loses finalizers.
        if is_deleting(request.object) {
            return Ok(Vec::new());
        }
        if *id == CLUSTERS {
            return topology::admit(&self.reader, request.object, request.old).map_err(|causes| {
                let own = name(request.object).to_owned();
                refused(
                    "validation.cluster.cluster.x-k8s.io",
                    "Cluster",
                    CORE,
                    &own,
                    &causes,
                )
            });
        }
        if let Some(old) = request.old {
            self.unchanged(request.object, old)?;
        }
        default(request.object);
        Ok(Vec::new())
    }
}

/// A webhook's refusal with what is wrong.
fn refused(webhook: &str, kind: &str, group: &str, name: &str, causes: &[Cause]) -> ApiError {
    let invalid = ApiError::invalid(kind, group, name, causes);
    let mut error = denied(webhook, &invalid.message);
    error.code = invalid.code;
    error.reason = invalid.reason;
    error.details = invalid.details;
    error
}

impl Webhooks {
    /// A class that Clusters use is not deleted.
    fn class_is_unused(&self, class: &Value) -> Result<(), ApiError> {
        let clusters = self.reader.list(&CLUSTERS, None, &[]);
        let users = clusters
            .iter()
            .filter(|cluster| topology::class_of(cluster) == (namespace(class), name(class)))
            .count();
        if users == 0 {
            return Ok(());
        }
        let why = format!(
            "clusterclasses.cluster.x-k8s.io \"{}\" is forbidden: ClusterClass cannot be deleted because it is used by {users} Cluster(s)",
            name(class)
        );
        Err(denied("validation.clusterclass.cluster.x-k8s.io", &why))
    }

    /// What must stay as it was made.
    fn unchanged(&self, new: &Value, old: &Value) -> Result<(), ApiError> {
        let kind = text(new, "/kind");
        let group = text(new, "/apiVersion")
            .split('/')
            .next()
            .unwrap_or_default();
        let template = "/spec/template/spec";
        let mut causes = Vec::new();
        let immutable = group == INFRASTRUCTURE && kind.ends_with("MachineTemplate");
        if immutable && new.pointer(template) != old.pointer(template) {
            let why = format!(
                "{kind} spec.template.spec field is immutable. Please create a new resource instead."
            );
            let value = new.pointer(template).cloned().unwrap_or_default();
            causes.push(invalid("spec.template.spec", &value, &why));
        }
        if kind == "KubeadmControlPlane" {
            causes.extend(control_plane(new, old));
        }
        let owned = ["MachineDeployment", "MachineSet", "Machine"].contains(&kind);
        if owned && new["spec"]["clusterName"] != old["spec"]["clusterName"] {
            causes.push(forbidden("spec.clusterName", "field is immutable"));
        }
        if causes.is_empty() {
            return Ok(());
        }
        let webhook = format!("validation.{}.{group}", kind.to_lowercase());
        Err(refused(&webhook, kind, group, name(new), &causes))
    }
}

/// What a KubeadmControlPlane must not become.
fn control_plane(new: &Value, old: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let path = "spec.version";
    let (wanted, present) = (text(new, "/spec/version"), text(old, "/spec/version"));
    match (version(wanted), version(present)) {
        (None, _) => causes.push(invalid(
            path,
            &json!(wanted),
            "must be a valid semantic version",
        )),
        (Some(wanted_version), Some(present_version)) => {
            let [major, minor, _] = wanted_version;
            if major != present_version[0] || minor > present_version[1] + 1 {
                let why = format!("cannot update Kubernetes version from {present} to {wanted}");
                causes.push(forbidden(path, &why));
            }
        }
        _ => {}
    }
    if new["spec"]["replicas"] == 0 {
        causes.push(forbidden("spec.replicas", "cannot be 0"));
    }
    let etcd = "/spec/kubeadmConfigSpec/clusterConfiguration/etcd/external";
    let stacked = new.pointer(etcd).is_none_or(Value::is_null);
    if stacked
        && new["spec"]["replicas"]
            .as_u64()
            .is_some_and(|count| count % 2 == 0)
    {
        let why = "cannot be an even number when etcd is stacked";
        causes.push(forbidden("spec.replicas", why));
    }
    causes
}

/// Completes what CRD schemas and webhooks would.
pub(super) fn default(object: &mut Value) {
    let rolling = json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}});
    match text(object, "/kind") {
        "KubeadmControlPlane" => {
            let spec = &mut object["spec"];
            if spec["replicas"].is_null() {
                spec["replicas"] = json!(1);
            }
            if spec["rollout"]["strategy"]["type"].is_null() {
                spec["rollout"]["strategy"] = rolling;
            }
        }
        "MachineDeployment" => {
            let spec = &mut object["spec"];
            if spec["replicas"].is_null() {
                spec["replicas"] = json!(1);
            }
            let strategy = &mut spec["rollout"]["strategy"];
            if strategy["type"].is_null() {
                strategy["type"] = json!("RollingUpdate");
            }
            if strategy["type"] == "RollingUpdate" {
                for (field, value) in [("maxSurge", 1), ("maxUnavailable", 0)] {
                    if strategy["rollingUpdate"][field].is_null() {
                        strategy["rollingUpdate"][field] = json!(value);
                    }
                }
            }
        }
        _ => {}
    }
}

/// Major, minor and patch of `v1.35.0`; what follows them is left out.
#[must_use]
pub(super) fn version(text: &str) -> Option<[u64; 3]> {
    let plain = text.strip_prefix('v').unwrap_or(text);
    let plain = plain.split(['-', '+']).next()?;
    let mut parts = plain.split('.').map(str::parse);
    let mut next = || parts.next()?.ok();
    let version = [next()?, next()?, next()?];
    parts.next().is_none().then_some(version)
}

/// A field that is needed, for the judges of topologies.
fn needed(path: &str, why: &str) -> Cause {
    required(path, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_three_numbers() {
        assert_eq!(version("v1.35.0-rc.1+demo"), Some([1, 35, 0]));
        assert_eq!(version("1.35"), None);
        assert_eq!(version("v1.35.x"), None);
    }

    #[test]
    fn a_control_plane_does_not_jump_and_stays_odd() {
        let plane = |version: &str, replicas: u64| json!({"spec": {"version": version, "replicas": replicas}});
        assert!(control_plane(&plane("v1.35.0", 3), &plane("v1.34.3", 1)).is_empty());
        let causes = control_plane(&plane("v1.36.0", 2), &plane("v1.34.3", 1));
        let told: Vec<&str> = causes
            .iter()
            .map(|(_, _, message)| message.as_str())
            .collect();
        assert_eq!(
            told,
            [
                "Forbidden: cannot update Kubernetes version from v1.34.3 to v1.36.0",
                "Forbidden: cannot be an even number when etcd is stacked"
            ]
        );
    }

    #[test]
    fn what_a_deployment_leaves_out_is_completed_once() {
        let mut deployment = json!({"kind": "MachineDeployment", "spec": {"rollout": {"strategy":
            {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 2}}}}});
        default(&mut deployment);
        let strategy = &deployment["spec"]["rollout"]["strategy"]["rollingUpdate"];
        assert_eq!(*strategy, json!({"maxSurge": 2, "maxUnavailable": 0}));
        let once = deployment.clone();
        default(&mut deployment);
        assert_eq!(deployment, once);
    }
}
