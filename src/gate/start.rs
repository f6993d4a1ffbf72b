//! The cluster's way to N and from there to N+1, and what must become of its Machines.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::anyhow;
use serde_json::Value;

use super::ahead::{Ahead, Standing};
use super::finished::Goal;
use super::journey::Workload;
use super::phases::Done;
use super::resumed::Found;
use super::run::Run;
use super::trouble::Trouble;
use crate::cluster::{Progress, View, WaitError, blind, wait};
use crate::engine::Management;
use crate::record::{Blocker, Finding, ObjectRef};
use crate::stack::{Machines, Start};

/// Labels that something else than Cluster API gives may come a while after a node is Ready.
const LABELLED: Duration = Duration::from_secs(60);

/// What an upgrade that is judged began with.
#[derive(Clone, Copy)]
pub(super) struct Judged<'a> {
    pub(super) machines: &'a BTreeSet<String>,
    /// The addons that were ready, where they are known.
    pub(super) ahead: Option<&'a Ahead>,
}

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
        self.sees(view, workload).await?;
        let found = self.found_before(|| Found {
            machines: workload.goal.machine_uids(view),
            standing: Some(Standing::of(&workload.goal, &workload.view)),
        })?;
        let standing = found.standing.as_ref();
        let ahead = standing.map(|found| Ahead::of(found, &workload.goal.version));
        let before = found.machines;
        let release = &self.plan.pair.to;
        let judged = Judged {
            machines: &before,
            ahead: ahead.as_ref(),
        };
        let upgraded = self
            .move_to(release, management, view, workload, Some(judged))
            .await?;
        if let Some(ahead) = &ahead {
            self.have_nodes(ahead, workload).await?;
        }
        if self.looked_away() {
            // Who goes on after this one has to know.
            self.save_memory();
        }
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

impl Run<'_> {
    /// Every addon that had ready Pods before the upgrade has nodes after it, and did not have to wait for them.
    async fn have_nodes(&self, ahead: &Ahead, workload: &Workload) -> Result<(), Trouble> {
        let (goal, view) = (&workload.goal, &workload.view);
        let what = format!("{}: addons have nodes", goal.cluster);
        let left = self.phases.left().min(LABELLED);
        let found = || ahead.without_nodes(goal, view);
        let waited = wait(self.context, &what, left, &[view], None, || {
            // What is not seen now is not known to be so.
            let mut blockers = blind(view);
            let without =
                found().map(|one| Blocker::new(one.object, "had Pods, and no node suits it now"));
            blockers.extend(without);
            Progress::unless(blockers)
        })
        .await;
        match waited {
            Err(WaitError::Deadline { .. }) if !blind(view).is_empty() => {
                self.context.note(
                    "whether all addons have nodes is not known: the workload cluster could not be seen",
                );
            }
            Err(WaitError::Deadline { .. }) => {
                if let Some(finding) = found() {
                    return Err(WaitError::Cause(Box::new(finding)).into());
                }
            }
            waited => waited?,
        }
        match ahead.waited(goal, view).filter(|_| self.looked_away()) {
            None => Ok(()),
            Some(place) => Err(Trouble::Infrastructure(anyhow!(
                "{place} asks for nodes as only {} has them; whether it was without a ready Pod until they came is not known, as the run had no process or stood still meanwhile: run it again",
                goal.class
            ))),
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
