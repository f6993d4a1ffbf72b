//! Creating the ClusterAddon of a Cluster: when the Cluster is created, and when the operator starts.

use serde_json::json;

use super::super::Operator;
use super::super::hooks::addon_name;
use super::super::kinds::{ADDONS, GROUP, MANAGER, VERSION};
use super::super::process::is_start;
use crate::capi::kinds::{CLUSTERS, OLDER};
use crate::cluster::Cluster;
use crate::controller::{Controller, Cx, Key, Next};
use crate::error::ApiError;
use crate::object::{is_deleting, name, namespace};
use crate::registry::Write;
use crate::resource::GroupResource;
use crate::resource::builtin::PODS;
use crate::store::{Change, ChangeKind};

/// The controller.
pub(in super::super) struct Creation(pub(in super::super) Operator);

impl Controller for Creation {
    fn name(&self) -> &'static str {
        "cso-clusteraddoncreate"
    }

    fn wakes(&self) -> Vec<GroupResource> {
        vec![CLUSTERS, PODS]
    }

    fn keys(&self, cluster: &Cluster, change: &Change) -> Vec<Key> {
        if change.resource == CLUSTERS {
            let added = change.kind == ChangeKind::Added;
            return added.then(|| Key::of(change)).into_iter().collect();
        }
        let all = is_start(change).then(|| cluster.api().list(&CLUSTERS, None));
        let all = all.into_iter().flatten();
        all.map(|one| Key::new(namespace(&one), name(&one)))
            .collect()
    }

    fn reconcile(&mut self, cx: &mut Cx<'_>, key: &Key) -> Result<Next, ApiError> {
        if let Some(left) = self.0.down_for() {
            return Ok(Next::After(left));
        }
        let api = cx.cluster.api();
        let own = addon_name(&key.name);
        let found = api.get(&CLUSTERS, &key.namespace, &key.name);
        let Some(cluster) = found.filter(|cluster| !is_deleting(cluster)) else {
            return Ok(Next::Change);
        };
        if api.get(&ADDONS, &key.namespace, &own).is_some() {
            return Ok(Next::Change);
        }
        let (group_version, kind) = (format!("cluster.x-k8s.io/{OLDER}"), "Cluster");
        let addon = json!({
            "apiVersion": format!("{GROUP}/{VERSION}"), "kind": "ClusterAddon",
            "metadata": {"name": own, "namespace": key.namespace, "ownerReferences": [{
                "apiVersion": group_version, "kind": kind, "name": key.name, "uid": cluster["metadata"]["uid"]}]},
            "spec": {"clusterRef": {"apiVersion": group_version, "kind": kind,
                "name": key.name, "namespace": key.namespace}},
        });
        api.create(&ADDONS, addon, &Write::by(MANAGER))?;
        Ok(Next::Change)
    }
}
