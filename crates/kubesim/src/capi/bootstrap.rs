//! KubeadmConfigs: bootstrap data for a Machine, once the Cluster's infrastructure is there; all but the
//! first control-plane machine wait for the control plane.

use std::time::Duration;

use serde_json::json;

use super::access::owner_cluster;
use super::conditions::{self, State};
use super::kinds::{CONFIGS, CONTROL_PLANE_LABEL, MACHINES};
use crate::controller::{Controller, Cx, Key, Next};
use crate::error::ApiError;
use crate::object::{controlled_by, controller_of, is_deleting, label, text, truth};
use crate::registry::Write;
use crate::resource::GroupResource;
use crate::resource::builtin::SECRETS;

const MANAGER: &str = "capi-kubeadm-bootstrap";
const AGAIN: Duration = Duration::from_secs(1);

/// The controller.
pub struct Configs;

impl Controller for Configs {
    fn name(&self) -> &'static str {
        MANAGER
    }

    fn wakes(&self) -> Vec<GroupResource> {
        vec![CONFIGS]
    }

    fn reconcile(&mut self, cx: &mut Cx<'_>, key: &Key) -> Result<Next, ApiError> {
        let api = cx.cluster.api();
        let Some(config) = api.get(&CONFIGS, &key.namespace, &key.name) else {
            return Ok(Next::Change);
        };
        if is_deleting(&config) || config["status"]["dataSecretName"].is_string() {
            return Ok(Next::Change);
        }
        let machine = controller_of(&config)
            .and_then(|machine| api.get(&MACHINES, &key.namespace, text(machine, "/name")));
        let (Some(machine), Some(owner)) = (machine, owner_cluster(cx.cluster, &config)) else {
            return Ok(Next::After(AGAIN));
        };
        if !truth(&owner, "/status/initialization/infrastructureProvisioned") {
            return Ok(Next::After(AGAIN));
        }
        let initialized = truth(&owner, "/status/initialization/controlPlaneInitialized");
        let first = label(&machine, CONTROL_PLANE_LABEL).is_some()
            && config["spec"]["clusterConfiguration"].is_object()
            && !initialized;
        if !first && !initialized {
            return Ok(Next::After(AGAIN));
        }
        // What the data really holds (certificates, tokens) is of no use to a simulated machine.
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "cluster.x-k8s.io/secret",
            "metadata": {"namespace": key.namespace, "name": key.name,
                "labels": config["metadata"]["labels"], "ownerReferences": [controlled_by(&config)]},
            "data": {"format": "Y2xvdWQtY29uZmln", "value": ""},
        });
        match api.create(&SECRETS, secret, &Write::by(MANAGER)) {
            Err(error) if error.reason != "AlreadyExists" => return Err(error),
            _ => {}
        }
        let now = api.clock().stamp();
        api.modify(&CONFIGS, &key.namespace, &key.name, MANAGER, |config| {
            config["status"]["dataSecretName"] = json!(key.name);
            config["status"]["initialization"]["dataSecretCreated"] = json!(true);
            config["status"]["observedGeneration"] = config["metadata"]["generation"].clone();
            for (kind, reason) in [
                ("CertificatesAvailable", "Available"),
                ("DataSecretAvailable", "Available"),
                ("Ready", "Ready"),
            ] {
                conditions::set(config, kind, &State::yes(reason), &now);
            }
        })?;
        Ok(Next::Change)
    }
}
