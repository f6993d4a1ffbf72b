//! kubectl with workloads that controllers move, in real time.

use std::path::Path;

use crate::bench::{Bench, Test, holds};
use libtest_mimic::Failed;

pub const TESTS: &[Test] = &[
    ("kubectl_rolls_out_undoes_and_drains", life_of_a_deployment),
    ("kubectl_is_told_what_is_not_possible", refusals),
];

const DEPLOYMENT: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      hostNetwork: true
      tolerations: [{key: node.kubernetes.io/not-ready, operator: Exists}]
      containers: [{name: c, image: 'registry.k8s.io/pause:3.10'}]
";

fn life_of_a_deployment(kubectl: &Path) -> Result<(), Failed> {
    let bench = Bench::with_nodes();
    let run = |arguments: &[&str]| bench.run(kubectl, arguments, "");
    let rolled_out = || -> Result<(), Failed> {
        let status = run(&["rollout", "status", "deployment/web", "--timeout=40s"])?;
        holds(&status, &["successfully rolled out"])
    };
    let image = || {
        run(&[
            "get",
            "deployment",
            "web",
            "-o",
            "jsonpath={.spec.template.spec.containers[0].image}",
        ])
    };
    bench.run(kubectl, &["apply", "-f", "-"], DEPLOYMENT)?;
    rolled_out()?;
    run(&[
        "set",
        "image",
        "deployment/web",
        "c=registry.k8s.io/pause:3.9",
    ])?;
    rolled_out()?;
    holds(
        &run(&["rollout", "history", "deployment/web"])?,
        &["REVISION", "1", "2"],
    )?;
    holds(
        &run(&["rollout", "undo", "deployment/web"])?,
        &["rolled back"],
    )?;
    rolled_out()?;
    holds(&image()?, &["pause:3.10"])?;
    let strategic = "{\"spec\":{\"template\":{\"spec\":{\"containers\":[{\"name\":\"c\",\"imagePullPolicy\":\"Always\"}]}}}}";
    run(&["patch", "deployment", "web", "-p", strategic])?;
    holds(&image()?, &["pause:3.10"])?;
    let steps = "[{\"op\":\"add\",\"path\":\"/metadata/labels\",\"value\":{\"x\":\"y\"}}]";
    run(&["patch", "deployment", "web", "--type=json", "-p", steps])?;
    holds(
        &run(&["scale", "deployment/web", "--replicas=1"])?,
        &["scaled"],
    )?;
    rolled_out()?;
    holds(
        &run(&["describe", "deployment", "web"])?,
        &["1 desired", "ScalingReplicaSet"],
    )?;
    let drain = [
        "drain",
        "worker",
        "--ignore-daemonsets",
        "--force",
        "--timeout=40s",
    ];
    holds(&run(&drain)?, &["node/worker drained"])?;
    let there = [
        "get",
        "pods",
        "--field-selector=spec.nodeName=worker",
        "-l",
        "app=web",
        "-o",
        "name",
    ];
    let left = run(&there)?;
    if !left.is_empty() {
        return Err(format!("left on the drained node: {left}").into());
    }
    holds(&run(&["get", "node", "worker"])?, &["SchedulingDisabled"])?;
    holds(&run(&["uncordon", "worker"])?, &["uncordoned"])?;
    holds(
        &run(&["delete", "deployment", "web", "--wait", "--timeout=40s"])?,
        &["deleted"],
    )?;
    Ok(())
}

fn refusals(kubectl: &Path) -> Result<(), Failed> {
    let bench = Bench::with_nodes();
    let refused = |arguments: &[&str], words: &[&str]| -> Result<(), Failed> {
        let output = bench.output(kubectl, arguments, "")?;
        if output.status.success() {
            return Err(format!("{arguments:?} succeeded").into());
        }
        holds(&String::from_utf8_lossy(&output.stderr), words)
    };
    refused(&["top", "nodes"], &["Metrics API not available"])?;
    let pod = [
        "exec",
        "-n",
        "kube-system",
        "etcd-control-plane",
        "--",
        "true",
    ];
    refused(&pod, &["there are no processes in them"])?;
    refused(
        &["create", "token", "nobody"],
        &["serviceaccounts \"nobody\" not found"],
    )?;
    refused(
        &["delete", "namespace", "default"],
        &["this namespace may not be deleted"],
    )
}
