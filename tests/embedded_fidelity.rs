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

/// Conditions that the simulation shows and the recorded run did not, each with the reason.
const ONLY_SIMULATED: &[(&str, &str, &str)] = &[
    // The recorded run's caches had not synchronised in the first second: it says `InternalError` where
    // the simulation, which has none, says what Cluster API says when a part has nothing to tell yet.
    ("Cluster", "ControlPlaneMachinesUpToDate", "UpToDateUnknown"),
    ("Cluster", "RollingOut", "RollingOutUnknown"),
    ("Cluster", "ScalingDown", "ScalingDownUnknown"),
    ("Cluster", "ScalingUp", "ScalingUpUnknown"),
    ("Cluster", "WorkerMachinesUpToDate", "UpToDateUnknown"),
    ("Cluster", "WorkersAvailable", "NoWorkers"),
    ("KubeadmControlPlane", "EtcdClusterHealthy", "HealthUnknown"),
    ("KubeadmControlPlane", "MachinesUpToDate", "UpToDateUnknown"),
    // Which of a node's static pods is seen first, is chance.
    ("Machine", "ControllerManagerPodHealthy", "Provisioning"),
    ("Machine", "EtcdPodHealthy", "Provisioning"),
    ("Machine", "APIServerPodHealthy", "Provisioning"),
    ("Machine", "SchedulerPodHealthy", "Provisioning"),
];

/// Conditions of the recorded run that the simulation does not show, each with the reason.
const ONLY_REAL: &[(&str, &str, &str)] = &[
    // Caches that had not synchronised in the first second.
    ("Cluster", "ControlPlaneMachinesReady", "InternalError"),
    ("Cluster", "ControlPlaneMachinesUpToDate", "InternalError"),
    ("Cluster", "Remediating", "InternalError"),
    ("Cluster", "RollingOut", "InternalError"),
    ("Cluster", "ScalingDown", "InternalError"),
    ("Cluster", "ScalingUp", "InternalError"),
    ("Cluster", "WorkerMachinesReady", "InternalError"),
    ("Cluster", "WorkerMachinesUpToDate", "InternalError"),
    ("Cluster", "WorkersAvailable", "InternalError"),
    (
        "MachineDeployment",
        "Available",
        "WaitingForAvailableReplicasSet",
    ),
    // States of a second or less, seen because the recorded machine was busy.
    ("Machine", "APIServerPodHealthy", "DoesNotExist"),
    ("Machine", "ControllerManagerPodHealthy", "DoesNotExist"),
    ("Machine", "EtcdPodHealthy", "DoesNotExist"),
    ("Machine", "SchedulerPodHealthy", "DoesNotExist"),
    ("Machine", "EtcdMemberHealthy", "NotHealthy"),
    ("Machine", "Ready", "ReadyUnknown"),
    // A control-plane node without workloads is drained within one reconciliation when simulated.
    ("Machine", "Deleting", "DrainingNode"),
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
    /// Kind, condition and reason.
    conditions: BTreeSet<(String, String, String)>,
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
            for condition in object["status"]["conditions"]
                .as_array()
                .into_iter()
                .flatten()
            {
                let text = |field: &str| condition[field].as_str().unwrap_or_default().to_owned();
                told.conditions
                    .insert((kind.clone(), text("type"), text("reason")));
            }
            let name = object["metadata"]["name"].as_str().unwrap().to_owned();
            let plays = planes.contains(&name);
            let called = names.entry((kind.clone(), name)).or_insert_with(|| {
                let role = role(&kind, plays);
                let count = counts.entry(role.clone()).or_default();
                *count += 1;
                format!("{role} {count}")
            });
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

#[test]
fn embedded_conditions_are_those_of_the_real_upgrade_but_for_what_is_listed() {
    let (real, simulated) = (recorded(), rehearsed());
    let listed = |list: &[(&str, &str, &str)]| -> BTreeSet<(String, String, String)> {
        let owned = |&(kind, condition, reason): &(&str, &str, &str)| {
            (kind.to_owned(), condition.to_owned(), reason.to_owned())
        };
        list.iter().map(owned).collect()
    };
    assert!(real.conditions.len() > 50, "{}", real.conditions.len());
    let invented: Vec<_> = simulated
        .conditions
        .difference(&real.conditions)
        .cloned()
        .collect();
    let unexplained: Vec<_> = invented
        .iter()
        .filter(|one| !listed(ONLY_SIMULATED).contains(*one))
        .collect();
    assert!(unexplained.is_empty(), "only simulated: {unexplained:#?}");
    let missing: Vec<_> = real
        .conditions
        .difference(&simulated.conditions)
        .cloned()
        .collect();
    let unexplained: Vec<_> = missing
        .iter()
        .filter(|one| !listed(ONLY_REAL).contains(*one))
        .collect();
    assert!(unexplained.is_empty(), "only real: {unexplained:#?}");
}
