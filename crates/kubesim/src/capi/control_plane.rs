//! KubeadmControlPlanes: the first Machine is initialised, others join; a change of version or template
//! replaces them one by one, a new one first.

mod kubeconfig;
mod status;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::access::{
    hold, is_controlled_by, machines, owner_cluster, referred, release, unless_gone, workload_name,
};
use super::conditions::{self, State};
use super::kinds::{CLUSTER_NAME, CLUSTERS, CONTROL_PLANE_LABEL, CONTROL_PLANES, MACHINES};
use super::machine_set::{Config, Making, make};
use crate::cluster::Cluster;
use crate::controller::{Controller, Cx, Key, Next};
use crate::error::ApiError;
use crate::fault::Fault;
use crate::kubeadm::{self, SystemUpgrade};
use crate::object::{is_deleting, is_ready, is_true, name, namespace, text, truth};
use crate::registry::Deletion;
use crate::resource::GroupResource;
use crate::resource::builtin::{NODES, PODS};
use crate::store::{Change, reads};

const MANAGER: &str = "capi-kubeadm-control-plane";
const FINALIZER: &str = "kubeadm.controlplane.cluster.x-k8s.io";
/// Held until etcd has let the member go.
const CLEANUP: &str = "pre-terminate.delete.hook.machine.cluster.x-k8s.io/kcp-cleanup";
/// How often the workload cluster is looked at.
const LOOK: Duration = Duration::from_secs(3);
/// Static pods, by the condition that a Machine has for each.
const PODS_OF: [(&str, &str); 4] = [
    ("APIServerPodHealthy", "kube-apiserver"),
    ("ControllerManagerPodHealthy", "kube-controller-manager"),
    ("SchedulerPodHealthy", "kube-scheduler"),
    ("EtcdPodHealthy", "etcd"),
];

/// The controller.
pub struct ControlPlanes;

impl Controller for ControlPlanes {
    fn name(&self) -> &'static str {
        MANAGER
    }

    fn wakes(&self) -> Vec<GroupResource> {
        vec![CONTROL_PLANES, MACHINES, CLUSTERS]
    }

    fn keys(&self, cluster: &Cluster, change: &Change) -> Vec<Key> {
        let object = &change.object.value;
        if change.resource == CONTROL_PLANES {
            return vec![Key::of(change)];
        }
        let owner = if change.resource == CLUSTERS {
            Some(name(object))
        } else {
            crate::object::label(object, CLUSTER_NAME)
        };
        let planes = cluster.api().list(&CONTROL_PLANES, Some(namespace(object)));
        let mine = planes
            .iter()
            .filter(|plane| crate::object::label(plane, CLUSTER_NAME) == owner);
        mine.map(|plane| Key::new(namespace(plane), name(plane)))
            .collect()
    }

    fn is_settled_by_what_it_reads(&self) -> bool {
        true
    }

    fn reconcile(&mut self, cx: &mut Cx<'_>, key: &Key) -> Result<Next, ApiError> {
        let api = cx.cluster.api();
        let Some(plane) = api.get(&CONTROL_PLANES, &key.namespace, &key.name) else {
            return Ok(Next::Change);
        };
        let Some(owner) = owner_cluster(cx.cluster, &plane) else {
            return Ok(Next::After(LOOK));
        };
        let mine = machines(cx.cluster, &key.namespace, name(&owner), |machine| {
            is_controlled_by(machine, &plane)
        });
        if is_deleting(&plane) {
            reads::spoil();
            if mine.is_empty() {
                release(cx.cluster, &CONTROL_PLANES, &plane, FINALIZER)?;
            }
            for machine in &mine {
                let_go(cx.cluster, machine)?;
            }
            return Ok(Next::After(LOOK));
        }
        hold(cx.cluster, &CONTROL_PLANES, &plane, FINALIZER)?;
        let ready = truth(&owner, "/status/initialization/infrastructureProvisioned")
            && owner["spec"]["controlPlaneEndpoint"]["host"].is_string();
        let workload = cx
            .simulation
            .cluster(&workload_name(namespace(&owner), name(&owner)));
        if ready {
            kubeconfig::provide(cx.cluster, &plane, &owner)?;
        }
        let parts = Parts {
            plane: &plane,
            owner: &owner,
            machines: &mine,
            workload: workload.as_ref(),
        };
        parts.look(cx)?;
        if ready {
            parts.act(cx)?;
        }
        status::report(cx, key, ready, workload.as_ref())?;
        Ok(Next::After(LOOK))
    }
}

struct Parts<'a> {
    plane: &'a Value,
    owner: &'a Value,
    machines: &'a [Arc<Value>],
    workload: Option<&'a Cluster>,
}

