//! A pod's status, as its kubelet tells it.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::container::{Container, Kind, State};
use super::pod::PodRun;
use crate::clock::stamp;
use crate::object::{field, is_of, is_true, list, set_condition, text};

/// Writes what is of a pod into its status.
pub(super) fn write(pod: &mut Value, run: &PodRun, now: Timestamp) {
    let mut status = pod["status"].take();
    if !status.is_object() {
        status = json!({});
    }
    let outcome = run.outcome(pod);
    let initialised = run.is_initialised(now);
    let begun = run.containers.iter().any(|container| {
        let waits = matches!(
            container.state,
            State::Waiting | State::Pulling { .. } | State::Creating { .. } | State::NoImage { .. }
        );
        container.kind == Kind::Main && (!waits || container.last.is_some())
    });
    let phase = outcome.unwrap_or(if begun { "Running" } else { "Pending" });
    if let Some(generation) = pod["metadata"]["generation"].as_i64() {
        status["observedGeneration"] = json!(generation);
    }
    status["phase"] = json!(phase);
    if run.deadline_exceeded {
        status["reason"] = json!("DeadlineExceeded");
        status["message"] = json!("Pod was active on the node longer than the specified deadline");
    }
    conditions(&mut status, pod, run, phase, initialised, now);
    status["hostIP"] = json!(run.host_address);
    status["hostIPs"] = json!([{"ip": run.host_address}]);
    if !run.address.is_empty() {
        status["podIP"] = json!(run.address);
        status["podIPs"] = json!([{"ip": run.address}]);
    }
    status["startTime"] = json!(stamp(run.started));
    if !status["qosClass"].is_string() {
        status["qosClass"] = json!(quality(pod));
    }
    let of = |main: bool| -> Vec<Value> {
        let containers = run
            .containers
            .iter()
            .filter(|container| (container.kind == Kind::Main) == main);
        let place = format!(
            " pod={}_{}({})",
            text(pod, "/metadata/name"),
            text(pod, "/metadata/namespace"),
            run.uid
        );
        containers
            .map(|container| {
                let mut status = container.status(now, !initialised);
                let back_off = status.pointer_mut("/state/waiting");
                if let Some(waiting) =
                    back_off.filter(|waiting| waiting["reason"] == "CrashLoopBackOff")
                {
                    waiting["message"] = json!(format!("{}{place}", text(waiting, "/message")));
                }
                status
            })
            .collect()
    };
    if run
        .containers
        .iter()
        .any(|container| container.kind != Kind::Main)
    {
        status["initContainerStatuses"] = Value::Array(of(false));
    }
    status["containerStatuses"] = Value::Array(of(true));
    pod["status"] = status;
}

fn conditions(
    status: &mut Value,
    pod: &Value,
    run: &PodRun,
    phase: &str,
    initialised: bool,
    now: Timestamp,
) {
    let over = matches!(phase, "Succeeded" | "Failed");
    let names = |wanted: &dyn Fn(&Container) -> bool| -> Vec<&str> {
        run.containers
            .iter()
            .filter(|container| wanted(container))
            .map(|container| container.name.as_str())
            .collect()
    };
    let unready = names(&|container| container.kind != Kind::Init && !container.is_ready(now));
    let incomplete = names(&|container| container.kind != Kind::Main && !container.lets_pass(now));
    let condition = |kind: &'static str, held: bool, reason: &'static str, message: String| {
        if held {
            (kind, "True", "", String::new())
        } else {
            (kind, "False", reason, message)
        }
    };
    let unready_message = format!("containers with unready status: [{}]", unready.join(" "));
    let reason = match phase {
        "Succeeded" => "PodCompleted",
        "Failed" => "PodFailed",
        _ => "ContainersNotReady",
    };
    let message = |text: &str| if over { String::new() } else { text.to_owned() };
    let containers_ready = unready.is_empty() && !over;
    let gates = list(pod, "/spec/readinessGates")
        .iter()
        .map(|gate| text(gate, "/conditionType"));
    let closed: Vec<&str> = gates
        .filter(|gate| !is_true(pod, gate) && !held(status, gate))
        .collect();
    let ready = if containers_ready && !closed.is_empty() {
        let told = format!(
            "the status of pod readiness gate \"{}\" is not \"True\", but False",
            closed[0]
        );
        condition("Ready", false, "ReadinessGatesNotReady", told)
    } else {
        condition("Ready", containers_ready, reason, message(&unready_message))
    };
    let incomplete_message = format!(
        "containers with incomplete status: [{}]",
        incomplete.join(" ")
    );
    let stamp = stamp(now);
    let all = [
        condition(
            "PodReadyToStartContainers",
            run.has_sandbox(),
            "",
            String::new(),
        ),
        if initialised && phase == "Succeeded" {
            ("Initialized", "True", "PodCompleted", String::new())
        } else {
            condition(
                "Initialized",
                initialised,
                "ContainersNotInitialized",
                incomplete_message,
            )
        },
        ready,
        condition(
            "ContainersReady",
            containers_ready,
            reason,
            message(&unready_message),
        ),
        condition("PodScheduled", true, "", String::new()),
    ];
    for (kind, held, reason, message) in all {
        if says(
            status,
            kind,
            &[("status", held), ("reason", reason), ("message", &message)],
        ) {
            continue;
        }
        let mut new = json!({
            "type": kind, "observedGeneration": pod["metadata"]["generation"],
            "status": held, "lastProbeTime": null,
        });
        for (name, told) in [("reason", reason), ("message", &message)] {
            if !told.is_empty() {
                new[name] = json!(told);
            }
        }
        set_condition(status, new, &stamp, &[]);
    }
}

/// Whether a condition says this already, as most do: these texts, where empty ones are not there.
fn says(status: &Value, kind: &str, texts: &[(&str, &str)]) -> bool {
    let mut conditions = list(status, "/conditions").iter();
    let old = conditions.find(|condition| is_of(condition, kind));
    old.is_some_and(|old| {
        let said = |name: &str| field(old, name).map_or(Some(""), Value::as_str);
        field(old, "lastProbeTime").is_some_and(Value::is_null)
            && texts.iter().all(|(name, text)| said(name) == Some(*text))
    })
}

fn held(status: &Value, kind: &str) -> bool {
    list(status, "/conditions")
        .iter()
        .any(|condition| condition["type"] == kind && condition["status"] == "True")
}

/// `status.qosClass`: whether the containers ask for all, some or none of their limits.
fn quality(pod: &Value) -> &'static str {
    let containers = list(pod, "/spec/containers")
        .iter()
        .chain(list(pod, "/spec/initContainers"));
    let (mut any, mut guaranteed) = (false, true);
    for container in containers {
        let resources = &container["resources"];
        for resource in ["cpu", "memory"] {
            let (limit, request) = (
                &resources["limits"][resource],
                &resources["requests"][resource],
            );
            any |= !limit.is_null() || !request.is_null();
            guaranteed &= !limit.is_null() && (request.is_null() || request == limit);
        }
    }
    match (any, guaranteed) {
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
        (false, _) => "BestEffort",
    }
}
