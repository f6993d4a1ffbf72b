//! What the checks of one round share: one watch of each kind, what the kubelets said, and what is to be
//! removed at the end.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::OnceCell;

use super::pace::Pace;
use super::{ManagementTarget, Target};
use crate::cluster::{Cache, Handshakes, Kind, View};

/// A kubelet's configuration by its node.
pub type Configuration = (String, Value);

/// Shared by the checks of a round; it ends with the round.
#[derive(Default)]
pub struct Shared {
    /// Watches by kind.
    pub cache: Cache,
    /// How long the checks take of their own.
    pub pace: Pace,
    /// The way to the cluster's servers, where there is one beside its API.
    pub(super) handshakes: Option<Arc<dyn Handshakes>>,
    /// What the kubelets said, once they were asked.
    pub(super) kubelets: OnceCell<Vec<Configuration>>,
    /// That check namespaces may be removed, once it was asked.
    pub(super) removable: OnceCell<()>,
    /// Namespaces that checks created and did not remove yet.
    namespaces: Mutex<BTreeSet<String>>,
    /// Whether e2e tests were begun whose namespaces are not removed yet.
    pub(super) tests: AtomicBool,
}

impl Shared {
    /// For checks that may look at what the cluster's servers show, where there is a way to them.
    #[must_use]
    pub fn with(handshakes: Option<Arc<dyn Handshakes>>) -> Self {
        Self {
            handshakes,
            ..Self::default()
        }
    }

    /// The namespaces that are still to be removed.
    pub(super) fn namespaces(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.namespaces
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Target<'_> {
    /// A view of `kinds` on the workload cluster, each in its namespace (empty: all). Each kind is
    /// watched once, in all namespaces, whoever looks at it.
    #[must_use]
    pub fn view(&self, kinds: &[(Kind, &str)]) -> View {
        let cache = &self.shared.cache;
        cache.view("workload", self.workload, "", kinds)
    }

    /// A view of `kinds` in the run's namespace on the management cluster.
    #[must_use]
    pub fn management_view(&self, management: &ManagementTarget<'_>, kinds: &[Kind]) -> View {
        let namespace = management.namespace;
        let kinds: Vec<_> = kinds.iter().map(|kind| (kind.clone(), namespace)).collect();
        let cache = &self.shared.cache;
        cache.view("management", management.client, namespace, &kinds)
    }
}
