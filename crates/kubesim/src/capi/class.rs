//! ClusterClasses: their variables are taken over, and their templates have to be there.

use serde_json::{Value, json};

use super::access::referred;
use super::conditions::{self, State};
use super::kinds::CLUSTER_CLASSES;
use crate::cluster::Cluster;
use crate::controller::{Controller, Cx, Key, Next};
use crate::error::ApiError;
use crate::object::{list, text};
use crate::resource::GroupResource;

const MANAGER: &str = "capi-clusterclass";
/// How long a template may be missing until it is looked for again.
const AGAIN: std::time::Duration = std::time::Duration::from_secs(5);

/// The controller.
pub struct Classes;

impl Controller for Classes {
    fn name(&self) -> &'static str {
        MANAGER
    }

    fn wakes(&self) -> Vec<GroupResource> {
        vec![CLUSTER_CLASSES]
    }

    fn reconcile(&mut self, cx: &mut Cx<'_>, key: &Key) -> Result<Next, ApiError> {
        let api = cx.cluster.api();
        let Some(class) = api.get(&CLUSTER_CLASSES, &key.namespace, &key.name) else {
            return Ok(Next::Change);
        };
        let missing = missing(cx.cluster, &key.namespace, &class);
        let now = cx.cluster.api().clock().stamp();
        api.modify(&CLUSTER_CLASSES, &key.namespace, &key.name, MANAGER, |class| {
            let (references, variables) = match missing.first() {
                None => (State::yes("RefVersionsUpToDate"), State::yes("VariablesReady")),
                Some(what) => {
                    let message = format!("failed to get {what}");
                    (State::unknown("InternalError", message.clone()), State::yes("VariablesReady"))
                }
            };
            let declared: Vec<Value> = list(class, "/spec/variables")
                .iter()
                .map(|variable| {
                    json!({"name": variable["name"], "definitions": [
                        {"from": "inline", "required": variable["required"], "schema": variable["schema"]}]})
                })
                .collect();
            class["status"]["variables"] = json!(declared);
            conditions::set(class, "RefVersionsUpToDate", &references, &now);
            conditions::set(class, "VariablesReady", &variables, &now);
            conditions::set(class, "Paused", &State::no("NotPaused", ""), &now);
            if missing.is_empty() {
                class["status"]["observedGeneration"] = class["metadata"]["generation"].clone();
            }
        })?;
        Ok(if missing.is_empty() {
            Next::Change
        } else {
            Next::After(AGAIN)
        })
    }
}

/// Every reference of a class to a template.
#[must_use]
pub fn references(class: &Value) -> Vec<&Value> {
    let mut found = vec![
        &class["spec"]["infrastructure"]["templateRef"],
        &class["spec"]["controlPlane"]["templateRef"],
        &class["spec"]["controlPlane"]["machineInfrastructure"]["templateRef"],
    ];
    for worker in list(class, "/spec/workers/machineDeployments") {
        found.push(&worker["bootstrap"]["templateRef"]);
        found.push(&worker["infrastructure"]["templateRef"]);
    }
    found.retain(|reference| reference.is_object());
    found
}

fn missing(cluster: &Cluster, namespace: &str, class: &Value) -> Vec<String> {
    references(class)
        .into_iter()
        .filter(|reference| referred(cluster, namespace, reference).is_none())
        .map(|reference| format!("{} {}", text(reference, "/kind"), text(reference, "/name")))
        .collect()
}
