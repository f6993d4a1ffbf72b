//! The engine `kind` on real Docker: `cargo test --test real_engine -- --include-ignored`.
//!
//! Where the testbed is not up, every test is shown as ignored and one line says why.

#[path = "common/testbed.rs"]
mod testbed;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::PostParams;
use libtest_mimic::Failed;
use serde_json::{Value, json};
use stackgate::cluster::{Applier, Apply, Context, Interrupt, Kind, Object, View};
use stackgate::engine::config::Config;
use stackgate::engine::kind::{KindEngine, KindOptions, ManagementMode, clean};
use stackgate::engine::{Engine, EngineError, Management, Problem};
use stackgate::record::{Clock, Event, Finding, Recorder, Redactor, RunId, Sink};
use tempfile::TempDir;
use testbed::docker;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;

const NODE_IMAGE: &str = "kindest/node:v1.35.0";
const KIND_CONFIG: &str = "\
kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
nodes:
- role: control-plane
  extraMounts:
  - hostPath: /var/run/docker.sock
    containerPath: /var/run/docker.sock
kubeadmConfigPatches:
- |
  kind: KubeletConfiguration
  failCgroupV1: false
";

/// Two clusters at once would measure each other.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// One run of the engine, in folders of its own.
struct Bench {
    folder: TempDir,
    run: RunId,
    context: Context,
    engine: KindEngine,
    _broom: Broom,
    _alone: MutexGuard<'static, ()>,
}

impl Bench {
    /// What the preflight finds. Clusters beside the tests may take what a whole run needs of the
    /// machine's inotify instances; these tests need a third.
    async fn problems(&self) -> Vec<Problem> {
        let mut problems = self.engine.preflight().await;
        problems.retain(|problem| !problem.what.contains("inotify instances"));
        problems
    }
}

/// Removes the containers whose name holds a text, also when a test fails.
struct Broom(String);

impl Drop for Broom {
    fn drop(&mut self) {
        let filter = format!("name={}", self.0);
        for id in docker(&["ps", "--all", "--quiet", "--filter", &filter]).unwrap_or_default() {
            docker(&["rm", "--force", "--volumes", &id]);
        }
    }
}

/// Shows the stream with the time since the start.
struct Show;

impl Sink for Show {
    fn take(&mut self, event: &Event) {
        let what = serde_json::to_string(&event.what).unwrap_or_default();
        let what: String = what.chars().take(400).collect();
        eprintln!("{:7.1} s  {what}", event.elapsed_ms as f64 / 1000.0);
    }
}

fn options(run: &RunId, folder: &Path, config: Config) -> KindOptions {
    let kind_config = folder.join("kind.yaml");
    std::fs::write(&kind_config, KIND_CONFIG).unwrap();
    KindOptions {
        run: run.clone(),
        kind_config,
        node_image: NODE_IMAGE.to_owned(),
        infrastructure: stackgate::stack::Infrastructure::Docker,
        components_version: config.components.as_ref().unwrap().version.clone(),
        images: vec![NODE_IMAGE.to_owned()],
        management: ManagementMode::Fresh,
        operator: None,
        workload_cluster: format!("demo-{run}"),
        config,
    }
}

/// A bench for one test, which is alone on it.
async fn bench(adapt: impl FnOnce(&mut KindOptions)) -> Bench {
    let config = Config::load().unwrap();
    let alone = ONE_AT_A_TIME.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let run = RunId::random();
    let mut options = options(&run, folder.path(), config);
    adapt(&mut options);
    let recorder = Recorder::create(folder.path(), Clock::system(), vec![Box::new(Show)]).unwrap();
    let context = Context::new(run.clone(), recorder, Interrupt::default(), 1.0);
    Bench {
        folder,
        _broom: Broom(run.to_string()),
        run,
        context,
        engine: KindEngine::new(options),
        _alone: alone,
    }
}

