//! Machines: from bootstrap data and infrastructure to a healthy Node, and back again.

use std::time::Duration;

use serde_json::{Value, json};

use super::access::{
    hold, owner_cluster, referred, release, resource_of, unless_gone, workload_name,
};
use super::conditions::{self, State};
use super::drain::drain;
use super::kinds::{CONTROL_PLANE_LABEL, MACHINES, infrastructure_kind};
use super::provider::{Provider, is_provisioned, is_ready};
use crate::cluster::Cluster;
use crate::controller::{Controller, Cx, Key, Next};
use crate::error::ApiError;
use crate::kubeadm;
use crate::object::{condition, is_deleting, is_true, label, name, namespace, text, truth};
use crate::registry::Deletion;
use crate::resource::GroupResource;
use crate::resource::builtin::{NODES, PODS};
use crate::store::reads;

const MANAGER: &str = "capi-machine";
const FINALIZER: &str = "machine.cluster.x-k8s.io";
/// How often a node is looked at, since the workload cluster's changes do not wake the controller.
const LOOK: Duration = Duration::from_secs(2);
/// How often a drain goes on.
const DRAIN: Duration = Duration::from_secs(5);
/// How long a Node is kept for when its infrastructure went first.
const PRE_TERMINATE: &str = "pre-terminate.delete.hook.machine.cluster.x-k8s.io/";

/// The controller.
pub struct Machines {
    infrastructure: GroupResource,
}

impl Machines {
    /// The controller beside an infrastructure provider.
    pub fn new(provider: &Provider) -> Self {
        Self {
            infrastructure: infrastructure_kind(provider, "machines"),
        }
    }
}

impl Controller for Machines {
    fn name(&self) -> &'static str {
        MANAGER
    }

    /// Config and infrastructure are called as the Machine.
    fn wakes(&self) -> Vec<GroupResource> {
        vec![MACHINES, super::kinds::CONFIGS, self.infrastructure.clone()]
    }

    fn is_settled_by_what_it_reads(&self) -> bool {
        true
    }

    fn reconcile(&mut self, cx: &mut Cx<'_>, key: &Key) -> Result<Next, ApiError> {
        let Some(machine) = cx.cluster.api().get(&MACHINES, &key.namespace, &key.name) else {
            return Ok(Next::Change);
        };
        let Some(owner) = owner_cluster(cx.cluster, &machine) else {
            return Ok(Next::After(LOOK));
        };
        if is_deleting(&machine) {
            reads::spoil();
            return delete(cx, &owner, &machine);
        }
        hold(cx.cluster, &MACHINES, &machine, FINALIZER)?;
        let parts = Parts::of(cx, &owner, &machine);
        let now = cx.cluster.api().clock().stamp();
        let written =
            cx.cluster
                .api()
                .modify(&MACHINES, &key.namespace, &key.name, MANAGER, |machine| {
                    advance(machine, &parts);
                    report(machine, &parts, None, &now);
                })?;
        label_node(&parts, &written.value)?;
        // A node says something only when it is looked at.
        let settled = is_true(&written.value, "Available");
        Ok(Next::After(if settled { LOOK * 5 } else { LOOK }))
    }
}

/// What a Machine is made of.
struct Parts {
    config: Option<std::sync::Arc<Value>>,
    infrastructure: Option<std::sync::Arc<Value>>,
    workload: Option<Cluster>,
    node: Option<std::sync::Arc<Value>>,
    initialized: bool,
}

impl Parts {
    fn of(cx: &Cx<'_>, owner: &Value, machine: &Value) -> Self {
        let space = namespace(machine);
        let workload = cx
            .simulation
            .cluster(&workload_name(namespace(owner), name(owner)));
        // Nodes are known by their provider id, and not before they have one; here they are called as their
        // Machines.
        let node = workload
            .as_ref()
            .and_then(|workload| workload.api().get(&NODES, "", name(machine)))
            .filter(|node| node["spec"]["providerID"].is_string());
        Self {
            config: referred(
                cx.cluster,
                space,
                &machine["spec"]["bootstrap"]["configRef"],
            ),
            infrastructure: referred(cx.cluster, space, &machine["spec"]["infrastructureRef"]),
            workload,
            node,
            initialized: truth(owner, "/status/initialization/controlPlaneInitialized"),
        }
    }
}

