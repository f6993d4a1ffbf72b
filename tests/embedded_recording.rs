//! What a run leaves behind: its recording, served as a Kubernetes API, compared, run again, packed; and that no
//! secret is in any of it.

mod common;
#[path = "common/variant.rs"]
#[expect(
    dead_code,
    reason = "each test binary uses its own part of the fixtures"
)]
mod variant;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use common::TestContext;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{ListParams, LogParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::Value;
use variant::{N, N1, Variant};

/// What must not be found anywhere. The stack holds its halves alone, since a release is no secret.
const MARKER: [&str; 2] = ["MARKER-9f8e", "7d6c5b4a"];

/// An addon with a secret in each place where one may be.
const LEAKY: &str = r#"apiVersion: v1
kind: Secret
metadata:
  name: leaky
  namespace: {{ .Release.Namespace }}
stringData:
  password: {{ printf "%s%s" "MARKER-9f8e" "7d6c5b4a" }}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: leaky
  namespace: {{ .Release.Namespace }}
  annotations:
    kubectl.kubernetes.io/last-applied-configuration: {{ printf "%s%s" "MARKER-9f8e" "7d6c5b4a" }}
    note: {{ printf "the password is %s%s" "MARKER-9f8e" "7d6c5b4a" }}
spec:
  selector:
    matchLabels:
      app: leaky
  template:
    metadata:
      labels:
        app: leaky
    spec:
      containers:
      - name: prints
        image: registry.k8s.io/e2e-test-images/agnhost:2.53
        args: [entrypoint-tester, {{ printf "%s%s" "MARKER-9f8e" "7d6c5b4a" }}]
        env:
        - name: PASSWORD
          value: {{ printf "%s%s" "MARKER-9f8e" "7d6c5b4a" }}
"#;

fn stacks() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("stacks-under-test")
}

/// A run of a stack on simulated clusters, with its exit code.
fn rehearse(context: &TestContext, stack: &str, arguments: &[&str]) -> Option<i32> {
    let output = context
        .command()
        .args(["run", stack, "--engine", "embedded", "--stacks"])
        .arg(stacks())
        .args(arguments)
        .output()
        .unwrap();
    let code = output.status.code();
    assert!(matches!(code, Some(0 | 1)), "{}", context.show(&output));
    code
}

