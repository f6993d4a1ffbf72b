//! kubectl, as it is, against a served cluster.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;

use crate::bench::{Bench, Client, Test, find, holds};
use kubesim::registry::Deletion;
use kubesim::resource::builtin::{CONFIG_MAPS, DEPLOYMENTS, NODES, PODS};
use libtest_mimic::Failed;
use serde_json::{Value, json};

const TESTS: &[Test] = &[
    ("kubectl_finds_resources_and_explains_them", discovery),
    ("kubectl_creates_changes_and_deletes", changes),
    ("kubectl_applies_from_its_side", applies),
    ("kubectl_validates_by_what_the_server_documents", validates),
    ("kubectl_shows_tables_and_descriptions", shows),
    ("kubectl_lists_in_chunks_and_by_selectors", lists),
    ("kubectl_watches", watches),
    ("kubectl_waits_for_conditions_and_rollouts", waits),
    ("kubectl_prints_and_follows_logs", logs),
    ("kubectl_asks_what_it_may", may),
    ("kubectl_with_a_stranger_s_token_is_refused", stranger),
];

pub fn client() -> Client {
    Client {
        name: "kubectl",
        program: find("kubectl"),
        tests: TESTS,
    }
}

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
      containers:
      - {name: c, image: 'nginx:1', ports: [{containerPort: 80}]}
      - {name: d, image: 'side:1'}
";

fn discovery(kubectl: &Path) -> Result<(), Failed> {
    let bench = Bench::new();
    let run = |arguments: &[&str]| bench.run(kubectl, arguments, "");
    holds(
        &run(&["api-resources"])?,
        &["deployments", "deploy", "apps/v1", "Deployment"],
    )?;
    holds(&run(&["api-versions"])?, &["rbac.authorization.k8s.io/v1"])?;
    bench.cluster.set_version("v1.34.3");
    holds(&run(&["version"])?, &["Server Version: v1.34.3"])?;
    holds(
        &run(&["get", "--raw", "/readyz?verbose"])?,
        &["[+]etcd ok", "readyz check passed"],
    )?;
    let explained = run(&["explain", "pod.spec.containers.livenessProbe"])?;
    holds(
        &explained,
        &[
            "FIELD: livenessProbe <Probe>",
            "failureThreshold\t<integer>",
        ],
    )?;
    holds(
        &run(&["explain", "deployment", "--recursive"])?,
        &["revisionHistoryLimit"],
    )
}

fn changes(kubectl: &Path) -> Result<(), Failed> {
    let bench = Bench::new();
    let run = |arguments: &[&str]| bench.run(kubectl, arguments, "");
    // Typed clients write protobuf, the others JSON.
    run(&["create", "configmap", "a", "--from-literal=k=v"])?;
    run(&["create", "secret", "generic", "s", "--from-literal=k=v"])?;
    run(&["create", "namespace", "other"])?;
    let file = bench.file("deployment.yaml", DEPLOYMENT);
    run(&["create", "-f", file.to_str().unwrap_or_default()])?;
    run(&["label", "configmap", "a", "app=x"])?;
    run(&["annotate", "configmap", "a", "note=y"])?;
    run(&[
        "patch",
        "configmap",
        "a",
        "--type=merge",
        "-p",
        "{\"data\":{\"k\":\"w\"}}",
    ])?;
    let map: Value = serde_json::from_str(&run(&["get", "configmap", "a", "-o", "json"])?)?;
    let told = (
        &map["data"]["k"],
        &map["metadata"]["labels"]["app"],
        &map["metadata"]["annotations"]["note"],
    );
    if told != (&json!("w"), &json!("x"), &json!("y")) {
        return Err(format!("not what was written: {map}").into());
    }
    let secret = run(&["get", "secret", "s", "-o", "jsonpath={.data.k}"])?;
    holds(&secret, &["dg=="])?;
    holds(
        &run(&["delete", "configmap", "a"])?,
        &["configmap \"a\" deleted"],
    )?;
    let output = bench.output(kubectl, &["get", "configmap", "a"], "")?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    holds(
        &text,
        &["Error from server (NotFound): configmaps \"a\" not found"],
    )
}

fn applies(kubectl: &Path) -> Result<(), Failed> {
    let bench = Bench::new();
    let apply = |text: &str| bench.run(kubectl, &["apply", "-f", "-"], text);
    holds(&apply(DEPLOYMENT)?, &["deployment.apps/web created"])?;
    holds(&apply(DEPLOYMENT)?, &["deployment.apps/web unchanged"])?;
    let changed = DEPLOYMENT.replace("replicas: 2", "replicas: 3");
    holds(&apply(&changed)?, &["deployment.apps/web configured"])?;
    let replicas = [
        "get",
        "deployment",
        "web",
        "-o",
        "jsonpath={.spec.replicas}",
    ];
    holds(&bench.run(kubectl, &replicas, "")?, &["3"])
}

