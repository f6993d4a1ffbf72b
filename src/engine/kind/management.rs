//! The management cluster: made from nothing with everything overlapped that can be, kept for later,
//! or one that was kept.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use bollard::Docker;
use kube::api::DynamicObject;
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use super::create::{self, Creation};
use super::names::{RUN_LABEL, of_run};
use super::{KindOptions, ManagementMode, access, docker, images, light, operator, providers};
use crate::cluster::kinds::NAMESPACE;
use crate::cluster::{Applier, Apply, Context, Interrupted, Kind};
use crate::engine::private::PrivateFolder;
use crate::engine::{ENGINE, EngineError, Management};
use crate::record::{Blocker, ObjectRef, What};

/// How long kind may take.
const CREATE: Duration = Duration::from_secs(300);
/// How long a kept cluster may take to answer.
const ANSWER: Duration = Duration::from_secs(60);
/// How long to wait before an API server that is being started is asked again.
const RETRY: Duration = Duration::from_millis(200);
/// Remembers in a kept cluster what was installed.
const MEMORY: (&str, &str) = ("kube-system", "stackgate-management");
const CONFIG_MAP: Kind = Kind::new("", "v1", "ConfigMap", "configmaps");

/// The kubeconfig's name in the private folder.
pub(super) const KUBECONFIG: &str = "kubeconfig";

/// The control-plane node of a cluster of kind's.
pub(super) fn node_of(cluster: &str) -> String {
    format!("{cluster}-control-plane")
}

/// Makes a management cluster, or takes the kept one; the run has nothing in it yet.
pub(super) async fn prepare(
    context: &Context,
    docker: &Docker,
    options: &KindOptions,
    folder: &PrivateFolder,
    manifests: Option<Vec<Value>>,
) -> Result<Client, EngineError> {
    let cluster = options.management_cluster();
    let client = match &options.management {
        ManagementMode::Fresh | ManagementMode::Keep(_) => {
            let client = fresh(context, docker, options, folder, &cluster, manifests).await?;
            remember(context, &client, options).await?;
            client
        }
        ManagementMode::Light => {
            let manifests = match manifests {
                Some(manifests) => manifests,
                None => components(options).await?,
            };
            return light::fresh(context, docker, options, folder, manifests).await;
        }
        ManagementMode::Reuse(name) => {
            let client = kept(docker, folder, &cluster, name).await?;
            recall(&client, options, name).await?;
            providers::ready(context, &client).await?;
            client
        }
    };
    if let Some(operator) = &options.operator {
        operator::install(context, docker, &node_of(&cluster), &client, operator).await?;
    }
    Ok(client)
}

/// Makes the run's namespace in a management cluster.
pub(super) async fn enter(
    context: &Context,
    client: &Client,
    options: &KindOptions,
    folder: &PrivateFolder,
) -> Result<Management, EngineError> {
    let namespace = of_run(&options.run);
    let object =
        json!({"apiVersion": "v1", "kind": NAMESPACE.kind, "metadata": {"name": namespace}});
    apply(context, client, options, &object).await?;
    let kubeconfig = folder.file(KUBECONFIG);
    Ok(Management {
        client: access::client(&read_file(&kubeconfig)?).await?,
        kubeconfig,
        namespace,
    })
}

/// Talks to the management cluster of a run whose process is gone, in which the run's namespace is.
pub(super) async fn rejoin(
    context: &Context,
    options: &KindOptions,
    folder: &PrivateFolder,
) -> Result<Management, EngineError> {
    let client = access::client(&read_file(&folder.file(KUBECONFIG))?).await?;
    match tokio::time::timeout(ANSWER, answers(&client)).await {
        Ok(Ok(())) => enter(context, &client, options, folder).await,
        Ok(Err(error)) => Err(anyhow::Error::from(error)
            .context("failed to reach the run's management cluster")
            .into()),
        Err(_) => Err(anyhow!(
            "failed to reach the run's management cluster: its API server does not answer within {} s",
            ANSWER.as_secs()
        )
        .into()),
    }
}

