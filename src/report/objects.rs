//! The recorded objects as lanes of the timeline: which state each was in, from when to when.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use serde_json::Value;

use super::timeline::{Group, Lane, span};
use super::words::Tone;
use crate::record::{Id, Past, Told};

/// The kinds that have a group of their own, and its name.
const GROUPS: [(&str, &str); 5] = [
    ("Cluster", "cluster and its parts"),
    ("KubeadmControlPlane", "cluster and its parts"),
    ("MachineDeployment", "cluster and its parts"),
    ("Machine", "machines"),
    ("Node", "nodes by version"),
];
/// What has a lane, by cluster.
const MANAGEMENT: [&str; 4] = [
    "clusters.cluster.x-k8s.io",
    "kubeadmcontrolplanes.controlplane.cluster.x-k8s.io",
    "machinedeployments.cluster.x-k8s.io",
    "machines.cluster.x-k8s.io",
];
const WORKLOAD: [&str; 5] = [
    "nodes",
    "pods",
    "deployments.apps",
    "daemonsets.apps",
    "statefulsets.apps",
];
const PODS: &str = "pods that were not always well";
const WORKLOADS: &str = "workloads that were not always well";

/// Reads the groups of a recording, up to `end_ms`.
///
/// # Errors
/// When the recording cannot be read.
pub(super) fn read(path: &Path, end_ms: u64) -> Result<Vec<Group>> {
    let mut known: BTreeMap<Key, Known> = BTreeMap::new();
    for entry in Past::open(path)?.changes() {
        let entry = entry?;
        let (id, object, gone) = match entry.told {
            Told::Object { id, object } => (id, object, false),
            Told::Gone { id, object } => (id, object, true),
            Told::Served { .. } | Told::Log { .. } => continue,
        };
        if !is_shown(&id) {
            continue;
        }
        let Some(key) = Key::of(&id.cluster, &object) else {
            continue;
        };
        let at_ms = entry.at_ms.min(end_ms);
        let state = (!gone).then(|| State::of(&key.kind, &object));
        let version = ["/spec/version", "/status/nodeInfo/kubeletVersion"];
        let mut told = version.iter().map(|pointer| str_at(&object, pointer));
        let version = told.find(|version| !version.is_empty());
        let known = known.entry(key).or_default();
        if let Some(version) = version {
            known.version = version.to_owned();
        }
        known.take(at_ms, state);
    }
    let mut lanes: BTreeMap<&'static str, Vec<Lane>> = BTreeMap::new();
    for (key, mut known) in known {
        known.take(end_ms, None);
        let named = GROUPS.iter().find(|(kind, _)| *kind == key.kind);
        let group = match (named, key.kind.as_str()) {
            (Some((_, group)), _) => group,
            // There are many, and those that were always well tell nothing.
            (None, _) if known.always_well => continue,
            (None, "Pod") => PODS,
            (None, _) => WORKLOADS,
        };
        known.lane.name = key.name(&known.version);
        lanes.entry(group).or_default().push(known.lane);
    }
    let order = GROUPS
        .iter()
        .map(|(_, group)| *group)
        .chain([PODS, WORKLOADS]);
    let mut groups: Vec<Group> = Vec::new();
    for name in order {
        groups.extend(Group::new(name, lanes.remove(name).unwrap_or_default()));
    }
    Ok(groups)
}

