//! What the operator's webhooks refuse: Clusters that do not fit a release, changes of what is fixed,
//! deletions of what is used.

use std::sync::Arc;

use serde_json::Value;

use super::kinds::{ADDONS, CLUSTER_STACKS, RELEASES};
use super::names::{self, Tag};
use super::process::{Fault, Operator, unreachable};
use super::release::{USERS, is_used};
use super::stack::prefix;
use crate::admission::{Admission, AdmissionRequest, Operation, denied, unanswered};
use crate::capi::kinds::CLUSTERS;
use crate::error::ApiError;
use crate::object::{is_deleting, list, name, namespace, text, truth};
use crate::registry::Registry;
use crate::resource::GroupResource;
use crate::store::Store;

/// The webhooks of one management cluster.
pub(super) struct Webhooks {
    operator: Operator,
    // Not the registry, which knows the webhooks: neither would ever end.
    store: Store,
}

impl Webhooks {
    pub(super) fn new(operator: &Operator, api: &Registry) -> Arc<Self> {
        Arc::new(Self {
            operator: operator.clone(),
            store: api.store().clone(),
        })
    }

    fn list(&self, id: &GroupResource, space: &str) -> Vec<Arc<Value>> {
        let (objects, _) = self.store.list(id, Some(space));
        objects.iter().map(|stored| stored.value.clone()).collect()
    }
}

/// The name of the webhook for a resource.
fn webhook(id: &GroupResource) -> String {
    let singular = id.resource.trim_end_matches('s');
    format!("validation.{singular}.clusterstack.x-k8s.io")
}

impl Admission for Webhooks {
    fn name(&self) -> &'static str {
        "validation.clusterstack.x-k8s.io"
    }

    fn wants(&self, operation: Operation, resource: &GroupResource, subresource: &str) -> bool {
        let deletion = operation == Operation::Delete;
        let judged = match deletion {
            true => [&CLUSTER_STACKS, &RELEASES].contains(&resource),
            false => [&CLUSTERS, &CLUSTER_STACKS, &ADDONS].contains(&resource),
        };
        judged && subresource.is_empty()
    }

    fn admit(&self, request: &mut AdmissionRequest<'_>) -> Result<Vec<String>, ApiError> {
        let id = &request.resource.id;
        if self.operator.down_for().is_some() {
            let url = "https://cso-webhook-service.cso-system.svc:443/validate?timeout=10s";
            return Err(unanswered(
                &webhook(id),
                url,
                &unreachable("webhook-service"),
            ));
        }
        if self.operator.has(Fault::AdmitsAll) {
            self.operator.note(Fault::AdmitsAll);
            return Ok(Vec::new());
        }
        if request.operation == Operation::Delete {
            return self.deletion(id, request.subject());
        }
        if is_deleting(request.object) {
            return Ok(Vec::new());
        }
        let (new, old) = (&*request.object, request.old);
        let refused = |why: String| denied(&webhook(id), &why);
        if *id == CLUSTERS {
            return self.cluster(new, old).map_err(refused);
        }
        let judged = if *id == CLUSTER_STACKS {
            stack(new, old)
        } else {
            addon(new, old)
        };
        judged.map(|()| Vec::new()).map_err(refused)
    }
}