/// Takes over what the parts say.
fn advance(machine: &mut Value, parts: &Parts) {
    if let Some(secret) = parts
        .config
        .as_ref()
        .and_then(|config| config["status"]["dataSecretName"].as_str())
    {
        machine["spec"]["bootstrap"]["dataSecretName"] = json!(secret);
        machine["status"]["initialization"]["bootstrapDataSecretCreated"] = json!(true);
    }
    if let Some(infrastructure) = &parts.infrastructure
        && is_provisioned(infrastructure)
    {
        machine["spec"]["providerID"] = infrastructure["spec"]["providerID"].clone();
        machine["status"]["addresses"] = infrastructure["status"]["addresses"].clone();
        machine["status"]["initialization"]["infrastructureProvisioned"] = json!(true);
    }
    if let Some(node) = &parts.node
        && machine["spec"]["providerID"].is_string()
    {
        machine["status"]["nodeRef"] = json!({"name": name(node)});
        machine["status"]["nodeInfo"] = node["status"]["nodeInfo"].clone();
    }
}

/// Phase and conditions.
fn report(machine: &mut Value, parts: &Parts, deleting: Option<&State>, now: &str) {
    machine["status"]["observedGeneration"] = machine["metadata"]["generation"].clone();
    let plane = label(machine, CONTROL_PLANE_LABEL).is_some();
    let config_kind = text(machine, "/spec/bootstrap/configRef/kind").to_owned();
    let kind = text(machine, "/spec/infrastructureRef/kind").to_owned();
    let gone = |kind: &str| State::no("ObjectDeleted", format!("{kind} has been deleted"));
    let bootstrap = match &parts.config {
        None if deleting.is_some() => gone(&config_kind),
        None => State::no(
            "ObjectDoesNotExist",
            format!("{config_kind} does not exist"),
        ),
        Some(config) if config["status"]["dataSecretName"].is_string() => State::yes("Ready"),
        Some(_) => State::no(
            "NotReady",
            format!("{config_kind} status.initialization.dataSecretCreated is false"),
        ),
    };
    let infrastructure = match &parts.infrastructure {
        None if deleting.is_some() => gone(&kind),
        None => State::no("ObjectDoesNotExist", format!("{kind} does not exist")),
        Some(object) if is_ready(object) => State::yes("Ready"),
        Some(object) => match conditions::get(object, "Ready") {
            Some(("False", _, message)) if !message.is_empty() => State::no("NotReady", message),
            _ => State::no(
                "NotReady",
                format!("{kind} status.initialization.provisioned is false"),
            ),
        },
    };
    let (healthy, ready) = node_states(machine, parts);
    let mut unmet: Vec<(&str, &State)> = Vec::new();
    for (kind, state) in [
        ("BootstrapConfigReady", &bootstrap),
        ("InfrastructureReady", &infrastructure),
        ("NodeHealthy", &healthy),
    ] {
        if state.status != "True" {
            unmet.push((kind, state));
        }
    }
    let summary = summary(&unmet, deleting, machine, plane);
    conditions::set(machine, "BootstrapConfigReady", &bootstrap, now);
    conditions::set(machine, "InfrastructureReady", &infrastructure, now);
    conditions::set(machine, "NodeHealthy", &healthy, now);
    conditions::set(machine, "NodeReady", &ready, now);
    conditions::set(machine, "Updating", &State::no("NotUpdating", ""), now);
    conditions::set(machine, "Paused", &State::no("NotPaused", ""), now);
    let not_deleting = State::no("NotDeleting", "");
    conditions::set(machine, "Deleting", deleting.unwrap_or(&not_deleting), now);
    let is_ready = summary.status == "True";
    conditions::set(machine, "Ready", &summary, now);
    // minReadySeconds is 0: what is ready is available.
    let available = if is_ready {
        State::yes("Available")
    } else {
        State::no("NotReady", "")
    };
    conditions::set(machine, "Available", &available, now);
    machine["status"]["phase"] = json!(if deleting.is_some() {
        "Deleting"
    } else if machine["status"]["nodeRef"].is_object() {
        "Running"
    } else if truth(machine, "/status/initialization/infrastructureProvisioned") {
        "Provisioned"
    } else if machine["spec"]["bootstrap"]["dataSecretName"].is_string() {
        "Provisioning"
    } else {
        "Pending"
    });
}