fn succeed(context: &TestContext, arguments: &str) -> String {
    let output = context
        .command()
        .args(arguments.split(' '))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", context.show(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// A run that is being served.
struct Served {
    child: Child,
    kubeconfig: PathBuf,
}

impl Served {
    fn start(context: &TestContext, arguments: &str) -> Self {
        let kubeconfig = context.path().join("kubeconfig");
        let mut child = context
            .command()
            .args(["replay", "latest", "--serve", "--kubeconfig"])
            .arg(&kubeconfig)
            .args(arguments.split_whitespace())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = child.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        assert_eq!(
            line.trim(),
            format!("export KUBECONFIG={}", kubeconfig.display())
        );
        Self { child, kubeconfig }
    }

    async fn client(&self, cluster: &str) -> Client {
        let options = KubeConfigOptions {
            context: Some(cluster.to_owned()),
            ..KubeConfigOptions::default()
        };
        let kubeconfig = Kubeconfig::read_from(&self.kubeconfig).unwrap();
        assert_eq!(kubeconfig.current_context.as_deref(), Some("workload"));
        let config = Config::from_custom_kubeconfig(kubeconfig, &options)
            .await
            .unwrap();
        Client::try_from(config).unwrap()
    }

    /// What the real kubectl says; none where there is none.
    fn kubectl(&self, arguments: &str) -> Option<String> {
        let output = Command::new("kubectl")
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args(arguments.split(' '))
            .output()
            .ok()?;
        let stdout = String::from_utf8_lossy(&output.stdout);
        let stderr = String::from_utf8_lossy(&output.stderr);
        Some(format!("{stdout}{stderr}"))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn versions(client: &Client) -> Vec<String> {
    let nodes: Api<Node> = Api::all(client.clone());
    let nodes = nodes.list(&ListParams::default()).await.unwrap();
    let version = |node: &Node| {
        node.status
            .clone()?
            .node_info
            .map(|info| info.kubelet_version)
    };
    let mut versions: Vec<String> = nodes.iter().filter_map(version).collect();
    versions.dedup();
    versions
}

#[test]
fn embedded_run_is_served_as_it_was_and_can_only_be_read() {
    let context = TestContext::new();
    assert_eq!(rehearse(&context, "docker-demo", &["--seed", "7"]), Some(0));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let before = Served::start(&context, "--at check-before+1s");
    runtime.block_on(async {
        let client = before.client("workload").await;
        assert_eq!(
            client.apiserver_version().await.unwrap().git_version,
            "v1.34.3"
        );
        assert_eq!(versions(&client).await, ["v1.34.3"]);
        let pods: Api<Pod> = Api::namespaced(client.clone(), "kube-system");
        let error = pods
            .create(&PostParams::default(), &Pod::default())
            .await
            .unwrap_err();
        let kube::Error::Api(status) = error else {
            panic!("{error:?}")
        };
        assert_eq!(status.code, 405);
        assert!(
            status.message.contains("of the past (stackgate replay)"),
            "{status:?}"
        );
        // The control plane's logs were recorded.
        let all = pods.list(&ListParams::default()).await.unwrap();
        let server = all.iter().find(|pod| {
            pod.metadata
                .name
                .as_deref()
                .is_some_and(|name| name.starts_with("kube-apiserver"))
        });
        let name = server.unwrap().metadata.name.clone().unwrap();
        let log = pods.logs(&name, &LogParams::default()).await.unwrap();
        assert!(log.contains("kube-apiserver:v1.34.3"), "{log}");
    });
    if let Some(told) = before.kubectl("get nodes") {
        assert!(told.contains("v1.34.3") && told.contains("Ready"), "{told}");
        let machines = before
            .kubectl("--context management get machines -A -o custom-columns=PHASE:.status.phase,VERSION:.spec.version")
            .unwrap();
        assert!(
            machines.contains("Running") && machines.contains("v1.34.3"),
            "{machines}"
        );
        let described = before
            .kubectl("describe deployment coredns -n kube-system")
            .unwrap();
        assert!(described.contains("Replicas:"), "{described}");
        let refused = before.kubectl("delete pod --all -n kube-system").unwrap();
        assert!(refused.contains("it can only be read"), "{refused}");
    }
    drop(before);
    let after = Served::start(&context, "");
    runtime.block_on(async {
        assert_eq!(versions(&after.client("workload").await).await, ["v1.35.0"]);
    });
}

#[test]
fn embedded_watch_plays_on_from_the_moment() {
    use futures::{StreamExt as _, TryStreamExt as _};
    let context = TestContext::new();
    assert_eq!(rehearse(&context, "docker-demo", &["--seed", "7"]), Some(0));
    let served = Served::start(&context, "--at upgrade --speed 10000");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let client = served.client("workload").await;
        let nodes: Api<Node> = Api::all(client);
        let listed = nodes.list(&ListParams::default()).await.unwrap();
        let version = listed.metadata.resource_version.unwrap();
        let watch = nodes
            .watch(&kube::api::WatchParams::default(), &version)
            .await
            .unwrap();
        let upgraded = watch.try_filter_map(async |event| {
            let kube::api::WatchEvent::Added(node) = event else {
                return Ok(None);
            };
            Ok(node
                .status
                .and_then(|status| status.node_info)
                .map(|info| info.kubelet_version))
        });
        let mut upgraded = std::pin::pin!(upgraded);
        assert_eq!(upgraded.next().await.unwrap().unwrap(), "v1.35.0");
    });
}

#[test]
fn embedded_diff_tells_what_an_upgrade_changed() {
    let context = TestContext::new();
    rehearse(&context, "docker-demo", &["--seed", "7"]);
    let told = succeed(&context, "diff latest@check-before latest");
    for line in [
        "  ~ Cluster <run>/<cluster>",
        "      version: v1.34.3 → v1.35.0",
        "      image of metrics-server: registry.k8s.io/metrics-server/metrics-server:v0.8.0 → registry.k8s.io/metrics-server/metrics-server:v0.8.1",
        "  ~ Node control plane",
    ] {
        assert!(told.contains(line), "{line}:\n{told}");
    }
    assert_eq!(succeed(&context, "diff latest latest"), "no difference\n");
}

#[test]
fn embedded_recording_is_the_same_for_the_same_seed() {
    let recorded = || {
        let context = TestContext::new();
        rehearse(
            &context,
            "docker-demo",
            &["--seed", "11", "--fault", "addon-left-behind"],
        );
        fs::read(context.path().join("reports/latest/recording.jsonl.zst")).unwrap()
    };
    let (one, other) = (recorded(), recorded());
    assert!(!one.is_empty() && one == other);
}

#[test]
fn embedded_run_is_reproduced_from_its_bundle_alone() {
    let context = TestContext::new();
    let code = rehearse(
        &context,
        "docker-demo",
        &["--seed", "5", "--fault", "addon-left-behind"],
    );
    assert_eq!(code, Some(1));
    let summary = |folder: &Path| -> Value {
        serde_json::from_slice(&fs::read(folder.join("summary.json")).unwrap()).unwrap()
    };
    let first = summary(&context.path().join("reports/latest"));
    let bundle = succeed(&context, "bundle latest --output run.tar.zst");
    assert_eq!(bundle, "run.tar.zst\n");
    let elsewhere = TestContext::new();
    let output = elsewhere
        .command()
        .arg("reproduce")
        .arg(context.path().join("run.tar.zst"))
        .output()
        .unwrap();
    let shown = elsewhere.show(&output);
    assert_eq!(output.status.code(), Some(1), "{shown}");
    assert!(
        shown.contains("nothing differs from the run that is run again"),
        "{shown}"
    );
    let again = summary(&elsewhere.path().join("reports/latest"));
    // Where it was unpacked to is gone; what it was made of is in its own folder again.
    let command = format!(
        "the same again: stackgate reproduce {}",
        first["run"].as_str().unwrap()
    );
    assert!(shown.contains(&command), "{shown}");
    assert_eq!(again["reason"], first["reason"]);
    assert_eq!(again["run"], first["run"]);
    // The latest is another one as soon as it is run again.
    let latest = context.run("reproduce");
    assert!(latest.starts_with("exit code 1"), "{latest}");
    let inputs = context.path().join("reports/latest/inputs/run.json");
    assert!(inputs.is_file(), "{latest}");
    // What was changed is not what was run.
    let stack = context
        .path()
        .join("reports/latest/inputs/stacks-under-test/docker-demo/stack.yaml");
    fs::write(&stack, fs::read_to_string(&stack).unwrap() + "\n").unwrap();
    let refused = context.run("reproduce latest");
    assert!(
        refused.starts_with("exit code 2") && refused.contains("is not what was run"),
        "{refused}"
    );
}

/// Checks that somebody thinks of when the clusters are gone.
const SUITE: &str = r#"apiVersion: stackgate/v1alpha1
kind: Suite
metadata:
  name: afterthought
spec:
  description: What was not asked then
  checks:
  - id: some-nodes
    title: There are nodes
    severity: MUST
    cel:
      objects: {apiVersion: v1, kind: Node}
      atLeast: 1
      rules:
      - expression: object.status.nodeInfo.kubeletVersion.startsWith('v1.')
        message: object.metadata.name + ' is of another age'
"#;

#[test]
fn embedded_recorded_run_is_judged_by_another_suite() {
    let context = TestContext::new();
    fs::write(context.path().join("afterthought.yaml"), SUITE).unwrap();
    assert_eq!(rehearse(&context, "docker-demo", &["--seed", "7"]), Some(0));
    let judged = context.run("replay latest --suite afterthought.yaml");
    assert!(judged.starts_with("exit code 0"), "{judged}");
    // A judgement is nothing that could be judged or run again: `latest` is still the run.
    let health = context.run("replay latest --suite health");
    assert!(health.starts_with("exit code 0"), "{health}");
    assert!(
        !health.contains("FAIL") && !health.contains("fixed"),
        "{health}"
    );
    let fault = [
        "--seed",
        "7",
        "--delivery",
        "operator",
        "--fault",
        "hook-stuck",
    ];
    assert_eq!(rehearse(&context, "docker-demo", &fault), Some(1));
    // An upgrade that did not end is not made good by checks that pass.
    let judged = context.run("replay latest --suite afterthought.yaml");
    let told = "these checks do not fail; the recorded run ended before its own: upgrade: ";
    assert!(
        judged.starts_with("exit code 1") && judged.contains(told),
        "{judged}"
    );
}

/// Everything in a folder, with what is compressed in it.
fn contents(folder: &Path, found: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            contents(&path, found);
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        if path.extension().is_some_and(|end| end == "zst") {
            let lines = zstd::decode_all(bytes.as_slice()).unwrap();
            found.push((path.with_extension("decoded"), lines));
        }
        found.push((path, bytes));
    }
}

