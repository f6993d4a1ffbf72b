//! A rehearsal against the recorded history of the same upgrade on real clusters: what each object went
//! through, in which order, and which conditions it bore. Where they differ, the real one is right.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Command;

use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use serde_json::Value;
use stackgate::record::{Past, RECORDING, Told as Recorded};

/// The label of a control plane's Machines.
const CONTROL_PLANE: &str = "cluster.x-k8s.io/control-plane";

/// A state of a condition: kind, condition, reason.
type State = (&'static str, &'static str, &'static str);

/// States of conditions in the simulation that are left out of the comparison, each with the reason.
const ONLY_SIMULATED: &[State] = &[
    // What Cluster API says when a part has nothing to tell yet; the recorded run's caches were not there.
    ("Cluster", "ControlPlaneMachinesUpToDate", "UpToDateUnknown"),
    ("Cluster", "RollingOut", "RollingOutUnknown"),
    ("Cluster", "ScalingDown", "ScalingDownUnknown"),
    ("Cluster", "WorkersAvailable", "NoWorkers"),
    ("KubeadmControlPlane", "MachinesUpToDate", "UpToDateUnknown"),
    // In between, for as long as one reconciliation has told of a Machine and the next has not.
    ("Cluster", "WorkerMachinesReady", "ReadyUnknown"),
    ("Cluster", "ControlPlaneMachinesReady", "ReadyUnknown"),
    ("MachineDeployment", "MachinesReady", "ReadyUnknown"),
    // States of a second or less, seen or not by chance: how busy the machine was, which pod was seen first.
    ("Machine", "BootstrapConfigReady", "NotReady"),
    ("Machine", "APIServerPodHealthy", "Provisioning"),
    ("Machine", "ControllerManagerPodHealthy", "Provisioning"),
    ("Machine", "EtcdPodHealthy", "Provisioning"),
    ("Machine", "SchedulerPodHealthy", "Provisioning"),
];

/// States of conditions in the recorded run that are left out of the comparison, each with the reason.
const ONLY_REAL: &[State] = &[
    // Caches that had not synchronised in the first second.
    ("Cluster", "ControlPlaneMachinesReady", "InternalError"),
    ("Cluster", "ControlPlaneMachinesUpToDate", "InternalError"),
    ("Cluster", "Remediating", "InternalError"),
    ("Cluster", "RollingOut", "InternalError"),
    ("Cluster", "ScalingDown", "InternalError"),
    ("Cluster", "WorkerMachinesReady", "InternalError"),
    ("Cluster", "WorkerMachinesUpToDate", "InternalError"),
    ("Cluster", "WorkersAvailable", "InternalError"),
    // In between, for as long as one reconciliation has told of a Machine and the next has not.
    ("Cluster", "ControlPlaneMachinesReady", "ReadyUnknown"),
    ("Cluster", "WorkerMachinesReady", "ReadyUnknown"),
    ("MachineDeployment", "MachinesReady", "ReadyUnknown"),
    ("Machine", "Ready", "ReadyUnknown"),
    // States of a second or less, seen or not by chance: how busy the machine was, which pod was seen first.
    (
        "MachineDeployment",
        "Available",
        "WaitingForAvailableReplicasSet",
    ),
    ("Machine", "EtcdMemberHealthy", "NotHealthy"),
    ("Machine", "BootstrapConfigReady", "NotReady"),
    ("Machine", "APIServerPodHealthy", "DoesNotExist"),
    ("Machine", "ControllerManagerPodHealthy", "DoesNotExist"),
    ("Machine", "EtcdPodHealthy", "DoesNotExist"),
    ("Machine", "SchedulerPodHealthy", "DoesNotExist"),
    ("Machine", "APIServerPodHealthy", "Provisioning"),
    ("Machine", "SchedulerPodHealthy", "Provisioning"),
];

/// Conditions whose states are not compared, each with the reason.
const DIFFERENT: &[(&str, &str)] = &[
    // When the simulation tells of the Cluster first, no control plane has been asked for yet.
    ("Cluster 1", "ScalingUp"),
    // Healthy for the first second, before the first Machine has told of its pods.
    ("KubeadmControlPlane 1", "ControlPlaneComponentsHealthy"),
    // The network of the new node came up after the old Machine had gone; when simulated, before.
    ("KubeadmControlPlane 1", "MachinesReady"),
    // The first look at the node came after its network was up.
    ("Machine control-plane 1", "NodeHealthy"),
    ("Machine control-plane 1", "NodeReady"),
];

/// What became of an object. The real upgrade was recorded before there were recordings: a line each.
#[derive(Deserialize)]
struct Moment {
    gone: bool,
    object: Value,
}

/// What of an object is followed, by what it is called.
type States = BTreeMap<&'static str, String>;

/// What a history tells.
#[derive(Default)]
struct Told {
    /// What each object went through: `Machine control-plane 2` → `phase Pending`, ….
    lives: BTreeMap<String, Vec<String>>,
    /// The steps of the rollout over all objects, in their order.
    rollout: Vec<String>,
    /// What each condition of an object went through: kind, object and condition, with status and reason.
    conditions: BTreeMap<(String, String, String), Vec<(String, String)>>,
}

impl Told {
    fn by(history: Vec<Moment>) -> Self {
        let mut told = Self::default();
        let mut names: BTreeMap<(String, String), String> = BTreeMap::new();
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        let mut upgrading = false;
        let mut last: BTreeMap<String, States> = BTreeMap::new();
        // A Node of a control plane is told as one a moment after it is there; its Machine is from the start.
        let planes: BTreeSet<String> = history
            .iter()
            .map(|moment| &moment.object)
            .filter(|object| object["kind"] == "Machine")
            .filter(|object| object["metadata"]["labels"].get(CONTROL_PLANE).is_some())
            .map(|object| object["metadata"]["name"].as_str().unwrap().to_owned())
            .collect();
        for moment in history {
            let object = &moment.object;
            let kind = object["kind"].as_str().unwrap().to_owned();
            if ![
                "Cluster",
                "KubeadmControlPlane",
                "MachineDeployment",
                "Machine",
                "Node",
            ]
            .contains(&&*kind)
            {
                continue;
            }
            let name = object["metadata"]["name"].as_str().unwrap().to_owned();
            let plays = planes.contains(&name);
            let called = names.entry((kind.clone(), name)).or_insert_with(|| {
                let role = role(&kind, plays);
                let count = counts.entry(role.clone()).or_default();
                *count += 1;
                format!("{role} {count}")
            });
            let conditions = object["status"]["conditions"].as_array();
            for condition in conditions.into_iter().flatten() {
                let text = |field: &str| condition[field].as_str().unwrap_or_default().to_owned();
                let key = (kind.clone(), called.clone(), text("type"));
                let states = told.conditions.entry(key).or_default();
                let state = (text("status"), text("reason"));
                if states.last() != Some(&state) {
                    states.push(state);
                }
            }
            let states = if moment.gone {
                [("", "gone".to_owned())].into()
            } else {
                states(&kind, object)
            };
            let before = last
                .insert(called.clone(), states.clone())
                .unwrap_or_default();
            for (what, state) in states {
                // A new Machine is in these for some milliseconds, which a watch need not see.
                let passing = what == "phase" && ["null", "Pending"].contains(&state.as_str());
                if passing || before.get(what) == Some(&state) {
                    continue;
                }
                let step = format!("{what} {state}").trim().to_owned();
                told.lives
                    .entry(called.clone())
                    .or_default()
                    .push(step.clone());
                upgrading |= step == "topology ClusterUpgrading";
                if is_milestone(&kind, &step, upgrading) {
                    told.rollout.push(format!("{called}: {step}"));
                }
            }
        }
        told
    }
}

/// Which part an object plays.
fn role(kind: &str, of_control_plane: bool) -> String {
    match (kind, of_control_plane) {
        ("Machine" | "Node", true) => format!("{kind} control-plane"),
        ("Machine" | "Node", false) => format!("{kind} worker"),
        _ => kind.to_owned(),
    }
}

fn states(kind: &str, object: &Value) -> States {
    let (spec, status) = (&object["spec"], &object["status"]);
    let text = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    let condition = |kind: &str, field: &str| {
        let mut all = status["conditions"].as_array().into_iter().flatten();
        all.find(|one| one["type"] == kind)
            .map(|one| text(&one[field]))
            .unwrap_or_default()
    };
    match kind {
        "Cluster" => [
            ("class", text(&spec["topology"]["classRef"]["name"])),
            ("topology", condition("TopologyReconciled", "reason")),
        ]
        .into(),
        "KubeadmControlPlane" => [("version", text(&spec["version"]))].into(),
        "MachineDeployment" => [("version", text(&spec["template"]["spec"]["version"]))].into(),
        "Machine" => [("phase", text(&status["phase"]))].into(),
        _ => [
            ("ready", condition("Ready", "status")),
            ("cordoned", (spec["unschedulable"] == true).to_string()),
        ]
        .into(),
    }
}

/// Whether a step's place among those of other objects is not chance: watches of different kinds tell what
/// happens within one reconciliation in any order.
fn is_milestone(kind: &str, step: &str, upgrading: bool) -> bool {
    match kind {
        "Machine" => ["phase Running", "phase Deleting", "gone"].contains(&step),
        "Cluster" => {
            step.starts_with("class ") || upgrading && step == "topology ReconcileSucceeded"
        }
        "KubeadmControlPlane" | "MachineDeployment" => true,
        _ => false,
    }
}

fn recorded() -> Told {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/real-upgrade.jsonl.gz");
    let lines = BufReader::new(MultiGzDecoder::new(File::open(file).unwrap())).lines();
    let moments = lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap());
    Told::by(moments.collect())
}

