//! What happens in the middle of an upgrade on purpose, at the moment that a scenario is about.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};

use super::finished::Goal;
use super::run::Run;
use super::trouble::Trouble;
use crate::cluster::{Investigate, Object, Progress, View, kinds, wait};
use crate::delivery::addon_name;
use crate::engine;
use crate::record::{Blocker, ObjectRef};
use crate::stack::Disturbance;

/// Between which steps of an upgrade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// The addons are being applied, and no Machine is new.
    Addons,
    /// Machines are being replaced.
    Machines,
}

impl Run<'_> {
    /// Disturbs the judged upgrade, if it is to be disturbed now and was not yet. `before` are the Machines that it
    /// began with, `causes` what may keep the moment from coming.
    pub(super) async fn disturb(
        &self,
        moment: Moment,
        before: &BTreeSet<String>,
        goal: &Goal,
        view: &View,
        causes: &dyn Investigate,
    ) -> Result<(), Trouble> {
        let wanted = self.plan.stack.spec.upgrade.disturbance;
        let due =
            |wanted: &Disturbance| moment_of(*wanted) == moment && !self.beginning.disturbed.get();
        let Some(wanted) = wanted.filter(due) else {
            return Ok(());
        };
        let left = self.phases.left();
        let what = format!("{}: the moment to disturb the upgrade", goal.cluster);
        let views = [view];
        let came = wait(
            self.context,
            &what,
            left,
            &views,
            Some(causes),
            || match moment {
                Moment::Addons => at_addons(goal, view),
                Moment::Machines => at_machines(goal, view, before),
            },
        );
        if !came.await? {
            return Err(Trouble::Infrastructure(anyhow!(
                "{what} was over before it was seen, so that nothing was shown"
            )));
        }
        let worker = worker(goal, view, before);
        let disturbance = match wanted {
            Disturbance::OperatorRestartedAtAddons | Disturbance::OperatorRestartedAtMachines => {
                engine::Disturbance::RestartOperator
            }
            Disturbance::WorkerUnready => {
                let machine = worker
                    .as_deref()
                    .context("there is no worker whose kubelet could stop");
                engine::Disturbance::StopKubelet(machine.map_err(Trouble::Infrastructure)?)
            }
        };
        let told = match disturbance {
            engine::Disturbance::RestartOperator => {
                "the Cluster Stack Operator is restarted".to_owned()
            }
            engine::Disturbance::StopKubelet(machine) => {
                format!("the kubelet of Machine {} is stopped", machine.name())
            }
        };
        let disturbed = self.engine.disturb(disturbance).await;
        disturbed
            .with_context(|| format!("failed to disturb the upgrade: {told}"))
            .map_err(Trouble::Infrastructure)?;
        self.beginning.disturbed.set(true);
        self.save_memory();
        self.context.note(format!("{told}, on purpose"));
        Ok(())
    }
}

const fn moment_of(disturbance: Disturbance) -> Moment {
    match disturbance {
        Disturbance::OperatorRestartedAtAddons => Moment::Addons,
        Disturbance::OperatorRestartedAtMachines | Disturbance::WorkerUnready => Moment::Machines,
    }
}

/// Whether the operator is at the addons; false when it has been.
fn at_addons(goal: &Goal, view: &View) -> Progress<bool> {
    let name = addon_name(&goal.cluster);
    let Some(addon) = view.get(&kinds::CLUSTER_ADDON, &goal.namespace, &name) else {
        let object = ObjectRef::new("management", "ClusterAddon", &goal.namespace, &name);
        return Progress::Blocked(vec![Blocker::new(object, "missing")]);
    };
    if !addon.str("/spec/hook").is_empty() {
        return Progress::Done(true);
    }
    if addon.str("/spec/clusterStack") == goal.class {
        return Progress::Done(false);
    }
    Progress::Blocked(vec![addon.blocker("its addons are not begun")])
}

