//! `nodes-ready`: every node is Ready, without pressure, at the target version, and is a Machine's.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use crate::checks::judgement::{Judgement, problem, settle};
use crate::checks::{Answer, Native, Parameters, Target, needs};
use crate::cluster::kinds::CLUSTER_NAME;
use crate::cluster::{Object, kinds};
use crate::record::Blocker;

const NAME: &str = "nodes-ready";

/// The check.
pub const CHECK: Native = Native {
    name: NAME,
    timeout: Duration::from_secs(60),
    parameters: Parameters::NONE,
    needs: &[needs::NODES],
    run: |target| Box::pin(run(target)),
};

/// A node may report late that it is Ready.
const SETTLE: Duration = Duration::from_secs(30);

async fn run(target: &Target<'_>) -> Result<Answer> {
    let workload = target.view(&[(kinds::NODE, "")]);
    let management = target.management.as_ref().map(|management| {
        let view = target.management_view(management, &[kinds::MACHINE]);
        (view, management.cluster)
    });
    let mut views = vec![&workload];
    views.extend(management.as_ref().map(|(view, _)| view));
    settle(target, NAME, SETTLE, &views, || {
        let machines = management.as_ref().map(|(view, cluster)| {
            let mut machines = view.list(&kinds::MACHINE);
            machines.retain(|machine| machine.label(CLUSTER_NAME) == Some(cluster));
            machines
        });
        let nodes = workload.list(&kinds::NODE);
        let (version, from) = (target.kubernetes, target.upgraded_from);
        judge(version, from, &nodes, machines.as_deref())
    })
    .await
}

/// `from` is the version before the upgrade; `machines` are those of the Cluster, where they can be
/// seen.
fn judge(
    version: &str,
    from: Option<&str>,
    nodes: &[Arc<Object>],
    machines: Option<&[Arc<Object>]>,
) -> Judgement {
    let mut problems: Vec<Blocker> = nodes
        .iter()
        .flat_map(|node| node_problems(node, version, from))
        .collect();
    if nodes.is_empty() {
        problems.push(problem("workload", "Node", "", "(all)", "there is none"));
    }
    problems.extend(
        machines
            .into_iter()
            .flat_map(|machines| unmatched(nodes, machines)),
    );
    Judgement::unless(problems, || {
        let machines = machines.map_or("", |_| ", each of its Machine");
        format!(
            "{} Ready at {version}{machines}",
            super::count(nodes.len(), "node")
        )
    })
}

fn node_problems(node: &Object, version: &str, from: Option<&str>) -> Vec<Blocker> {
    let mut problems = Vec::from_iter(node.unless_true("Ready"));
    for kind in [
        "MemoryPressure",
        "DiskPressure",
        "PIDPressure",
        "NetworkUnavailable",
    ] {
        if let Some(condition) = node.condition(kind).filter(|c| c.status == "True") {
            let mut blocker = node.blocker(format!("{kind} True"));
            blocker.reason = condition.reason;
            blocker.message = condition.message;
            blocker.since = condition.since;
            problems.push(blocker);
        }
    }
    let kubelet = node.str("/status/nodeInfo/kubeletVersion");
    if Some(kubelet) == from && kubelet != version {
        problems.push(node.blocker(format!("left at {kubelet}, not upgraded to {version}")));
    } else if kubelet != version {
        problems.push(node.blocker(format!("kubelet is '{kubelet}', not {version}")));
    }
    if node
        .at("/spec/unschedulable")
        .is_some_and(|value| value == true)
    {
        problems.push(node.blocker("cordoned: takes no new pods"));
    }
    problems
}

/// Nodes without a Machine, and Machines without a node.
fn unmatched(nodes: &[Arc<Object>], machines: &[Arc<Object>]) -> Vec<Blocker> {
    let node_of = |machine: &Object| machine.str("/status/nodeRef/name").to_owned();
    let orphans = nodes
        .iter()
        .filter(|node| {
            !machines
                .iter()
                .any(|machine| node_of(machine) == node.name())
        })
        .map(|node| node.blocker("no Machine owns it"));
    let nodeless = machines
        .iter()
        .filter(|machine| !nodes.iter().any(|node| node.name() == node_of(machine)))
        .map(|machine| match node_of(machine).as_str() {
            "" => machine.blocker("has no node"),
            name => machine.blocker(format!("its node {name} does not exist")),
        });
    orphans.chain(nodeless).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::health::fixtures::{managed, node, problems, with};
    use serde_json::json;

    fn machine(name: &str, node: &str) -> Arc<Object> {
        managed(
            json!({"kind": "Machine", "metadata": {"name": name, "namespace": "run"},
            "status": {"nodeRef": {"name": node}}}),
        )
    }

    fn told(nodes: &[Arc<Object>], machines: &[Arc<Object>]) -> String {
        problems(&judge("v1.35.0", Some("v1.34.3"), nodes, Some(machines)))
    }

    #[test]
    fn ready_nodes_of_machines_at_the_target_version_pass() {
        let nodes = [node("a", "v1.35.0"), node("b", "v1.35.0")];
        let judged = judge(
            "v1.35.0",
            None,
            &nodes,
            Some(&[machine("m", "a"), machine("n", "b")]),
        );
        assert_eq!(
            judged,
            Judgement::Pass("2 nodes Ready at v1.35.0, each of its Machine".to_owned())
        );
        assert_eq!(
            judge("v1.35.0", None, &nodes[..1], None),
            Judgement::Pass("1 node Ready at v1.35.0".to_owned())
        );
    }

    #[test]
    fn each_way_of_not_being_well_fails() {
        let well = node("a", "v1.35.0");
        for (node, expected) in [
            (
                with(
                    &well,
                    "/status/conditions/3",
                    json!({"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown", "message": "Kubelet stopped posting node status."}),
                ),
                "Node a: Ready Unknown, NodeStatusUnknown: Kubelet stopped posting node status.",
            ),
            (
                with(
                    &well,
                    "/status/conditions/1",
                    json!({"type": "DiskPressure", "status": "True", "reason": "KubeletHasDiskPressure"}),
                ),
                "Node a: DiskPressure True, KubeletHasDiskPressure",
            ),
            (
                with(&well, "/spec/unschedulable", json!(true)),
                "Node a: cordoned: takes no new pods",
            ),
            (
                node("a", "v1.34.3"),
                "Node a: left at v1.34.3, not upgraded to v1.35.0",
            ),
            (
                node("a", "v1.33.1"),
                "Node a: kubelet is 'v1.33.1', not v1.35.0",
            ),
            (
                with(&well, "/status", json!({})),
                "Node a: Ready not reported\nNode a: kubelet is '', not v1.35.0",
            ),
        ] {
            assert_eq!(told(&[node], &[machine("m", "a")]), expected);
        }
    }

    #[test]
    fn nodes_and_machines_have_to_match() {
        let well = [node("a", "v1.35.0")];
        assert_eq!(told(&well, &[]), "Node a: no Machine owns it");
        assert_eq!(
            told(
                &well,
                &[machine("m", "a"), machine("n", "b"), machine("o", "")]
            ),
            "Machine run/n: its node b does not exist\nMachine run/o: has no node"
        );
        assert_eq!(told(&[], &[]), "Node (all): there is none");
    }
}