fn validates(kubectl: &Path) -> Result<(), Failed> {
    let bench = Bench::new();
    let dry = |text: &str| {
        let arguments = [
            "apply",
            "--dry-run=client",
            "--validate=strict",
            "-o",
            "name",
            "-f",
            "-",
        ];
        bench.output(kubectl, &arguments, text)
    };
    let well = dry(DEPLOYMENT)?;
    holds(
        &String::from_utf8_lossy(&well.stdout),
        &["deployment.apps/web"],
    )?;
    let ill = dry(&DEPLOYMENT.replace("apps/v1", "apps/v9"))?;
    let text = String::from_utf8_lossy(&ill.stderr).into_owned();
    holds(
        &text,
        &["no matches for kind \"Deployment\" in version \"apps/v9\""],
    )
}

fn node(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {"node-role.kubernetes.io/control-plane": ""}},
        "status": {"conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
            "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
            "nodeInfo": {"kubeletVersion": "v1.35.0", "osImage": "Debian", "kernelVersion": "6",
                "containerRuntimeVersion": "containerd://2"}}})
}

fn pod(name: &str, node: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": "default", "name": name, "labels": {"app": name}},
        "spec": {"nodeName": node, "containers": [{"name": "c", "image": "nginx"}]},
        "status": {"phase": "Running", "podIP": "10.1.0.1", "podIPs": [{"ip": "10.1.0.1"}],
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{"name": "c", "image": "nginx", "ready": true, "restartCount": 0,
                "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}]}})
}

fn shows(kubectl: &Path) -> Result<(), Failed> {
    let bench = Bench::new();
    bench.create(&NODES, node("n"));
    bench.create(&PODS, pod("p", "n"));
    let run = |arguments: &[&str]| bench.run(kubectl, arguments, "");
    holds(
        &run(&["get", "nodes"])?,
        &["NAME", "Ready", "control-plane", "v1.35.0"],
    )?;
    holds(
        &run(&["get", "nodes", "-o", "wide"])?,
        &["INTERNAL-IP", "10.0.0.1", "containerd://2"],
    )?;
    holds(
        &run(&["get", "pods", "-A", "-o", "wide"])?,
        &["1/1", "Running", "10.1.0.1"],
    )?;
    holds(&run(&["get", "all"])?, &["pod/p"])?;
    holds(&run(&["get", "po/p", "--show-labels"])?, &["app=p"])?;
    holds(
        &run(&["get", "pods", "--sort-by=.metadata.name"])?,
        &["p  "],
    )?;
    holds(
        &run(&["describe", "node", "n"])?,
        &["Roles:", "control-plane", "Non-terminated Pods"],
    )?;
    holds(
        &run(&["describe", "pod", "p"])?,
        &["Node:", "State:", "Running", "Events:"],
    )
}

fn lists(kubectl: &Path) -> Result<(), Failed> {
    let bench = Bench::new();
    for name in ["a", "b", "c"] {
        bench.create(&PODS, pod(name, name));
    }
    let names = |arguments: &[&str]| -> Result<Vec<String>, Failed> {
        let all = [&["get", "pods", "-o", "name"], arguments].concat();
        let text = bench.run(kubectl, &all, "")?;
        Ok(text.lines().map(str::to_owned).collect())
    };
    for (arguments, expected) in [
        (&["--chunk-size=1"][..], &["pod/a", "pod/b", "pod/c"][..]),
        (&["-l", "app in (a,c)"], &["pod/a", "pod/c"]),
        (&["--field-selector", "spec.nodeName=b"], &["pod/b"]),
    ] {
        if names(arguments)? != expected {
            return Err(format!("{arguments:?} gave {:?}", names(arguments)?).into());
        }
    }
    let output = bench.output(
        kubectl,
        &["get", "pods", "--field-selector", "spec.x=1"],
        "",
    )?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    holds(
        &text,
        &[
            "Error from server (BadRequest)",
            "field label not supported: spec.x",
        ],
    )
}

fn watches(kubectl: &Path) -> Result<(), Failed> {
    let bench = Bench::new();
    bench.create(&PODS, pod("a", "n"));
    let mut child = bench
        .command(kubectl)
        .args(["get", "pods", "-w"])
        .stdout(Stdio::piped())
        .spawn()?;
    let stdout = child.stdout.take().ok_or("no stdout")?;
    let mut lines = BufReader::new(stdout).lines();
    let mut next = || -> Result<String, Failed> { Ok(lines.next().ok_or("the watch ended")??) };
    holds(&next()?, &["NAME", "READY", "STATUS"])?;
    holds(&next()?, &["a ", "1/1"])?;
    bench.create(&PODS, pod("b", "n"));
    holds(&next()?, &["b ", "1/1", "Running"])?;
    bench
        .cluster
        .api()
        .delete(&PODS, "default", "b", &Default::default())?;
    holds(&next()?, &["b "])?;
    child.kill()?;
    child.wait()?;
    Ok(())
}

fn waits(kubectl: &Path) -> Result<(), Failed> {
    let bench = Bench::new();
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"namespace": "default", "name": "a"}, "data": {"k": "old"}});
    bench.create(&CONFIG_MAPS, map);
    let change = bench.later(move |later| {
        let new = |object: &mut Value| object["data"]["k"] = json!("new");
        later
            .api()
            .modify(&CONFIG_MAPS, "default", "a", "test", new)
            .map(drop)
    });
    let wait = [
        "wait",
        "--for=jsonpath={.data.k}=new",
        "configmap/a",
        "--timeout=30s",
    ];
    holds(
        &bench.run(kubectl, &wait, "")?,
        &["configmap/a condition met"],
    )?;
    change.done()?;
    bench.run(kubectl, &["apply", "-f", "-"], DEPLOYMENT)?;
    let roll_out = bench.later(move |later| {
        let done = |object: &mut Value| {
            object["status"] = json!({"observedGeneration": object["metadata"]["generation"],
                "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2,
                "conditions": [{"type": "Available", "status": "True"}]});
        };
        later
            .api()
            .modify(&DEPLOYMENTS, "default", "web", "test", done)
            .map(drop)
    });
    let status = ["rollout", "status", "deployment/web", "--timeout=30s"];
    holds(
        &bench.run(kubectl, &status, "")?,
        &["deployment \"web\" successfully rolled out"],
    )?;
    roll_out.done()?;
    let wait = [
        "wait",
        "--for=condition=Available",
        "deployment/web",
        "--timeout=30s",
    ];
    holds(
        &bench.run(kubectl, &wait, "")?,
        &["deployment.apps/web condition met"],
    )
}

