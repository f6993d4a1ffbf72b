//! When a release has arrived: nothing that it names is anywhere else than on the live cluster.
//!
//! Cluster API's own "done" is a claim; what counts is that no Machine, Node or workload is left at
//! the release before, and that every controller has seen the latest spec.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use crate::cluster::kinds::{self, CLUSTER_NAME, PENDING_HOOKS};
use crate::cluster::{Object, View, blind, rollout_blocker};
use crate::delivery::{unclaimed, untrue};
use crate::record::{Blocker, ObjectRef};

/// Where the cluster has to arrive.
#[derive(Clone, Debug)]
pub struct Goal {
    /// Namespace of the Cluster on the management cluster.
    pub namespace: String,
    /// The Cluster's name.
    pub cluster: String,
    /// The ClusterClass's name.
    pub class: String,
    /// The Kubernetes version, e.g. `v1.35.0`.
    pub version: String,
    /// How many control-plane Machines.
    pub control_plane: i64,
    /// How many worker Machines.
    pub workers: i64,
    /// The addon workloads of the release that have to be rolled out, each with its stage's name.
    pub workloads: Vec<(String, ObjectRef)>,
    /// The Kubernetes version that it comes from, in an upgrade that a hook holds until its addons are there.
    pub from: Option<String>,
    /// Whether the Cluster Stack Operator brings the addons, and has to say that it has.
    pub operator: bool,
    /// Whether it fetches releases itself.
    pub fetches: bool,
}

impl Goal {
    /// Where the operator brings cluster `c` in namespace `n`, for tests: one control-plane node and one worker.
    #[cfg(test)]
    pub(super) fn of_the_operator(class: &str, version: &str) -> Self {
        Self {
            namespace: "n".to_owned(),
            cluster: "c".to_owned(),
            class: class.to_owned(),
            version: version.to_owned(),
            control_plane: 1,
            workers: 1,
            workloads: Vec::new(),
            from: None,
            operator: true,
            fetches: false,
        }
    }

    /// Whether an object of Cluster API is the run's.
    pub(super) fn has(&self, object: &Object) -> bool {
        object.namespace() == self.namespace && object.label(CLUSTER_NAME) == Some(&self.cluster)
    }

    /// The run's Machines.
    #[must_use]
    pub fn machines(&self, management: &View) -> Vec<Arc<Object>> {
        let mut machines = management.list(&kinds::MACHINE);
        machines.retain(|machine| self.has(machine));
        machines
    }

    /// What tells these from others of the same name.
    #[must_use]
    pub fn machine_uids(&self, management: &View) -> BTreeSet<String> {
        let machines = self.machines(management);
        let uids = machines.iter().map(|machine| machine.str("/metadata/uid"));
        uids.map(str::to_owned).collect()
    }
}

/// Everything that keeps the cluster from having arrived; none when it has.
#[must_use]
pub fn blockers(goal: &Goal, management: &View, workload: &View) -> Vec<Blocker> {
    // A view that does not know cannot say that all is well.
    let mut found = blind(management);
    found.extend(blind(workload));
    found.extend(topology(goal, management));
    found.extend(control_plane(goal, management));
    found.extend(workers(goal, management));
    let machines = goal.machines(management);
    found.extend(self::machines(goal, &machines));
    found.extend(nodes(goal, &machines, &workload.list(&kinds::NODE)));
    found.extend(system(goal, workload));
    found.extend(addons(goal, workload));
    if goal.operator {
        // A claim, which comes last: what is wrong says more.
        found.extend(unclaimed(
            management,
            &goal.namespace,
            &goal.cluster,
            &goal.class,
        ));
        // Once N+1 is the goal, nothing stands on N any more.
        let untrue = untrue(management, &goal.namespace, &goal.class).into_iter();
        found.extend(untrue.map(|one| one.blocker));
    }
    found
}

/// About the Cluster, or one of the objects that make it up and share its name in our words.
fn about(goal: &Goal, kind: &str, condition: impl Into<String>) -> Blocker {
    let object = ObjectRef::new("management", kind, &goal.namespace, &goal.cluster);
    Blocker::new(object, condition)
}

fn topology(goal: &Goal, management: &View) -> Vec<Blocker> {
    let Some(cluster) = management.get(&kinds::CLUSTER, &goal.namespace, &goal.cluster) else {
        return vec![about(goal, "Cluster", "missing")];
    };
    let mut found = Vec::new();
    for (pointer, wanted) in [
        ("/spec/topology/classRef/name", &goal.class),
        ("/spec/topology/version", &goal.version),
    ] {
        let live = cluster.str(pointer);
        if live != wanted {
            found.push(cluster.blocker(format!("{pointer} is '{live}', not '{wanted}'")));
        }
    }
    if !cluster.is_observed() {
        found.push(cluster.blocker("latest spec not yet seen by its controller"));
    }
    if let Some(hooks) = cluster
        .annotation(PENDING_HOOKS)
        .filter(|hooks| !hooks.is_empty())
    {
        found.push(cluster.blocker(format!("hooks pending: {hooks}")));
    }
    found.extend(cluster.unless_true_now("TopologyReconciled"));
    found
}

