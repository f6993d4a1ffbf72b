//! MachineDeployments: Machines of a template are replaced by those of another one by one, within what
//! the strategy allows.

use std::sync::Arc;

use serde_json::{Value, json};

use super::access::{hold, is_controlled_by, machines, release, unless_gone};
use super::conditions::{self, State, aggregate};
use super::kinds::{
    CLUSTER_NAME, CORE, DEPLOYMENT_NAME, MACHINE_DEPLOYMENTS, MACHINE_SETS, MACHINES, STORED,
    TEMPLATE_HASH,
};
use crate::cluster::Cluster;
use crate::controller::{Controller, Cx, Key, Next};
use crate::error::ApiError;
use crate::object::{self, at, controlled_by, is_deleting, is_true, label, name, namespace, text};
use crate::registry::{Deletion, Write};
use crate::resource::GroupResource;
use crate::store::Change;

const MANAGER: &str = "capi-machinedeployment";
const FINALIZER: &str = "cluster.x-k8s.io/machinedeployment";

/// The controller.
pub struct MachineDeployments;

impl Controller for MachineDeployments {
    fn name(&self) -> &'static str {
        MANAGER
    }

    fn wakes(&self) -> Vec<GroupResource> {
        vec![MACHINE_DEPLOYMENTS, MACHINE_SETS, MACHINES]
    }

    fn keys(&self, _: &Cluster, change: &Change) -> Vec<Key> {
        if change.resource == MACHINE_DEPLOYMENTS {
            return vec![Key::of(change)];
        }
        let object = &change.object.value;
        let owner = label(object, DEPLOYMENT_NAME);
        owner
            .map(|owner| Key::new(namespace(object), owner))
            .into_iter()
            .collect()
    }

    fn reconcile(&mut self, cx: &mut Cx<'_>, key: &Key) -> Result<Next, ApiError> {
        let api = cx.cluster.api();
        let Some(deployment) = api.get(&MACHINE_DEPLOYMENTS, &key.namespace, &key.name) else {
            return Ok(Next::Change);
        };
        let sets = sets(cx.cluster, &deployment);
        if is_deleting(&deployment) {
            if sets.is_empty() {
                release(cx.cluster, &MACHINE_DEPLOYMENTS, &deployment, FINALIZER)?;
            }
            for set in sets.iter().filter(|set| !is_deleting(set)) {
                unless_gone(api.delete(
                    &MACHINE_SETS,
                    &key.namespace,
                    name(set),
                    &Deletion::default(),
                ))?;
            }
            return Ok(Next::Change);
        }
        hold(cx.cluster, &MACHINE_DEPLOYMENTS, &deployment, FINALIZER)?;
        let wanted_template = &deployment["spec"]["template"];
        let (current, old): (Vec<_>, Vec<_>) = sets
            .iter()
            .partition(|set| is_same(wanted_template, &set["spec"]["template"]));
        let Some(current) = current.first() else {
            create(cx.cluster, &deployment, &api.suffix(), sets.is_empty())?;
            return Ok(Next::Change);
        };
        roll(cx.cluster, &deployment, current, &old)?;
        up_to_date(cx.cluster, &deployment, &sets)?;
        status(cx.cluster, key)?;
        Ok(Next::Change)
    }
}

fn sets(cluster: &Cluster, deployment: &Value) -> Vec<Arc<Value>> {
    let mut sets = cluster
        .api()
        .list(&MACHINE_SETS, Some(namespace(deployment)));
    sets.retain(|set| is_controlled_by(set, deployment));
    sets
}

/// Whether two templates make the same Machines: labels are changed in place.
fn is_same(one: &Value, other: &Value) -> bool {
    let (one, other) = (&one["spec"], &other["spec"]);
    let decide = ["version", "bootstrap", "infrastructureRef", "failureDomain"];
    let mut decide = decide.iter();
    decide.all(|field| object::is_same(&one[field], &other[field]))
}

fn create(
    cluster: &Cluster,
    deployment: &Value,
    suffix: &str,
    first: bool,
) -> Result<(), ApiError> {
    let hash = format!("{}-{suffix}", cluster.api().suffix());
    let mut template = deployment["spec"]["template"].clone();
    let mut labels = template["metadata"]["labels"].clone();
    labels[DEPLOYMENT_NAME] = json!(name(deployment));
    labels[CLUSTER_NAME] = deployment["spec"]["clusterName"].clone();
    labels[TEMPLATE_HASH] = json!(hash);
    template["metadata"]["labels"] = labels.clone();
    let replicas = if first {
        deployment["spec"]["replicas"].clone()
    } else {
        json!(0)
    };
    let set = json!({
        "apiVersion": format!("{CORE}/{STORED}"), "kind": "MachineSet",
        "metadata": {"namespace": namespace(deployment), "name": format!("{}-{suffix}", name(deployment)),
            "labels": labels, "ownerReferences": [controlled_by(deployment)]},
        "spec": {"clusterName": deployment["spec"]["clusterName"], "replicas": replicas,
            "selector": {"matchLabels": {TEMPLATE_HASH: hash}}, "template": template},
    });
    cluster
        .api()
        .create(&MACHINE_SETS, set, &Write::by(MANAGER))
        .map(drop)
}