/// Everything in Docker that has a run's id in its name or labels, plus dangling volumes.
fn left_in_docker(run: &RunId) -> Vec<String> {
    let containers = docker(&["ps", "--all", "--format", "{{.Names}}"]).unwrap();
    let volumes = docker(&["volume", "ls", "--quiet", "--filter", "dangling=true"]).unwrap();
    containers
        .into_iter()
        .filter(|name| name.contains(run.as_str()))
        .chain(volumes)
        .collect()
}

fn private_folder(run: &RunId) -> PathBuf {
    std::env::temp_dir().join(format!("stackgate-{run}"))
}

async fn a_management_cluster_comes_with_answering_providers_and_goes_without_a_trace() {
    let bench = bench(|_| ()).await;
    let before = left_in_docker(&bench.run);
    assert_eq!(bench.problems().await, []);
    assert_eq!(
        left_in_docker(&bench.run),
        before,
        "the preflight makes nothing"
    );
    assert!(!private_folder(&bench.run).exists());

    let started = Instant::now();
    let management = bench.engine.management(&bench.context).await.unwrap();
    eprintln!(
        "providers answer after {:.1} s",
        started.elapsed().as_secs_f64()
    );
    assert_eq!(management.namespace, format!("stackgate-{}", bench.run));
    let namespaces = Kind::new("", "v1", "Namespace", "namespaces");
    let view = View::start(
        "management",
        &management.client,
        &[(namespaces.clone(), "")],
    );
    while !view.unsettled().is_empty() {
        view.changes().changed().await;
    }
    let own = view.get(&namespaces, "", &management.namespace).unwrap();
    assert_eq!(own.label("stackgate/run"), Some(bench.run.as_str()));

    let properties = bench.engine.properties().await;
    for name in [
        "kind.version",
        "docker.version",
        "cluster-api.version",
        "host.cgroup",
    ] {
        assert!(
            properties.iter().any(|(key, _)| key == name),
            "{name}: {properties:?}"
        );
    }
    let node = format!("stackgate-{}-control-plane", bench.run);
    assert!(
        properties
            .iter()
            .any(|(key, _)| *key == format!("usage.{node}.memory-mib")),
        "{properties:?}"
    );

    let evidence = bench.folder.path().join("nodes");
    bench
        .engine
        .collect(&evidence, &Redactor::default())
        .await
        .unwrap();
    let kubelet = std::fs::read_to_string(evidence.join(&node).join("kubelet.log")).unwrap();
    assert!(kubelet.contains("kubelet["), "{kubelet}");
    let state = std::fs::read_to_string(evidence.join(&node).join("state.json")).unwrap();
    assert!(state.contains("\"running\""), "{state}");

    let kept = bench.engine.teardown(&bench.context, true).await.unwrap();
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert!(
        kept[0].command.starts_with("export KUBECONFIG="),
        "{kept:?}"
    );
    assert!(!bench.engine.leftovers().await.unwrap().is_empty());

    let started = Instant::now();
    assert_eq!(
        bench.engine.teardown(&bench.context, false).await.unwrap(),
        []
    );
    eprintln!("removed in {:.1} s", started.elapsed().as_secs_f64());
    assert_eq!(
        bench.engine.leftovers().await.unwrap(),
        Vec::<String>::new()
    );
    assert_eq!(left_in_docker(&bench.run), before);
    assert!(!private_folder(&bench.run).exists());
    bench.engine.teardown(&bench.context, false).await.unwrap();
}