/// Whether an object has a lane: what is recorded beside it would only make these harder to see.
fn is_shown(id: &Id) -> bool {
    match id.cluster.as_str() {
        "management" => MANAGEMENT.contains(&id.resource.as_str()),
        _ => WORKLOAD.contains(&id.resource.as_str()),
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    kind: String,
    namespace: String,
    name: String,
    cluster: String,
    /// An object that comes again under its name is another one.
    uid: String,
}

impl Key {
    fn of(cluster: &str, object: &Value) -> Option<Self> {
        let at = |pointer: &str| str_at(object, pointer).to_owned();
        let kind = at("/kind");
        (!kind.is_empty()).then(|| Self {
            kind,
            namespace: at("/metadata/namespace"),
            name: at("/metadata/name"),
            cluster: cluster.to_owned(),
            uid: at("/metadata/uid"),
        })
    }

    /// What stands before the lane. A node and its machine have one version for as long as they live.
    fn name(&self, version: &str) -> String {
        match self.kind.as_str() {
            "Pod" => format!("{}/{}", self.namespace, self.name),
            "Machine" | "Node" if !version.is_empty() => format!("{version} {}", self.name),
            kind => format!("{kind} {}", self.name),
        }
    }
}

#[derive(Default)]
struct Known {
    lane: Lane,
    version: String,
    since: Option<(u64, State)>,
    always_well: bool,
    begun: bool,
}

impl Known {
    fn take(&mut self, at_ms: u64, state: Option<State>) {
        if !std::mem::replace(&mut self.begun, true) {
            self.always_well = true;
        }
        self.always_well &= state.as_ref().is_none_or(|state| state.tone.is_none());
        if self.since.as_ref().map(|(_, known)| known) == state.as_ref() {
            return;
        }
        if let Some((since, known)) = self.since.take() {
            self.lane.push(span(since, at_ms, known.tone, known.text));
        }
        self.since = state.map(|state| (at_ms, state));
    }
}

#[derive(Clone, Debug, PartialEq)]
struct State {
    tone: Option<Tone>,
    text: String,
}

impl State {
    fn of(kind: &str, object: &Value) -> Self {
        let leaving = object.pointer("/metadata/deletionTimestamp").is_some();
        let mut state = match kind {
            "Machine" => machine(object),
            "Node" => node(object),
            "Pod" => pod(object),
            "Deployment" | "DaemonSet" | "StatefulSet" => workload(object),
            _ => owner(object),
        };
        if leaving && state.tone != Some(Tone::Bad) {
            state.text.insert_str(0, "being deleted; ");
            state.tone = Some(Tone::Faint);
        }
        state
    }

    fn new(tone: Option<Tone>, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { tone, text }
    }
}

fn machine(machine: &Value) -> State {
    let phase = str_at(machine, "/status/phase");
    let version = str_at(machine, "/spec/version");
    let ready = condition(machine, "Ready").filter(|ready| ready.status != "True");
    let why = ready.map(|ready| format!(": {}", ready.why()));
    let text = format!("{version} {phase}{}", why.unwrap_or_default());
    let tone = match phase {
        "Running" => None,
        "Failed" | "Unknown" => Some(Tone::Bad),
        "Deleting" | "Deleted" => Some(Tone::Faint),
        _ => Some(Tone::Attention),
    };
    State::new(tone, text.trim())
}

fn node(node: &Value) -> State {
    let version = str_at(node, "/status/nodeInfo/kubeletVersion");
    let mut text = version.to_owned();
    if node.pointer("/spec/unschedulable") == Some(&Value::Bool(true)) {
        text.push_str(", cordoned");
    }
    match condition(node, "Ready") {
        Some(ready) if ready.status == "True" => {
            text.push_str(", Ready");
            State::new(None, text)
        }
        Some(ready) => {
            text.push_str(&format!(", not Ready: {}", ready.why()));
            State::new(Some(Tone::Attention), text)
        }
        None => State::new(Some(Tone::Attention), text),
    }
}

fn pod(pod: &Value) -> State {
    let phase = str_at(pod, "/status/phase");
    let waiting = ["containerStatuses", "initContainerStatuses"]
        .into_iter()
        .filter_map(|list| pod.pointer(&format!("/status/{list}"))?.as_array())
        .flatten()
        .map(|container| str_at(container, "/state/waiting/reason"))
        .find(|reason| !reason.is_empty());
    let usual = ["", "ContainerCreating", "PodInitializing"];
    match (phase, waiting) {
        (_, Some(reason)) if !usual.contains(&reason) => {
            State::new(Some(Tone::Bad), format!("{phase}: {reason}"))
        }
        ("Failed" | "Unknown", _) => State::new(Some(Tone::Bad), phase),
        // Every pod is pending at first; that alone makes it no pod to look at.
        _ => State::new(None, phase),
    }
}

fn workload(workload: &Value) -> State {
    let number = |names: [&str; 2]| {
        let told = names
            .iter()
            .find_map(|name| workload.pointer(name)?.as_u64());
        told.unwrap_or_default()
    };
    let wanted = number(["/status/desiredNumberScheduled", "/spec/replicas"]);
    let ready = number(["/status/numberReady", "/status/readyReplicas"]);
    let tone = (ready < wanted).then_some(Tone::Attention);
    State::new(tone, format!("{ready} of {wanted} ready"))
}

fn owner(owner: &Value) -> State {
    let version = [
        "/spec/topology/version",
        "/spec/version",
        "/spec/template/spec/version",
    ]
    .into_iter()
    .map(|pointer| str_at(owner, pointer))
    .find(|version| !version.is_empty());
    let mut text = version.unwrap_or_default().to_owned();
    let mut tone = None;
    for (name, good) in [
        ("Available", "True"),
        ("RollingOut", "False"),
        ("TopologyReconciled", "True"),
    ] {
        if let Some(found) = condition(owner, name).filter(|found| found.status != good) {
            text.push_str(&format!(", {name} {}: {}", found.status, found.why()));
            tone = Some(Tone::Attention);
        }
    }
    State::new(tone, text.trim_start_matches(", "))
}

struct Condition<'a> {
    status: &'a str,
    reason: &'a str,
    message: &'a str,
}