impl Parts<'_> {
    /// Tells each Machine of its static pods and etcd, and whether it is up to date.
    fn look(&self, cx: &Cx<'_>) -> Result<(), ApiError> {
        let api = cx.cluster.api();
        let now = api.clock().stamp();
        for machine in self.machines {
            let (space, own) = (namespace(machine), name(machine));
            let states = self.pods(machine);
            let updated = self.up_to_date(cx.cluster, machine);
            unless_gone(api.modify(&MACHINES, space, own, MANAGER, |machine| {
                let held = !is_deleting(machine);
                if held && machine["metadata"]["annotations"].get(CLEANUP).is_none() {
                    crate::object::set_in_metadata(machine, "annotations", CLEANUP, "");
                }
                conditions::set(machine, "UpToDate", &updated, &now);
                for (kind, state) in &states {
                    conditions::set(machine, kind, state, &now);
                }
            }))?;
        }
        Ok(())
    }

    fn pods(&self, machine: &Value) -> Vec<(&'static str, State)> {
        let all = |state: &State| -> Vec<(&'static str, State)> {
            let kinds = PODS_OF
                .iter()
                .map(|(kind, _)| *kind)
                .chain(["EtcdMemberHealthy"]);
            kinds.map(|kind| (kind, state.clone())).collect()
        };
        if is_deleting(machine) {
            return all(&State::no("Deleting", "Machine is deleting"));
        }
        let initialized = truth(self.owner, "/status/initialization/controlPlaneInitialized");
        let Some(workload) = self.workload.filter(|_| initialized) else {
            return all(&State::unknown(
                "InspectionFailed",
                "Waiting for Cluster control plane to be initialized",
            ));
        };
        let own = name(machine);
        if machine["status"]["nodeRef"].is_null() || workload.api().get(&NODES, "", own).is_none() {
            let kind = text(machine, "/spec/infrastructureRef/kind");
            return all(&State::unknown(
                "InspectionFailed",
                format!("Waiting for {kind} to report spec.providerID"),
            ));
        }
        let mut states: Vec<_> = PODS_OF
            .iter()
            .map(|(kind, component)| {
                let pod = workload
                    .api()
                    .get(&PODS, "kube-system", &format!("{component}-{own}"));
                let state = match pod {
                    None => State::no("DoesNotExist", "Pod does not exist"),
                    Some(pod) if is_ready(&pod) => State::yes("Running"),
                    Some(_) => State::no("Provisioning", "Waiting to report conditions"),
                };
                (*kind, state)
            })
            .collect();
        states.push(("EtcdMemberHealthy", State::yes("Healthy")));
        states
    }

    /// Whether a Machine is what the control plane asks for now.
    fn up_to_date(&self, cluster: &Cluster, machine: &Value) -> State {
        let mut lines = Vec::new();
        let (wanted, present) = (
            text(self.plane, "/spec/version"),
            text(machine, "/spec/version"),
        );
        if wanted != present {
            lines.push(format!("* Version {present}, {wanted} required"));
        }
        let space = namespace(machine);
        if let Some(config) = referred(cluster, space, &machine["spec"]["bootstrap"]["configRef"])
            && !is_same_config(&self.plane["spec"]["kubeadmConfigSpec"], &config["spec"])
        {
            lines.push("* KubeadmConfig is not up-to-date".to_owned());
        }
        let template = &self.plane["spec"]["machineTemplate"]["spec"]["infrastructureRef"];
        let cloned = "cluster.x-k8s.io/cloned-from-name";
        if let Some(object) = referred(cluster, space, &machine["spec"]["infrastructureRef"])
            && crate::object::annotation(&object, cloned)
                .is_some_and(|from| from != text(template, "/name"))
        {
            lines.push(format!("* {} is not up-to-date", text(&object, "/kind")));
        }
        if lines.is_empty() {
            State::yes("UpToDate")
        } else {
            State::no("NotUpToDate", lines.join("\n"))
        }
    }

    /// One step: initialise, scale, replace, or move what belongs to the cluster as a whole.
    fn act(&self, cx: &mut Cx<'_>) -> Result<(), ApiError> {
        let cluster = cx.cluster;
        let wanted =
            usize::try_from(self.plane["spec"]["replicas"].as_u64().unwrap_or(1)).unwrap_or(1);
        let initialized = truth(self.owner, "/status/initialization/controlPlaneInitialized");
        let faults = cx.simulation.faults().clone();
        let surprised = reads::other(move || faults.is(Fault::UnexpectedRollout));
        let outdated = |machine: &&Arc<Value>| {
            conditions::get(machine, "UpToDate").is_some_and(|(status, ..)| status == "False")
        };
        let old: Vec<&Arc<Value>> = self.machines.iter().filter(outdated).collect();
        let old = if old.is_empty() && surprised && self.machines.len() == wanted {
            // The first of them is taken for outdated, once.
            cx.simulation.faults().clear(Fault::UnexpectedRollout);
            cx.simulation.faults().note(Fault::UnexpectedRollout);
            self.machines.iter().take(1).collect()
        } else {
            old
        };
        for machine in self.machines.iter().filter(|machine| is_deleting(machine)) {
            // etcd lets a member go as soon as the Machine is drained.
            let waits = conditions::get(machine, "Deleting")
                .is_some_and(|(_, reason, _)| reason == "WaitingForPreTerminateHook");
            if waits {
                if let Some(workload) = self.workload {
                    workload.machines().etcd_leaves(name(machine));
                }
                let_go(cluster, machine)?;
            }
        }
        if self.machines.is_empty() {
            return self.add(cx, true);
        }
        if !initialized {
            return Ok(());
        }
        let deleting = self.machines.iter().any(|machine| is_deleting(machine));
        let settled = self
            .machines
            .iter()
            .all(|machine| is_deleting(machine) || is_settled(machine));
        if deleting || !settled {
            return Ok(());
        }
        if self.machines.len() > wanted {
            let first = old.first().copied().or_else(|| self.machines.first());
            if let Some(machine) = first {
                unless_gone(cluster.api().delete(
                    &MACHINES,
                    namespace(machine),
                    name(machine),
                    &Deletion::default(),
                ))?;
            }
            return Ok(());
        }
        if !old.is_empty() || self.machines.len() < wanted {
            return self.add(cx, false);
        }
        // What is told of them may be of before: another version may just have been asked for.
        let current = |machine: &Arc<Value>| self.up_to_date(cluster, machine).status == "True";
        if !self.machines.iter().all(current) {
            return Ok(());
        }
        self.system()
    }

    fn add(&self, cx: &Cx<'_>, first: bool) -> Result<(), ApiError> {
        let plane = self.plane;
        let mut labels = plane["spec"]["machineTemplate"]["metadata"]["labels"].clone();
        labels[CLUSTER_NAME] = json!(name(self.owner));
        labels[CONTROL_PLANE_LABEL] = json!("");
        labels["cluster.x-k8s.io/control-plane-name"] = json!(name(plane));
        let mut config = plane["spec"]["kubeadmConfigSpec"].clone();
        if !config.is_object() {
            config = json!({});
        }
        if config["clusterConfiguration"].is_null() {
            config["clusterConfiguration"] = json!({});
        }
        let unused = if first {
            "joinConfiguration"
        } else {
            "initConfiguration"
        };
        config
            .as_object_mut()
            .map(|config| config.shift_remove(unused));
        let own = format!("{}-{}", name(plane), cx.cluster.api().suffix());
        make(
            cx.cluster,
            &Making {
                name: &own,
                owner: plane,
                labels: &labels,
                annotations: &json!({CLEANUP: ""}),
                infrastructure: &plane["spec"]["machineTemplate"]["spec"]["infrastructureRef"],
                version: text(plane, "/spec/version"),
                config: Config::Spec(config),
                more: &json!({}),
            },
        )
    }

    /// What belongs to the cluster as a whole moves once all Machines have.
    fn system(&self) -> Result<(), ApiError> {
        let Some(workload) = self.workload else {
            return Ok(());
        };
        let version = text(self.plane, "/spec/version");
        let dns = &self.plane["spec"]["kubeadmConfigSpec"]["clusterConfiguration"]["dns"];
        workload.set_version(version);
        kubeadm::upgrade_system(
            workload,
            &SystemUpgrade {
                kubernetes_version: version.to_owned(),
                dns_image_tag: text(dns, "/imageTag").to_owned(),
                dns_image_repository: text(dns, "/imageRepository").to_owned(),
            },
        )
    }
}