async fn a_management_cluster_without_nodes_comes_with_answering_providers_and_goes_without_a_trace()
 {
    let bench = bench(|options| options.management = ManagementMode::Light).await;
    let before = left_in_docker(&bench.run);
    let networks = || docker(&["network", "ls", "--format", "{{.Name}}"]).unwrap();
    let networks_before = networks();
    assert_eq!(bench.problems().await, []);
    assert_eq!(left_in_docker(&bench.run), before);

    let started = Instant::now();
    let management = bench.engine.management(&bench.context).await.unwrap();
    eprintln!(
        "providers answer after {:.1} s",
        started.elapsed().as_secs_f64()
    );
    // A provider has the rights of its own roles and no more.
    let own = format!("stackgate-{}-capi-controller-manager", bench.run);
    let privileged = docker(&["inspect", "--format", "{{.HostConfig.Privileged}}", &own]);
    assert_eq!(privileged.unwrap(), ["false"]);
    let properties = bench.engine.properties().await;
    assert!(
        properties
            .iter()
            .any(|(key, value)| key == "management" && value == "light"),
        "{properties:?}"
    );
    for (key, value) in &properties {
        if key.starts_with("usage.") {
            eprintln!("{key} {value}");
        }
    }
    let evidence = bench.folder.path().join("nodes");
    bench
        .engine
        .collect(&evidence, &Redactor::default())
        .await
        .unwrap();
    let log = std::fs::read_to_string(evidence.join(&own).join("container.log")).unwrap();
    assert!(log.contains("Starting"), "{log}");
    drop(management);

    bench.engine.teardown(&bench.context, false).await.unwrap();
    assert_eq!(
        bench.engine.leftovers().await.unwrap(),
        Vec::<String>::new()
    );
    assert_eq!(left_in_docker(&bench.run), before);
    assert_eq!(networks(), networks_before);
    assert!(!private_folder(&bench.run).exists());
}

async fn a_manager_that_crashes_is_named_with_its_last_lines() {
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().to_owned();
    let bench = bench(|options| {
        options.management = ManagementMode::Light;
        let components = options.config.components.as_mut().unwrap();
        for file in std::fs::read_dir(&components.directory).unwrap() {
            let file = file.unwrap();
            let text = std::fs::read_to_string(file.path()).unwrap();
            let text = match file.file_name().to_str() {
                Some("infrastructure-docker.yaml") => {
                    text.replace("- --leader-elect", "- --no-such-flag")
                }
                _ => text,
            };
            std::fs::write(broken.join(file.file_name()), text).unwrap();
        }
        components.directory = broken;
    })
    .await;
    let error = match bench.engine.management(&bench.context).await {
        Err(EngineError::Cause(finding)) => finding,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("a manager took a flag that it does not know"),
    };
    assert!(
        error
            .message
            .starts_with("capd-controller-manager of the management cluster has ended"),
        "{error:?}"
    );
    let said = error.evidence.join(" ");
    assert!(said.contains("no-such-flag"), "{error:?}");
    bench.engine.teardown(&bench.context, false).await.unwrap();
    assert_eq!(
        bench.engine.leftovers().await.unwrap(),
        Vec::<String>::new()
    );
}

