//! `node-labels-kept`: nodes after the upgrade bear the labels that those of the same role bore before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use crate::checks::judgement::{Judgement, settle};
use crate::checks::{Answer, Native, Parameters, Target, needs};
use crate::cluster::{Object, kinds};
use crate::record::Blocker;

const NAME: &str = "node-labels-kept";

/// The check.
pub const CHECK: Native = Native {
    name: NAME,
    timeout: Duration::from_secs(60),
    parameters: Parameters::NONE,
    needs: &[needs::NODES],
    run: |target| Box::pin(run(target)),
};

/// Cluster API and the cloud provider set labels a moment after the node is there.
const SETTLE: Duration = Duration::from_secs(30);
/// Label of a Machine that a MachineDeployment made.
const DEPLOYMENT: &str = "cluster.x-k8s.io/deployment-name";
/// The role of nodes that no MachineDeployment made.
const CONTROL_PLANE: &str = "the control plane";
/// What tells one node from the other.
const OWN: [&str; 1] = ["kubernetes.io/hostname"];

/// What all nodes of a role bear.
type Labels = BTreeMap<String, BTreeMap<String, String>>;

async fn run(target: &Target<'_>) -> Result<Answer> {
    let Some(management) = target.management.as_ref() else {
        let why = "without the management cluster it is not known which node replaces which";
        return Ok(Judgement::Skip(why.to_owned()).into());
    };
    let nodes = target.view(&[(kinds::NODE, "")]);
    let machines = target.management_view(management, &[kinds::MACHINE]);
    let before = target.context.remembered(NAME);
    let before: Option<Labels> = before.map(serde_json::from_value).transpose()?;
    let mut seen = Labels::new();
    let answer = settle(target, NAME, SETTLE, &[&nodes, &machines], || {
        let mut machines = machines.list(&kinds::MACHINE);
        machines.retain(|one| one.label(kinds::CLUSTER_NAME) == Some(management.cluster));
        let nodes = by_role(&nodes.list(&kinds::NODE), &machines);
        seen = common(&nodes);
        judge(before.as_ref(), target.upgraded_from.is_some(), &nodes)
    })
    .await?;
    if target.upgraded_from.is_none() {
        target.context.remember(NAME, serde_json::to_value(&seen)?);
    }
    Ok(answer)
}

fn by_role(nodes: &[Arc<Object>], machines: &[Arc<Object>]) -> BTreeMap<String, Vec<Arc<Object>>> {
    let mut roles: BTreeMap<String, Vec<Arc<Object>>> = BTreeMap::new();
    for machine in machines {
        let name = machine.str("/status/nodeRef/name");
        let role = machine.label(DEPLOYMENT);
        // The name of a MachineDeployment stays while its Machines are replaced.
        let role = role.map_or(CONTROL_PLANE.to_owned(), |name| format!("{name}'s nodes"));
        roles
            .entry(role)
            .or_default()
            .extend(nodes.iter().filter(|node| node.name() == name).cloned());
    }
    roles
}

fn labels(node: &Object) -> BTreeMap<String, String> {
    let labels = node.at("/metadata/labels").and_then(Value::as_object);
    let labels = labels.into_iter().flatten();
    labels
        .filter(|(key, _)| !OWN.contains(&key.as_str()))
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

fn common(roles: &BTreeMap<String, Vec<Arc<Object>>>) -> Labels {
    let of = |nodes: &Vec<Arc<Object>>| {
        let mut all = nodes.iter().map(|node| labels(node));
        let mut common = all.next().unwrap_or_default();
        for labels in all {
            common.retain(|key, value| labels.get(key) == Some(value));
        }
        common
    };
    roles
        .iter()
        .map(|(role, nodes)| (role.clone(), of(nodes)))
        .collect()
}

fn judge(
    before: Option<&Labels>,
    upgraded: bool,
    roles: &BTreeMap<String, Vec<Arc<Object>>>,
) -> Judgement {
    let count: usize = roles.values().map(Vec::len).sum();
    if count == 0 {
        return Judgement::Skip("no node is a Machine's".to_owned());
    }
    let Some(before) = before else {
        return if upgraded {
            Judgement::Skip("the labels before the upgrade were not noted".to_owned())
        } else {
            Judgement::Pass(format!("labels of {} noted", super::count(count, "node")))
        };
    };
    let mut problems = Vec::new();
    let mut kept = BTreeSet::new();
    for (role, nodes) in roles {
        let Some(wanted) = before.get(role) else {
            continue;
        };
        kept.extend(wanted.keys());
        for node in nodes {
            problems.extend(lost(node, role, wanted));
        }
    }
    Judgement::unless(problems, || {
        let nodes = super::count(count, "node");
        format!("{nodes} with the labels of before: {} of them", kept.len())
    })
}

fn lost(node: &Object, role: &str, wanted: &BTreeMap<String, String>) -> Vec<Blocker> {
    let own = labels(node);
    let missing = wanted.iter().filter_map(|(key, value)| match own.get(key) {
        None => Some(format!("lost its label {key}={value}, which {role} bore")),
        Some(other) if other != value => Some(format!(
            "label {key} is {other}, and was {value} with {role}"
        )),
        Some(_) => None,
    });
    missing.map(|condition| node.blocker(condition)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::checks::health::fixtures::{managed, node, with};

    fn roles(labels: Value) -> BTreeMap<String, Vec<Arc<Object>>> {
        let nodes = [with(&node("n1", "v1.35.0"), "/metadata/labels", labels)];
        let machine = managed(
            json!({"kind": "Machine", "metadata": {"name": "m", "labels": {DEPLOYMENT: "md-0"}},
            "status": {"nodeRef": {"name": "n1"}}}),
        );
        by_role(&nodes, &[machine])
    }

    #[test]
    fn the_first_time_labels_are_noted_and_the_same_later_pass() {
        let first = roles(json!({"zone": "a", "kubernetes.io/hostname": "n1"}));
        let noted = judge(None, false, &first);
        assert_eq!(noted, Judgement::Pass("labels of 1 node noted".to_owned()));
        let later = roles(json!({"zone": "a", "new": "b", "kubernetes.io/hostname": "n2"}));
        let passed = judge(Some(&common(&first)), true, &later);
        assert!(matches!(passed, Judgement::Pass(_)), "{passed:?}");
    }

    #[test]
    fn a_label_that_is_gone_or_changed_fails() {
        let before = common(&roles(json!({"zone": "a"})));
        for (after, said) in [
            (json!({}), "lost its label zone=a, which md-0's nodes bore"),
            (
                json!({"zone": "b"}),
                "label zone is b, and was a with md-0's nodes",
            ),
        ] {
            let Judgement::Fail(problems) = judge(Some(&before), true, &roles(after)) else {
                panic!("{said}")
            };
            assert_eq!(problems[0].condition, said);
        }
    }

    #[test]
    fn without_what_was_noted_before_nothing_is_judged() {
        let skipped = judge(None, true, &roles(json!({"zone": "a"})));
        assert!(matches!(skipped, Judgement::Skip(_)));
        assert!(matches!(
            judge(None, false, &BTreeMap::new()),
            Judgement::Skip(_)
        ));
    }
}
