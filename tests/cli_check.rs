//! `stackgate check` on a simulated cluster that is served over HTTPS: its answers, reports and exit codes.

mod common;
#[path = "common/lab.rs"]
mod lab;

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use common::TestContext;
use kubesim::User;
use kubesim::resource::builtin::{NAMESPACES, NODES};
use kubesim::serve::Server;
use lab::Lab;
use regex::Regex;
use serde_json::{Value, json};

/// Who is known and may do nothing.
const NOBODY: &str = "c2VjcmV0LW9mLW5vYm9keQ";

/// A served cluster, and a folder with kubeconfigs of it.
struct Served {
    lab: Lab,
    context: TestContext,
    _server: Server,
}

impl Served {
    /// It comes up in virtual time; what follows is real.
    async fn start() -> Self {
        let lab = Lab::settled().await;
        tokio::time::resume();
        let server = Server::start(&lab.cluster).await.unwrap();
        let context = TestContext::new();
        context.write("admin.yaml", &server.kubeconfig().to_string());
        lab.cluster
            .server()
            .add_token(NOBODY, User::new("nobody", &[]));
        context.write("nobody.yaml", &server.kubeconfig_of(NOBODY).to_string());
        context.write("refused.yaml", &server.kubeconfig_of("b2xk").to_string());
        Self {
            lab,
            context,
            _server: server,
        }
    }

    /// Runs `stackgate check` with arguments, and shows what a caller sees.
    async fn check(&self, arguments: &str) -> String {
        check(&self.context, arguments).await
    }

    /// Makes a node fail.
    fn cordon(&self) {
        let cordon = |node: &mut Value| node["spec"]["unschedulable"] = json!(true);
        let api = self.lab.cluster.api();
        api.modify(&NODES, "", "worker-1", "test", cordon).unwrap();
    }

    /// The only run's folder.
    fn folder(&self) -> PathBuf {
        let reports = std::fs::read_dir(self.context.path().join("reports")).unwrap();
        let folders = reports.map(|entry| entry.unwrap().path());
        // `latest` is a link to it, and a README lies beside it.
        let folders: Vec<_> = folders
            .filter(|path| path.is_dir() && !path.is_symlink())
            .collect();
        assert_eq!(folders.len(), 1, "{folders:?}");
        folders[0].clone()
    }
}

async fn check(context: &TestContext, arguments: &str) -> String {
    let mut command = context.command();
    // Whatever kubeconfig the caller has at home is not meant.
    command.env("HOME", context.path());
    command.arg("check").args(arguments.split_whitespace());
    let output = tokio::process::Command::from(command)
        .output()
        .await
        .unwrap();
    let mut shown = context.show(&output);
    for (what, with) in [
        (r"demo-[0-9a-f]{8}", "demo-[run]"),
        (r"run [0-9a-f]{8}", "run [run]"),
        (r" +\d+\.\d s", " [time]"),
        (r"127\.0\.0\.1:\d+", "[address]"),
    ] {
        shown = Regex::new(what)
            .unwrap()
            .replace_all(&shown, with)
            .into_owned();
    }
    shown
}