/// etcd's own interface says that it is full, as it does when its quota is used up.
async fn a_full_etcd_is_named_with_its_last_lines() {
    let bench = bench(|options| options.management = ManagementMode::Light).await;
    let management = bench.engine.management(&bench.context).await.unwrap();
    assert_eq!(bench.engine.investigate(&[], &[]).await, None);
    let etcd = format!("stackgate-{}-etcd", bench.run);
    let status = set_alarm(&bench, &etcd).await;
    assert!(status.contains("NOSPACE"), "{status}");
    let name = json!({"metadata": {"name": "one-more"}});
    let namespaces: kube::Api<Namespace> = kube::Api::all(management.client);
    let error = namespaces
        .create(
            &PostParams::default(),
            &serde_json::from_value(name).unwrap(),
        )
        .await
        .unwrap_err();
    assert!(error.to_string().contains("space exceeded"), "{error}");
    // The API server says so when it cannot renew its lease.
    let until = Instant::now() + Duration::from_secs(60);
    let finding = loop {
        match bench.engine.investigate(&[], &[]).await {
            Some(finding) => break finding,
            None => assert!(Instant::now() < until, "nothing was found"),
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    assert_eq!(finding.cause, "etcd-full");
    let said = finding.evidence.concat();
    assert!(
        said.contains("space exceeded") || said.contains("NOSPACE"),
        "{said}"
    );
    assert_eq!(
        finding.message,
        "etcd of the management cluster is full: it takes no writes"
    );
    assert_eq!(finding.object.name, etcd);
    bench.engine.teardown(&bench.context, false).await.unwrap();
    assert_eq!(
        bench.engine.leftovers().await.unwrap(),
        Vec::<String>::new()
    );
}

/// Asks etcd with the certificate that lies in its container; its answer.
async fn set_alarm(bench: &Bench, etcd: &str) -> String {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let folder = bench.folder.path();
    let source = format!("{etcd}:/pki");
    docker(&["cp", &source, folder.to_str().unwrap()]).unwrap();
    let data = |name: &str| STANDARD.encode(std::fs::read(folder.join("pki").join(name)).unwrap());
    let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    let address = docker(&["inspect", "--format", format, etcd])
        .unwrap()
        .concat();
    let config = json!({
        "clusters": [{"name": "etcd", "cluster": {"server": format!("https://{address}:2379"),
            "tls-server-name": "etcd", "certificate-authority-data": data("ca.crt")}}],
        "users": [{"name": "etcd", "user": {"client-certificate-data": data("tls.crt"),
            "client-key-data": data("tls.key")}}],
        "contexts": [{"name": "etcd", "context": {"cluster": "etcd", "user": "etcd"}}],
        "current-context": "etcd",
    });
    let config = kube::config::Kubeconfig::from_yaml(&config.to_string()).unwrap();
    let options = kube::config::KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(config, &options)
        .await
        .unwrap();
    let alarm = json!({"action": "ACTIVATE", "memberID": "0", "alarm": "NOSPACE"});
    let request = http::Request::post("/v3/maintenance/alarm")
        .body(alarm.to_string().into_bytes())
        .unwrap();
    let client = kube::Client::try_from(config).unwrap();
    client.request_text(request).await.unwrap()
}

async fn an_interruption_ends_kind_and_the_teardown_finds_what_it_had_made() {
    let bench = bench(|_| ()).await;
    let before = left_in_docker(&bench.run);
    let node = format!("stackgate-{}-control-plane", bench.run);
    let interrupt = async {
        while docker(&["inspect", &node]).is_none() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bench.context.interrupt.raise();
    };
    let (outcome, ()) = tokio::join!(bench.engine.management(&bench.context), interrupt);
    assert!(matches!(outcome, Err(EngineError::Interrupted(_))));
    assert!(!bench.engine.leftovers().await.unwrap().is_empty());
    let context = bench.context.uninterrupted();
    bench.engine.teardown(&context, false).await.unwrap();
    assert_eq!(
        bench.engine.leftovers().await.unwrap(),
        Vec::<String>::new()
    );
    assert_eq!(left_in_docker(&bench.run), before);
}

async fn a_node_image_that_is_nowhere_is_told_before_anything_is_made() {
    let missing = "registry.invalid/stackgate/node:v0";
    let bench = bench(|options| options.node_image = missing.to_owned()).await;
    let problems = bench.problems().await;
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].what.contains(missing), "{problems:?}");
    assert!(bench.engine.leftovers().await.unwrap().is_empty());
}

async fn every_problem_is_told_at_once() {
    let bench = bench(|options| {
        options.config.kind = Some("/nowhere/kind".into());
        options.kind_config = "/nowhere/kind.yaml".into();
        options.components_version = "v0.0.1".to_owned();
        options.management = ManagementMode::Reuse("nobody".to_owned());
        options.workload_cluster = "demo".to_owned();
    })
    .await;
    let problems = bench.engine.preflight().await;
    for expected in [
        "/nowhere/kind cannot be started",
        "/nowhere/kind.yaml cannot be read",
        "there is no management cluster nobody",
        "does not end in the run's id",
    ] {
        assert!(
            problems
                .iter()
                .any(|problem| problem.what.contains(expected)),
            "{expected}: {problems:?}"
        );
    }
    assert!(problems.iter().all(|problem| !problem.remedy.is_empty()));
}