impl Condition<'_> {
    fn why(&self) -> String {
        let line = self.message.lines().next().unwrap_or_default();
        match (self.reason, line) {
            (reason, "") => reason.to_owned(),
            ("", line) => line.to_owned(),
            (reason, line) => format!("{reason}: {line}"),
        }
    }
}

fn condition<'a>(object: &'a Value, name: &str) -> Option<Condition<'a>> {
    let conditions = object.pointer("/status/conditions")?.as_array()?;
    let found = conditions.iter().find(|one| str_at(one, "/type") == name)?;
    Some(Condition {
        status: str_at(found, "/status"),
        reason: str_at(found, "/reason"),
        message: str_at(found, "/message"),
    })
}

fn str_at<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::record::{Clock, RECORDING, Recording, Redactor};

    fn machine(phase: &str) -> Value {
        json!({"kind": "Machine", "metadata": {"name": "md-0", "uid": "1"},
            "spec": {"version": "v1.35.0"}, "status": {"phase": phase,
                "nodeInfo": {"kubeletVersion": "v1.35.0"}, "conditions": [
                {"type": "Ready", "status": if phase == "Running" { "True" } else { "False" },
                 "reason": "WaitingForNodeRef", "message": "no node"}]}})
    }

    fn pod(name: &str, reason: &str) -> Value {
        json!({"kind": "Pod", "metadata": {"name": name, "namespace": "kube-system"},
            "status": {"phase": "Pending", "containerStatuses": [
                {"state": {"waiting": {"reason": reason}}}]}})
    }

    #[tokio::test(start_paused = true)]
    async fn each_object_has_its_states_in_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(RECORDING);
        let clock = Clock::starting_at(jiff::Timestamp::UNIX_EPOCH);
        let recording = Recording::create(&path, clock, Redactor::default()).unwrap();
        let tell = async |after: u64, gone: bool, object: &Value| {
            tokio::time::advance(Duration::from_secs(after)).await;
            let is_pod = object["kind"] == "Pod";
            let (cluster, resource) = if is_pod {
                ("workload", WORKLOAD[1])
            } else {
                ("management", MANAGEMENT[3])
            };
            let id = Id {
                cluster: cluster.to_owned(),
                resource: resource.to_owned(),
                namespace: str_at(object, "/metadata/namespace").to_owned(),
                name: str_at(object, "/metadata/name").to_owned(),
            };
            if gone {
                recording.gone(&id);
            } else {
                recording.object(id, object.clone());
            }
        };
        tell(1, false, &machine("Provisioning")).await;
        tell(1, false, &machine("Provisioning")).await;
        tell(1, false, &pod("fine", "ContainerCreating")).await;
        tell(1, false, &pod("stuck", "ImagePullBackOff")).await;
        tell(1, false, &machine("Running")).await;
        tell(4, true, &machine("Deleting")).await;
        recording.finish().unwrap();
        let mut told = String::new();
        for group in read(&path, 20_000).unwrap() {
            for lane in group.lanes {
                told.push_str(&format!("{}: {}\n", group.name, lane.name));
                for span in lane.spans {
                    let tone = span
                        .tone
                        .map(|tone| format!(" {tone:?}"))
                        .unwrap_or_default();
                    let (from, to) = (span.from_ms / 1000, span.to_ms / 1000);
                    told.push_str(&format!("  {from}-{to}{tone} {}\n", span.what));
                }
            }
        }
        insta::assert_snapshot!(told, @"
        machines: v1.35.0 md-0
          1-5 Attention v1.35.0 Provisioning: WaitingForNodeRef: no node
          5-9 v1.35.0 Running
        pods that were not always well: kube-system/stuck
          4-20 Bad Pending: ImagePullBackOff
        ");
    }

    #[test]
    fn nodes_and_workloads_tell_version_and_what_is_missing() {
        let node = json!({"spec": {"unschedulable": true}, "status": {
            "nodeInfo": {"kubeletVersion": "v1.34.3"},
            "conditions": [{"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown"}]}});
        let expected = "v1.34.3, cordoned, not Ready: NodeStatusUnknown";
        assert_eq!(
            State::of("Node", &node),
            State::new(Some(Tone::Attention), expected)
        );
        let daemons = json!({"status": {"desiredNumberScheduled": 3, "numberReady": 2}});
        let told = State::of("DaemonSet", &daemons);
        assert_eq!(told, State::new(Some(Tone::Attention), "2 of 3 ready"));
        let control_plane = json!({"spec": {"version": "v1.35.0"}, "status": {"conditions": [
            {"type": "Available", "status": "True"},
            {"type": "RollingOut", "status": "True", "reason": "RollingOut", "message": "1 of 3"}]}});
        let told = State::of("KubeadmControlPlane", &control_plane).text;
        assert_eq!(told, "v1.35.0, RollingOut True: RollingOut: 1 of 3");
    }
}
