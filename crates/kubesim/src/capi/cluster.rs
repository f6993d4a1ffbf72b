//! Clusters: what their infrastructure, control plane and workers say, summed up; and their deletion.

mod deletion;

use std::time::Duration;

use serde_json::{Value, json};

use super::access::{hold, machines, referred, workload_name};
use super::conditions::{self, State, aggregate};
use super::kinds::{
    CLUSTER_NAME, CLUSTERS, CONTROL_PLANE_LABEL, CONTROL_PLANES, MACHINE_DEPLOYMENTS, MACHINES,
    infrastructure_kind,
};
use super::provider::{Provider, is_provisioned, is_ready};
use crate::cluster::Cluster;
use crate::controller::{Controller, Cx, Key, Next};
use crate::error::ApiError;
use crate::fault::Fault;
use crate::object::{
    condition, is_deleting, is_true, label, name, namespace, set_in_metadata, text, truth,
};
use crate::resource::GroupResource;
use crate::store::{Change, reads};

const MANAGER: &str = "capi-cluster";
const FINALIZER: &str = "cluster.cluster.x-k8s.io";
const LOOK: Duration = Duration::from_secs(10);
/// What a controller writes that does not come to rest, and how often.
const SEEN: &str = "simulation.example.org/seen";
const RESTLESS: Duration = Duration::from_secs(10);

/// The controller.
pub struct Clusters {
    infrastructure: GroupResource,
}

impl Clusters {
    /// The controller beside an infrastructure provider.
    pub fn new(provider: &Provider) -> Self {
        Self {
            infrastructure: infrastructure_kind(provider, "clusters"),
        }
    }
}

impl Controller for Clusters {
    fn name(&self) -> &'static str {
        MANAGER
    }

    fn wakes(&self) -> Vec<GroupResource> {
        vec![
            CLUSTERS,
            CONTROL_PLANES,
            MACHINE_DEPLOYMENTS,
            MACHINES,
            self.infrastructure.clone(),
        ]
    }

    fn keys(&self, _: &Cluster, change: &Change) -> Vec<Key> {
        if change.resource == CLUSTERS {
            return vec![Key::of(change)];
        }
        let object = &change.object.value;
        label(object, CLUSTER_NAME)
            .map(|owner| Key::new(namespace(object), owner))
            .into_iter()
            .collect()
    }

    fn is_settled_by_what_it_reads(&self) -> bool {
        true
    }

    fn reconcile(&mut self, cx: &mut Cx<'_>, key: &Key) -> Result<Next, ApiError> {
        let Some(cluster) = cx.cluster.api().get(&CLUSTERS, &key.namespace, &key.name) else {
            return Ok(Next::Change);
        };
        if is_deleting(&cluster) {
            reads::spoil();
            return deletion::delete(cx, &cluster);
        }
        hold(cx.cluster, &CLUSTERS, &cluster, FINALIZER)?;
        let parts = Parts::of(cx, &cluster);
        let now = cx.cluster.api().clock().stamp();
        let faults = cx.simulation.faults().clone();
        let restless = reads::other(move || faults.is(Fault::NeverAtRest));
        cx.cluster
            .api()
            .modify(&CLUSTERS, &key.namespace, &key.name, MANAGER, |cluster| {
                parts.report(cluster, &now);
                if restless {
                    set_in_metadata(cluster, "annotations", SEEN, &now);
                }
            })?;
        if restless {
            reads::spoil();
            cx.simulation.faults().note(Fault::NeverAtRest);
            return Ok(Next::After(RESTLESS));
        }
        let young = parts.workload.is_none() || !is_true(&cluster, "RemoteConnectionProbe");
        Ok(if young {
            Next::After(Duration::from_secs(2))
        } else {
            Next::After(LOOK)
        })
    }
}

struct Parts {
    infrastructure: Option<std::sync::Arc<Value>>,
    plane: Option<std::sync::Arc<Value>>,
    deployments: Vec<std::sync::Arc<Value>>,
    machines: Vec<std::sync::Arc<Value>>,
    workload: Option<Cluster>,
}

