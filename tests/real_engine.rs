//! The engine `kind` on real Docker. Where the testbed is not up, each test says so in one line.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use stackgate::cluster::{Context, Interrupt, Kind, View};
use stackgate::engine::config::Config;
use stackgate::engine::kind::{KindEngine, KindOptions, ManagementMode, clean};
use stackgate::engine::{Engine, EngineError};
use stackgate::record::{Event, Recorder, RunId, Sink};
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

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
    _alone: MutexGuard<'static, ()>,
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
        components_version: config.components.as_ref().unwrap().version.clone(),
        images: vec![NODE_IMAGE.to_owned()],
        management: ManagementMode::Fresh,
        workload_cluster: format!("demo-{run}"),
        config,
    }
}

/// A bench, or nothing, with the reason in one line, where there is no testbed.
async fn bench(adapt: impl FnOnce(&mut KindOptions)) -> Option<Bench> {
    let skip = |why: &str| eprintln!("skipped: {why}; testbed/up makes what these tests need");
    let config = Config::load().unwrap();
    if config.components.is_none() {
        skip("no manifests of Cluster API are configured");
        return None;
    }
    let alone = ONE_AT_A_TIME.lock().await;
    let images = docker(&["image", "ls", "--quiet", NODE_IMAGE]);
    if images.is_none_or(|images| images.is_empty()) {
        skip(&format!(
            "Docker does not answer, or has no image {NODE_IMAGE}"
        ));
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let run = RunId::random();
    let mut options = options(&run, folder.path(), config);
    adapt(&mut options);
    let recorder = Recorder::create(folder.path(), Timestamp::now(), vec![Box::new(Show)]).unwrap();
    let context = Context::new(run.clone(), recorder, Interrupt::default(), 1.0);
    Some(Bench {
        folder,
        run,
        context,
        engine: KindEngine::new(options),
        _alone: alone,
    })
}

/// What Docker's own command line says; none when it fails.
fn docker(arguments: &[&str]) -> Option<Vec<String>> {
    let output = std::process::Command::new("docker")
        .args(arguments)
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output
        .status
        .success()
        .then(|| text.lines().map(str::to_owned).collect())
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

#[tokio::test]
async fn a_management_cluster_comes_with_answering_providers_and_goes_without_a_trace() {
    let Some(bench) = bench(|_| ()).await else {
        return;
    };
    let before = left_in_docker(&bench.run);
    assert_eq!(bench.engine.preflight().await, []);
    assert_eq!(
        left_in_docker(&bench.run),
        before,
        "the preflight makes nothing"
    );
    assert!(!private_folder(&bench.run).exists());

    let started = std::time::Instant::now();
    let management = bench.engine.management(&bench.context).await.unwrap();
    eprintln!(
        "providers answer after {:.1} s",
        started.elapsed().as_secs_f64()
    );
    assert_eq!(management.namespace, format!("stackgate-{}", bench.run));
    let namespaces = Kind::new("", "v1", "Namespace", "namespaces");
    let view = View::start("management", &management.client, &[(namespaces, "")]);
    while !view.unsettled().is_empty() {
        view.changes().changed().await.unwrap();
    }
    let own = view.get(namespaces, "", &management.namespace).unwrap();
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
    bench.engine.collect(&evidence).await.unwrap();
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

    let started = std::time::Instant::now();
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

#[tokio::test]
async fn an_interruption_ends_kind_and_the_teardown_finds_what_it_had_made() {
    let Some(bench) = bench(|_| ()).await else {
        return;
    };
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

#[tokio::test]
async fn a_node_image_that_is_nowhere_is_told_before_anything_is_made() {
    let missing = "registry.invalid/stackgate/node:v0";
    let Some(bench) = bench(|options| options.node_image = missing.to_owned()).await else {
        return;
    };
    let problems = bench.engine.preflight().await;
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].what.contains(missing), "{problems:?}");
    assert!(bench.engine.leftovers().await.unwrap().is_empty());
}

#[tokio::test]
async fn every_problem_is_told_at_once() {
    let Some(bench) = bench(|options| {
        options.config.kind = Some("/nowhere/kind".into());
        options.kind_config = "/nowhere/kind.yaml".into();
        options.components_version = "v0.0.1".to_owned();
        options.management = ManagementMode::Reuse("nobody".to_owned());
        options.workload_cluster = "demo".to_owned();
    })
    .await
    else {
        return;
    };
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

#[tokio::test]
async fn a_kind_that_fails_is_told_with_its_step_and_its_words_and_leaves_logs() {
    // A node image without Kubernetes in it: kind starts it, and waits for it in vain.
    let Some(bench) =
        bench(|options| options.node_image = "kindest/haproxy:v20230606-42a2262b".to_owned()).await
    else {
        return;
    };
    let Err(error) = bench.engine.management(&bench.context).await else {
        panic!("kind made a cluster of a load balancer");
    };
    let error = error.to_string();
    assert!(error.contains("at the step 'Preparing nodes'"), "{error}");
    assert!(error.contains("ERROR: failed to create cluster"), "{error}");
    let evidence = bench.folder.path().join("nodes");
    bench.engine.collect(&evidence).await.unwrap();
    let node = evidence.join(format!("stackgate-{}-control-plane", bench.run));
    assert!(node.join("state.json").exists());
    assert!(node.join("container.log").exists());
    bench.engine.teardown(&bench.context, false).await.unwrap();
    assert_eq!(
        bench.engine.leftovers().await.unwrap(),
        Vec::<String>::new()
    );
}

#[tokio::test]
async fn cleaning_a_named_run_that_left_nothing_removes_nothing() {
    let Some(bench) = bench(|_| ()).await else {
        return;
    };
    assert_eq!(
        clean(Some(bench.run.clone())).await.unwrap(),
        Vec::<String>::new()
    );
}