/// From nothing: kind makes the cluster; meanwhile images go into its node as soon as that boots, and
/// Cluster API's manifests into its API server as soon as that answers.
async fn fresh(
    context: &Context,
    docker: &Docker,
    options: &KindOptions,
    folder: &PrivateFolder,
    cluster: &str,
    manifests: Option<Vec<Value>>,
) -> Result<Client, EngineError> {
    let components = match (manifests, &options.config.components) {
        (Some(manifests), _) => Some(manifests),
        (None, Some(_)) => Some(components(options).await?),
        (None, None) => None,
    };
    let steps = watch::Sender::new(String::new());
    let kubeconfig = folder.file(KUBECONFIG);
    let creation = Creation {
        program: &options.config.kind_program(),
        cluster,
        config: &options.kind_config,
        image: &options.node_image,
        kubeconfig: &kubeconfig,
        run: &options.run,
    };
    let node = node_of(cluster);
    let created = told(context, cluster, &steps, create::create(creation, &steps));
    let Some(components) = components else {
        created.await?;
        let client = access::client(&read_file(&kubeconfig)?).await?;
        providers::init(&options.run, &kubeconfig, &options.components_version).await?;
        providers::ready(context, &client).await?;
        return Ok(client);
    };
    let needed = images::of_objects(&components);
    let on_node = watch::Sender::new(false);
    let loaded = async {
        load(context, docker, &node, &needed).await?;
        on_node.send_replace(true);
        Ok(())
    };
    let installed = async {
        let client = early(docker, &node).await?;
        let mut on_node = on_node.subscribe();
        let images = async move {
            // The sender outlives this, and when loading fails, nothing here goes on.
            let _ = on_node.wait_for(|loaded| *loaded).await;
            Ok(())
        };
        providers::install(context, &client, &components, images).await?;
        providers::ready(context, &client).await?;
        Ok(client)
    };
    let ((), (), client) = futures::future::try_join3(created, loaded, installed).await?;
    Ok(client)
}

/// Cluster API's manifests: those that this machine holds, else those that `clusterctl` fetches.
async fn components(options: &KindOptions) -> anyhow::Result<Vec<Value>> {
    let Some(components) = &options.config.components else {
        return providers::fetch(&options.run, &options.components_version).await;
    };
    let directory = components.directory.clone();
    // Megabytes of YAML: not in the way of what is waiting.
    let read = tokio::task::spawn_blocking(move || providers::read(&directory));
    read.await
        .context("failed to read Cluster API's manifests")?
}

async fn load(
    context: &Context,
    docker: &Docker,
    node: &str,
    needed: &BTreeSet<String>,
) -> Result<(), EngineError> {
    let started = Instant::now();
    let loaded = images::load(docker, node, needed).await?;
    if !loaded.is_empty() {
        context.note(format!(
            "loaded {} images into {node} in {:.1} s",
            loaded.len(),
            started.elapsed().as_secs_f64()
        ));
    }
    Ok(())
}