async fn a_kind_that_fails_is_told_with_its_step_and_its_words_and_leaves_logs() {
    // A node image without Kubernetes in it: kind starts it, and waits for it in vain.
    let bench =
        bench(|options| options.node_image = "kindest/haproxy:v20230606-42a2262b".to_owned()).await;
    let Err(error) = bench.engine.management(&bench.context).await else {
        panic!("kind made a cluster of a load balancer");
    };
    let error = error.to_string();
    assert!(error.contains("at the step 'Preparing nodes'"), "{error}");
    assert!(error.contains("ERROR: failed to create cluster"), "{error}");
    let evidence = bench.folder.path().join("nodes");
    bench
        .engine
        .collect(&evidence, &Redactor::default())
        .await
        .unwrap();
    let node = evidence.join(format!("stackgate-{}-control-plane", bench.run));
    assert!(node.join("state.json").exists());
    assert!(node.join("container.log").exists());
    bench.engine.teardown(&bench.context, false).await.unwrap();
    assert_eq!(
        bench.engine.leftovers().await.unwrap(),
        Vec::<String>::new()
    );
}

async fn cleaning_a_named_run_that_left_nothing_removes_nothing() {
    let bench = bench(|_| ()).await;
    assert_eq!(
        clean(Some(bench.run.clone())).await.unwrap(),
        Vec::<String>::new()
    );
}

const MACHINE: Kind = Kind::new("cluster.x-k8s.io", "v1beta2", "Machine", "machines");

/// A cluster of one control-plane node, with one more kubelet flag.
fn workload(name: &str, flag: (&str, &str)) -> Vec<Value> {
    let object = |group: &str, kind: &str, spec: Value| json!({"apiVersion": format!("{group}/v1beta2"), "kind": kind, "metadata": {"name": name}, "spec": spec});
    let reference =
        |group: &str, kind: &str| json!({"apiGroup": group, "kind": kind, "name": name});
    let (infrastructure, control_plane) = (
        "infrastructure.cluster.x-k8s.io",
        "controlplane.cluster.x-k8s.io",
    );
    let flags = json!([
        {"name": "eviction-hard", "value": "nodefs.available<0%,imagefs.available<0%"},
        {"name": "fail-cgroupv1", "value": "false"},
        {"name": flag.0, "value": flag.1},
    ]);
    vec![
        object(infrastructure, "DockerCluster", json!({})),
        object(
            infrastructure,
            "DockerMachineTemplate",
            json!({"template": {"spec": {"customImage": NODE_IMAGE}}}),
        ),
        object(
            control_plane,
            "KubeadmControlPlane",
            json!({
                "replicas": 1,
                "version": "v1.35.0",
                "machineTemplate": {"spec": {"infrastructureRef": reference(infrastructure, "DockerMachineTemplate")}},
                "kubeadmConfigSpec": {"initConfiguration": {"nodeRegistration": {"kubeletExtraArgs": flags}}},
            }),
        ),
        object(
            "cluster.x-k8s.io",
            "Cluster",
            json!({
                "clusterNetwork": {"pods": {"cidrBlocks": ["10.244.0.0/16"]}},
                "infrastructureRef": reference(infrastructure, "DockerCluster"),
                "controlPlaneRef": reference(control_plane, "KubeadmControlPlane"),
            }),
        ),
    ]
}

async fn apply(bench: &Bench, management: &Management, objects: &[Value]) {
    let options = Apply {
        deadline: Duration::from_secs(60),
        namespace: Some(&management.namespace),
        labels: &[],
        source: "the test's cluster",
    };
    Applier::new("management", management.client.clone())
        .apply(&bench.context, objects, options)
        .await
        .unwrap();
}

