//! What the condition `TopologyReconciled` says.

use serde_json::Value;

use super::super::conditions::State;
use super::super::hooks::Hook;
use super::calls::Hooks;
use super::upgrade::Progress;
use crate::object::text;

/// The condition after a reconciliation without errors. `plane` is the version that the control plane
/// is to have now.
pub(super) fn state(cluster: &Value, progress: &Progress, hooks: &Hooks<'_>, plane: &str) -> State {
    if !progress.is_under_way() && !hooks.is_pending(Hook::AfterClusterUpgrade) {
        return State::yes("ReconcileSucceeded");
    }
    let kind = text(cluster, "/spec/controlPlaneRef/kind");
    let wanted = text(cluster, "/spec/topology/version");
    let mut lines = Vec::new();
    let blocked = hooks.message("upgrade");
    lines.extend(blocked.clone());
    let of_plane = &progress.plane_plan;
    let plane_moves = progress.state.starting || progress.state.upgrading;
    if plane_moves {
        let rest = rest(of_plane, plane);
        lines.push(format!("{kind} upgrading to version {plane}{rest}"));
    } else if !of_plane.is_empty() {
        lines.push(format!(
            "{kind} pending upgrade to version {}",
            of_plane.join(", ")
        ));
    }
    let names = |names: Vec<&String>| deployments(&names);
    let of_workers = &progress.worker_plan;
    let moving: Vec<&String> = progress.moving.iter().collect();
    if !moving.is_empty() {
        let rest = rest(of_workers, plane);
        let moving = names(moving.clone());
        lines.push(format!("{moving} upgrading to version {plane}{rest}"));
    }
    let deferred: Vec<&String> = progress.deferred.difference(&progress.moving).collect();
    let waits =
        |name: &&String| !progress.moving.contains(*name) && !progress.deferred.contains(*name);
    let pending: Vec<&String> = progress.pending.iter().filter(waits).collect();
    if !pending.is_empty() && !of_workers.is_empty() {
        let (pending, versions) = (names(pending.clone()), of_workers.join(", "));
        lines.push(format!("{pending} pending upgrade to version {versions}"));
    }
    let mut reason = "ClusterUpgrading";
    if !deferred.is_empty() {
        lines.push(format!(
            "{} upgrade to version {plane} deferred using defer-upgrade or hold-upgrade-sequence annotations",
            names(deferred)
        ));
        if blocked.is_none() && !plane_moves && moving.is_empty() && pending.is_empty() {
            reason = "MachineDeploymentsUpgradeDeferred";
        }
    }
    if !progress.uncreated.is_empty() {
        lines.push(format!(
            "{} creation deferred while control plane upgrade is in progress",
            names(progress.uncreated.iter().collect())
        ));
    }
    let lines: String = lines.iter().map(|line| format!("\n  * {line}")).collect();
    State::no(reason, format!("Cluster is upgrading to {wanted}{lines}"))
}

/// What of a plan comes after a version.
fn rest(plan: &[String], version: &str) -> String {
    let rest: Vec<&str> = plan
        .iter()
        .map(String::as_str)
        .filter(|one| *one != version)
        .collect();
    match rest.as_slice() {
        [] => String::new(),
        rest => format!(" ({} pending)", rest.join(", ")),
    }
}

/// MachineDeployments by name, three at most.
fn deployments(names: &[&String]) -> String {
    let shown: Vec<&str> = names.iter().take(3).map(|name| name.as_str()).collect();
    let shown = shown.join(", ");
    match names.len() {
        1 => format!("MachineDeployment {shown}"),
        2 | 3 => format!("MachineDeployments {shown}"),
        more => format!("MachineDeployments {shown}, ... ({} more)", more - 3),
    }
}
