//! The workload cluster's way: created from N, moved to N+1, and watched whether it stays there.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use kube::Client;
use serde_json::Value;

use super::causes::Causes;
use super::finished::{self, Goal};
use super::named;
use super::phases::Done;
use super::run::Run;
use super::trouble::Trouble;
use super::{clusters, topology};
use crate::cluster::{Applier, Apply, Progress, View, blind, kinds, stay, wait};
use crate::delivery::{self, Direct};
use crate::engine::Management;
use crate::record::{Blocker, Finding, ObjectRef, Surroundings};
use crate::stack::{Hook, Release, ReleaseError};

/// The workload cluster, arrived at a release.
pub(super) struct Workload {
    pub(super) client: Client,
    view: View,
    goal: Goal,
    pub(super) addons: Vec<delivery::AddonObjects>,
}

/// A release's addons, rendered for the run's Cluster, and where the Cluster has to arrive with them.
struct Prepared {
    addons: Vec<delivery::AddonObjects>,
    goal: Goal,
}

impl Run<'_> {
    pub(super) async fn provide(
        &self,
        management: &Management,
        release: &Release,
    ) -> Result<(), Trouble> {
        let class = delivery::class(release, &management.namespace).map_err(rendering)?;
        let direct = Direct::new(
            self.context,
            self.plan.stack.spec.timeouts.release.get(),
            None,
        );
        Ok(direct
            .provide(&management.client, &management.namespace, &class)
            .await?)
    }

    fn goal(
        &self,
        management: &Management,
        release: &Release,
        addons: &[delivery::AddonObjects],
    ) -> Goal {
        let objects: Vec<Value> = delivery::applied(addons).cloned().collect();
        Goal {
            namespace: management.namespace.clone(),
            cluster: self.plan.cluster.clone(),
            class: release.class_name.clone(),
            version: release.kubernetes_version.to_string(),
            control_plane: self.plan.stack.spec.cluster.control_plane.replicas.into(),
            workers: self.plan.workers(),
            workloads: finished::workloads(&objects),
        }
    }

    /// Renders a release's addons with the management cluster's objects as they are now.
    async fn prepare(
        &self,
        management: &Management,
        release: &Release,
        hook: Hook,
    ) -> Result<Prepared, Trouble> {
        let left = self.phases.left();
        let inputs = clusters::inputs(self.context, management, &self.plan.cluster, left).await?;
        let addons = delivery::addons(release, hook, &inputs).map_err(rendering)?;
        let goal = self.goal(management, release, &addons);
        Ok(Prepared { addons, goal })
    }

    pub(super) async fn create(
        &self,
        management: &Management,
        view: &View,
    ) -> Result<Done<Workload>, Trouble> {
        let release = &self.plan.pair.from;
        let cluster = self
            .plan
            .cluster_object(release, &management.namespace, &self.context.run);
        let applier = Applier::new("management", management.client.clone());
        let options = Apply {
            deadline: self.phases.left(),
            namespace: Some(&management.namespace),
            labels: &[],
            source: "stack.yaml",
        };
        applier.apply(self.context, &[cluster], options).await?;
        let client = clusters::connect(
            self.context,
            self.engine,
            management,
            &self.plan.cluster,
            self.phases.left(),
        )
        .await?;
        let workload = clusters::watch_workload(self.context, &client);
        let bare = self.goal(management, release, &[]);
        self.arrive("API server answers", &bare, view, &workload, |blockers| {
            blockers
                .retain(|blocker| blocker.condition == "cannot be watched on the workload cluster");
        })
        .await?;
        let hook = Hook::AfterControlPlaneInitialized;
        let prepared = self.prepare(management, release, hook).await?;
        let causes = self.causes(&prepared.goal, view, &workload);
        Direct::new(self.context, self.phases.left(), Some(&causes))
            .addons(&client, &prepared.addons, &[])
            .await?;
        self.nodes("nodes Ready", &prepared.goal, view, &workload)
            .await?;
        self.arrive("all settled", &prepared.goal, view, &workload, |_| {})
            .await?;
        self.versions("before", release, &prepared, &workload);
        let nodes = workload.list(&kinds::NODE).len();
        let message = format!("{nodes} nodes at {}", prepared.goal.version);
        let Prepared { addons, goal } = prepared;
        Ok((
            Workload {
                client,
                view: workload,
                goal,
                addons,
            },
            Some(message),
        ))
    }

    /// Addons, then the one patch, then everything that is not yet at N+1. Returns what N+1 dropped.
    pub(super) async fn upgrade(
        &self,
        management: &Management,
        view: &View,
        workload: &mut Workload,
    ) -> Result<Done<Vec<Value>>, Trouble> {
        let release = &self.plan.pair.to;
        let prepared = self
            .prepare(management, release, Hook::BeforeClusterUpgrade)
            .await?;
        let causes = self.causes(&prepared.goal, view, &workload.view);
        Direct::new(self.context, self.phases.left(), Some(&causes))
            .addons(&workload.client, &prepared.addons, &workload.addons)
            .await?;
        topology::upgrade(
            &management.client,
            &self.plan.stack.spec,
            &management.namespace,
            &self.plan.cluster,
            &release.class_name,
            &prepared.goal.version,
        )
        .await?;
        self.nodes("nodes upgraded", &prepared.goal, view, &workload.view)
            .await?;
        self.arrive("all settled", &prepared.goal, view, &workload.view, |_| {})
            .await?;
        self.versions("after", release, &prepared, &workload.view);
        let dropped = delivery::dropped(
            delivery::applied(&workload.addons),
            delivery::applied(&prepared.addons),
        );
        let nodes = workload.view.list(&kinds::NODE).len();
        let message = format!("{nodes} nodes at {}", prepared.goal.version);
        workload.goal = prepared.goal;
        workload.addons = prepared.addons;
        Ok((dropped, Some(message)))
    }

    /// Waits until the nodes are there, Ready, at the goal's version: what people mean by "upgraded".
    async fn nodes(
        &self,
        what: &str,
        goal: &Goal,
        view: &View,
        workload: &View,
    ) -> Result<(), Trouble> {
        self.arrive(what, goal, view, workload, |blockers| {
            blockers.retain(|blocker| {
                matches!(blocker.object.kind.as_str(), "Node" | "Machine")
                    || blocker.condition.contains("nodes for")
                    || blocker.condition.contains("Machines, ")
            });
        })
        .await
    }

    /// What looks closer at whatever keeps the cluster from arriving.
    fn causes<'c>(
        &'c self,
        goal: &'c Goal,
        management: &'c View,
        workload: &'c View,
    ) -> Causes<'c> {
        Causes {
            context: self.context,
            goal,
            management,
            workload: Some(workload),
            engine: self.engine,
            seen: Mutex::default(),
        }
    }

    async fn arrive(
        &self,
        what: &str,
        goal: &Goal,
        view: &View,
        workload: &View,
        only: impl Fn(&mut Vec<Blocker>),
    ) -> Result<(), Trouble> {
        let causes = self.causes(goal, view, workload);
        let what = format!("{}: {what}", goal.cluster);
        wait(
            self.context,
            &what,
            self.phases.left(),
            &[view, workload],
            Some(&causes),
            || {
                let mut blockers = finished::blockers(goal, view, workload);
                only(&mut blockers);
                Progress::unless(blockers)
            },
        )
        .await?;
        Ok(())
    }

    /// Nothing moves any more: no Machine is replaced, and nothing that had arrived goes away for
    /// good. A workload that is briefly unavailable is waited for, and watched again.
    pub(super) async fn stays(
        &self,
        view: &View,
        workload: &Workload,
        period: Duration,
    ) -> Result<(), Trouble> {
        let machines = || -> BTreeSet<String> {
            let machines = workload.goal.machines(view);
            machines
                .iter()
                .map(|machine| machine.str("/metadata/uid").to_owned())
                .collect()
        };
        let arrived = machines();
        loop {
            let violated = stay(self.context, period, &[view, &workload.view], || {
                finished::blockers(&workload.goal, view, &workload.view)
            })
            .await?;
            if machines() != arrived {
                return Err(unexpected_rollout(&workload.goal, &violated));
            }
            let Some(first) = violated.first() else {
                return Ok(());
            };
            self.context.note(format!("had arrived, but then: {first}"));
            if self.phases.left() < period {
                let message = format!("does not stay as it arrived: {first}");
                if !blind(view).is_empty() {
                    // While the management cluster does not answer, nothing is said about the stack.
                    return Err(Trouble::Infrastructure(anyhow::anyhow!(message)));
                }
                return Err(Trouble::Stack {
                    finding: named::cause(&message, &violated).map(Box::new),
                    message,
                });
            }
            self.arrive(
                "settled again",
                &workload.goal,
                view,
                &workload.view,
                |_| {},
            )
            .await?;
        }
    }

    /// Facts for the reports that are known once a release has arrived.
    fn versions(&self, when: &str, release: &Release, prepared: &Prepared, workload: &View) {
        let nodes = workload.list(&kinds::NODE);
        for (name, field) in [
            ("node-image", "/status/nodeInfo/osImage"),
            (
                "container-runtime",
                "/status/nodeInfo/containerRuntimeVersion",
            ),
        ] {
            let told: BTreeSet<&str> = nodes.iter().map(|node| node.str(field)).collect();
            let told = Vec::from_iter(told).join(", ");
            if !told.is_empty() {
                self.context.property(format!("{name}.{when}"), told);
            }
        }
        self.context.property(
            format!("kubernetes.{when}"),
            release.kubernetes_version.to_string(),
        );
        if let Some(image) = network_image(&prepared.addons) {
            self.context.property(format!("cni.{when}"), image);
        }
    }
}

