//! What every namespace is given: the service account `default` and the cluster's certificate.

use serde_json::json;

use crate::cluster::Cluster;
use crate::controller::{Controller, Cx, Key, Next};
use crate::error::ApiError;
use crate::object::{is_deleting, text};
use crate::registry::Write;
use crate::resource::GroupResource;
use crate::resource::builtin::{CONFIG_MAPS, NAMESPACES, SERVICE_ACCOUNTS};
use crate::store::{Change, ChangeKind};

const ROOT: &str = "kube-root-ca.crt";

/// Gives namespaces what they are to have.
#[derive(Debug, Default)]
pub(super) struct Accounts;

impl Controller for Accounts {
    fn name(&self) -> &'static str {
        "service-account-controller"
    }

    fn wakes(&self) -> Vec<GroupResource> {
        vec![NAMESPACES, SERVICE_ACCOUNTS, CONFIG_MAPS]
    }

    fn keys(&self, _: &Cluster, change: &Change) -> Vec<Key> {
        if change.resource == NAMESPACES {
            return vec![Key::of(change)];
        }
        let (namespace, name) = change.object.place();
        let given = name == "default" || name == ROOT;
        if change.kind == ChangeKind::Deleted && given {
            vec![Key::new("", &namespace)]
        } else {
            Vec::new()
        }
    }

    fn reconcile(&mut self, cx: &mut Cx<'_>, key: &Key) -> Result<Next, ApiError> {
        let api = cx.cluster.api();
        let namespace = api.get(&NAMESPACES, "", &key.name);
        let alive = namespace.is_some_and(|namespace| {
            !is_deleting(&namespace) && text(&namespace, "/status/phase") != "Terminating"
        });
        if !alive {
            return Ok(Next::Change);
        }
        let account = json!({
            "apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": {"name": "default", "namespace": key.name},
        });
        let certificate = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": ROOT, "namespace": key.name, "annotations": {
                "kubernetes.io/description": "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters."}},
            // No traffic inside the cluster is encrypted, so there is nothing to put in.
            "data": {"ca.crt": ""},
        });
        for (id, object, name) in [
            (SERVICE_ACCOUNTS, account, "default"),
            (CONFIG_MAPS, certificate, ROOT),
        ] {
            if api.get(&id, &key.name, name).is_none() {
                match api.create(&id, object, &Write::by(self.name())) {
                    Err(error) if error.reason != "AlreadyExists" => return Err(error),
                    _ => {}
                }
            }
        }
        Ok(Next::Change)
    }
}