/// Whether a Machine has a healthy control plane, so that another may be changed. That its CNI is not
/// there yet is none of the control plane's business.
fn is_settled(machine: &Value) -> bool {
    machine["status"]["nodeRef"].is_object()
        && PODS_OF.iter().all(|(kind, _)| is_true(machine, kind))
        && is_true(machine, "EtcdMemberHealthy")
}

fn is_same_config(wanted: &Value, present: &Value) -> bool {
    let with_default = |value: &Value| {
        if value.is_null() {
            json!({})
        } else {
            value.clone()
        }
    };
    // One of init and join is dropped when a Machine is made.
    let part = |field: &str| present[field].is_null() || wanted[field] == present[field];
    let mut one = with_default(&wanted["clusterConfiguration"]);
    let mut other = with_default(&present["clusterConfiguration"]);
    // CoreDNS is moved without replacing Machines.
    for settings in [&mut one, &mut other] {
        settings
            .as_object_mut()
            .map(|settings| settings.shift_remove("dns"));
    }
    one == other
        && part("initConfiguration")
        && part("joinConfiguration")
        && ON_THE_MACHINE
            .iter()
            .all(|field| wanted[field] == present[field])
}

/// What a bootstrap configuration does beside kubeadm.
const ON_THE_MACHINE: [&str; 8] = [
    "files",
    "preKubeadmCommands",
    "postKubeadmCommands",
    "bootCommands",
    "users",
    "ntp",
    "mounts",
    "diskSetup",
];

fn let_go(cluster: &Cluster, machine: &Value) -> Result<(), ApiError> {
    if !is_deleting(machine) {
        unless_gone(cluster.api().delete(
            &MACHINES,
            namespace(machine),
            name(machine),
            &Deletion::default(),
        ))?;
    }
    unless_gone(cluster.api().modify(
        &MACHINES,
        namespace(machine),
        name(machine),
        MANAGER,
        |machine| {
            if let Some(annotations) = machine["metadata"]["annotations"].as_object_mut() {
                annotations.shift_remove(CLEANUP);
            }
        },
    ))
}
