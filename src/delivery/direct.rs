//! Delivery `direct`: stackgate renders the charts itself and applies them, stage by stage, in the
//! order and with the waits that `clusteraddon.yaml` demands.

use std::time::Duration;

use kube::Client;
use serde_json::json;
use tokio::time::Instant;

use super::rendered::{AddonObjects, ClassObjects, applied, dropped};
use crate::cluster::cel::{CelError, Condition};
use crate::cluster::{
    Applier, Apply, ApplyError, Context, Investigate, Kind, Progress, View, WaitError, kinds, stay,
    wait,
};
use crate::record::{Blocker, ObjectRef};
use crate::stack::{ADDON_NAMESPACE, Action, Condition as Wanted, ConditionObject};

/// How often the API server is asked again for a kind that it does not serve yet.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// Why a release could not be delivered.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// An object was refused, or the cluster did not answer.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// A stage's condition did not come true.
    #[error(transparent)]
    Wait(#[from] WaitError),
    /// A stage's condition cannot be evaluated.
    #[error("stage {stage}: {error}")]
    Condition {
        /// The stage.
        stage: String,
        /// What is wrong with it.
        error: CelError,
    },
    /// A stage waits for an object of a kind that the cluster does not come to serve.
    #[error("gave up waiting for {what}: {blocker}")]
    NotServed {
        /// The condition.
        what: String,
        /// The object.
        blocker: Blocker,
    },
    /// The cluster could not be asked for its kinds.
    #[error("{0:#}")]
    Cluster(anyhow::Error),
}

/// Applies what a release renders to.
pub struct Direct<'a> {
    context: &'a Context,
    ends: Instant,
    investigator: Option<&'a dyn Investigate>,
}

impl<'a> Direct<'a> {
    /// A delivery that has to be through within `deadline` (scaled by the context), all its steps
    /// together. What blocks a stage is looked at closer by `investigator`.
    #[must_use]
    pub fn new(
        context: &'a Context,
        deadline: Duration,
        investigator: Option<&'a dyn Investigate>,
    ) -> Self {
        let ends = Instant::now() + context.scaled(deadline);
        Self {
            context,
            ends,
            investigator,
        }
    }

    fn left(&self) -> Duration {
        self.context
            .unscaled(self.ends.saturating_duration_since(Instant::now()))
    }

    /// Makes a release available: applies its class chart and waits until the ClusterClass is
    /// reconciled, since a Cluster of an unreconciled class only earns a pending condition.
    ///
    /// # Errors
    /// When an object is refused or the ClusterClass is not reconciled in time.
    pub async fn provide(
        &self,
        management: &Client,
        namespace: &str,
        class: &ClassObjects,
    ) -> Result<(), DeliveryError> {
        let labels = [("stackgate/run", self.context.run.as_str())];
        let source = format!("class chart of {}", class.tag);
        let options = Apply {
            deadline: self.left(),
            namespace: Some(namespace),
            labels: &labels,
            source: &source,
        };
        let applier = Applier::new("management", management.clone());
        applier.apply(self.context, &class.objects, options).await?;
        let names: Vec<&str> = class
            .objects
            .iter()
            .filter(|object| object["kind"] == "ClusterClass")
            .filter_map(|object| object["metadata"]["name"].as_str())
            .collect();
        let view = View::start(
            "management",
            management,
            &[(kinds::CLUSTER_CLASS, namespace)],
        );
        let what = format!("ClusterClass {} reconciled", names.join(", "));
        wait(self.context, &what, self.left(), &[&view], None, || {
            let blockers = names.iter().filter_map(|name| {
                match view.get(&kinds::CLUSTER_CLASS, namespace, name) {
                    Some(live) if !live.is_observed() => {
                        Some(live.blocker("latest spec not yet seen by its controller"))
                    }
                    Some(live) => live.unless_true("VariablesReady"),
                    None => Some(absent("management", "ClusterClass", namespace, name)),
                }
            });
            Progress::unless(blockers.collect())
        })
        .await?;
        Ok(())
    }

