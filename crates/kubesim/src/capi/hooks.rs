//! Lifecycle hooks: what runtime extensions are asked while a Cluster is created and upgraded.

use std::time::Duration;

use serde_json::Value;

/// A moment in a Cluster's life at which extensions are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hook {
    /// Once, when the control plane answers for the first time; cannot block.
    AfterControlPlaneInitialized,
    /// Before anything of the Cluster moves to another version; may block.
    BeforeClusterUpgrade,
    /// After the control plane has moved and before workers do; may block.
    AfterControlPlaneUpgrade,
    /// Before workers move; may block.
    BeforeWorkersUpgrade,
    /// After workers have moved; may block.
    AfterWorkersUpgrade,
    /// After everything has moved; may block the next upgrade.
    AfterClusterUpgrade,
}

impl Hook {
    /// Its name in the runtime SDK and in annotations.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AfterControlPlaneInitialized => "AfterControlPlaneInitialized",
            Self::BeforeClusterUpgrade => "BeforeClusterUpgrade",
            Self::AfterControlPlaneUpgrade => "AfterControlPlaneUpgrade",
            Self::BeforeWorkersUpgrade => "BeforeWorkersUpgrade",
            Self::AfterWorkersUpgrade => "AfterWorkersUpgrade",
            Self::AfterClusterUpgrade => "AfterClusterUpgrade",
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
    fn call(&self, management: &crate::cluster::Cluster, hook: Hook, cluster: &Value)
    -> HookAnswer;
}
