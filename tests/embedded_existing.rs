//! Engine `existing`: a gate in somebody's management cluster, which is afterwards what it was before.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use kube::api::{DeleteParams, DynamicObject, ListParams};
use kube::config::Kubeconfig;
use kube::discovery::{Discovery, Scope, verbs};
use kube::{Api, Client, ResourceExt as _};
use serde_json::Value;
use stackgate::cluster::{Context, Handshakes, Interrupt, Object};
use stackgate::engine::embedded::{EmbeddedEngine, EmbeddedOptions};
use stackgate::engine::existing::{ExistingEngine, ExistingOptions};
use stackgate::engine::{Engine, EngineError, Kept, Management, Opened, Problem};
use stackgate::gate::{self, Keep, Plan};
use stackgate::record::{Blocker, Clock, Finding, Recorder, Redactor, RunId, Verdict};
use stackgate::stack::{Delivery, Stack};
use stackgate::suite::Suite;

/// An engine `existing` whose management cluster is simulated, and so is what that makes.
struct Simulated {
    existing: ExistingEngine,
    clusters: EmbeddedEngine,
}

impl Engine for Simulated {
    fn name(&self) -> &'static str {
        self.existing.name()
    }

    fn preflight(&self) -> BoxFuture<'_, Vec<Problem>> {
        self.existing.preflight()
    }

    fn management<'a>(
        &'a self,
        context: &'a Context,
    ) -> BoxFuture<'a, Result<Management, EngineError>> {
        self.existing.management(context)
    }

    fn open<'a>(&'a self, folder: &'a Path) -> BoxFuture<'a, anyhow::Result<Opened>> {
        self.existing.open(folder)
    }

    fn connect<'a>(&'a self, kubeconfig: &'a str) -> BoxFuture<'a, anyhow::Result<Client>> {
        // Its address is in reach of this process alone.
        self.clusters.connect(kubeconfig)
    }

    fn handshakes(&self) -> Option<Arc<dyn Handshakes>> {
        self.clusters.handshakes()
    }

    fn properties(&self) -> BoxFuture<'_, Vec<(String, String)>> {
        self.existing.properties()
    }

    fn investigate<'a>(
        &'a self,
        blockers: &'a [Blocker],
        machines: &'a [Arc<Object>],
    ) -> BoxFuture<'a, Option<Finding>> {
        self.existing.investigate(blockers, machines)
    }

    fn collect<'a>(
        &'a self,
        folder: &'a Path,
        redactor: &'a Redactor,
    ) -> BoxFuture<'a, anyhow::Result<()>> {
        self.existing.collect(folder, redactor)
    }

    fn teardown<'a>(
        &'a self,
        context: &'a Context,
        keep: bool,
    ) -> BoxFuture<'a, anyhow::Result<Vec<Kept>>> {
        self.existing.teardown(context, keep)
    }

    fn leftovers(&self) -> BoxFuture<'_, anyhow::Result<Vec<String>>> {
        self.existing.leftovers()
    }
}

/// Everything that a cluster holds outside of a namespace, but for what ages by itself.
async fn all_but(client: &Client, namespace: &str) -> BTreeMap<String, Value> {
    let discovery = Discovery::new(client.clone()).run().await.unwrap();
    let mut all = BTreeMap::new();
    for group in discovery.groups() {
        for (resource, capabilities) in group.recommended_resources() {
            let ages = ["Lease", "Event"].contains(&resource.kind.as_str());
            if ages || !capabilities.supports_operation(verbs::LIST) {
                continue;
            }
            let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
            for object in api.list(&ListParams::default()).await.unwrap() {
                let within = match capabilities.scope {
                    Scope::Namespaced => object.namespace(),
                    Scope::Cluster => Some(object.name_any()),
                };
                if within.as_deref() == Some(namespace) {
                    continue;
                }
                let key = format!(
                    "{} {}/{}",
                    resource.kind,
                    object.namespace().unwrap_or_default(),
                    object.name_any()
                );
                all.insert(key, serde_json::to_value(object).unwrap());
            }
        }
    }
    all
}

fn plan(run: &RunId, keep: Keep) -> Plan {
    plan_of("docker-demo", Delivery::Direct, run, keep)
}

fn plan_of(stack: &str, delivery: Delivery, run: &RunId, keep: Keep) -> Plan {
    let stacks = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("stacks-under-test");
    let folder = stacks.join(stack);
    let mut stack = Stack::load(&folder.to_string_lossy(), &stacks).unwrap();
    stack.spec.delivery = delivery;
    let suites = Suite::load_all(&stack.spec.suites, &stack.folder.join("suites")).unwrap();
    let pair = stack.open_releases().unwrap();
    Plan::new(stack, pair, suites, keep, run).unwrap()
}

/// A management cluster with what Cluster API needs, its client, and the engine in front of it.
async fn somebodys(plan: &Plan, context: &Context) -> (Simulated, Client) {
    let components = &plan.stack.spec.management.components;
    let mut clusters = EmbeddedEngine::new(EmbeddedOptions {
        run: context.run.clone(),
        seed: 7,
        faults: Vec::new(),
        missing_images: Vec::new(),
        workload_cluster: plan.cluster.clone(),
        infrastructure: components.infrastructure,
    });
    if plan.stack.spec.delivery == Delivery::Operator {
        let releases = [plan.pair.from.clone(), plan.pair.to.clone()];
        clusters = clusters.with_operator(&releases, components.cluster_api);
    }
    let Management {
        client, namespace, ..
    } = clusters.management(context).await.unwrap();
    // The cluster is to be somebody's, without anything of the run.
    let namespaces: Api<DynamicObject> = Api::all_with(
        client.clone(),
        &stackgate::cluster::kinds::NAMESPACE.resource(),
    );
    namespaces
        .delete(&namespace, &DeleteParams::background())
        .await
        .unwrap();
    while namespaces.get_opt(&namespace).await.unwrap().is_some() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let kubeconfig = Kubeconfig {
        current_context: Some("somebodys".to_owned()),
        ..Kubeconfig::default()
    };
    let existing = ExistingEngine::new(ExistingOptions {
        run: context.run.clone(),
        kubeconfig,
        workload_cluster: plan.cluster.clone(),
        created: [(
            "cluster.x-k8s.io/v1beta1".to_owned(),
            "ClusterClass".to_owned(),
        )]
        .into(),
        teardown: Duration::from_secs(600),
    })
    .with_client(client.clone());
    (Simulated { existing, clusters }, client)
}

