//! Things that go wrong, by name: what simulated controllers, kubelets and the API server heed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use crate::store::lock;

/// Declares the faults, so that a name and what it means stand in one place.
macro_rules! faults {
    ($($variant:ident $name:literal $description:literal;)*) => {
        /// Something that goes wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Fault {
            $(#[doc = $description] $variant,)*
        }

        impl Fault {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Its name, e.g. `drain-blocked`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What happens, in one line.
            #[must_use]
            pub const fn description(self) -> &'static str {
                match self { $(Self::$variant => $description,)* }
            }
        }
    };
}

faults! {
    WorkerNeverReady "worker-never-ready" "the kubelet of a new worker never reports Ready";
    ControlPlaneJoinFails "control-plane-join-fails" "kubeadm fails on each new control-plane machine";
    ImagePullFails "image-pull-fails" "an image that is not yet on a node cannot be pulled";
    DrainBlocked "drain-blocked" "a PodDisruptionBudget that allows no disruption keeps a Machine from being drained";
    VolumeLost "volume-lost" "a bound PersistentVolume disappears with what was written to it";
    NodeLosesLabels "node-loses-labels" "a new node comes without the labels that the one before had";
    ApiServerAway "api-server-away" "the workload cluster's API server refuses connections for 30 s";
    WatchCut "watch-cut" "every watch is cut after a few events";
    EventLost "event-lost" "watches silently leave out some events";
    Gone "gone" "watches are answered with 410 Gone, and have to list anew";
    Conflict "conflict" "some writes are answered with 409 Conflict";
    Throttled "throttled" "some requests are answered with 429 Too Many Requests";
    Slow "slow" "every response takes up to two seconds";
    WebhookDown "webhook-down" "an admission webhook of the workload cluster does not answer, and nothing can be written";
    ClockSkew "clock-skew" "the workload cluster's clock is five minutes behind";
    CertificateExpired "certificate-expired" "the workload cluster's API server presents an expired certificate";
    PolicyGap "policy-gap" "NetworkPolicies are not enforced on new nodes";
    CniStepSkipped "cni-step-skipped" "a network's agent that moves over more than one minor version takes a minute to come up, and reaches no node with an agent of before";
    UnexpectedRollout "unexpected-rollout" "Machines are replaced once more after the upgrade had arrived";
    NeverAtRest "never-at-rest" "a controller writes to the Cluster every ten seconds";
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The faults that are in force; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Each with the one cluster that it is limited to.
    forces: Mutex<BTreeMap<Fault, Option<String>>>,
    /// Those that have done something.
    happened: Mutex<BTreeSet<Fault>>,
    changed: Notify,
}

impl Faults {
    /// From now on this goes wrong.
    pub fn inject(&self, fault: Fault) {
        lock(&self.0.forces).insert(fault, None);
        self.0.changed.notify_waiters();
    }

    /// From now on this goes wrong with one cluster, whether there is such a cluster yet or not.
    pub fn inject_on(&self, fault: Fault, cluster: &str) {
        lock(&self.0.forces).insert(fault, Some(cluster.to_owned()));
        self.0.changed.notify_waiters();
    }

    /// From now on it does not any more.
    pub fn clear(&self, fault: Fault) {
        lock(&self.0.forces).remove(&fault);
        self.0.changed.notify_waiters();
    }

    /// Whether this goes wrong now.
    #[must_use]
    pub fn is(&self, fault: Fault) -> bool {
        lock(&self.0.forces).contains_key(&fault)
    }

    /// Whether this goes wrong now with a cluster.
    #[must_use]
    pub fn is_on(&self, fault: Fault, cluster: &str) -> bool {
        match lock(&self.0.forces).get(&fault) {
            Some(Some(only)) => only == cluster,
            Some(None) => true,
            None => false,
        }
    }

    /// Whether anything goes wrong now.
    #[must_use]
    pub fn are_any(&self) -> bool {
        !lock(&self.0.forces).is_empty()
    }

    /// It has done something: a request was refused, a machine came broken, a volume went.
    pub fn note(&self, fault: Fault) {
        lock(&self.0.happened).insert(fault);
    }

    /// Whether it has ever done something. A fault may be in force and find nothing to harm.
    #[must_use]
    pub fn has_happened(&self, fault: Fault) -> bool {
        lock(&self.0.happened).contains(&fault)
    }

    /// Resolves when something begins or ceases to go wrong.
    pub async fn changed(&self) {
        self.0.changed.notified().await;
    }
}