/// Everything that keeps a Machine from being ready, in one condition. A control-plane Machine's pods
/// count too, once its KubeadmControlPlane has looked at them.
fn summary(
    unmet: &[(&str, &State)],
    deleting: Option<&State>,
    machine: &Value,
    plane: bool,
) -> State {
    if let Some(deleting) = deleting {
        return State::no(
            "NotReady",
            format!(
                "* Deleting: Machine deletion in progress, stage: {}",
                deleting.reason
            ),
        );
    }
    let mut lines: Vec<String> = unmet
        .iter()
        .map(|(kind, state)| match state.message.starts_with('*') {
            true => format!("* {kind}:\n  {}", state.message.replace('\n', "\n  ")),
            false => format!("* {kind}: {}", state.message),
        })
        .collect();
    let mut certain = unmet.iter().any(|(_, state)| state.status == "False");
    if plane {
        for kind in [
            "APIServerPodHealthy",
            "ControllerManagerPodHealthy",
            "SchedulerPodHealthy",
            "EtcdPodHealthy",
            "EtcdMemberHealthy",
        ] {
            if let Some((status, _, message)) = conditions::get(machine, kind)
                && status != "True"
            {
                certain |= status == "False";
                lines.push(format!("* {kind}: {message}"));
            }
        }
    }
    if lines.is_empty() {
        State::yes("Ready")
    } else if certain {
        State::no("NotReady", lines.join("\n"))
    } else {
        State::unknown("ReadyUnknown", lines.join("\n"))
    }
}

/// What is known of the Node.
fn node_states(machine: &Value, parts: &Parts) -> (State, State) {
    let both = |state: State| (state.clone(), state);
    let Some(node) = &parts.node else {
        let provisioned = machine["spec"]["providerID"].is_string();
        if machine["status"]["nodeRef"].is_object() {
            let gone = format!(
                "Node {} has been deleted",
                text(machine, "/status/nodeRef/name")
            );
            return both(State::no("NodeDeleted", gone));
        }
        if !parts.initialized {
            return both(State::unknown(
                "InspectionFailed",
                "Waiting for Cluster control plane to be initialized",
            ));
        }
        if provisioned {
            let id = text(machine, "/spec/providerID");
            return both(State::unknown(
                "InspectionFailed",
                format!("Waiting for a Node with spec.providerID {id} to exist"),
            ));
        }
        return both(State::unknown(
            "InspectionFailed",
            format!(
                "Waiting for {} to report spec.providerID",
                text(machine, "/spec/infrastructureRef/kind")
            ),
        ));
    };
    if machine["spec"]["providerID"].is_null() {
        return both(State::unknown(
            "InspectionFailed",
            format!(
                "Waiting for {} to report spec.providerID",
                text(machine, "/spec/infrastructureRef/kind")
            ),
        ));
    }
    let mut wrong = Vec::new();
    let mut certain = false;
    for (kind, good) in [
        ("Ready", "True"),
        ("MemoryPressure", "False"),
        ("DiskPressure", "False"),
        ("PIDPressure", "False"),
    ] {
        match condition(node, kind) {
            Some(condition) if condition["status"] == good => {}
            Some(condition) => {
                certain |= condition["status"] != "Unknown";
                wrong.push(format!("* Node.{kind}: {}", text(condition, "/message")));
            }
            None => wrong.push(format!("* Node.{kind}: Condition not yet reported")),
        }
    }
    let healthy = if wrong.is_empty() {
        State::yes("NodeHealthy")
    } else if certain {
        State::no("NodeNotHealthy", wrong.join("\n"))
    } else {
        State::unknown("NodeHealthUnknown", wrong.join("\n"))
    };
    let ready = match condition(node, "Ready") {
        Some(condition) if condition["status"] == "True" => State::yes("NodeReady"),
        Some(condition) if condition["status"] == "False" => State::no(
            "NodeNotReady",
            format!("* Node.Ready: {}", text(condition, "/message")),
        ),
        _ => State::unknown(
            "NodeReadyUnknown",
            "* Node.Ready: Condition not yet reported",
        ),
    };
    (healthy, ready)
}

/// The Node learns which Machine it is, as annotations.
fn label_node(parts: &Parts, machine: &Value) -> Result<(), ApiError> {
    let (Some(workload), Some(node)) = (&parts.workload, &parts.node) else {
        return Ok(());
    };
    if machine["status"]["nodeRef"].is_null()
        || node["metadata"]["annotations"]
            .get("cluster.x-k8s.io/machine")
            .is_some()
    {
        return Ok(());
    }
    let owner = crate::object::controller_of(machine)
        .cloned()
        .unwrap_or_default();
    unless_gone(
        workload
            .api()
            .modify(&NODES, "", name(node), MANAGER, |node| {
                let annotations = &mut node["metadata"]["annotations"];
                annotations["cluster.x-k8s.io/cluster-name"] =
                    machine["spec"]["clusterName"].clone();
                annotations["cluster.x-k8s.io/cluster-namespace"] =
                    machine["metadata"]["namespace"].clone();
                annotations["cluster.x-k8s.io/machine"] = machine["metadata"]["name"].clone();
                annotations["cluster.x-k8s.io/owner-kind"] = owner["kind"].clone();
                annotations["cluster.x-k8s.io/owner-name"] = owner["name"].clone();
            }),
    )
}