impl Parts {
    fn of(cx: &Cx<'_>, cluster: &Value) -> Self {
        let (space, own) = (namespace(cluster), name(cluster));
        let deployments =
            cx.cluster
                .api()
                .labelled(&MACHINE_DEPLOYMENTS, Some(space), &[(CLUSTER_NAME, own)]);
        Self {
            infrastructure: referred(cx.cluster, space, &cluster["spec"]["infrastructureRef"]),
            plane: referred(cx.cluster, space, &cluster["spec"]["controlPlaneRef"]),
            deployments,
            machines: machines(cx.cluster, space, own, |_| true),
            workload: cx.simulation.cluster(&workload_name(space, own)),
        }
    }

    fn report(&self, cluster: &mut Value, now: &str) {
        cluster["status"]["observedGeneration"] = cluster["metadata"]["generation"].clone();
        let provisioned = self
            .infrastructure
            .as_ref()
            .is_some_and(|object| is_provisioned(object));
        if provisioned && let Some(object) = &self.infrastructure {
            cluster["status"]["initialization"]["infrastructureProvisioned"] = json!(true);
            if cluster["spec"]["controlPlaneEndpoint"].is_null() {
                cluster["spec"]["controlPlaneEndpoint"] =
                    object["spec"]["controlPlaneEndpoint"].clone();
            }
        }
        let plane = self.plane.as_deref();
        let initialized = plane
            .is_some_and(|plane| truth(plane, "/status/initialization/controlPlaneInitialized"));
        if initialized {
            cluster["status"]["initialization"]["controlPlaneInitialized"] = json!(true);
        }
        let referred = cluster["spec"]["infrastructureRef"].is_object();
        cluster["status"]["phase"] = json!(match (
            referred,
            provisioned && cluster["spec"]["controlPlaneEndpoint"].is_object()
        ) {
            (_, true) => "Provisioned",
            (true, false) => "Provisioning",
            (false, false) => "Pending",
        });
        self.replicas(cluster);
        let states = self.states(cluster, initialized);
        for (kind, state) in &states {
            conditions::set(cluster, kind, state, now);
            if matches!(*kind, "InfrastructureReady" | "ControlPlaneInitialized") {
                conditions::set_older(cluster, kind, state, now);
            }
        }
        let plane_ready = plane.map_or_else(
            || State::no("WaitingForControlPlane", ""),
            |plane| State::either(is_true(plane, "Available"), "Available", "NotAvailable"),
        );
        conditions::set_older(cluster, "ControlPlaneReady", &plane_ready, now);
        let available = self.available(cluster);
        conditions::set(cluster, "Available", &available, now);
        conditions::set_older(
            cluster,
            "Ready",
            &State::either(
                provisioned && plane_ready.status == "True",
                "Ready",
                "NotReady",
            ),
            now,
        );
    }

    fn replicas(&self, cluster: &mut Value) {
        let sum = |objects: &[&Value], field: &str| -> i64 {
            objects
                .iter()
                .map(|object| object["status"][field].as_i64().unwrap_or(0))
                .sum()
        };
        let planes: Vec<&Value> = self.plane.iter().map(AsRef::as_ref).collect();
        let workers: Vec<&Value> = self.deployments.iter().map(AsRef::as_ref).collect();
        for (part, objects) in [("controlPlane", planes), ("workers", workers)] {
            let desired: i64 = objects
                .iter()
                .map(|object| object["spec"]["replicas"].as_i64().unwrap_or(1))
                .sum();
            let status = &mut cluster["status"][part];
            status["desiredReplicas"] = json!(desired);
            for field in [
                "replicas",
                "readyReplicas",
                "availableReplicas",
                "upToDateReplicas",
            ] {
                status[field] = json!(sum(&objects, field));
            }
        }
    }