    /// Runs the stages of a hook on the workload cluster, one after the other; then removes what
    /// only `old` has.
    ///
    /// # Errors
    /// When an object is refused or a condition does not come true in time.
    pub async fn addons(
        &self,
        workload: &Client,
        stages: &[AddonObjects],
        old: &[AddonObjects],
    ) -> Result<(), DeliveryError> {
        let applier = Applier::new("workload", workload.clone());
        for addon in stages {
            let stage = &addon.stage;
            let source = format!("addon {}", stage.name);
            let options = Apply {
                deadline: self.left(),
                namespace: Some(ADDON_NAMESPACE),
                labels: &[],
                source: &source,
            };
            if let Some(condition) = &stage.wait_for_pre_condition {
                self.hold(workload, &applier, &stage.name, "before", condition)
                    .await?;
            }
            match stage.action {
                Action::Apply => {
                    applier.apply(self.context, &addon.objects, options).await?;
                    if let Some(looks) = self.investigator {
                        looks.applied(&addon.objects);
                    }
                }
                Action::Delete => {
                    applier
                        .delete(self.context, &addon.objects, options)
                        .await?
                }
            }
            if let Some(condition) = &stage.wait_for_post_condition {
                self.hold(workload, &applier, &stage.name, "after", condition)
                    .await?;
            }
        }
        let pruned = dropped(applied(old), applied(stages));
        if !pruned.is_empty() {
            let options = Apply {
                deadline: self.left(),
                namespace: Some(ADDON_NAMESPACE),
                labels: &[],
                source: "the release before",
            };
            applier.delete(self.context, &pruned, options).await?;
        }
        Ok(())
    }

    /// Waits until a stage's condition holds. An object that does not exist is waited for.
    async fn hold(
        &self,
        workload: &Client,
        applier: &Applier,
        stage: &str,
        when: &str,
        wanted: &Wanted,
    ) -> Result<(), DeliveryError> {
        let in_stage = |error| DeliveryError::Condition {
            stage: stage.to_owned(),
            error,
        };
        let condition = Condition::parse(&wanted.conditions).map_err(in_stage)?;
        let what = format!("condition {when} stage {stage}");
        let kinds = self
            .served(workload, applier, &what, &wanted.objects)
            .await?;
        let watched: Vec<(Kind, &str)> = kinds
            .iter()
            .zip(&wanted.objects)
            .map(|(kind, object)| (kind.clone(), object.namespace.as_str()))
            .collect();
        let views: Vec<View> = watched
            .iter()
            .map(|one| View::start("workload", workload, std::slice::from_ref(one)))
            .collect();
        let references: Vec<&View> = views.iter().collect();
        let looks = self.investigator;
        let held = wait(self.context, &what, self.left(), &references, looks, || {
            let mut found = Vec::new();
            for ((view, kind), object) in views.iter().zip(&kinds).zip(&wanted.objects) {
                match view.get(kind, &object.namespace, &object.name) {
                    Some(live) => found.push((object.key.as_str(), live)),
                    None => {
                        return Progress::Blocked(vec![absent(
                            "workload",
                            &object.kind,
                            &object.namespace,
                            &object.name,
                        )]);
                    }
                }
            }
            match condition.holds(found.iter().map(|(key, live)| (*key, &live.json))) {
                Ok(true) => Progress::Done(Ok(())),
                // A field that is not there yet is what a fresh object looks like.
                Ok(false) | Err(CelError::Evaluation { .. }) => Progress::Blocked(
                    found
                        .iter()
                        .map(|(_, live)| {
                            live.blocker(format!("does not meet {}", condition.expression()))
                        })
                        .collect(),
                ),
                Err(error) => Progress::Done(Err(error)),
            }
        });
        held.await?.map_err(in_stage)
    }

    /// The kinds of a condition's objects, once the workload cluster serves them all.
    async fn served(
        &self,
        workload: &Client,
        applier: &Applier,
        what: &str,
        objects: &[ConditionObject],
    ) -> Result<Vec<Kind>, DeliveryError> {
        let definitions = View::start(
            "workload",
            workload,
            &[(kinds::CUSTOM_RESOURCE_DEFINITION, "")],
        );
        loop {
            let before = definitions.list(&kinds::CUSTOM_RESOURCE_DEFINITION);
            let mut kinds = Vec::new();
            let mut unserved = None;
            for object in objects {
                let probe = json!({"apiVersion": object.api_version, "kind": object.kind});
                match applier.kind(&probe).await.map_err(DeliveryError::Cluster)? {
                    Some(kind) => kinds.push(kind),
                    None => unserved = Some(object),
                }
            }
            let Some(object) = unserved else {
                return Ok(kinds);
            };
            let mut blocker = absent("workload", &object.kind, &object.namespace, &object.name);
            blocker.condition = format!("its kind is not served in {}", object.api_version);
            if self.left().is_zero() {
                return Err(DeliveryError::NotServed {
                    what: what.to_owned(),
                    blocker,
                });
            }
            // Until a definition comes or goes; and from time to time, since aggregated APIs have none.
            stay(self.context, ASK_AGAIN, &[&definitions], || {
                let changed = definitions.list(&kinds::CUSTOM_RESOURCE_DEFINITION) != before;
                if changed {
                    vec![blocker.clone()]
                } else {
                    vec![]
                }
            })
            .await
            .map_err(WaitError::from)?;
        }
    }
}

fn absent(cluster: &str, kind: &str, namespace: &str, name: &str) -> Blocker {
    Blocker::new(ObjectRef::new(cluster, kind, namespace, name), "missing")
}