/// Waits for a cause, as a run does that is blocked.
async fn cause(
    bench: &Bench,
    management: &Management,
    mut ready: impl FnMut(&str) -> bool,
) -> Finding {
    let view = View::start(
        "management",
        &management.client,
        &[(MACHINE, &management.namespace)],
    );
    let deadline = Instant::now() + Duration::from_secs(180);
    let mut acted = false;
    loop {
        assert!(Instant::now() < deadline, "no cause was found in time");
        tokio::time::sleep(Duration::from_secs(1)).await;
        let machines: Vec<Arc<Object>> = view.list(&MACHINE);
        let Some(machine) = machines.first() else {
            continue;
        };
        if !acted {
            acted = ready(machine.name());
            continue;
        }
        if let Some(found) = bench.engine.investigate(&[], &machines).await {
            return found;
        }
    }
}

async fn a_kept_cluster_serves_later_runs_and_each_goes_with_its_containers_and_namespace() {
    let name = format!("test-{}", RunId::random());
    let kept_node = format!("stackgate-keep-{name}-control-plane");
    let _broom = Broom(kept_node.clone());
    let first = bench(|options| options.management = ManagementMode::Keep(name.clone())).await;
    let before = left_in_docker(&first.run);
    let management = first.engine.management(&first.context).await.unwrap();
    let cluster = format!("demo-{}", first.run);
    apply(&first, &management, &workload(&cluster, ("v", "2"))).await;
    // A machine whose kubelet works, and is then stopped.
    let found = cause(&first, &management, |machine| {
        docker(&["exec", machine, "systemctl", "is-active", "kubelet"]).is_some()
            && docker(&[
                "exec",
                machine,
                "test",
                "-f",
                "/run/cluster-api/bootstrap-success.complete",
            ])
            .is_some()
            && docker(&["exec", machine, "systemctl", "stop", "kubelet"]).is_some()
    })
    .await;
    assert_eq!(found.cause, "kubelet-not-running", "{found:?}");
    assert!(found.message.contains("inactive"), "{found:?}");
    assert!(!found.evidence.is_empty(), "{found:?}");

    let started = Instant::now();
    let kept = first.engine.teardown(&first.context, false).await.unwrap();
    eprintln!("released in {:.1} s", started.elapsed().as_secs_f64());
    assert!(
        kept[0]
            .command
            .contains(&format!("--management reuse {name}")),
        "{kept:?}"
    );
    assert_eq!(
        first.engine.leftovers().await.unwrap(),
        Vec::<String>::new()
    );
    assert_eq!(left_in_docker(&first.run), before);
    assert!(
        docker(&["inspect", &kept_node]).is_some(),
        "the kept cluster stays"
    );
    drop(first);

    let second = bench(|options| options.management = ManagementMode::Reuse(name.clone())).await;
    assert_eq!(second.problems().await, []);
    let started = Instant::now();
    let management = second.engine.management(&second.context).await.unwrap();
    eprintln!("reused after {:.1} s", started.elapsed().as_secs_f64());
    let cluster = format!("demo-{}", second.run);
    apply(
        &second,
        &management,
        &workload(&cluster, ("no-such-flag", "1")),
    )
    .await;
    let found = cause(&second, &management, |_| true).await;
    assert_eq!(found.cause, "kubelet-unknown-flag", "{found:?}");
    assert!(
        found.message.contains("unknown flag: --no-such-flag"),
        "{found:?}"
    );
    // As after a kill: nobody tears down; cleaning finds all of it.
    drop(management);
    let removed = clean(Some(second.run.clone())).await.unwrap();
    for expected in [
        format!(
            "namespace stackgate-{} in stackgate-keep-{name}",
            second.run
        ),
        format!("folder {}", private_folder(&second.run).display()),
    ] {
        assert!(removed.contains(&expected), "{expected}: {removed:?}");
    }
    assert!(
        removed
            .iter()
            .any(|what| what.starts_with(&format!("container {cluster}"))),
        "{removed:?}"
    );
    assert_eq!(
        second.engine.leftovers().await.unwrap(),
        Vec::<String>::new()
    );
    assert_eq!(left_in_docker(&second.run), before);
    drop(second);

    let third = bench(|options| {
        options.management = ManagementMode::Reuse(name.clone());
        options.components_version = "v0.0.1".to_owned();
    })
    .await;
    let Err(error) = third.engine.management(&third.context).await else {
        panic!("a cluster with another Cluster API was reused");
    };
    assert!(
        error.to_string().contains("and the stack asks for v0.0.1"),
        "{error}"
    );
    third.engine.teardown(&third.context, false).await.unwrap();
}

