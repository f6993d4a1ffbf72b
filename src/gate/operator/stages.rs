//! Whether a stage of the addons fails, and for how long that may be.

use std::time::Duration;

use super::{SHOWN, STAGE, finding};
use crate::cluster::{Object, View};
use crate::delivery::unmet;
use crate::gate::causes::{Clue, text};
use crate::gate::finished::{Goal, rolls_out};
use crate::gate::truth::Truth;
use crate::stack::OPERATOR_NAMESPACE;

/// A condition that a stage waits for may take what its Pods take to start: images, a network, a lease. So may a stage
/// that cannot be applied before workloads of its own run. What cannot come true is waited for as long.
pub(super) const CONDITION: Duration = Duration::from_secs(300);

/// A condition of the ClusterAddon says that a stage fails. It names no object; what differs on the cluster does.
pub(super) fn failed_stage(
    goal: &Goal,
    addon: &Object,
    workload: &View,
    truth: Option<&Truth>,
) -> Vec<Clue> {
    let kinds = [
        "ClusterAddonConfigValidated",
        "HelmChartFound",
        "HelmChartTemplated",
        "HelmChartApplied",
        "EvaluatedCEL",
        "HelmChartDeleted",
    ];
    let failed = unmet(addon).into_iter().find(|blocker| {
        let kind = blocker.condition.strip_suffix(" False");
        kind.is_some_and(|kind| kinds.contains(&kind)) && still_fails(addon, &blocker.reason)
    });
    let Some(failed) = failed else {
        return Vec::new();
    };
    let stages = || addon.array("/status/stages").iter();
    let at_work = stages().find(|stage| !["Pending", "done"].contains(&text(stage, "/phase")));
    let mut told: Vec<String> = stages()
        .map(|stage| format!("stage {}: {}", stage["name"], stage["phase"]).replace('"', ""))
        .collect();
    told.insert(0, failed.to_string());
    let differences = truth.map(Truth::differences).unwrap_or_default();
    let differences = differences.iter().take(SHOWN);
    told.extend(differences.map(|one| one.blocker.to_string()));
    let message = format!(
        "the operator fails on the addons of ClusterAddon {}: {}: {}",
        addon.name(),
        failed.reason,
        failed.message,
    );
    let stage = at_work.map(|stage| text(stage, "/name"));
    let found = finding("addon-stage-failed", message, addon.reference(), told);
    let way = [&failed.condition, &failed.reason, stage.unwrap_or_default()].join(" ");
    let clue = |hold, of: &str| Clue::new(hold, found.clone()).by_way_of(format!("{way}{of}"));
    match &*failed.reason {
        // What a stage brings may have to run before the rest of it is let in: a webhook, an API. Once all of it runs,
        // there is the time of several attempts again, but not each time that something of it runs again.
        "FailedToApplyObjects" => {
            let now = if rolls_out(goal, workload, stage) {
                clue(CONDITION, " starts")
            } else {
                clue(STAGE, "")
            };
            vec![now, clue(CONDITION + STAGE, " in all")]
        }
        _ if failed.condition == "EvaluatedCEL False" => vec![clue(CONDITION, "")],
        _ => vec![clue(STAGE, "")],
    }
}

/// All stages are done and the ClusterAddon is not ready: what the release before has beside them is looked for then,
/// and no condition tells that this fails.
pub(super) fn failed_end(addon: &Object) -> Option<Clue> {
    let stages = addon.array("/status/stages");
    let done = !stages.is_empty() && stages.iter().all(|stage| stage["phase"] == "done");
    let ready = addon.bool("/status/ready");
    if !done || ready || addon.str("/spec/hook").is_empty() {
        return None;
    }
    let message = format!(
        "the operator does not come to the end of the addons of ClusterAddon {}: all stages are done, and it is not \
         ready: what only the release before has cannot be found or removed",
        addon.name(),
    );
    let told = vec![
        format!(
            "{}: hook {}, {} stages done, ready false",
            addon.reference(),
            addon.str("/spec/hook"),
            stages.len()
        ),
        format!("the log of the operator, in {OPERATOR_NAMESPACE}, tells why"),
    ];
    let found = finding("addon-stage-failed", message, addon.reference(), told);
    Some(Clue::new(STAGE, found).by_way_of("the end"))
}

/// Whether what a condition tells of is still so: some stay False until all is done.
fn still_fails(addon: &Object, reason: &str) -> bool {
    let any = |pointer: &str, field: &str, values: &[&str]| {
        let mut all = addon.array(pointer).iter();
        all.any(|one| {
            one[field]
                .as_str()
                .is_some_and(|value| values.contains(&value))
        })
    };
    match reason {
        "ObjectsApplyingOngoing" => false,
        // Objects are noted where there is one chart, and those of a release before stay; with stages it is the stage.
        "FailedToApplyObjects" if !addon.array("/status/stages").is_empty() => {
            any("/status/stages", "phase", &["applyingOrDeleting"])
        }
        "FailedToApplyObjects" => any("/status/resources", "status", &["not-synced"]),
        "FailedToEvaluatePreCondition" => {
            any("/status/stages", "phase", &["waitingForPreCondition"])
        }
        "FailedToEvaluatePostCondition" => {
            any("/status/stages", "phase", &["waitingForPostCondition"])
        }
        _ => true,
    }
}