fn control_plane(goal: &Goal, management: &View) -> Vec<Blocker> {
    let mut planes = management.list(&kinds::KUBEADM_CONTROL_PLANE);
    planes.retain(|plane| goal.has(plane));
    let Some(plane) = planes.first() else {
        return vec![about(goal, "KubeadmControlPlane", "missing")];
    };
    let mut found = Vec::from_iter(versions(plane, "/spec/version", goal));
    found.extend(versions(plane, "/status/version", goal));
    found.extend(replicas(plane, goal.control_plane));
    found
}

fn workers(goal: &Goal, management: &View) -> Vec<Blocker> {
    let mut deployments = management.list(&kinds::MACHINE_DEPLOYMENT);
    deployments.retain(|deployment| goal.has(deployment));
    let mut found = Vec::new();
    let mut wanted = 0;
    for deployment in &deployments {
        let replicas_wanted = deployment.int("/spec/replicas").unwrap_or(1);
        wanted += replicas_wanted;
        found.extend(versions(deployment, "/spec/template/spec/version", goal));
        found.extend(replicas(deployment, replicas_wanted));
    }
    if wanted != goal.workers {
        found.push(about(
            goal,
            "MachineDeployment",
            format!("{wanted} of {} worker replicas asked for", goal.workers),
        ));
    }
    found
}

fn versions(object: &Object, pointer: &str, goal: &Goal) -> Option<Blocker> {
    let live = object.str(pointer);
    (live != goal.version).then(|| {
        let live = if live.is_empty() { "not set" } else { live };
        object.blocker(format!("{pointer} is {live}, not {}", goal.version))
    })
}

/// replicas = ready = available = up to date, as asked for, by a controller that has seen the spec.
fn replicas(object: &Object, wanted: i64) -> Option<Blocker> {
    if !object.is_observed() {
        return Some(object.blocker("latest spec not yet seen by its controller"));
    }
    let counts = [
        "/status/replicas",
        "/status/readyReplicas",
        "/status/availableReplicas",
        "/status/upToDateReplicas",
    ]
    .map(|count| object.int(count).unwrap_or_default());
    (counts != [wanted; 4]).then(|| {
        let [present, ready, available, updated] = counts;
        let mut blocker = object.blocker(format!(
            "{wanted} wanted, {present} present, {updated} up to date, {ready} ready, {available} available"
        ));
        let condition = ["RollingOut", "ScalingUp", "ScalingDown"]
            .iter()
            .find(|kind| object.is_true(kind))
            .and_then(|kind| object.condition(kind));
        if let Some(condition) = condition {
            blocker.reason = condition.reason;
            blocker.message = condition.message;
            blocker.since = condition.since;
        }
        blocker
    })
}

fn machines(goal: &Goal, machines: &[Arc<Object>]) -> Vec<Blocker> {
    let mut found = Vec::new();
    for machine in machines {
        if machine.is_deleting() {
            let condition = machine.condition("Deleting");
            let mut blocker = machine.blocker("being deleted");
            if let Some(condition) = condition {
                blocker.reason = condition.reason;
                blocker.message = condition.message;
                blocker.since = condition.since;
            }
            found.push(blocker);
            continue;
        }
        found.extend(versions(machine, "/spec/version", goal));
        let mut owners = machine.array("/metadata/ownerReferences").iter();
        if !owners.any(|owner| owner["controller"] == true) {
            // Nobody would replace it, now or at the next upgrade.
            found.push(machine.blocker("no controller owns it"));
        }
        // The most telling one: a Machine without infrastructure has no healthy node either.
        let unmet = ["InfrastructureReady", "BootstrapConfigReady", "NodeHealthy"]
            .iter()
            .find_map(|condition| machine.unless_true(condition));
        found.extend(unmet);
        // The version alone does not tell N from N+1 where both have the same Kubernetes.
        if machine.status_of("UpToDate") == Some("False") {
            found.extend(machine.unless_true("UpToDate"));
        }
    }
    let wanted = goal.control_plane + goal.workers;
    let present = i64::try_from(machines.len()).unwrap_or(i64::MAX);
    if present != wanted {
        found.push(about(
            goal,
            "Cluster",
            format!("{present} Machines, {wanted} wanted"),
        ));
    }
    // What is broken says more than what is merely old or on its way out.
    found.sort_by_key(|blocker| {
        let condition = &blocker.condition;
        // One that is out of date fails nowhere: it waits for those that replace it, also for one that never
        // becomes a Node.
        match condition {
            _ if condition.starts_with("UpToDate") => 2,
            _ if condition.contains("False") => 0,
            _ if condition.contains("Unknown") => 1,
            _ => 3,
        }
    });
    found
}

