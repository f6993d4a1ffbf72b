//! The row of a pod: its phase as people want to read it.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::cells::{age, elements, is_true, name, number, since, text, timestamp};

/// Columns of pods.
pub const COLUMNS: &[&str] = &[
    "Name",
    "Ready",
    "Status",
    "Restarts",
    "Age",
    "*IP",
    "*Node",
    "*Nominated Node",
    "*Readiness Gates",
];

/// What a row says of a pod that has ended.
pub fn row_conditions(object: &Value) -> Option<Value> {
    if object["kind"] != "Pod" {
        return None;
    }
    let message = match object["status"]["phase"].as_str()? {
        "Succeeded" => "The pod has completed successfully.",
        "Failed" => "The pod failed.",
        _ => return None,
    };
    Some(json!([{"type": "Completed", "status": "True",
        "reason": object["status"]["phase"], "message": message}]))
}

/// What is counted over a pod's containers.
#[derive(Default)]
struct Tally {
    restarts: i64,
    last: Option<Timestamp>,
    ready: usize,
}

impl Tally {
    fn restarted(&mut self, status: &Value) {
        self.restarts += number(status, "/restartCount");
        let ended = timestamp(&status["lastState"]["terminated"]["finishedAt"]);
        self.last = self.last.max(ended);
    }
}

/// Why a container ended.
fn ending(state: &Value) -> String {
    let ended = &state["terminated"];
    match ended["reason"].as_str().unwrap_or_default() {
        "" if number(ended, "/signal") != 0 => format!("Signal:{}", number(ended, "/signal")),
        "" => format!("ExitCode:{}", number(ended, "/exitCode")),
        reason => reason.to_owned(),
    }
}

/// What keeps the pod in its initialisation, and what that adds up to.
fn initialisation(pod: &Value, tally: &mut Tally, sidecars: &mut Tally) -> Option<String> {
    let specs = elements(pod, "/spec/initContainers");
    let is_sidecar = |name: &Value| {
        specs
            .iter()
            .any(|spec| spec["name"] == *name && spec["restartPolicy"] == "Always")
    };
    for (index, status) in elements(pod, "/status/initContainerStatuses")
        .iter()
        .enumerate()
    {
        tally.restarted(status);
        let state = &status["state"];
        let sidecar = is_sidecar(&status["name"]);
        if sidecar {
            sidecars.restarted(status);
        }
        let waiting = state["waiting"]["reason"].as_str().unwrap_or_default();
        if state["terminated"].is_object() && number(state, "/terminated/exitCode") == 0 {
            continue;
        }
        if sidecar && status["started"] == true {
            if status["ready"] == true {
                tally.ready += 1;
            }
            continue;
        }
        return Some(if state["terminated"].is_object() {
            format!("Init:{}", ending(state))
        } else if !matches!(waiting, "" | "PodInitializing") {
            format!("Init:{waiting}")
        } else {
            format!("Init:{index}/{}", specs.len())
        });
    }
    None
}