fn rehearsed() -> Told {
    let folder = tempfile::tempdir().unwrap();
    let stacks = Path::new(env!("CARGO_MANIFEST_DIR")).join("stacks-under-test");
    let output = Command::new(env!("CARGO_BIN_EXE_stackgate"))
        .current_dir(folder.path())
        .args([
            "run",
            "docker-demo",
            "--engine",
            "embedded",
            "--seed",
            "1",
            "--stacks",
        ])
        .arg(stacks)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let recording = folder.path().join("reports/latest").join(RECORDING);
    let past = Past::open(&recording).unwrap();
    let moments = past
        .changes()
        .filter_map(|entry| match entry.unwrap().told {
            Recorded::Object { object, .. } => Some(Moment {
                gone: false,
                object,
            }),
            Recorded::Gone { object, .. } => Some(Moment { gone: true, object }),
            Recorded::Served { .. } | Recorded::Log { .. } => None,
        });
    Told::by(moments.collect())
}

#[test]
fn embedded_upgrade_takes_the_steps_of_the_real_one() {
    let (real, simulated) = (recorded(), rehearsed());
    assert_eq!(
        simulated.lives.keys().collect::<Vec<_>>(),
        real.lives.keys().collect::<Vec<_>>()
    );
    for (called, steps) in &real.lives {
        assert_eq!(&simulated.lives[called], steps, "{called}");
    }
    assert!(real.rollout.len() >= 15, "{:?}", real.rollout);
    assert_eq!(simulated.rollout, real.rollout);
}

