//! Lifecycle hooks: what runtime extensions are asked while a Cluster is created, upgraded and deleted.

use std::time::Duration;

use serde_json::{Value, json};

use super::kinds::{RUNTIME, STORED};
use crate::cluster::Cluster;
use crate::error::ApiError;
use crate::registry::Write;
use crate::resource::GroupResource;

/// `extensionconfigs`
const EXTENSION_CONFIGS: GroupResource = GroupResource::new(RUNTIME, "extensionconfigs");

/// A moment in a Cluster's life at which extensions are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Hook {
    /// Before anything of a Cluster is made; may block.
    BeforeClusterCreate,
    /// Once, when the control plane answers for the first time; cannot block.
    AfterControlPlaneInitialized,
    /// Before anything of the Cluster moves to another version; may block.
    BeforeClusterUpgrade,
    /// Before the control plane moves, at each step of the way; may block.
    BeforeControlPlaneUpgrade,
    /// After the control plane has moved and before workers do; may block.
    AfterControlPlaneUpgrade,
    /// Before workers move; may block.
    BeforeWorkersUpgrade,
    /// After workers have moved; may block.
    AfterWorkersUpgrade,
    /// After everything has moved; may block the next upgrade.
    AfterClusterUpgrade,
    /// Before anything of a Cluster is deleted; may block.
    BeforeClusterDelete,
}

impl Hook {
    /// Its name in the runtime SDK and in annotations.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BeforeClusterCreate => "BeforeClusterCreate",
            Self::AfterControlPlaneInitialized => "AfterControlPlaneInitialized",
            Self::BeforeClusterUpgrade => "BeforeClusterUpgrade",
            Self::BeforeControlPlaneUpgrade => "BeforeControlPlaneUpgrade",
            Self::AfterControlPlaneUpgrade => "AfterControlPlaneUpgrade",
            Self::BeforeWorkersUpgrade => "BeforeWorkersUpgrade",
            Self::AfterWorkersUpgrade => "AfterWorkersUpgrade",
            Self::AfterClusterUpgrade => "AfterClusterUpgrade",
            Self::BeforeClusterDelete => "BeforeClusterDelete",
        }
    }
}

/// What an extension answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HookAnswer {
    /// Go on.
    Success,
    /// Not yet: ask again after a while, for this reason.
    Retry(Duration, String),
    /// The extension failed.
    Failure(String),
}

/// A runtime extension, in process.
pub trait RuntimeExtension: Send + Sync {
    /// Its name, as messages have it.
    fn name(&self) -> &str;

    /// Answers a hook for a Cluster (as stored, in v1beta2) on the management cluster. Hooks that it
    /// does not serve it answers with success.
    fn call(&self, management: &Cluster, hook: Hook, cluster: &Value) -> HookAnswer;
}

/// Creates the ExtensionConfig of an extension, discovered.
///
/// # Errors
/// Those of the API.
pub(super) fn register(management: &Cluster, extension: &str) -> Result<(), ApiError> {
    let now = management.api().clock().stamp();
    let config = json!({
        "apiVersion": format!("{RUNTIME}/{STORED}"), "kind": "ExtensionConfig",
        "metadata": {"name": extension},
        "spec": {"clientConfig": {"service": {"name": extension, "namespace": "default", "port": 443}}},
        "status": {"conditions": [{"type": "Discovered", "status": "True", "reason": "Discovered",
            "message": "", "lastTransitionTime": now}]},
    });
    let write = Write::by("manager");
    management
        .api()
        .create(&EXTENSION_CONFIGS, config, &write)
        .map(drop)
}