fn nodes(goal: &Goal, machines: &[Arc<Object>], nodes: &[Arc<Object>]) -> Vec<Blocker> {
    let mut found = Vec::new();
    let owned: BTreeSet<&str> = machines
        .iter()
        .map(|machine| machine.str("/status/nodeRef/name"))
        .collect();
    for node in nodes {
        if !owned.contains(node.name()) {
            found.push(node.blocker("no Machine owns it"));
        }
        found.extend(versions(node, "/status/nodeInfo/kubeletVersion", goal));
        found.extend(node.unless_true("Ready"));
    }
    if nodes.len() < machines.len() {
        found.push(about(
            goal,
            "Cluster",
            format!("{} nodes for {} Machines", nodes.len(), machines.len()),
        ));
    }
    found
}

/// kube-proxy, CoreDNS and the control plane's static pods: kubeadm's part of the cluster. A stack may
/// replace the first two by its own; whether DNS answers is then a matter of the checks.
fn system(goal: &Goal, workload: &View) -> Vec<Blocker> {
    let mut found = Vec::new();
    if let Some(proxy) = workload.get(&kinds::DAEMON_SET, "kube-system", "kube-proxy") {
        found.extend(rollout_blocker(&proxy));
        let image = proxy.str("/spec/template/spec/containers/0/image");
        // Build metadata is written with '_' in image tags.
        let tag = goal.version.replace('+', "_");
        if !image.ends_with(&format!(":{tag}")) {
            found.push(proxy.blocker(format!("image is {image}, not {tag}")));
        }
    }
    if let Some(dns) = workload.get(&kinds::DEPLOYMENT, "kube-system", "coredns") {
        found.extend(rollout_blocker(&dns));
    }
    for pod in workload.list_in(&kinds::POD, "kube-system") {
        if pod.label("tier") == Some("control-plane") {
            found.extend(pod.unless_true("Ready"));
        }
    }
    found
}

/// The addon workloads of the release, or of one stage of it, each with what is live of it.
pub(super) fn live<'a>(
    goal: &'a Goal,
    workload: &'a View,
    stage: Option<&'a str>,
) -> impl Iterator<Item = (&'a ObjectRef, Option<Arc<Object>>)> {
    let all = goal.workloads.iter();
    let all = all.filter(move |(own, _)| stage.is_none_or(|stage| stage == own));
    all.filter_map(|(_, place)| {
        let kind = match place.kind.as_str() {
            "Deployment" => kinds::DEPLOYMENT,
            "DaemonSet" => kinds::DAEMON_SET,
            "StatefulSet" => kinds::STATEFUL_SET,
            _ => return None,
        };
        let namespace = place.namespace.as_deref().unwrap_or_default();
        Some((place, workload.get(&kind, namespace, &place.name)))
    })
}

fn addons(goal: &Goal, workload: &View) -> Vec<Blocker> {
    live(goal, workload, None)
        .filter_map(|(place, live)| rolled_out(live.as_deref(), place))
        .collect()
}

/// The addon workloads of the release that are not there.
pub(super) fn missing(goal: &Goal, workload: &View) -> Vec<ObjectRef> {
    live(goal, workload, None)
        .filter(|(_, live)| live.is_none())
        .map(|(place, _)| place.clone())
        .collect()
}

/// Whether a workload of a stage is there and on its way; without stages, one of the release. One that is not there was
/// refused, and will not come of itself.
pub(super) fn rolls_out(goal: &Goal, workload: &View, stage: Option<&str>) -> bool {
    live(goal, workload, stage)
        .filter_map(|(_, live)| live)
        .any(|live| rollout_blocker(&live).is_some())
}

fn rolled_out(live: Option<&Object>, place: &ObjectRef) -> Option<Blocker> {
    match live {
        Some(object) => rollout_blocker(object),
        None => Some(Blocker::new(place.clone(), "missing")),
    }
}

/// The workloads among rendered objects, as references on the workload cluster.
#[must_use]
pub fn workloads(rendered: &[Value]) -> Vec<ObjectRef> {
    rendered
        .iter()
        .map(|json| Object::new("workload", json.clone()))
        .filter(|object| matches!(object.kind(), "Deployment" | "DaemonSet" | "StatefulSet"))
        .map(|object| {
            let mut place = object.reference();
            place
                .namespace
                .get_or_insert_with(|| "kube-system".to_owned());
            place
        })
        .collect()
}

#[cfg(test)]
mod tests;