impl Webhooks {
    fn cluster(&self, new: &Value, old: Option<&Value>) -> Result<Vec<String>, String> {
        let class = text(new, "/spec/topology/classRef/name");
        if class.is_empty() {
            return Err(
                "spec.topology: Required value: topology and its class must be set".to_owned(),
            );
        }
        let tag = names::of_class(class);
        let version = text(new, "/spec/topology/version");
        let release = self.store.get(&RELEASES, namespace(new), &tag);
        let release = release.map(|stored| stored.value.clone());
        let known = release
            .as_deref()
            .map(|one| text(one, "/status/kubernetesVersion"));
        let Some(known) = known.filter(|known| !known.is_empty()) else {
            // What could not be compared is not judged any further.
            return Ok(vec![format!(
                "clusterStackRelease {tag} is not found or not ready yet; the Kubernetes version and the class could not be checked"
            )]);
        };
        if version != known {
            return Err(format!(
                "spec.topology.version: Invalid value: \"{version}\": topology version must be \"{known}\", the Kubernetes version of ClusterStackRelease {tag}"
            ));
        }
        let Some(old) = old else {
            return Ok(Vec::new());
        };
        let before = Tag::of_class(text(old, "/spec/topology/classRef/name"));
        let (Some(before), Some(after)) = (before, Tag::parse(&tag)) else {
            return Ok(Vec::new());
        };
        if (&before.provider, &before.stack) != (&after.provider, &after.stack) {
            return Err(format!(
                "spec.topology.class: Invalid value: \"{class}\": provider and name of the cluster stack cannot change, they are {}-{}",
                before.provider, before.stack
            ));
        }
        let ((major, minor), (wanted, next)) = (before.kubernetes, after.kubernetes);
        if wanted != major || next < minor || next > minor + 1 {
            return Err(format!(
                "spec.topology.class: Invalid value: \"{class}\": the Kubernetes minor version can stay or move by one, from {major}.{minor}"
            ));
        }
        Ok(Vec::new())
    }

    fn deletion(&self, id: &GroupResource, object: &Value) -> Result<Vec<String>, ApiError> {
        let clusters = self.list(&USERS, namespace(object));
        let used = if *id == RELEASES {
            is_used(&clusters, name(object))
        } else {
            let prefix = prefix(object);
            clusters.iter().any(|cluster| {
                let class = text(cluster, "/spec/topology/classRef/name");
                names::of_class(class).starts_with(&prefix)
            })
        };
        if used {
            let why = format!("{} is still used by a cluster", name(object));
            return Err(denied(&webhook(id), &why));
        }
        Ok(Vec::new())
    }
}

fn stack(new: &Value, old: Option<&Value>) -> Result<(), String> {
    if old.is_some() {
        // Versions are judged when a ClusterStack is made, and not those that are added later.
        let fixed = ["provider", "name", "channel", "kubernetesVersion"];
        return unchanged(new, old, "/spec/", &fixed);
    }
    for version in list(new, "/spec/versions") {
        let version = version.as_str().unwrap_or_default();
        if names::dashed(version).is_none() {
            return Err(format!(
                "spec.versions: Invalid value: \"{version}\": invalid version, e.g. v1 or v0-sha.abc1234"
            ));
        }
    }
    if !truth(new, "/spec/noProvider") && !new["spec"]["providerRef"].is_object() {
        return Err(
            "spec.providerRef: Required value: must be set if noProvider is not".to_owned(),
        );
    }
    Ok(())
}

fn addon(new: &Value, old: Option<&Value>) -> Result<(), String> {
    let reference = &new["spec"]["clusterRef"];
    if !reference.is_object() {
        return Err("spec.clusterRef: Required value: must be set".to_owned());
    }
    if reference["kind"] != "Cluster" {
        return Err("spec.clusterRef.kind: Invalid value: kind must be Cluster".to_owned());
    }
    if text(reference, "/namespace") != namespace(new) {
        return Err(
            "spec.clusterRef.namespace: Invalid value: must be the ClusterAddon's own".to_owned(),
        );
    }
    unchanged(new, old, "/spec/clusterRef/", &["name", "kind"])
}

fn unchanged(new: &Value, old: Option<&Value>, base: &str, fields: &[&str]) -> Result<(), String> {
    let Some(old) = old else {
        return Ok(());
    };
    for field in fields {
        let pointer = format!("{base}{field}");
        if new.pointer(&pointer) != old.pointer(&pointer) {
            let path = pointer.trim_start_matches('/').replace('/', ".");
            return Err(format!(
                "{path}: Invalid value: {}: field is immutable",
                new.pointer(&pointer).unwrap_or(&Value::Null)
            ));
        }
    }
    Ok(())
}