impl Workload {
    /// What checks' answers depend on beside the release.
    pub(super) fn surroundings(&self, provider: &str) -> Surroundings {
        let nodes = self.view.list(&kinds::NODE);
        let images: BTreeSet<&str> = nodes
            .iter()
            .map(|node| node.str("/status/nodeInfo/osImage"))
            .collect();
        Surroundings {
            provider: provider.to_owned(),
            cni: network_image(&self.addons).unwrap_or_default().to_owned(),
            node_image: Vec::from_iter(images).join(", "),
        }
    }
}

/// The image of the network's agents, by the name of the stage that brings it.
fn network_image(addons: &[delivery::AddonObjects]) -> Option<&str> {
    let network = addons.iter().find(|addon| addon.stage.name.contains("cni"));
    let images = network
        .into_iter()
        .flat_map(|addon| &addon.objects)
        .filter_map(|object| {
            object
                .pointer("/spec/template/spec/containers/0/image")?
                .as_str()
        });
    images.into_iter().next()
}

fn rendering(error: ReleaseError) -> Trouble {
    Trouble::stack(error.to_string())
}

fn unexpected_rollout(goal: &Goal, evidence: &[Blocker]) -> Trouble {
    let finding = Finding {
        cause: "unexpected-rollout".to_owned(),
        message: format!(
            "Machines of {} are replaced although the upgrade to {} had arrived",
            goal.cluster, goal.version
        ),
        object: ObjectRef::new("management", "Cluster", &goal.namespace, &goal.cluster),
        evidence: evidence.iter().map(ToString::to_string).collect(),
    };
    Trouble::Stack {
        message: finding.message.clone(),
        finding: Some(Box::new(finding)),
    }
}