fn count(value: &Value, field: &str) -> i64 {
    value["status"][field].as_i64().unwrap_or(0)
}

fn asked(set: &Value) -> i64 {
    set["spec"]["replicas"].as_i64().unwrap_or(1)
}

/// A number or a share of the replicas; a surge is rounded up, what may be unavailable down.
fn share(value: &Value, of: i64, up: bool, default: i64) -> i64 {
    match value {
        Value::Number(number) => number.as_i64().unwrap_or(default),
        Value::String(text) => {
            let percent: i64 = text.trim_end_matches('%').parse().unwrap_or(0);
            if up {
                (of * percent + 99) / 100
            } else {
                of * percent / 100
            }
        }
        _ => default,
    }
}

/// One step of a rolling update: more of the new, fewer of the old, as far as is allowed.
fn roll(
    cluster: &Cluster,
    deployment: &Value,
    current: &Value,
    old: &[&Arc<Value>],
) -> Result<(), ApiError> {
    let wanted = asked(deployment);
    let strategy = &deployment["spec"]["rollout"]["strategy"]["rollingUpdate"];
    let mut surge = share(&strategy["maxSurge"], wanted, true, 1);
    let unavailable = share(&strategy["maxUnavailable"], wanted, false, 0);
    if surge == 0 && unavailable == 0 {
        surge = 1;
    }
    let old_asked: i64 = old.iter().map(|set| asked(set)).sum();
    let on_delete = text(deployment, "/spec/rollout/strategy/type") == "OnDelete";
    let new = if old_asked == 0 {
        wanted
    } else if on_delete {
        asked(current)
    } else {
        let present: i64 = old
            .iter()
            .map(|set| count(set, "replicas").max(asked(set)))
            .sum();
        let room = (wanted + surge - present - asked(current)).max(0);
        (asked(current) + room).min(wanted)
    };
    scale(cluster, current, new)?;
    if on_delete {
        return Ok(());
    }
    let least = (wanted - unavailable).max(0);
    let available: i64 = count(current, "availableReplicas")
        + old
            .iter()
            .map(|set| count(set, "availableReplicas").min(asked(set)))
            .sum::<i64>();
    let mut spare = (available - least).max(0);
    for set in old {
        // What is not available is given up first, it keeps nothing up.
        let idle = asked(set) - count(set, "availableReplicas").min(asked(set));
        let down = asked(set).min(
            idle.min((count(current, "availableReplicas") + asked(set) - least).max(0)) + spare,
        );
        if down > 0 {
            spare -= (down - idle).max(0).min(spare);
            scale(cluster, set, asked(set) - down)?;
        }
    }
    Ok(())
}

fn scale(cluster: &Cluster, set: &Value, replicas: i64) -> Result<(), ApiError> {
    if asked(set) == replicas {
        return Ok(());
    }
    cluster
        .api()
        .modify(&MACHINE_SETS, namespace(set), name(set), MANAGER, |set| {
            set["spec"]["replicas"] = json!(replicas);
        })
        .map(drop)
}

/// Machines learn whether they are what their MachineDeployment asks for.
fn up_to_date(cluster: &Cluster, deployment: &Value, sets: &[Arc<Value>]) -> Result<(), ApiError> {
    let wanted = &deployment["spec"]["template"];
    let now = cluster.api().clock().stamp();
    for set in sets {
        let state = outdated(wanted, &set["spec"]["template"]);
        for machine in machines(
            cluster,
            namespace(set),
            text(set, "/spec/clusterName"),
            |machine| is_controlled_by(machine, set),
        ) {
            unless_gone(cluster.api().modify(
                &MACHINES,
                namespace(set),
                name(&machine),
                MANAGER,
                |machine| {
                    conditions::set(machine, "UpToDate", &state, &now);
                },
            ))?;
        }
    }
    Ok(())
}