/// What a condition went through, without what is left out.
fn without(
    left_out: &[State],
    (kind, _, condition): &(String, String, String),
    states: &[(String, String)],
) -> Vec<(String, String)> {
    let mut kept = states.to_vec();
    let is_left_out = |reason: &str| {
        let mut all = left_out.iter();
        all.any(|(of, what, why)| *of == kind && *what == condition && *why == reason)
    };
    kept.retain(|(_, reason)| !is_left_out(reason));
    kept.dedup();
    kept
}

/// Where two histories differ in what a condition went through.
fn differences(
    real: &Told,
    simulated: &Told,
    only_real: &[State],
    only_simulated: &[State],
    different: &[(&str, &str)],
) -> Vec<String> {
    let keys: BTreeSet<_> = [real, simulated]
        .iter()
        .flat_map(|told| told.conditions.keys())
        .collect();
    let shown = |states: &[(String, String)]| {
        let states: Vec<String> = states
            .iter()
            .map(|(status, reason)| format!("{status} {reason}"))
            .collect();
        states.join(", ")
    };
    keys.into_iter()
        .filter_map(|key| {
            let of = |told: &Told, left_out: &[State]| {
                let states = told.conditions.get(key);
                without(left_out, key, states.map_or(&[], Vec::as_slice))
            };
            let (one, other) = (of(real, only_real), of(simulated, only_simulated));
            let (_, object, condition) = key;
            let mut listed = different.iter();
            let is_listed = listed.any(|(of, what)| of == object && what == condition);
            (one != other && !is_listed).then(|| {
                format!(
                    "{object} {condition}\n      real: {}\n simulated: {}",
                    shown(&one),
                    shown(&other)
                )
            })
        })
        .collect()
}

#[test]
fn embedded_conditions_go_through_the_states_of_the_real_upgrade_but_for_what_is_listed() {
    let (real, simulated) = (recorded(), rehearsed());
    assert!(real.conditions.len() > 90, "{}", real.conditions.len());
    let differ = |only_real: &[State], only_simulated: &[State], different: &[(&str, &str)]| {
        differences(&real, &simulated, only_real, only_simulated, different)
    };
    let found = differ(ONLY_REAL, ONLY_SIMULATED, DIFFERENT);
    assert!(found.is_empty(), "{}", found.join("\n"));
    // What is left out without need would hide what comes later.
    for (index, gone) in ONLY_REAL.iter().enumerate() {
        let found = differ(&but(ONLY_REAL, index), ONLY_SIMULATED, DIFFERENT);
        assert!(!found.is_empty(), "ONLY_REAL needs no {gone:?}");
    }
    for (index, gone) in ONLY_SIMULATED.iter().enumerate() {
        let found = differ(ONLY_REAL, &but(ONLY_SIMULATED, index), DIFFERENT);
        assert!(!found.is_empty(), "ONLY_SIMULATED needs no {gone:?}");
    }
    for (index, gone) in DIFFERENT.iter().enumerate() {
        let found = differ(ONLY_REAL, ONLY_SIMULATED, &but(DIFFERENT, index));
        assert!(!found.is_empty(), "DIFFERENT needs no {gone:?}");
    }
}

/// A list without one of its entries.
fn but<T: Clone>(list: &[T], index: usize) -> Vec<T> {
    let mut list = list.to_vec();
    list.remove(index);
    list
}