#[test]
fn embedded_no_secret_is_in_any_file_of_a_run() {
    let context = TestContext::new();
    let file = "cluster-addon/storage/templates/leaky.yaml";
    let stack = Variant::from("docker-demo")
        .add(N, file, LEAKY)
        .add(N1, file, LEAKY);
    let stack = stack.write(&context.path().join("stacks/docker-demo"));
    let marker = MARKER.concat();
    let token = format!("token={marker}");
    // A flag's value that a command line shows, e.g. where reports go.
    let reports = format!("reports/{token}");
    let output = context
        .command()
        .args([
            "run",
            stack.to_str().unwrap(),
            "--engine",
            "embedded",
            "--seed",
            "3",
            "--reports",
            &reports,
            "--stacks",
        ])
        .arg(stacks())
        .output()
        .unwrap();
    assert!(
        output.status.code().is_some_and(|code| code < 2),
        "{}",
        context.show(&output)
    );
    let folder = context.path().join("reports").join(token).join("latest");
    let mut found = Vec::new();
    contents(&folder, &mut found);
    let encoded = {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(&marker)
    };
    assert!(found.len() >= 8, "{found:?}");
    for (path, bytes) in &found {
        let text = String::from_utf8_lossy(bytes);
        for secret in [&*marker, &*encoded] {
            let at = text.find(secret);
            let around =
                at.map(|at| text[text.floor_char_boundary(at.saturating_sub(200))..at].to_owned());
            assert!(at.is_none(), "{} has it after: {around:?}", path.display());
        }
    }
    // The places are there; only what was in them is not.
    let (_, recorded) = found
        .iter()
        .find(|(path, _)| path.ends_with("recording.jsonl.decoded"))
        .unwrap();
    let recorded = String::from_utf8_lossy(recorded);
    for place in [
        r#""name":"leaky""#,
        r#""password":"KHJlZGFjdGVkKQ==""#,
        "entrypoint-tester",
        "PASSWORD",
        "the password is (redacted)",
    ] {
        assert!(recorded.contains(place), "{place}");
    }
    assert!(
        recorded.contains("[/agnhost entrypoint-tester (redacted)]"),
        "what it printed was not recorded"
    );
}

