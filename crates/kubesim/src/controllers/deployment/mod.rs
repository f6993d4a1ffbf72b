//! Deployments: ReplicaSets by revision, replaced within a budget.

mod rollout;
mod status;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use self::rollout::Rollout;
use super::template::{replicas, share};
use crate::cluster::Cluster;
use crate::controller::{Controller, Cx, Key, Next};
use crate::error::ApiError;
use crate::object::{annotation, int, is_deleting, name, namespace, text, truth};
use crate::resource::GroupResource;
use crate::resource::builtin::{DEPLOYMENTS, PODS, REPLICA_SETS};
use crate::store::{Change, ChangeKind};

const NAME: &str = "deployment-controller";
const HASH: &str = "pod-template-hash";
const REVISION: &str = "deployment.kubernetes.io/revision";
const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
const MOST: &str = "deployment.kubernetes.io/max-replicas";

/// Keeps Deployments.
#[derive(Debug, Default)]
pub(super) struct Deployments {
    /// When the rollout of each last came on, for the deadline.
    progress: BTreeMap<Key, status::Progress>,
}

/// A ReplicaSet's numbers.
#[derive(Clone, Debug)]
struct Set {
    object: Arc<Value>,
    wanted: i64,
    present: i64,
    ready: i64,
    available: i64,
}

impl Set {
    fn of(object: Arc<Value>) -> Self {
        let number = |pointer| int(&object, pointer).unwrap_or(0);
        Self {
            wanted: replicas(&object),
            present: number("/status/replicas"),
            ready: number("/status/readyReplicas"),
            available: number("/status/availableReplicas"),
            object,
        }
    }

    fn name(&self) -> &str {
        name(&self.object)
    }

    fn revision(&self) -> i64 {
        annotation(&self.object, REVISION)
            .and_then(|text| text.parse().ok())
            .unwrap_or(0)
    }
}

/// Of a list of sets, a number of all of them.
fn sum(sets: &[Set], number: impl Fn(&Set) -> i64) -> i64 {
    sets.iter().map(number).sum()
}

/// How many pods a rollout may have too many, and too few.
#[derive(Clone, Copy, Debug)]
struct Budget {
    replicas: i64,
    surge: i64,
    unavailable: i64,
}

impl Budget {
    fn of(deployment: &Value) -> Self {
        let replicas = replicas(deployment);
        if text(deployment, "/spec/strategy/type") == "Recreate" {
            return Self {
                replicas,
                surge: 0,
                unavailable: replicas,
            };
        }
        let rolling = &deployment["spec"]["strategy"]["rollingUpdate"];
        let quarter = json!("25%");
        let or_quarter = |value: &Value| {
            if value.is_null() {
                quarter.clone()
            } else {
                value.clone()
            }
        };
        let surge = share(&or_quarter(&rolling["maxSurge"]), replicas, true, 1);
        let mut unavailable = share(&or_quarter(&rolling["maxUnavailable"]), replicas, false, 0);
        if surge == 0 && unavailable == 0 {
            unavailable = 1;
        }
        Self {
            replicas,
            surge,
            unavailable: unavailable.min(replicas),
        }
    }
}

impl Controller for Deployments {
    fn name(&self) -> &'static str {
        NAME
    }

    fn wakes(&self) -> Vec<GroupResource> {
        vec![DEPLOYMENTS, REPLICA_SETS, PODS]
    }

    fn keys(&self, cluster: &Cluster, change: &Change) -> Vec<Key> {
        if change.resource == DEPLOYMENTS {
            vec![Key::of(change)]
        } else if change.resource == REPLICA_SETS {
            super::replica_set::owner_keys(change, "Deployment")
        } else if change.kind == ChangeKind::Deleted {
            // Only Recreate waits for the end of pods.
            let sets = super::replica_set::owner_keys(change, "ReplicaSet");
            let sets = sets
                .iter()
                .filter_map(|set| cluster.api().get(&REPLICA_SETS, &set.namespace, &set.name));
            let owners = sets.filter_map(|set| {
                let owner = crate::object::controller_of(&set)?;
                Some(Key::new(namespace(&set), text(owner, "/name")))
            });
            owners.collect()
        } else {
            Vec::new()
        }
    }

    fn reconcile(&mut self, cx: &mut Cx<'_>, key: &Key) -> Result<Next, ApiError> {
        let Some(deployment) = cx
            .cluster
            .api()
            .get(&DEPLOYMENTS, &key.namespace, &key.name)
        else {
            self.progress.remove(key);
            return Ok(Next::Change);
        };
        let mut rollout = Rollout {
            cx,
            deployment,
            key,
        };
        let (new, old) = rollout.sets();
        if is_deleting(&rollout.deployment) {
            return self.tell(&rollout, new.as_ref(), &old);
        }
        let paused = truth(&rollout.deployment, "/spec/paused");
        let (mut new, mut old) = (new, old);
        if paused || rollout.is_scaling(new.as_ref(), &old) {
            rollout.scale_all(new.as_mut(), &mut old)?;
        } else if text(&rollout.deployment, "/spec/strategy/type") == "Recreate" {
            new = rollout.recreate(new, &mut old)?;
        } else {
            let mut current = match new {
                Some(set) => rollout.keep_new(set)?,
                None => rollout.create_new(&old)?,
            };
            rollout.scale_new(&mut current, &old)?;
            rollout.scale_old(&current, &mut old)?;
            new = Some(current);
        }
        if !paused
            && let Some(new) = &new
            && status::is_complete(&rollout.deployment, new, &old)
        {
            rollout.clean_up(&mut old)?;
        }
        self.tell(&rollout, new.as_ref(), &old)
    }
}