fn logs(kubectl: &Path) -> Result<(), Failed> {
    let bench = Bench::new();
    bench.create(&PODS, pod("p", "n"));
    let say = |cluster: &kubesim::Cluster, line: &str| {
        cluster
            .logs()
            .append("default", "p", "c", cluster.api().clock().now(), line);
    };
    say(&bench.cluster, "one");
    say(&bench.cluster, "two");
    let run = |arguments: &[&str]| bench.run(kubectl, arguments, "");
    holds(&run(&["logs", "p"])?, &["one\ntwo\n"])?;
    if run(&["logs", "p", "--tail=1"])? != "two\n" {
        return Err("expected the last line alone".into());
    }
    let at_once = Deletion {
        grace: Some(0),
        ..Deletion::default()
    };
    // It is over only when it is being followed, however long a client takes to start.
    let mut following = bench
        .command(kubectl)
        .args(["logs", "-f", "p"])
        .stdout(Stdio::piped())
        .spawn()?;
    let told = following.stdout.take().ok_or("it has no output")?;
    let mut lines = BufReader::new(told).lines();
    for expected in ["one", "two"] {
        if lines.next().transpose()?.as_deref() != Some(expected) {
            return Err(format!("expected the line {expected}").into());
        }
    }
    bench.now(|cluster| {
        say(cluster, "three");
        let removed = cluster.api().delete(&PODS, "default", "p", &at_once);
        removed.map(drop)
    })?;
    let rest: Vec<String> = lines.collect::<Result<_, _>>()?;
    if rest != ["three"] || !following.wait()?.success() {
        return Err(format!("expected the line three and the end, got {rest:?}").into());
    }
    Ok(())
}

fn may(kubectl: &Path) -> Result<(), Failed> {
    let bench = Bench::new();
    let run = |arguments: &[&str]| bench.run(kubectl, arguments, "");
    holds(&run(&["auth", "can-i", "delete", "nodes"])?, &["yes"])?;
    holds(
        &run(&["auth", "whoami"])?,
        &["kubernetes-admin", "system:masters"],
    )?;
    let output = bench.output(
        kubectl,
        &["auth", "can-i", "list", "pods", "--as", "jane"],
        "",
    )?;
    holds(&String::from_utf8_lossy(&output.stdout), &["no"])?;
    run(&[
        "create",
        "clusterrole",
        "reader",
        "--verb=get,list",
        "--resource=pods",
    ])?;
    run(&[
        "create",
        "clusterrolebinding",
        "jane",
        "--clusterrole=reader",
        "--user=jane",
    ])?;
    holds(
        &run(&["auth", "can-i", "list", "pods", "--as", "jane"])?,
        &["yes"],
    )?;
    run(&["get", "pods", "--as", "jane"])?;
    let output = bench.output(kubectl, &["get", "nodes", "--as", "jane"], "")?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    holds(
        &text,
        &[
            "nodes is forbidden: User \"jane\" cannot list resource \"nodes\" in API group \"\" at the cluster scope",
        ],
    )
}

fn stranger(kubectl: &Path) -> Result<(), Failed> {
    let bench = Bench::new();
    let get = |token: &str| {
        bench.bear(token);
        bench.output(kubectl, &["get", "pods"], "")
    };
    let known = bench.bear("").to_owned();
    if !get(&known)?.status.success() {
        return Err("the administrator's token is refused".into());
    }
    let refused = get("nobody's")?;
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    holds(&text, &["You must be logged in to the server"])
}