    fn states(&self, cluster: &Value, initialized: bool) -> Vec<(&'static str, State)> {
        let kind = text(cluster, "/spec/infrastructureRef/kind");
        let infrastructure = match &self.infrastructure {
            None if is_deleting(cluster) => {
                State::no("ObjectDeleted", format!("{kind} has been deleted"))
            }
            None => State::no("ObjectDoesNotExist", format!("{kind} does not exist")),
            Some(object) if is_ready(object) => State::yes("Ready"),
            Some(_) => State::no(
                "NotReady",
                format!("{kind} status.initialization.provisioned is false"),
            ),
        };
        let workload = self.workload.clone();
        let runs = reads::other(move || workload.as_ref().is_some_and(Cluster::is_running));
        let answers = initialized && runs;
        let probe = if answers {
            State::yes("ProbeSucceeded")
        } else {
            State::no("ProbeFailed", "Remote connection not established yet")
        };
        let plane_kind = text(cluster, "/spec/controlPlaneRef/kind");
        let (first, up) = match &self.plane {
            None => {
                let gone =
                    State::unknown("ObjectDoesNotExist", format!("{plane_kind} does not exist"));
                (
                    gone.clone(),
                    State {
                        status: "False",
                        ..gone
                    },
                )
            }
            Some(plane) => (
                if initialized {
                    State::yes("Initialized")
                } else {
                    State::no("NotInitialized", "Control plane not yet initialized")
                },
                mirrored(plane, "Available", "NotAvailable"),
            ),
        };
        let (planes, workers): (Vec<&Value>, Vec<&Value>) = self
            .machines
            .iter()
            .map(AsRef::as_ref)
            .partition(|machine| label(machine, CONTROL_PLANE_LABEL).is_some());
        let deployments: Vec<&Value> = self.deployments.iter().map(AsRef::as_ref).collect();
        let mut states = vec![
            ("RemoteConnectionProbe", probe),
            ("InfrastructureReady", infrastructure),
            ("ControlPlaneInitialized", first),
            ("ControlPlaneAvailable", up),
            (
                "WorkersAvailable",
                aggregate(
                    &deployments,
                    "Available",
                    "Available",
                    "NotAvailable",
                    "NoWorkers",
                ),
            ),
            (
                "ControlPlaneMachinesReady",
                aggregate(&planes, "Ready", "Ready", "NotReady", "NoReplicas"),
            ),
            (
                "WorkerMachinesReady",
                aggregate(&workers, "Ready", "Ready", "NotReady", "NoReplicas"),
            ),
            (
                "ControlPlaneMachinesUpToDate",
                aggregate(&planes, "UpToDate", "UpToDate", "NotUpToDate", "NoReplicas"),
            ),
            (
                "WorkerMachinesUpToDate",
                aggregate(
                    &workers,
                    "UpToDate",
                    "UpToDate",
                    "NotUpToDate",
                    "NoReplicas",
                ),
            ),
        ];
        for going in ["RollingOut", "ScalingUp", "ScalingDown"] {
            states.push((going, self.any(going)));
        }
        states.push(("Remediating", State::no("NotRemediating", "")));
        states.push(("Paused", State::no("NotPaused", "")));
        if !is_deleting(cluster) {
            states.push(("Deleting", State::no("NotDeleting", "")));
        }
        states
    }

    /// A condition that holds when it does for any part.
    fn any(&self, kind: &str) -> State {
        if self.plane.is_none() && self.deployments.is_empty() {
            return State::no(&format!("Not{kind}"), "");
        }
        let planes = self.plane.iter().map(AsRef::as_ref).collect();
        let workers = self.deployments.iter().map(AsRef::as_ref).collect();
        conditions::any(&[planes, workers], kind)
    }

    /// Available sums up the others, in its own order.
    fn available(&self, cluster: &Value) -> State {
        let mut lines = Vec::new();
        let mut certain = false;
        for kind in [
            "Deleting",
            "RemoteConnectionProbe",
            "InfrastructureReady",
            "ControlPlaneAvailable",
            "WorkersAvailable",
            "TopologyReconciled",
        ] {
            let Some((status, reason, message)) = conditions::get(cluster, kind) else {
                continue;
            };
            let good = if kind == "Deleting" { "False" } else { "True" };
            // An upgrade under way is no unavailability.
            let upgrading = kind == "TopologyReconciled"
                && !matches!(reason, "ReconcileFailed" | "ClusterClassNotReconciled");
            if status != good && !upgrading {
                certain |= status != "Unknown";
                // Where a condition has no message, its reason says it.
                let told = if message.is_empty() { reason } else { message };
                lines.push(format!("* {kind}:{}", conditions::indented(told)));
            }
        }
        if lines.is_empty() {
            State::yes("Available")
        } else if certain {
            State::no("NotAvailable", lines.join("\n"))
        } else {
            State::unknown("AvailableUnknown", lines.join("\n"))
        }
    }
}

/// A part's condition, taken over.
fn mirrored(object: &Value, kind: &str, unless: &str) -> State {
    match condition(object, kind) {
        Some(condition) if condition["status"] == "True" => State::yes(text(condition, "/reason")),
        Some(condition) => State::no(text(condition, "/reason"), text(condition, "/message")),
        None => State::no(
            unless,
            format!(
                "Condition {kind} not yet reported from {}",
                text(object, "/kind")
            ),
        ),
    }
}