/// How the process that is killed learns its run's id and its folder.
const KILLED_RUN: &str = "STACKGATE_TEST_KILLED_RUN";
const KILLED_FOLDER: &str = "STACKGATE_TEST_KILLED_FOLDER";
/// Set where its management cluster has no nodes.
const KILLED_LIGHT: &str = "STACKGATE_TEST_KILLED_LIGHT";

/// The process that the tests of `kill -9` start and kill.
async fn the_process_that_is_killed() {
    let run: RunId = std::env::var(KILLED_RUN).unwrap().parse().unwrap();
    let folder = PathBuf::from(std::env::var(KILLED_FOLDER).unwrap());
    let mut options = options(&run, &folder, Config::load().unwrap());
    if std::env::var_os(KILLED_LIGHT).is_some() {
        options.management = ManagementMode::Light;
    }
    let engine = KindEngine::new(options);
    let recorder = Recorder::create(&folder, Clock::system(), vec![]).unwrap();
    let context = Context::new(run, recorder, Interrupt::default(), 1.0);
    let management = engine.management(&context).await.unwrap();
    std::fs::write(management.kubeconfig.with_file_name("ready"), "").unwrap();
    std::future::pending::<()>().await;
}

/// Starts a run in a process of its own, kills it when `moment` has come, and cleans.
async fn killed_and_cleaned(mode: ManagementMode, moment: impl Fn(&RunId) -> bool) {
    let light = mode == ManagementMode::Light;
    let bench = bench(|options| options.management = mode).await;
    let before = left_in_docker(&bench.run);
    let networks = || docker(&["network", "ls", "--format", "{{.Name}}"]).unwrap();
    let networks_before = networks();
    let killed = bench.folder.path().join("killed");
    std::fs::create_dir(&killed).unwrap();
    let mut process = tokio::process::Command::new(std::env::current_exe().unwrap())
        .env(KILLED_RUN, bench.run.as_str())
        .env(KILLED_FOLDER, &killed)
        .envs(light.then_some((KILLED_LIGHT, "1")))
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    while !moment(&bench.run) {
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(process.try_wait().unwrap().is_none(), "it ended by itself");
    }
    process.kill().await.unwrap();
    assert!(private_folder(&bench.run).exists());
    let removed = clean(Some(bench.run.clone())).await.unwrap();
    eprintln!("{removed:?}");
    assert!(!removed.is_empty());
    assert_eq!(
        bench.engine.leftovers().await.unwrap(),
        Vec::<String>::new()
    );
    assert_eq!(left_in_docker(&bench.run), before);
    if light {
        assert_eq!(networks(), networks_before);
    }
    assert!(!private_folder(&bench.run).exists());
    assert_eq!(
        clean(Some(bench.run.clone())).await.unwrap(),
        Vec::<String>::new()
    );
}

fn node_exists(run: &RunId) -> bool {
    docker(&["inspect", &format!("stackgate-{run}-control-plane")]).is_some()
}

async fn killed_before_there_is_a_node_it_is_cleaned() {
    killed_and_cleaned(ManagementMode::Fresh, |run| {
        private_folder(run).join("run.json").exists()
    })
    .await;
}

async fn killed_while_the_node_boots_it_is_cleaned_with_its_processes() {
    killed_and_cleaned(ManagementMode::Fresh, node_exists).await;
}

async fn killed_with_a_management_cluster_it_is_cleaned() {
    killed_and_cleaned(ManagementMode::Fresh, is_ready).await;
}