fn context(folder: &Path, run: &str) -> Context {
    let recorder = Recorder::create(folder, Clock::rehearsed(), vec![]).unwrap();
    Context::new(run.parse().unwrap(), recorder, Interrupt::default(), 1.0)
}

/// Runs a gate in somebody's management cluster, with kinds of `groups` there, and compares that before and after.
async fn leaves_it_as_it_was(stack: &str, delivery: Delivery, run: &str, groups: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let context = context(folder.path(), run);
    let plan = plan_of(stack, delivery, &context.run, Keep::Never);
    let (engine, client) = somebodys(&plan, &context).await;
    let namespace = format!("stackgate-{}", context.run);
    let before = all_but(&client, &namespace).await;
    for group in groups {
        let is_there = |key: &String| {
            key.starts_with("CustomResourceDefinition ") && key.ends_with(&format!(".{group}"))
        };
        assert!(before.keys().any(is_there), "no kind of {group}");
    }
    let ending = gate::run(&plan, &context, &engine).await;
    assert_eq!(ending.verdict, Verdict::Open, "{}", ending.reason);
    assert_eq!(engine.leftovers().await.unwrap(), Vec::<String>::new());
    let after = all_but(&client, &namespace).await;
    let changed: Vec<&String> = before
        .keys()
        .chain(after.keys())
        .filter(|key| before.get(*key) != after.get(*key))
        .collect();
    assert_eq!(changed, Vec::<&String>::new());
    let properties = engine.properties().await;
    assert!(properties.contains(&("management".to_owned(), "existing".to_owned())));
}

const INFRASTRUCTURE: &str = "infrastructure.cluster.x-k8s.io";
const OPERATOR: &str = "clusterstack.x-k8s.io";

#[tokio::test(start_paused = true)]
async fn a_gate_leaves_somebodys_management_cluster_as_it_was() {
    leaves_it_as_it_was(
        "docker-demo",
        Delivery::Direct,
        "e0e0e0e1",
        &[INFRASTRUCTURE],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn embedded_a_gate_of_their_operator_leaves_the_management_cluster_as_it_was_issue_7() {
    let kinds = [INFRASTRUCTURE, OPERATOR];
    leaves_it_as_it_was("docker-demo", Delivery::Operator, "e0e0e0e4", &kinds).await;
}

#[tokio::test(start_paused = true)]
async fn embedded_a_gate_of_machines_on_openstack_leaves_the_management_cluster_as_it_was_issue_7()
{
    let kinds = [INFRASTRUCTURE, OPERATOR];
    leaves_it_as_it_was("openstack-demo", Delivery::Operator, "e0e0e0e5", &kinds).await;
    leaves_it_as_it_was(
        "openstack-demo",
        Delivery::Direct,
        "e0e0e0e6",
        &[INFRASTRUCTURE],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_stays_until_it_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let context = context(folder.path(), "e0e0e0e2");
    let plan = plan(&context.run, Keep::Always);
    let (engine, _client) = somebodys(&plan, &context).await;
    engine.management(&context).await.unwrap();
    let kept = engine.teardown(&context, true).await.unwrap();
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert!(kept[0].what.starts_with("namespace stackgate-e0e0e0e2 in "));
    let left = engine.leftovers().await.unwrap();
    assert_eq!(left.len(), 2, "{left:?}");
    engine.teardown(&context, false).await.unwrap();
    assert_eq!(engine.leftovers().await.unwrap(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_cluster_without_cluster_api_is_told_kind_by_kind() {
    let simulation = kubesim::Simulation::new(&kubesim::Options::default());
    let bare = simulation.add_cluster("bare", kubesim::controllers::all());
    let existing = ExistingEngine::new(ExistingOptions {
        run: "e0e0e0e3".parse().unwrap(),
        kubeconfig: Kubeconfig::default(),
        workload_cluster: "demo-e0e0e0e3".to_owned(),
        created: [(
            "infrastructure.cluster.x-k8s.io/v1beta1".to_owned(),
            "OpenStackClusterTemplate".to_owned(),
        )]
        .into(),
        teardown: Duration::from_secs(60),
    })
    .with_client(Client::new(bare.service(), "default"));
    let problems = existing.preflight().await;
    let told: Vec<&str> = problems.iter().map(|one| one.what.as_str()).collect();
    for expected in [
        "does not serve OpenStackClusterTemplate of infrastructure.cluster.x-k8s.io/v1beta1",
        "does not serve Cluster of cluster.x-k8s.io/v1beta2",
        "does not serve MachineDeployment of cluster.x-k8s.io/v1beta2",
        "does not serve KubeadmControlPlane of controlplane.cluster.x-k8s.io/v1beta2",
    ] {
        assert!(told.iter().any(|told| told.contains(expected)), "{told:#?}");
    }
    // Secrets are served everywhere, and the administrator may do everything.
    assert_eq!(problems.len(), 6, "{told:#?}");
}
