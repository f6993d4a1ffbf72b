//! scs-0214-v2: nodes say in which region and zone they are, and the control plane is not one node.
//!
//! Whether the machines are physically apart cannot be seen through the API.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::checks::judgement::{Judgement, judge_once, problem};
use crate::checks::surroundings::CONTROL_PLANE;
use crate::checks::{Answer, Native, Parameters, Target, needs};
use crate::cluster::{Object, kinds};

const TIMEOUT: Duration = Duration::from_secs(30);
const ZONE: &str = "topology.kubernetes.io/zone";
const REGION: &str = "topology.kubernetes.io/region";

/// Every node has the labels.
pub const LABELS: Native = Native {
    name: "scs-0214-node-labels",
    timeout: TIMEOUT,
    parameters: Parameters::NONE,
    needs: &[needs::NODES],
    run: |target| Box::pin(run(target, labels)),
};

/// Enough control-plane nodes.
pub const CONTROL_PLANE_NODES: Native = Native {
    name: "scs-0214-control-plane-nodes",
    timeout: TIMEOUT,
    parameters: Parameters::of::<ControlPlaneNodes>(),
    needs: &[needs::NODES],
    run: |target| {
        Box::pin(async {
            let wanted: ControlPlaneNodes = target.parameters()?;
            run(target, |nodes| control_plane(nodes, wanted.minimum)).await
        })
    },
};

/// How many control-plane nodes are enough.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ControlPlaneNodes {
    /// At least so many; the standard demands several.
    #[serde(default = "several")]
    #[schemars(range(min = 1))]
    minimum: NonZeroUsize,
}

const fn several() -> NonZeroUsize {
    NonZeroUsize::MIN.saturating_add(1)
}

/// Control-plane nodes in more than one zone.
pub const CONTROL_PLANE_ZONES: Native = Native {
    name: "scs-0214-control-plane-zones",
    timeout: TIMEOUT,
    parameters: Parameters::NONE,
    needs: &[needs::NODES],
    run: |target| Box::pin(run(target, zones)),
};

async fn run(target: &Target<'_>, judge: impl Fn(&[Arc<Object>]) -> Judgement) -> Result<Answer> {
    let view = target.view(&[(kinds::NODE, "")]);
    judge_once(target, "the nodes", &[&view], || {
        judge(&view.list(&kinds::NODE))
    })
    .await
}

fn labels(nodes: &[Arc<Object>]) -> Judgement {
    if nodes.is_empty() {
        return Judgement::Skip("there is no node".to_owned());
    }
    let mut problems = Vec::new();
    for node in nodes {
        for label in [REGION, ZONE] {
            if node.label(label).unwrap_or_default().is_empty() {
                problems.push(node.blocker(format!("has no label {label}")));
            }
        }
    }
    Judgement::unless(problems, || {
        format!("all {} nodes have region and zone", nodes.len())
    })
}

fn planes(nodes: &[Arc<Object>]) -> Vec<&Arc<Object>> {
    nodes
        .iter()
        .filter(|node| node.label(CONTROL_PLANE).is_some())
        .collect()
}

/// Nodes that cannot be seen (a managed control plane) cannot be counted.
const UNSEEN: &str = "no control-plane node can be seen: the control plane runs elsewhere";

fn control_plane(nodes: &[Arc<Object>], minimum: NonZeroUsize) -> Judgement {
    match planes(nodes).as_slice() {
        [] => Judgement::Skip(UNSEEN.to_owned()),
        [only] if minimum.get() > 1 => {
            Judgement::Fail(vec![only.blocker("is the only control-plane node")])
        }
        few if few.len() < minimum.get() => Judgement::Fail(vec![few[0].blocker(format!(
            "is one of {} control-plane nodes, fewer than {minimum}",
            few.len()
        ))]),
        several => Judgement::Pass(format!(
            "{} control-plane nodes; whether on as many machines cannot be seen",
            several.len()
        )),
    }
}

fn zones(nodes: &[Arc<Object>]) -> Judgement {
    let planes = planes(nodes);
    if planes.is_empty() {
        return Judgement::Skip(UNSEEN.to_owned());
    }
    let zones: BTreeSet<&str> = planes
        .iter()
        .filter_map(|node| node.label(ZONE))
        .filter(|zone| !zone.is_empty())
        .collect();
    let told = Vec::from_iter(zones).join(", ");
    match told.as_str() {
        "" => Judgement::Fail(vec![problem(
            "workload",
            "Node",
            "",
            "(control plane)",
            format!("has no label {ZONE}"),
        )]),
        one if !one.contains(", ") => Judgement::Fail(vec![problem(
            "workload",
            "Node",
            "",
            "(control plane)",
            format!("all in zone {one}; several are recommended"),
        )]),
        several => Judgement::Pass(format!("control-plane nodes in zones {several}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::checks::health::fixtures::{node, problems, with};

    fn placed(name: &str, zone: &str, plane: bool) -> Arc<Object> {
        let mut labels = json!({REGION: "r1", ZONE: zone});
        if plane {
            labels[CONTROL_PLANE] = json!("");
        }
        with(&node(name, "v1.35.0"), "/metadata/labels", labels)
    }

    #[test]
    fn every_node_has_to_say_where_it_is() {
        let good = [placed("a", "z1", true), placed("b", "z1", false)];
        assert_eq!(problems(&labels(&good)), "");
        let told = problems(&labels(&[good[0].clone(), node("b", "v1.35.0")]));
        assert!(
            told.contains("Node b: has no label topology.kubernetes.io/region"),
            "{told}"
        );
        assert!(problems(&labels(&[placed("a", "", true)])).contains(ZONE));
    }

    #[test]
    fn one_control_plane_node_is_too_few_and_none_cannot_be_judged() {
        let [one, two] = [placed("a", "z1", true), placed("b", "z2", true)];
        let worker = placed("c", "z1", false);
        assert!(
            problems(&control_plane(&[one.clone(), worker.clone()], several()))
                .contains("the only")
        );
        assert_eq!(
            problems(&control_plane(&[one.clone(), two.clone()], several())),
            ""
        );
        assert!(matches!(
            control_plane(std::slice::from_ref(&worker), several()),
            Judgement::Skip(_)
        ));
        assert_eq!(problems(&zones(&[one.clone(), two])), "");
        assert!(problems(&zones(&[one.clone(), one])).contains("all in zone z1"));
        assert!(matches!(zones(&[worker]), Judgement::Skip(_)));
    }
}
