//! The cluster's way to N and from there to N+1, and what must become of its Machines.

use std::collections::BTreeSet;

use anyhow::anyhow;
use serde_json::Value;

use super::finished::Goal;
use super::journey::Workload;
use super::phases::Done;
use super::run::Run;
use super::trouble::Trouble;
use crate::cluster::View;
use crate::engine::Management;
use crate::record::{Finding, ObjectRef};
use crate::stack::{Machines, Start};

impl Run<'_> {
    /// A cluster of N.
    pub(super) async fn create(
        &self,
        management: &Management,
        view: &View,
    ) -> Result<Done<Workload>, Trouble> {
        let release = &self.plan.pair.from;
        let mut workload = self.begin(release, management, view).await?;
        let ((), message) = self.settle(release, view, &mut workload).await?;
        Ok((workload, message))
    }

    /// A cluster of another release, moved to N.
    pub(super) async fn by_way_of(
        &self,
        start: &Start,
        management: &Management,
        view: &View,
    ) -> Result<Done<Workload>, Trouble> {
        let (release, next) = (&start.release, &self.plan.pair.from);
        let mut workload = self.begin(release, management, view).await?;
        let settled = self.settle(release, view, &mut workload).await;
        match (settled, start.broken) {
            (Err(trouble @ Trouble::Stack { .. }), true) => {
                let tag = &release.tag;
                self.context.note(format!(
                    "release {tag} is broken, as it is meant to be: {trouble}"
                ));
            }
            // A cure of what is well shows nothing.
            (Ok(_), true) => {
                return Err(Trouble::Infrastructure(anyhow!(
                    "release {} was meant to be broken, but the cluster arrived at it",
                    release.tag
                )));
            }
            (settled, _) => drop(settled?),
        }
        self.provide(management, &[release, next]).await?;
        let (_, message) = self
            .move_to(next, management, view, &mut workload, None)
            .await?;
        let message = message.map(|told| format!("{told}, by way of {}", release.tag));
        Ok((workload, message))
    }

    /// From N to N+1. Returns what N+1 dropped.
    pub(super) async fn upgrade(
        &self,
        management: &Management,
        view: &View,
        workload: &mut Workload,
    ) -> Result<Done<Vec<Value>>, Trouble> {
        // Nobody has waited for these for as long as the checks took.
        view.fresh().await;
        workload.view.fresh().await;
        let before = self.machines_before(|| workload.goal.machine_uids(view))?;
        let release = &self.plan.pair.to;
        let judged = Some(&before);
        let upgraded = self
            .move_to(release, management, view, workload, judged)
            .await?;
        let after = workload.goal.machine_uids(view);
        let wanted = self.plan.stack.spec.upgrade.machines;
        match unlike(wanted, &before, &after) {
            None => Ok(upgraded),
            Some((cause, what)) => {
                let (from, to) = (&self.plan.pair.from.tag, &release.tag);
                let message = format!("the upgrade from {from} to {to} {what}");
                Err(machines(cause, message, &workload.goal))
            }
        }
    }
}

/// What is not as it is wanted of a cluster's Machines, with the name of the cause.
fn unlike(
    wanted: Machines,
    before: &BTreeSet<String>,
    after: &BTreeSet<String>,
) -> Option<(&'static str, String)> {
    let all = before.len();
    let kept = before.intersection(after).count();
    match wanted {
        Machines::Kept if before != after => Some((
            "unexpected-rollout",
            format!(
                "replaced {} of {all} Machines, and was to keep them",
                all - kept
            ),
        )),
        Machines::Replaced if kept > 0 => Some((
            "missing-rollout",
            format!("kept {kept} of {all} Machines, and was to replace them"),
        )),
        _ => None,
    }
}

fn machines(cause: &str, message: String, goal: &Goal) -> Trouble {
    let finding = Finding {
        cause: cause.to_owned(),
        message: message.clone(),
        object: ObjectRef::new("management", "Cluster", &goal.namespace, &goal.cluster),
        evidence: Vec::new(),
    };
    Trouble::Stack {
        message,
        finding: Some(Box::new(finding)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_are_kept_or_replaced_as_it_is_wanted() {
        let set = |names: &str| names.chars().map(String::from).collect::<BTreeSet<_>>();
        for (wanted, before, after, told) in [
            (Machines::Any, "ab", "bc", None),
            (Machines::Kept, "ab", "ab", None),
            (
                Machines::Kept,
                "ab",
                "abc",
                Some("unexpected-rollout: replaced 0 of 2 Machines, and was to keep them"),
            ),
            (
                Machines::Kept,
                "ab",
                "bc",
                Some("unexpected-rollout: replaced 1 of 2 Machines, and was to keep them"),
            ),
            (Machines::Replaced, "ab", "cd", None),
            (
                Machines::Replaced,
                "ab",
                "bc",
                Some("missing-rollout: kept 1 of 2 Machines, and was to replace them"),
            ),
        ] {
            let found = unlike(wanted, &set(before), &set(after));
            let found = found.map(|(cause, what)| format!("{cause}: {what}"));
            assert_eq!(found.as_deref(), told);
        }
    }
}
