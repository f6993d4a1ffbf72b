//! The runtime extension: hooks become a field of the ClusterAddon.

use std::time::Duration;

use serde_json::{Value, json};

use super::kinds::{ADDONS, MANAGER, is_true};
use super::process::{Fault, Operator, unreachable};
use super::releases::{CREATED, UPGRADED};
use crate::capi::{Hook, HookAnswer, RuntimeExtension};
use crate::cluster::Cluster;
use crate::error::ApiError;
use crate::object::{name, namespace, remove_condition, text};

/// After how long Cluster API is to ask again.
const AGAIN: Duration = Duration::from_secs(10);

impl RuntimeExtension for Operator {
    fn name(&self) -> &str {
        "cso"
    }

    fn call(&self, management: &Cluster, hook: Hook, cluster: &Value) -> HookAnswer {
        let asked = [
            Hook::AfterControlPlaneInitialized,
            Hook::BeforeClusterUpgrade,
            Hook::AfterClusterUpgrade,
        ];
        if !asked.contains(&hook) {
            // The ExtensionConfig tells of these three alone.
            return HookAnswer::Success;
        }
        if self.down_for().is_some() {
            return HookAnswer::Failure(unreachable("hookserver-service"));
        }
        match hook {
            Hook::AfterControlPlaneInitialized => {
                // Cluster API does not listen to the answer.
                drop(set(management, cluster, Some(CREATED)));
                HookAnswer::Success
            }
            Hook::BeforeClusterUpgrade => self.before_upgrade(management, cluster),
            _ => HookAnswer::Success,
        }
    }
}

/// The name of a Cluster's ClusterAddon.
pub(super) fn addon_name(cluster: &str) -> String {
    format!("cluster-addon-{cluster}")
}

/// Tells the ClusterAddon's controller that a hook was called, or with none takes away only what the hook before
/// was answered with: conditions are patched first.
fn set(management: &Cluster, cluster: &Value, hook: Option<&str>) -> Result<(), ApiError> {
    let (space, own) = (namespace(cluster), addon_name(name(cluster)));
    let api = management.api();
    let written = api.modify(&ADDONS, space, &own, MANAGER, |addon| {
        if let Some(hook) = hook {
            addon["spec"]["hook"] = json!(hook);
        }
        remove_condition(&mut addon["status"], "HelmChartApplied");
    });
    written.map(drop)
}

impl Operator {
    fn before_upgrade(&self, management: &Cluster, cluster: &Value) -> HookAnswer {
        let (space, own) = (namespace(cluster), name(cluster));
        let class = text(cluster, "/spec/topology/classRef/name");
        let find = || management.api().get(&ADDONS, space, &addon_name(own));
        let Some(addon) = find() else {
            return HookAnswer::Failure(format!(
                "failed to get ClusterAddon {space}/{}: not found",
                addon_name(own)
            ));
        };
        // The note is made although the patch may fail (upstream `Handler.DoBeforeClusterUpgrade`).
        if text(&addon, "/spec/hook") != UPGRADED {
            if self.note_hook(space, own, class) {
                let hook = (!self.once(Fault::LosesHook)).then_some(UPGRADED);
                drop(set(management, cluster, hook));
            } else {
                self.overlook();
            }
        }
        if find().is_some_and(|addon| is_true(&addon, "HelmChartApplied")) {
            return HookAnswer::Success;
        }
        HookAnswer::Retry(
            AGAIN,
            format!("ClusterAddon {} is not applied yet", addon_name(own)),
        )
    }
}