async fn killed_without_nodes_at_any_moment_it_is_cleaned() {
    killed_and_cleaned(ManagementMode::Light, |run| {
        private_folder(run).join("run.json").exists()
    })
    .await;
    killed_and_cleaned(ManagementMode::Light, |run| {
        docker(&["inspect", &format!("stackgate-{run}-etcd")]).is_some()
    })
    .await;
    killed_and_cleaned(ManagementMode::Light, is_ready).await;
}

fn is_ready(run: &RunId) -> bool {
    private_folder(run).join("ready").exists()
}

fn on_a_runtime(test: impl Future<Output = ()>) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(test);
    Ok(())
}

fn main() -> ExitCode {
    if std::env::var_os(KILLED_RUN).is_some() {
        let _ = on_a_runtime(the_process_that_is_killed());
        return ExitCode::SUCCESS;
    }
    testbed::run(&[
        (
            "real_engine_a_management_cluster_comes_with_answering_providers_and_goes_without_a_trace",
            false,
            || {
                on_a_runtime(
                    a_management_cluster_comes_with_answering_providers_and_goes_without_a_trace(),
                )
            },
        ),
        (
            "real_engine_a_management_cluster_without_nodes_comes_with_answering_providers_and_goes_without_a_trace",
            false,
            || {
                on_a_runtime(
                    a_management_cluster_without_nodes_comes_with_answering_providers_and_goes_without_a_trace(),
                )
            },
        ),
        (
            "real_engine_a_manager_that_crashes_is_named_with_its_last_lines",
            false,
            || on_a_runtime(a_manager_that_crashes_is_named_with_its_last_lines()),
        ),
        (
            "real_engine_a_full_etcd_is_named_with_its_last_lines",
            false,
            || on_a_runtime(a_full_etcd_is_named_with_its_last_lines()),
        ),
        (
            "real_engine_an_interruption_ends_kind_and_the_teardown_finds_what_it_had_made",
            false,
            || on_a_runtime(an_interruption_ends_kind_and_the_teardown_finds_what_it_had_made()),
        ),
        (
            "real_engine_a_node_image_that_is_nowhere_is_told_before_anything_is_made",
            false,
            || on_a_runtime(a_node_image_that_is_nowhere_is_told_before_anything_is_made()),
        ),
        ("real_engine_every_problem_is_told_at_once", false, || {
            on_a_runtime(every_problem_is_told_at_once())
        }),
        (
            "real_engine_a_kind_that_fails_is_told_with_its_step_and_its_words_and_leaves_logs",
            false,
            || {
                on_a_runtime(
                    a_kind_that_fails_is_told_with_its_step_and_its_words_and_leaves_logs(),
                )
            },
        ),
        (
            "real_engine_cleaning_a_named_run_that_left_nothing_removes_nothing",
            false,
            || on_a_runtime(cleaning_a_named_run_that_left_nothing_removes_nothing()),
        ),
        (
            "real_engine_a_kept_cluster_serves_later_runs_and_each_goes_with_its_containers_and_namespace",
            false,
            || {
                on_a_runtime(a_kept_cluster_serves_later_runs_and_each_goes_with_its_containers_and_namespace())
            },
        ),
        (
            "real_engine_killed_before_there_is_a_node_it_is_cleaned",
            false,
            || on_a_runtime(killed_before_there_is_a_node_it_is_cleaned()),
        ),
        (
            "real_engine_killed_while_the_node_boots_it_is_cleaned_with_its_processes",
            false,
            || on_a_runtime(killed_while_the_node_boots_it_is_cleaned_with_its_processes()),
        ),
        (
            "real_engine_killed_with_a_management_cluster_it_is_cleaned",
            false,
            || on_a_runtime(killed_with_a_management_cluster_it_is_cleaned()),
        ),
        (
            "real_engine_killed_without_nodes_at_any_moment_it_is_cleaned",
            false,
            || on_a_runtime(killed_without_nodes_at_any_moment_it_is_cleaned()),
        ),
    ])
}