fn code(shown: &str) -> &str {
    shown.lines().next().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_cluster_is_certified_without_creating_anything() {
    let served = Served::start().await;
    insta::assert_snapshot!(served.check("--kubeconfig admin.yaml --suite health --read-only").await, @"
    exit code 0
    --- stdout

      addons-live        skip    MUST     no release is given that renders addon objects to compare with
      dns-resolves       skip    MUST     creates pods; --read-only
      machines-settled   skip    MUST     no management cluster is given
    check passed: 8 passed, 3 skipped, 1 of them by --read-only
      reports/demo-[run]/junit.xml
      reports/demo-[run]/summary.json
      reports/demo-[run]/report.html
      reports/demo-[run]/scs.yaml
    --- stderr
    demo  Kubernetes v1.35.0   run [run]
      … preflight     at most 00:30
      ✓ preflight [time]   Kubernetes v1.35.0
      … check         at most 30:00
      ✓ check [time]   8 passed, 3 skipped
      … verdict       at most 00:30
      ✓ verdict [time]
    ");
    let folder = served.folder();
    let summary = std::fs::read_to_string(folder.join("summary.json")).unwrap();
    let summary: Value = serde_json::from_str(&summary).unwrap();
    assert_eq!(summary["stack"], "demo");
    assert_eq!(summary["exitCode"], 0);
    let junit = std::fs::read_to_string(folder.join("junit.xml")).unwrap();
    for told in [
        "<testsuite name=\"check\"",
        "classname=\"demo.check\"",
        "name=\"kubernetes\" value=\"v1.35.0\"",
    ] {
        assert!(junit.contains(told), "{told}: {junit}");
    }
    for untold in [
        "release.before",
        "<testsuite name=\"upgrade\"",
        "check before",
        "the run ended before",
    ] {
        assert!(!junit.contains(untold), "{untold}: {junit}");
    }
    let scs: Value =
        serde_saphyr::from_str(&std::fs::read_to_string(folder.join("scs.yaml")).unwrap()).unwrap();
    assert_eq!(scs["subject"], "demo");
    assert_eq!(scs["spec"]["name"], "stackgate, suites health");
    let invocations = scs["run"]["invocations"].as_object().unwrap();
    let results = &invocations.values().next().unwrap()["results"];
    assert_eq!(results["nodes-ready"], 1);
    assert!(results["dns-resolves"].is_null());
    assert!(
        served
            .lab
            .cluster
            .api()
            .list(&NAMESPACES, None)
            .iter()
            .all(|namespace| !namespace["metadata"]["name"]
                .as_str()
                .unwrap()
                .starts_with("stackgate"))
    );
}

#[tokio::test(start_paused = true)]
async fn pods_are_started_and_removed_and_the_summary_is_data() {
    let served = Served::start().await;
    served.context.write(
        "suites/own.yaml",
        "apiVersion: stackgate/v1alpha1\nkind: Suite\nmetadata: {name: own}\nspec:\n  description: own\n  checks:\n  - {id: dns, title: DNS, severity: MUST, native: dns-resolves}\n",
    );
    let arguments = "check --kubeconfig admin.yaml --suite own --subject eu/prod --format json";
    let mut command = served.context.command();
    command.args(arguments.split_whitespace());
    let output = tokio::process::Command::from(command)
        .output()
        .await
        .unwrap();
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (output.status.code(), &summary["exitCode"]),
        (Some(0), &json!(0))
    );
    assert_eq!(summary["stack"], "eu/prod");
    // What it cost is told, and of what the cluster is.
    let property = |name: &str| summary["properties"][name].as_str().unwrap();
    let requests: u32 = property("checks.requests").parse().unwrap();
    assert!((5..=200).contains(&requests), "{requests}");
    let own: f64 = property("checks.own-seconds").parse().unwrap();
    assert!(own <= summary["seconds"].as_f64().unwrap(), "{own}");
    assert!(property("cni").contains("kindnetd"));
    assert_eq!(
        summary["checks"][0]["before"]["outcome"], "pass",
        "{summary:#}"
    );
    assert!(
        served
            .folder()
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with("eu-prod-")
    );
}

#[tokio::test(start_paused = true)]
async fn a_failed_must_closes_unless_it_is_accepted() {
    let served = Served::start().await;
    served.cordon();
    let arguments = "--kubeconfig admin.yaml --suite health --read-only --timeout-scale 0.1";
    let shown = served.check(arguments).await;
    assert_eq!(code(&shown), "exit code 1", "{shown}");
    assert!(
        shown.contains("check failed: nodes-ready: Node worker-1: cordoned: takes no new pods"),
        "{shown}"
    );
    served.context.write(
        "ok.yaml",
        "okToFail:\n- regex: ^nodes-ready$\n  reason: worker-1 is being repaired\n",
    );
    let shown = served
        .check(&format!("{arguments} --ok-to-fail ok.yaml"))
        .await;
    assert_eq!(code(&shown), "exit code 0", "{shown}");
    assert!(
        shown.contains("accepted: worker-1 is being repaired"),
        "{shown}"
    );
    served
        .context
        .write("ok.yaml", "okToFail:\n- regex: ^nodes-ready$\n");
    let shown = served
        .check(&format!("{arguments} --ok-to-fail ok.yaml"))
        .await;
    assert_eq!(code(&shown), "exit code 2", "{shown}");
    assert!(shown.contains("ok.yaml:2"), "{shown}");
}

#[tokio::test(start_paused = true)]
async fn failures_are_accepted_in_our_own_form_as_well_and_what_has_no_effect_is_told() {
    let served = Served::start().await;
    served.cordon();
    let arguments = "--kubeconfig admin.yaml --suite health --read-only --timeout-scale 0.1 --accepted own.yaml";
    served.context.write(
        "own.yaml",
        "accepted:
- {check: nodes-ready, match: cordoned, reason: worker-1 is being repaired, expires: 2026-12-31}
- {check: control-plane-pods, reason: long ago}
- {check: kube-proxy-version, reason: old, expires: 2026-01-01}
- {check: api-ready-endpoints, reason: another version, versions: '<1.30'}
- {check: nobody, reason: a name that is gone}
",
    );
    let shown = served.check(&format!("{arguments} --now 2026-12-31")).await;
    assert_eq!(code(&shown), "exit code 0", "{shown}");
    for told in [
        "accepted: worker-1 is being repaired",
        "a failure of `control-plane-pods` is accepted (long ago), but it passes: remove the entry",
        "the acceptance of `kube-proxy-version` (old) expired on 2026-01-01",
        "for Kubernetes <1.30, and this is v1.35.0: the entry has no effect",
        "a failure of `nobody` is accepted (a name that is gone), but no suite of this run has this check",
    ] {
        assert!(shown.contains(told), "{told}: {shown}");
    }
    // A day later the failure counts again.
    let shown = served.check(&format!("{arguments} --now 2027-01-01")).await;
    assert_eq!(code(&shown), "exit code 1", "{shown}");
    assert!(
        shown.contains(
            "the acceptance of `nodes-ready` (worker-1 is being repaired) expired on 2026-12-31"
        ),
        "{shown}"
    );
    served
        .context
        .write("own.yaml", "accepted:\n- {check: a}\n");
    let shown = served.check(arguments).await;
    assert_eq!(code(&shown), "exit code 2", "{shown}");
    assert!(shown.contains("own.yaml:2"), "{shown}");
}

#[tokio::test(start_paused = true)]
async fn the_day_and_the_kind_of_cluster_are_in_what_is_told() {
    let served = Served::start().await;
    served.context.write(
        "suites/own.yaml",
        "apiVersion: stackgate/v1alpha1\nkind: Suite\nmetadata: {name: own}\nspec:\n  description: own\n  checks:\n  - id: versions\n    title: V\n    severity: MUST\n    standard: {name: scs-0210, version: v2, status: stable, testcase: version-policy-check}\n    native: scs-0210-version-policy\n",
    );
    let ask = async |day: &str| {
        let shown = served
            .check(&format!("--kubeconfig admin.yaml --suite own --now {day}"))
            .await;
        let latest = served.context.path().join("reports/latest");
        let read = |file: &str| std::fs::read_to_string(latest.join(file)).unwrap();
        let summary: Value = serde_json::from_str(&read("summary.json")).unwrap();
        let scs: Value = serde_saphyr::from_str(&read("scs.yaml")).unwrap();
        (shown, summary, scs, read("junit.xml"))
    };
    let invocation = |scs: &Value| {
        let all = scs["run"]["invocations"].as_object().unwrap();
        all.values().next().unwrap().clone()
    };
    let (shown, summary, scs, _) = ask("2026-02-01").await;
    assert_eq!(code(&shown), "exit code 0", "{shown}");
    let on = &summary["checks"][0]["before"]["surroundings"];
    assert_eq!(on["cni"], "docker.io/kindest/kindnetd:v20251212");
    assert!(
        on["nodeImage"]
            .as_str()
            .is_some_and(|image| !image.is_empty()),
        "{on}"
    );
    // The scope's testcase is what the SCS report knows.
    assert_eq!(
        invocation(&scs)["results"],
        json!({"version-policy-check": 1})
    );
    let (shown, _, _, junit) = ask("2026-03-20").await;
    assert_eq!(code(&shown), "exit code 1", "{shown}");
    assert!(shown.contains("v1.35.0 is outdated"), "{shown}");
    assert!(
        junit.contains("CNI docker.io/kindest/kindnetd:v20251212"),
        "{junit}"
    );
    // Data that is too old judges nothing: an abort is a critical line, as with the SCS checker.
    let (shown, _, scs, _) = ask("2999-01-01").await;
    assert_eq!(code(&shown), "exit code 3", "{shown}");
    let told = invocation(&scs);
    assert_eq!(told["results"], json!({"version-policy-check": 0}));
    assert_eq!((&told["critical"], &told["error"]), (&json!(1), &json!(0)));
    assert!(
        told["stderr"][0]
            .as_str()
            .unwrap()
            .starts_with("CRITICAL: versions: "),
        "{told}"
    );
}

#[tokio::test(start_paused = true)]
async fn without_rights_there_is_no_verdict_and_what_is_missing_is_named() {
    let served = Served::start().await;
    let shown = served
        .check("--kubeconfig nobody.yaml --suite health")
        .await;
    assert_eq!(code(&shown), "exit code 3", "{shown}");
    for told in [
        "nodes-ready            ABORT   MUST     could not be judged: may not list nodes: nodes is forbidden: User \"nobody\" cannot list",
        "kube-proxy-version     ABORT   MUST     could not be judged: may not list daemonsets: ",
        "no verdict: ",
    ] {
        assert!(shown.contains(told), "{told}: {shown}");
    }
    assert!(!shown.contains(NOBODY), "{shown}");
    let stream = std::fs::read_to_string(served.folder().join("events.jsonl")).unwrap();
    assert!(!stream.contains(NOBODY));
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_check_removes_what_it_created() {
    let served = Served::start().await;
    served.context.write(
        "suites/own.yaml",
        "apiVersion: stackgate/v1alpha1\nkind: Suite\nmetadata: {name: own}\nspec:\n  description: own\n  checks:\n  - {id: a, title: A, severity: MUST, native: scs-0219-network-policy}\n",
    );
    let mut command = served.context.command();
    command.args("check --kubeconfig admin.yaml --suite own".split(' '));
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = tokio::process::Command::from(command).spawn().unwrap();
    let namespaces = || {
        let all = served.lab.cluster.api().list(&NAMESPACES, None);
        let own = |one: &&std::sync::Arc<Value>| {
            let name = one["metadata"]["name"].as_str().unwrap();
            name.starts_with("stackgate-check-") && one["metadata"]["deletionTimestamp"].is_null()
        };
        all.iter().filter(own).count()
    };
    // However slow the machine: the check itself takes longer than its start, and one that ended tells why.
    while namespaces() == 0 {
        if child.try_wait().unwrap().is_some() {
            let output = child.wait_with_output().await.unwrap();
            panic!("it ended on its own: {}", served.context.show(&output));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let id = i32::try_from(child.id().unwrap()).unwrap();
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(id),
        nix::sys::signal::Signal::SIGINT,
    )
    .unwrap();
    let output = child.wait_with_output().await.unwrap();
    let shown = served.context.show(&output);
    assert_eq!(code(&shown), "exit code 130", "{shown}");
    assert!(shown.contains("interrupted"), "{shown}");
    assert_eq!(namespaces(), 0, "{shown}");
}

#[tokio::test(start_paused = true)]
async fn where_nothing_is_asked_nothing_ran() {
    let served = Served::start().await;
    served.context.write(
        "suites/own.yaml",
        "apiVersion: stackgate/v1alpha1\nkind: Suite\nmetadata: {name: own}\nspec:\n  description: own\n  checks:\n  - {id: a, title: A, severity: MUST, native: nodes-ready, when: {engine: [kind]}}\n  - {id: b, title: B, severity: MUST, native: machines-settled}\n",
    );
    insta::assert_snapshot!(served.check("--kubeconfig admin.yaml --suite own").await, @"
    exit code 4
    --- stdout

      a   skip    MUST     asked only with engine kind; this is existing
      b   skip    MUST     no management cluster is given
    no verdict: no check had an answer
      reports/demo-[run]/junit.xml
      reports/demo-[run]/summary.json
      reports/demo-[run]/report.html
      reports/demo-[run]/scs.yaml
    --- stderr
    demo  Kubernetes v1.35.0   run [run]
      … preflight     at most 00:30
      ✓ preflight [time]   Kubernetes v1.35.0
      … check         at most 30:00
      ✓ check [time]   2 skipped
      … verdict       at most 00:30
      ✓ verdict [time]
    ");
}

#[tokio::test(start_paused = true)]
async fn an_executable_is_given_the_context_that_was_chosen() {
    let served = Served::start().await;
    let mut kubeconfig: Value = serde_json::from_str(
        &std::fs::read_to_string(served.context.path().join("admin.yaml")).unwrap(),
    )
    .unwrap();
    kubeconfig["contexts"]
        .as_array_mut()
        .unwrap()
        .push(json!({"name": "other", "context": {"cluster": "demo", "user": "user"}}));
    served.context.write("two.yaml", &kubeconfig.to_string());
    served.context.write(
        "suites/own.yaml",
        "apiVersion: stackgate/v1alpha1\nkind: Suite\nmetadata: {name: own}\nspec:\n  description: own\n  checks:\n  - {id: a, title: A, severity: MUST, exec: {command: a.sh}}\n",
    );
    let script = "#!/bin/sh\ngrep -q '\"current-context\":\"other\"' $KUBECONFIG && [ $(stat -c %a $KUBECONFIG) = 600 ] && echo 'a: PASS' || echo 'a: FAIL'\necho file=$KUBECONFIG\nexit 0\n";
    served.context.write("suites/a.sh", script);
    let path = served.context.path().join("suites/a.sh");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let shown = served
        .check("--kubeconfig two.yaml --context other --suite own")
        .await;
    assert_eq!(code(&shown), "exit code 0", "{shown}");
    let stream = std::fs::read_to_string(served.folder().join("events.jsonl")).unwrap();
    let file = Regex::new("file=([^\"]+)").unwrap();
    let file = file.captures(&stream).unwrap()[1].to_owned();
    assert!(
        !std::path::Path::new(&file).exists(),
        "{file} is still there"
    );
    let shown = served
        .check("--kubeconfig two.yaml --suite own --read-only")
        .await;
    assert_eq!(code(&shown), "exit code 4", "{shown}");
}

#[tokio::test(start_paused = true)]
async fn a_kubeconfig_that_does_not_do_is_told_and_nothing_is_created() {
    let served = Served::start().await;
    let secret = "c2VjcmV0LXRva2Vu";
    let broken = format!("apiVersion: v1\nusers:\n- name: a\n  user: {{token: {secret}\n");
    served.context.write("broken.yaml", &broken);
    served
        .context
        .write("other.yaml", &format!("users: {secret}\n"));
    served
        .context
        .write("empty.yaml", "apiVersion: v1\nkind: Config\n");
    let mut dead: Value = serde_json::from_str(
        &std::fs::read_to_string(served.context.path().join("nobody.yaml")).unwrap(),
    )
    .unwrap();
    // Nobody listens on the port of what has just ended.
    let gone = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    dead["clusters"][0]["cluster"]["server"] = json!(format!("https://{gone}"));
    served.context.write("dead.yaml", &dead.to_string());
    let mut shown = String::new();
    for arguments in [
        "--kubeconfig missing.yaml",
        "--kubeconfig broken.yaml",
        "--kubeconfig other.yaml",
        "--kubeconfig empty.yaml",
        "--kubeconfig admin.yaml --context nope",
        "--kubeconfig refused.yaml",
        "--kubeconfig dead.yaml",
        "",
        "--kubeconfig admin.yaml --suite nope",
        "--kubeconfig admin.yaml --ok-to-fail nope.yaml",
    ] {
        shown.push_str(&format!(
            "$ stackgate check {arguments}\n{}\n",
            served.check(arguments).await
        ));
    }
    assert!(
        !shown.contains(secret) && !shown.contains("b2xk") && !shown.contains(NOBODY),
        "{shown}"
    );
    assert!(!served.context.path().join("reports").exists());
    insta::assert_snapshot!(shown, @"
    $ stackgate check --kubeconfig missing.yaml
    exit code 2
    --- stdout
    --- stderr
    error: failed to read the kubeconfig missing.yaml: No such file or directory (os error 2)
    hint: name another one with --kubeconfig

    $ stackgate check --kubeconfig broken.yaml
    exit code 2
    --- stdout
    --- stderr
    error: failed to read the kubeconfig broken.yaml: line 4: it is not the YAML of a kubeconfig
    hint: name another one with --kubeconfig

    $ stackgate check --kubeconfig other.yaml
    exit code 2
    --- stdout
    --- stderr
    error: failed to read the kubeconfig other.yaml: line 1: it is not the YAML of a kubeconfig
    hint: name another one with --kubeconfig

    $ stackgate check --kubeconfig empty.yaml
    exit code 2
    --- stdout
    --- stderr
    error: failed to choose a context of empty.yaml: none is the current one
    hint: add --context; the file has no contexts

    $ stackgate check --kubeconfig admin.yaml --context nope
    exit code 2
    --- stdout
    --- stderr
    error: failed to find the context 'nope' in admin.yaml
    hint: there are: demo

    $ stackgate check --kubeconfig refused.yaml
    exit code 2
    --- stdout
    --- stderr
    error: the API server of context 'demo' refuses the credentials: Unauthorized (401)
    hint: they may have expired; get a new kubeconfig

    $ stackgate check --kubeconfig dead.yaml
    exit code 3
    --- stdout
    --- stderr
    error: failed to reach the cluster of context 'demo': client error (Connect): tcp connect error: Connection refused (os error 111)
    hint: is it up, and does its server's address still hold?

    $ stackgate check 
    exit code 2
    --- stdout
    --- stderr
    error: failed to read the kubeconfig KUBECONFIG or ~/.kube/config: No such file or directory (os error 2)
    hint: name another one with --kubeconfig

    $ stackgate check --kubeconfig admin.yaml --suite nope
    exit code 2
    --- stdout
    --- stderr
    error: no suite `nope`: expected one of guards, health, scs-heavy, scs-light, upgrade, or a file nope.yaml in suites

    $ stackgate check --kubeconfig admin.yaml --ok-to-fail nope.yaml
    exit code 2
    --- stdout
    --- stderr
    error: nope.yaml: cannot be read: No such file or directory (os error 2)
      expected a YAML file
    ");
}

#[tokio::test]
async fn the_rights_are_printed_without_any_cluster() {
    let context = TestContext::new();
    insta::assert_snapshot!(check(&context, "--print-rbac --suite health --read-only").await, @r#"
    exit code 0
    --- stdout
    ---
    apiVersion: v1
    kind: ServiceAccount
    metadata:
      name: stackgate-check
      namespace: default
    ---
    apiVersion: rbac.authorization.k8s.io/v1
    kind: ClusterRole
    metadata:
      name: stackgate-check
    rules:
    - apiGroups:
      - ""
      resources:
      - events
      - nodes
      - persistentvolumeclaims
      - pods
      verbs:
      - list
      - watch
    - apiGroups:
      - apps
      resources:
      - daemonsets
      - deployments
      - replicasets
      - statefulsets
      verbs:
      - list
      - watch
    - apiGroups:
      - batch
      resources:
      - jobs
      verbs:
      - list
      - watch
    ---
    apiVersion: rbac.authorization.k8s.io/v1
    kind: ClusterRoleBinding
    metadata:
      name: stackgate-check
    roleRef:
      apiGroup: rbac.authorization.k8s.io
      kind: ClusterRole
      name: stackgate-check
    subjects:
    - kind: ServiceAccount
      name: stackgate-check
      namespace: default
    --- stderr
    hint: apply it as an administrator; a token for it: kubectl create token stackgate-check --namespace default
    hint: /livez, /readyz are not in it: Kubernetes opens them to everybody who is authenticated
    "#);
    let shown = check(&context, "--print-rbac").await;
    for told in [
        "- serviceaccounts",
        "- nodes/proxy",
        "- networkpolicies",
        "- pods/log",
    ] {
        assert!(shown.contains(told), "{told}: {shown}");
    }
}