/// A Secret whose value stands in the release's own files.
const PLAIN: &str = r#"apiVersion: v1
kind: Secret
metadata:
  name: plain
  namespace: {{ .Release.Namespace }}
stringData:
  password: PLAIN-0a1b2c3d4e5f
"#;

#[test]
fn embedded_what_a_releases_secret_holds_is_not_in_a_runs_folder_and_is_had_from_its_original() {
    const SECRET: &str = "PLAIN-0a1b2c3d4e5f";
    let context = TestContext::new();
    let file = "cluster-addon/storage/templates/plain.yaml";
    let stack = Variant::from("docker-demo")
        .add(N, file, PLAIN)
        .add(N1, file, PLAIN)
        .write(&context.path().join("stacks/docker-demo"));
    let path = stack.to_str().unwrap().to_owned();
    let code = rehearse(&context, &path, &["--seed", "3"]);
    let mut found = Vec::new();
    contents(&context.path().join("reports/latest"), &mut found);
    for (path, bytes) in &found {
        let text = String::from_utf8_lossy(bytes);
        assert!(!text.contains(SECRET), "{} has it", path.display());
    }
    // Both are packed, so nothing of them is kept; what has no secret is.
    let kept = |part: &str| {
        let is = |(path, _): &&(PathBuf, Vec<u8>)| path.to_string_lossy().ends_with(part);
        found.iter().filter(is).count()
    };
    assert_eq!(kept("-cluster-addon-v1.tgz"), 0);
    assert_eq!(
        (kept("-cluster-class-v1.tgz"), kept("metadata.yaml")),
        (2, 2)
    );
    let refused = context.run("reproduce latest");
    assert!(
        refused.starts_with("exit code 2")
            && refused.contains("--originals STACK")
            && refused.contains("docker-demo-1-34-cluster-addon-v1.tgz"),
        "{refused}"
    );
    let again = context.run(&format!("reproduce latest --originals {path}"));
    assert!(
        again.starts_with(&format!("exit code {}", code.unwrap())),
        "{again}"
    );
    // Another value is another release.
    let other = format!("{N}/docker-demo-1-34-cluster-addon-v1.tgz");
    let other = stack.join("releases/cluster-stacks").join(other);
    let mut bytes = fs::read(&other).unwrap();
    bytes.push(0);
    fs::write(&other, bytes).unwrap();
    let refused = context.run(&format!("reproduce latest --originals {path}"));
    assert!(
        refused.starts_with("exit code 2") && refused.contains("is not what was run"),
        "{refused}"
    );
}