/// One step of a deletion: drain, wait for hooks, infrastructure, bootstrap, Node, done.
fn delete(cx: &mut Cx<'_>, owner: &Value, machine: &Value) -> Result<Next, ApiError> {
    let parts = Parts::of(cx, owner, machine);
    let api = cx.cluster.api();
    let (space, own) = (namespace(machine), name(machine));
    let now = api.clock().stamp();
    let stage = |state: State| -> Result<(), ApiError> {
        unless_gone(api.modify(&MACHINES, space, own, MANAGER, |machine| {
            if state.reason == "DrainingNode"
                && machine["status"]["deletion"]["nodeDrainStartTime"].is_null()
            {
                machine["status"]["deletion"]["nodeDrainStartTime"] = json!(now);
            }
            report(machine, &parts, Some(&state), &now);
        }))
    };
    // What goes with its Cluster is not drained.
    let drains = !is_deleting(owner) && parts.node.is_some();
    if drains && let Some(workload) = &parts.workload {
        let left = drain(workload, own)?;
        if !left.is_empty() {
            let since = match text(machine, "/status/deletion/nodeDrainStartTime") {
                "" => now.clone(),
                since => since.to_owned(),
            };
            stage(State {
                status: "True",
                reason: "DrainingNode".to_owned(),
                message: format!(
                    "Drain not completed yet (started at {since}):\n{}",
                    left.join("\n")
                ),
            })?;
            return Ok(Next::After(DRAIN));
        }
    }
    let under_way = |reason: &str, message: String| State {
        status: "True",
        reason: reason.to_owned(),
        message,
    };
    let held = machine["metadata"]["annotations"]
        .as_object()
        .into_iter()
        .flatten();
    let held: Vec<&String> = held
        .map(|(key, _)| key)
        .filter(|key| key.starts_with(PRE_TERMINATE))
        .collect();
    if !held.is_empty() && !is_deleting(owner) {
        let hooks: Vec<&str> = held.iter().map(|key| key.as_str()).collect();
        stage(under_way(
            "WaitingForPreTerminateHook",
            format!(
                "Waiting for pre-terminate hooks to succeed (hooks: {})",
                hooks.join(", ")
            ),
        ))?;
        return Ok(Next::Change);
    }
    for (part, reference, reason) in [
        (
            &parts.infrastructure,
            &machine["spec"]["infrastructureRef"],
            "WaitingForInfrastructureDeletion",
        ),
        (
            &parts.config,
            &machine["spec"]["bootstrap"]["configRef"],
            "WaitingForBootstrapDeletion",
        ),
    ] {
        if let (Some(part), Some(resource)) = (part, resource_of(cx.cluster, reference)) {
            if !is_deleting(part) {
                unless_gone(api.delete(&resource, space, name(part), &Deletion::default()))?;
            }
            stage(under_way(
                reason,
                format!("Waiting for {} to be deleted", text(part, "/kind")),
            ))?;
            return Ok(Next::After(Duration::from_millis(500)));
        }
    }
    if parts.node.is_some()
        && !is_deleting(owner)
        && let Some(workload) = &parts.workload
    {
        kubeadm::leave(workload, own)?;
        forget_pods(workload, own)?;
    }
    stage(under_way(
        "DeletionCompleted",
        "Deletion completed".to_owned(),
    ))?;
    release(cx.cluster, &MACHINES, machine, FINALIZER)?;
    Ok(Next::Change)
}

/// What the machine's containers were is gone with it.
fn forget_pods(workload: &Cluster, node: &str) -> Result<(), ApiError> {
    for pod in workload.api().list(&PODS, None) {
        if text(&pod, "/spec/nodeName") == node {
            let at_once = Deletion {
                grace: Some(0),
                ..Deletion::default()
            };
            unless_gone(
                workload
                    .api()
                    .delete(&PODS, namespace(&pod), name(&pod), &at_once),
            )?;
        }
    }
    Ok(())
}