/// How a template differs from the one that is wanted.
fn outdated(wanted: &Value, present: &Value) -> State {
    let mut lines = Vec::new();
    let version = |template: &Value| text(template, "/spec/version").to_owned();
    if version(wanted) != version(present) {
        lines.push(format!(
            "* Version {}, {} required",
            version(present),
            version(wanted)
        ));
    }
    for (pointer, trimmed) in [
        ("/spec/bootstrap/configRef", "Template"),
        ("/spec/infrastructureRef", "Template"),
    ] {
        if at(wanted, pointer) != at(present, pointer) {
            let kind = text(wanted, &format!("{pointer}/kind"))
                .trim_end_matches(trimmed)
                .to_owned();
            lines.push(format!("* {kind} is not up-to-date"));
        }
    }
    if lines.is_empty() {
        State::yes("UpToDate")
    } else {
        State::no("NotUpToDate", lines.join("\n"))
    }
}

fn status(cluster: &Cluster, key: &Key) -> Result<(), ApiError> {
    let api = cluster.api();
    let Some(deployment) = api.get(&MACHINE_DEPLOYMENTS, &key.namespace, &key.name) else {
        return Ok(());
    };
    let sets = sets(cluster, &deployment);
    let own = name(&deployment);
    let mine = machines(
        cluster,
        &key.namespace,
        text(&deployment, "/spec/clusterName"),
        |machine| label(machine, DEPLOYMENT_NAME) == Some(own),
    );
    let all: Vec<&Value> = mine.iter().map(AsRef::as_ref).collect();
    let number = |kind: &str| all.iter().filter(|machine| is_true(machine, kind)).count();
    let (replicas, ready, available, updated) = (
        all.len(),
        number("Ready"),
        number("Available"),
        number("UpToDate"),
    );
    let seen = !sets.is_empty();
    let now = api.clock().stamp();
    api.modify(&MACHINE_DEPLOYMENTS, &key.namespace, &key.name, MANAGER, |deployment| {
        let wanted = usize::try_from(asked(deployment)).unwrap_or(0);
        let status = &mut deployment["status"];
        status["replicas"] = json!(replicas);
        status["readyReplicas"] = json!(ready);
        status["availableReplicas"] = json!(available);
        status["upToDateReplicas"] = json!(updated);
        status["phase"] = json!(match replicas.cmp(&wanted) {
            std::cmp::Ordering::Less => "ScalingUp",
            std::cmp::Ordering::Equal => "Running",
            std::cmp::Ordering::Greater => "ScalingDown",
        });
        let selector = deployment["spec"]["selector"]["matchLabels"].as_object().into_iter().flatten();
        let selector: Vec<String> = selector.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
        deployment["status"]["selector"] = json!(selector.join(","));
        deployment["status"]["observedGeneration"] = deployment["metadata"]["generation"].clone();
        let least = wanted.saturating_sub(usize::try_from(share(
            &deployment["spec"]["rollout"]["strategy"]["rollingUpdate"]["maxUnavailable"],
            asked(deployment), false, 0)).unwrap_or(0));
        let state = if !seen {
            State::unknown("WaitingForAvailableReplicasSet", "Waiting for status.availableReplicas set")
        } else if available >= least {
            State::yes("Available")
        } else {
            State::no("NotAvailable", format!("{available} available replicas, at least {least} required (spec.strategy.rollout.maxUnavailable is 0, spec.replicas is {wanted})"))
        };
        conditions::set(deployment, "Available", &state, &now);
        conditions::set_older(deployment, "Available", &state, &now);
        for (kind, state) in going_on(&all, wanted) {
            conditions::set(deployment, kind, &state, &now);
        }
        conditions::set(deployment, "MachinesReady", &aggregate(&all, "Ready", "Ready", "NotReady", "NoReplicas"), &now);
        conditions::set(deployment, "MachinesUpToDate", &aggregate(&all, "UpToDate", "UpToDate", "NotUpToDate", "NoReplicas"), &now);
    })?;
    Ok(())
}

/// What an owner of Machines says of its work.
pub(super) fn going_on(machines: &[&Value], wanted: usize) -> Vec<(&'static str, State)> {
    let replicas = machines.len();
    let yes = |reason: &str, message: String| State {
        status: "True",
        reason: reason.to_owned(),
        message,
    };
    let rolling = conditions::rolling_out(machines);
    let up = if replicas < wanted {
        yes(
            "ScalingUp",
            format!("Scaling up from {replicas} to {wanted} replicas"),
        )
    } else {
        State::no("NotScalingUp", "")
    };
    let down = if replicas > wanted {
        yes(
            "ScalingDown",
            format!("Scaling down from {replicas} to {wanted} replicas"),
        )
    } else {
        State::no("NotScalingDown", "")
    };
    vec![
        ("RollingOut", rolling),
        ("Remediating", State::no("NotRemediating", "")),
        ("ScalingDown", down),
        ("ScalingUp", up),
        ("Paused", State::no("NotPaused", "")),
        ("Deleting", State::no("NotDeleting", "")),
    ]
}