/// The cells of a pod.
pub fn cells(pod: &Value, now: Timestamp) -> Vec<Value> {
    let specs = elements(pod, "/spec/initContainers").iter();
    let sidecar_count = specs
        .filter(|spec| spec["restartPolicy"] == "Always")
        .count();
    let total = elements(pod, "/spec/containers").len() + sidecar_count;
    let word = |pointer: &str| {
        pod.pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let phase = word("/status/phase");
    let mut reason = match word("/status/reason") {
        "" => phase.to_owned(),
        reason => reason.to_owned(),
    };
    let gated = elements(pod, "/status/conditions")
        .iter()
        .any(|c| c["type"] == "PodScheduled" && c["reason"] == "SchedulingGated");
    if gated {
        "SchedulingGated".clone_into(&mut reason);
    }
    let (mut tally, mut sidecars) = (Tally::default(), Tally::default());
    let initialising = initialisation(pod, &mut tally, &mut sidecars);
    let initialised = initialising.is_none() || is_true(pod, "Initialized");
    if let Some(initialising) = initialising {
        reason = initialising;
    }
    if initialised {
        (tally.restarts, tally.last) = (sidecars.restarts, sidecars.last);
        running(pod, &mut tally, &mut reason);
    }
    if pod["metadata"]["deletionTimestamp"].is_string() {
        if word("/status/reason") == "NodeLost" {
            "Unknown".clone_into(&mut reason);
        } else if !matches!(phase, "Succeeded" | "Failed") {
            "Terminating".clone_into(&mut reason);
        }
    }
    let restarts = match tally.last.filter(|_| tally.restarts != 0) {
        Some(last) => format!(
            "{} ({} ago)",
            tally.restarts,
            since(&json!(last.to_string()), now)
        ),
        None => tally.restarts.to_string(),
    };
    let ip = match word("/status/podIPs/0/ip") {
        "" => text(pod, "/status/podIP", "<none>"),
        ip => json!(ip),
    };
    vec![
        name(pod),
        json!(format!("{}/{total}", tally.ready)),
        json!(reason),
        json!(restarts),
        age(pod, now),
        ip,
        text(pod, "/spec/nodeName", "<none>"),
        text(pod, "/status/nominatedNodeName", "<none>"),
        readiness_gates(pod),
    ]
}

/// Counts the containers of a pod that is initialised, and says what state they are in.
fn running(pod: &Value, tally: &mut Tally, reason: &mut String) {
    let mut any = false;
    let mut failure = None;
    for status in elements(pod, "/status/containerStatuses").iter().rev() {
        tally.restarted(status);
        let state = &status["state"];
        let waiting = state["waiting"]["reason"].as_str().unwrap_or_default();
        if !waiting.is_empty() {
            waiting.clone_into(reason);
        } else if state["terminated"].is_object() {
            *reason = ending(state);
            if number(state, "/terminated/exitCode") != 0 {
                failure = Some(reason.clone());
            }
        } else if status["ready"] == true && state["running"].is_object() {
            any = true;
            tally.ready += 1;
        }
    }
    if reason == "Completed" {
        if any && is_true(pod, "Ready") {
            "Running".clone_into(reason);
        } else if let Some(failure) = failure {
            *reason = failure;
        } else if any {
            "NotReady".clone_into(reason);
        }
    }
}

fn readiness_gates(pod: &Value) -> Value {
    let gates = elements(pod, "/spec/readinessGates");
    if gates.is_empty() {
        return json!("<none>");
    }
    let open = gates
        .iter()
        .filter_map(|gate| gate["conditionType"].as_str());
    let open = open.filter(|kind| is_true(pod, kind)).count();
    json!(format!("{open}/{}", gates.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(spec: Value, status: Value) -> String {
        let pod = json!({"kind": "Pod", "metadata": {"name": "p", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": spec, "status": status});
        let now = "2026-01-01T00:01:00Z".parse().unwrap();
        let cells = cells(&pod, now);
        let words: Vec<_> = cells[1..5].iter().filter_map(Value::as_str).collect();
        words.join(" ")
    }

    #[test]
    fn a_pods_state_is_told_by_its_containers() {
        let one = json!({"containers": [{"name": "a"}]});
        assert_eq!(
            shown(one.clone(), json!({"phase": "Pending"})),
            "0/1 Pending 0 60s"
        );
        assert_eq!(
            shown(
                one.clone(),
                json!({"phase": "Running", "containerStatuses": [
                {"ready": true, "restartCount": 0, "state": {"running": {}}}]})
            ),
            "1/1 Running 0 60s"
        );
        assert_eq!(
            shown(
                one.clone(),
                json!({"phase": "Running", "containerStatuses": [
                {"ready": false, "restartCount": 2, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                 "lastState": {"terminated": {"finishedAt": "2026-01-01T00:00:50Z"}}}]})
            ),
            "0/1 CrashLoopBackOff 2 (10s ago) 60s"
        );
        assert_eq!(
            shown(
                one,
                json!({"phase": "Failed", "containerStatuses": [
                {"ready": false, "restartCount": 0, "state": {"terminated": {"exitCode": 3}}}]})
            ),
            "0/1 ExitCode:3 0 60s"
        );
        let with_init = json!({"containers": [{"name": "a"}], "initContainers": [{"name": "i"}, {"name": "j"}]});
        assert_eq!(
            shown(
                with_init,
                json!({"phase": "Pending", "initContainerStatuses": [
                {"name": "i", "state": {"terminated": {"exitCode": 0}}}, {"name": "j", "state": {"running": {}}}]})
            ),
            "0/1 Init:1/2 0 60s"
        );
    }
}