/// Tells the steps of making a cluster as what blocks the wait for it.
pub(super) async fn told<T, E: Into<EngineError>>(
    context: &Context,
    cluster: &str,
    steps: &watch::Sender<String>,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, EngineError> {
    let phase = context.phase();
    let what = format!("management cluster {cluster}");
    let deadline = context.scaled(CREATE);
    let started = Instant::now();
    context.emit(What::WaitStarted {
        phase,
        what: what.clone(),
        deadline_s: deadline.as_secs(),
    });
    let mut heard = steps.subscribe();
    let mut work = std::pin::pin!(work);
    let outcome = loop {
        tokio::select! {
            biased;
            () = context.interrupt.raised() => break Err(Interrupted.into()),
            done = &mut work => break done.map_err(Into::into),
            () = tokio::time::sleep_until(started + deadline) => {
                let step = steps.borrow().clone();
                let late = anyhow!("failed to create {what} within {:.0} s, at the step '{step}'", deadline.as_secs_f64());
                break Err(late.into());
            }
            Ok(()) = heard.changed() => {
                let step = heard.borrow_and_update().clone();
                context.emit(What::Blocked { phase, what: what.clone(), blockers: vec![step_of(cluster, step)] });
            }
        }
    };
    context.emit(What::WaitFinished {
        phase,
        what,
        satisfied: outcome.is_ok(),
        seconds: started.elapsed().as_secs_f64(),
        reaction_ms: None,
    });
    outcome
}

fn step_of(cluster: &str, step: String) -> Blocker {
    Blocker {
        object: ObjectRef {
            cluster: ENGINE.to_owned(),
            kind: "management cluster".to_owned(),
            namespace: None,
            name: cluster.to_owned(),
        },
        condition: step,
        reason: String::new(),
        message: String::new(),
        since: None,
    }
}

/// A client for a cluster that kind is still making: as soon as its API server takes the
/// administrator's word. The caller bounds the wait, with that for kind itself.
async fn early(docker: &Docker, node: &str) -> Result<Client, EngineError> {
    loop {
        // None of this is there at first: the container, the file in it, the server, the binding.
        if let Ok(Some(kubeconfig)) = access::kubeconfig(docker, node).await {
            let client = access::quick_client(&kubeconfig).await?;
            if answers(&client).await.is_ok() {
                return Ok(client);
            }
        }
        soon().await;
    }
}

/// The pause before something is asked again that cannot be watched, since it is being started.
pub(super) async fn soon() {
    tokio::time::sleep(RETRY).await;
}

/// Whether the API server answers, and lets its client do what an administrator does.
pub(super) async fn answers(client: &Client) -> Result<(), kube::Error> {
    let namespaces: Api<DynamicObject> = Api::all_with(client.clone(), &NAMESPACE.resource());
    namespaces.get("kube-system").await.map(|_| ())
}

/// A client for a kept cluster.
async fn kept(
    docker: &Docker,
    folder: &PrivateFolder,
    cluster: &str,
    name: &str,
) -> Result<Client, EngineError> {
    let remedy = format!("make it with --management keep {name}");
    let node = node_of(cluster);
    let container = docker::inspect(docker, &node).await?;
    let running = container
        .and_then(|container| container.state?.running)
        .ok_or_else(|| {
            anyhow!("failed to reuse management cluster {name}: there is none; {remedy}")
        })?;
    if !running {
        return Err(anyhow!("failed to reuse management cluster {name}: its container {node} does not run; start it with `docker start {node}`, or remove it with `stackgate clean --kept {name}` and {remedy}").into());
    }
    let kubeconfig = access::kubeconfig(docker, &node)
        .await?
        .ok_or_else(|| anyhow!("failed to reuse management cluster {name}: its container {node} holds no kubeconfig; remove it with `stackgate clean --kept {name}` and {remedy}"))?;
    folder.write(KUBECONFIG, kubeconfig.as_bytes())?;
    let client = access::client(&kubeconfig).await?;
    match tokio::time::timeout(ANSWER, answers(&client)).await {
        Ok(Ok(())) => Ok(client),
        Ok(Err(error)) => Err(anyhow::Error::from(error)
            .context(format!("failed to reuse management cluster {name}"))
            .into()),
        Err(_) => Err(anyhow!(
            "failed to reuse management cluster {name}: its API server does not answer within {} s",
            ANSWER.as_secs()
        )
        .into()),
    }
}

/// Notes in the cluster what it holds, for those who reuse it.
async fn remember(
    context: &Context,
    client: &Client,
    options: &KindOptions,
) -> Result<(), EngineError> {
    let object = json!({
        "apiVersion": "v1",
        "kind": CONFIG_MAP.kind,
        "metadata": {"namespace": MEMORY.0, "name": MEMORY.1},
        "data": {"clusterApi": options.components_version, "nodeImage": options.node_image},
    });
    apply(context, client, options, &object).await
}

/// Compares what a kept cluster holds with what the stack asks for.
async fn recall(client: &Client, options: &KindOptions, name: &str) -> Result<(), EngineError> {
    let api: Api<DynamicObject> =
        Api::namespaced_with(client.clone(), MEMORY.0, &CONFIG_MAP.resource());
    let found = api
        .get_opt(MEMORY.1)
        .await
        .with_context(|| format!("failed to read what management cluster {name} holds"))?;
    let held = found.as_ref().map_or("none that was finished", |memory| {
        memory.data["data"]["clusterApi"].as_str().unwrap_or("none")
    });
    if held != options.components_version {
        return Err(anyhow!("failed to reuse management cluster {name}: it has Cluster API {held}, and the stack asks for {}; remove it with `stackgate clean --kept {name}` and make it with --management keep {name}", options.components_version).into());
    }
    Ok(())
}

async fn apply(
    context: &Context,
    client: &Client,
    options: &KindOptions,
    object: &Value,
) -> Result<(), EngineError> {
    let labels = [(RUN_LABEL, options.run.as_str())];
    let options = Apply {
        deadline: ANSWER,
        namespace: None,
        labels: &labels,
        source: "the run",
    };
    Applier::new("management", client.clone())
        .apply(context, std::slice::from_ref(object), options)
        .await
        .map_err(providers::infrastructure)
}

fn read_file(path: &std::path::Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))
}
