//! Causes that lie with the Cluster Stack Operator, each with what has to hold for how long before it is
//! named.

mod releases;
mod stages;

use std::time::Duration;

use jiff::Timestamp;

use super::causes::{Clue, text};
use super::finished::Goal;
use super::truth::{Truth, Wrong};
use crate::cluster::{Object, View, kinds};
use crate::delivery::{addon_name, unclaimed};
use crate::record::{Finding, ObjectRef};
use crate::stack::OPERATOR_NAMESPACE;
pub(super) use releases::{Providing, is_of_its_setup};
use releases::{mistold, unable, unread};
use stages::{failed_end, failed_stage};

/// How many objects are shown as evidence.
const SHOWN: usize = 8;
/// The hook that blocks an upgrade is called every 10 s: nine calls.
const HOOK: Duration = Duration::from_secs(90);
/// The operator writes hook, class and conditions in one go: nothing of it comes later.
const SETTLED: Duration = Duration::from_secs(30);
/// What fails is tried again after 20 s: three attempts at least. A definition of custom resources takes
/// one of them. Each condition and each stage has this time for itself.
const STAGE: Duration = Duration::from_secs(70);
/// How long addons may differ from what the release renders while the operator says that all is done.
const BEHIND: Duration = Duration::from_secs(60);
/// From how many restarts on a crash loop is taken for one, and for how long it has to last then.
const CRASHES: i64 = 3;
const CRASHING: Duration = Duration::from_secs(20);

fn finding(cause: &str, message: String, object: ObjectRef, evidence: Vec<String>) -> Finding {
    Finding {
        cause: cause.to_owned(),
        message,
        object,
        evidence,
    }
}

/// What there is to see while a Cluster is on its way to a goal.
pub(super) fn evidence(
    goal: &Goal,
    management: &View,
    workload: &View,
    truth: Option<&Truth>,
    now: Timestamp,
) -> Vec<Clue> {
    let mut found = crashes(management);
    let name = addon_name(&goal.cluster);
    let addon = management.get(&kinds::CLUSTER_ADDON, &goal.namespace, &name);
    if let Some(addon) = &addon {
        found.extend(stuck_hook(goal, management, addon, now));
        found.extend(passed_hook(goal, management, addon));
        found.extend(kept_hook(goal, addon));
        // It reads the release before, too, and has to fetch it again once it was restarted.
        let lost = || unread(addon, &goal.class, goal.fetches);
        let lost = || lost().filter(|_| !is_crashing(management));
        found.extend(unable(addon).or_else(lost));
        found.extend(failed_stage(goal, addon, workload, truth));
        found.extend(failed_end(addon));
    }
    found.extend(truth.and_then(|truth| differences(goal, management, truth)));
    found.extend(mistold(management, &goal.namespace, &goal.class));
    found
}

/// The operator's own container crashes again and again.
fn crashes(management: &View) -> Vec<Clue> {
    let mut found = Vec::new();
    for pod in management.list(&kinds::POD) {
        if pod.namespace() != OPERATOR_NAMESPACE {
            continue;
        }
        for container in pod.array("/status/containerStatuses") {
            let text = |pointer| text(container, pointer);
            let restarts = container["restartCount"].as_i64().unwrap_or(0);
            if text("/state/waiting/reason") != "CrashLoopBackOff" || restarts < CRASHES {
                continue;
            }
            let message = format!(
                "the Cluster Stack Operator crashes again and again ({restarts} restarts): {} says {}",
                pod.reference(),
                text("/lastState/terminated/message")
                    .lines()
                    .next()
                    .unwrap_or("nothing"),
            );
            let told = [
                text("/state/waiting/message"),
                text("/lastState/terminated/message"),
            ];
            let told = told.iter().filter(|line| !line.is_empty());
            let told = told.map(ToString::to_string).collect();
            found.push(Clue::new(
                CRASHING,
                finding("operator-crash-loop", message, pod.reference(), told),
            ));
        }
    }
    found
}

/// Whether its own container waits to be started again: what it has fetched went with it, which is no cause of its own.
fn is_crashing(management: &View) -> bool {
    let pods = management.list(&kinds::POD);
    let mut own = pods
        .iter()
        .filter(|pod| pod.namespace() == OPERATOR_NAMESPACE)
        .flat_map(|pod| pod.array("/status/containerStatuses"));
    own.any(|container| container.pointer("/state/waiting").is_some())
}