/// Whether a Machine is new and one is old; false when none is old any more.
fn at_machines(goal: &Goal, view: &View, before: &BTreeSet<String>) -> Progress<bool> {
    let now = goal.machine_uids(view);
    if now.is_disjoint(before) {
        return Progress::Done(false);
    }
    if !now.is_subset(before) {
        return Progress::Done(true);
    }
    let object = ObjectRef::new("management", "Cluster", &goal.namespace, &goal.cluster);
    Progress::Blocked(vec![Blocker::new(object, "no Machine is new")])
}

/// The first worker that was there before the upgrade.
fn worker(goal: &Goal, view: &View, before: &BTreeSet<String>) -> Option<Arc<Object>> {
    let mut workers = goal.machines(view);
    workers.retain(|machine| {
        machine.label(kinds::CONTROL_PLANE).is_none()
            && before.contains(machine.str("/metadata/uid"))
    });
    workers.sort_by(|one, other| one.name().cmp(other.name()));
    workers.into_iter().next()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn goal() -> Goal {
        Goal::of_the_operator("docker-demo-1-35-v1", "v1.35.0")
    }

    fn machine(name: &str, control_plane: bool) -> Value {
        let mut machine = json!({
            "apiVersion": "cluster.x-k8s.io/v1beta2",
            "kind": "Machine",
            "metadata": {
                "name": name,
                "namespace": "n",
                "uid": name,
                "labels": {"cluster.x-k8s.io/cluster-name": "c"},
            },
        });
        if control_plane {
            machine["metadata"]["labels"][kinds::CONTROL_PLANE] = json!("");
        }
        machine
    }

    fn view(kind: crate::cluster::Kind, objects: Vec<Value>) -> View {
        let objects = objects.into_iter().map(|json| (kind.clone(), json));
        View::holding("management", &objects.collect::<Vec<_>>())
    }

    fn shown(progress: Progress<bool>) -> Option<bool> {
        match progress {
            Progress::Done(came) => Some(came),
            Progress::Blocked(_) => None,
        }
    }

    #[test]
    fn machines_are_being_replaced_while_one_is_new_and_one_is_old() {
        let before = BTreeSet::from(["a".to_owned(), "b".to_owned()]);
        for (names, came) in [
            ("ab", None),
            ("abc", Some(true)),
            ("bc", Some(true)),
            ("cd", Some(false)),
        ] {
            let machines = names.chars().map(|name| machine(&name.to_string(), false));
            let view = view(kinds::MACHINE, machines.collect());
            assert_eq!(shown(at_machines(&goal(), &view, &before)), came, "{names}");
        }
    }

    #[test]
    fn the_addons_are_applied_from_the_hook_to_the_claim() {
        for (hook, class, came) in [
            ("", "docker-demo-1-34-v1", None),
            ("BeforeClusterUpgrade", "docker-demo-1-34-v1", Some(true)),
            ("", "docker-demo-1-35-v1", Some(false)),
        ] {
            let addon = json!({
                "apiVersion": "clusterstack.x-k8s.io/v1alpha1",
                "kind": "ClusterAddon",
                "metadata": {"name": "cluster-addon-c", "namespace": "n"},
                "spec": {"hook": hook, "clusterStack": class},
            });
            let view = view(kinds::CLUSTER_ADDON, vec![addon]);
            assert_eq!(shown(at_addons(&goal(), &view)), came, "{hook} {class}");
        }
    }

    #[test]
    fn it_is_a_worker_from_before_that_loses_its_kubelet() {
        let before = BTreeSet::from(["b".to_owned(), "c".to_owned(), "p".to_owned()]);
        let machines = vec![
            machine("a", false),
            machine("c", false),
            machine("b", false),
            machine("p", true),
        ];
        let view = view(kinds::MACHINE, machines);
        assert_eq!(worker(&goal(), &view, &before).unwrap().name(), "b");
    }
}