/// The upgrade waits for the operator, which has nothing to do any more: the ClusterAddon is ready, without a
/// stage at work, and the condition that the hook looks at is not there. It is of the class that the Cluster goes to,
/// or it was never told of the hook.
fn stuck_hook(goal: &Goal, management: &View, addon: &Object, now: Timestamp) -> Option<Clue> {
    let cluster = management.get(&kinds::CLUSTER, &goal.namespace, &goal.cluster)?;
    let topology = cluster.condition("TopologyReconciled")?;
    let blocks = topology.status == "False"
        && topology.message.contains("BeforeClusterUpgrade")
        && (topology.reason == "LifecycleHookBlocking" || topology.message.contains("blocking"));
    let applied = addon.condition("HelmChartApplied");
    let idle = addon.bool("/status/ready")
        && addon
            .condition("Ready")
            .is_some_and(|ready| ready.status == "True")
        && (addon.str("/spec/clusterStack") == goal.class || addon.str("/spec/hook").is_empty())
        && addon.array("/status/stages").is_empty()
        && applied.is_none();
    if !blocks || !idle {
        return None;
    }
    let seconds = topology
        .since
        .map_or(0, |since| now.duration_since(since).as_secs());
    let (why, way_out) = if addon.str("/spec/clusterStack") == goal.class {
        (
            "the operator has forgotten that the hook was answered",
            "a way out: set the ClusterAddon's spec.clusterStack and spec.version back to the release before",
        )
    } else {
        (
            "the operator was called and has not told its ClusterAddon",
            "a way out: restart the operator, which then takes note of the next call",
        )
    };
    let message = format!(
        "BeforeClusterUpgrade has been blocking for {seconds} s although ClusterAddon {} is ready at {}: {why} \
         (cluster-stack-operator#272)",
        addon.name(),
        addon.str("/spec/clusterStack"),
    );
    let told = vec![
        format!(
            "{}: TopologyReconciled False: {}",
            cluster.reference(),
            topology.message
        ),
        format!(
            "{}: Ready True, clusterStack {}, hook {}, HelmChartApplied not reported",
            addon.reference(),
            addon.str("/spec/clusterStack"),
            addon.str("/spec/hook"),
        ),
        way_out.to_owned(),
    ];
    let finding = finding(
        "hook-blocks-though-addon-ready",
        message,
        addon.reference(),
        told,
    );
    Some(Clue::new(HOOK, finding))
}

/// The control plane was told the new version, which the hook before it lets happen, while the
/// ClusterAddon is still of another class and is not told of a hook: its addons will not come any more.
fn passed_hook(goal: &Goal, management: &View, addon: &Object) -> Option<Clue> {
    let planes = management.list(&kinds::KUBEADM_CONTROL_PLANE);
    let plane = planes.iter().find(|plane| {
        plane.label(kinds::CLUSTER_NAME) == Some(&goal.cluster)
            && plane.str("/spec/version") == goal.version
    })?;
    let at = addon.str("/spec/clusterStack");
    // A new Cluster has none before its first addons, and one of the same version or of a release without
    // stages is not held by a hook.
    if at.is_empty()
        || at == goal.class
        || !addon.str("/spec/hook").is_empty()
        || goal.from.as_deref().is_none_or(|from| from == goal.version)
    {
        return None;
    }
    let message = format!(
        "the upgrade to {} goes on without its addons: BeforeClusterUpgrade was answered, but ClusterAddon {} \
         is still of {at}",
        goal.class,
        addon.name(),
    );
    let told = vec![
        format!("{}: spec.version {}", plane.reference(), goal.version),
        format!("{}: clusterStack {at}, no hook", addon.reference()),
    ];
    Some(Clue::new(
        SETTLED,
        finding(
            "hook-passed-without-addons",
            message,
            addon.reference(),
            told,
        ),
    ))
}

/// All is done, but the hook is still there: the next one would be taken for this one.
fn kept_hook(goal: &Goal, addon: &Object) -> Option<Clue> {
    let hook = addon.str("/spec/hook");
    let done = addon.str("/spec/clusterStack") == goal.class
        && addon.array("/status/stages").is_empty()
        && addon.unless_true("HelmChartApplied").is_none();
    if hook.is_empty() || !done {
        return None;
    }
    let message = format!(
        "ClusterAddon {} keeps hook {hook} although its addons are applied: the next hook will be taken for \
         it (cluster-stack-operator#212)",
        addon.name(),
    );
    let told = vec![format!(
        "{}: HelmChartApplied True, stages empty",
        addon.reference()
    )];
    Some(Clue::new(
        SETTLED,
        finding("hook-kept", message, addon.reference(), told),
    ))
}

/// The ClusterAddon says that all is done, and it is not.
fn differences(goal: &Goal, management: &View, truth: &Truth) -> Option<Clue> {
    if !unclaimed(management, &goal.namespace, &goal.cluster, &goal.class).is_empty() {
        return None;
    }
    let mut found = truth.differences();
    // What is on its way out is waited for.
    found.retain(|one| one.wrong != Wrong::Leaving);
    // What was there and is gone says most, then what should be there; and of these, what runs.
    let rank = |wrong| match wrong {
        Wrong::Deleted => 0,
        Wrong::Behind => 1,
        Wrong::Missing => 2,
        Wrong::Kept | Wrong::Leaving => 3,
    };
    let runs = |kind: &str| ["Deployment", "DaemonSet", "StatefulSet"].contains(&kind);
    found.sort_by_key(|one| (rank(one.wrong), !runs(&one.blocker.object.kind)));
    let first = found.first()?;
    let (cause, what) = match first.wrong {
        Wrong::Deleted => ("addon-deleted", "is gone although the release has it"),
        Wrong::Behind => ("addon-left-behind", "was left behind"),
        Wrong::Missing => ("addon-missing", "was never created"),
        Wrong::Kept | Wrong::Leaving => ("addon-not-pruned", "was not removed"),
    };
    let message = format!(
        "{} {what}, while the operator says that the addons of {} are applied: {}",
        first.blocker.object, goal.class, first.blocker.condition,
    );
    let told = found.iter().take(SHOWN).map(|one| one.blocker.to_string());
    Some(Clue::new(
        BEHIND,
        finding(cause, message, first.blocker.object.clone(), told.collect()),
    ))
}

#[cfg(test)]
mod tests;
