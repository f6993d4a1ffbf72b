//! Runs in kept management clusters: their namespaces, and how to end them there.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bollard::Docker;
use futures::future::join_all;
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::discovery::Scope;
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use tokio::time::Instant;

use super::management::node_of;
use super::names::{RUN_LABEL, is_kept, of_run, run_of};
use super::{access, docker};
use crate::cluster::Kind;
use crate::record::RunId;

/// How long a kept cluster may take to answer when it is asked for what runs left in it.
const ANSWER: Duration = Duration::from_secs(10);
/// How long a namespace may take to go.
const RELEASE: Duration = Duration::from_secs(120);
/// The pause between two looks at what keeps a namespace.
const PAUSE: Duration = Duration::from_millis(300);
const NAMESPACE: Kind = Kind::new("", "v1", "Namespace", "namespaces");

/// Clients for every kept cluster that runs and answers.
async fn clients(docker: &Docker) -> Vec<(String, Client)> {
    let nodes = docker::nodes(docker).await.unwrap_or_default();
    let kept = nodes.into_iter().filter(|node| {
        node.running && is_kept(&node.cluster) && node.name == node_of(&node.cluster)
    });
    let clients = kept.map(|node| async move {
        let kubeconfig = access::kubeconfig(docker, &node.name).await.ok()??;
        let client = access::client(&kubeconfig).await.ok()?;
        Some((node.cluster, client))
    });
    join_all(clients).await.into_iter().flatten().collect()
}

fn namespaces(client: &Client) -> Api<DynamicObject> {
    Api::all_with(client.clone(), &NAMESPACE.resource())
}

/// Every run with a namespace in a kept cluster.
pub(super) async fn runs(docker: &Docker) -> Vec<RunId> {
    let mut runs = Vec::new();
    for (_, client) in clients(docker).await {
        let labelled = ListParams::default().labels(RUN_LABEL);
        let api = namespaces(&client);
        let list = tokio::time::timeout(ANSWER, api.list(&labelled));
        if let Ok(Ok(list)) = list.await {
            runs.extend(list.iter().filter_map(|found| run_of(&found.name_any())));
        }
    }
    runs
}

/// The namespaces of a run in kept clusters, in the reader's words.
pub(super) async fn namespaces_of(docker: &Docker, run: &RunId) -> Vec<String> {
    let mut found = Vec::new();
    for (cluster, client) in clients(docker).await {
        let name = of_run(run);
        let api = namespaces(&client);
        if let Ok(Ok(Some(_))) = tokio::time::timeout(ANSWER, api.get_opt(&name)).await {
            found.push(format!("namespace {name} in {cluster}"));
        }
    }
    found
}

/// Ends a run in every kept cluster. Returns what was removed.
pub(super) async fn release(docker: &Docker, run: &RunId) -> Result<Vec<String>> {
    let mut removed = Vec::new();
    for (cluster, client) in clients(docker).await {
        let api = namespaces(&client);
        let name = of_run(run);
        let found = tokio::time::timeout(ANSWER, api.get_opt(&name)).await;
        if let Ok(Ok(Some(_))) = found {
            release_in(&client, run)
                .await
                .with_context(|| format!("failed to remove namespace {name} in {cluster}"))?;
            removed.push(format!("namespace {name} in {cluster}"));
        }
    }
    Ok(removed)
}

/// Removes a run's namespace with all its objects. Nothing can be made in a namespace that is being
/// deleted, so finalizers may go at once: what they guard, containers, is removed by the caller.
pub(super) async fn release_in(client: &Client, run: &RunId) -> Result<()> {
    let name = of_run(run);
    let api = namespaces(client);
    match api.delete(&name, &DeleteParams::background()).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    let kinds = kinds(client).await?;
    let deadline = Instant::now() + RELEASE;
    while api.get_opt(&name).await?.is_some() {
        if Instant::now() > deadline {
            bail!("it is still there after {} s", RELEASE.as_secs());
        }
        join_all(kinds.iter().map(|kind| unguard(client, &name, kind))).await;
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// The namespaced kinds of Cluster API and its providers.
async fn kinds(client: &Client) -> Result<Vec<ApiResource>> {
    let groups = client.list_api_groups().await?;
    let mut kinds = Vec::new();
    for group in groups.groups {
        if !group.name.ends_with("cluster.x-k8s.io") {
            continue;
        }
        let group = kube::discovery::group(client, &group.name).await?;
        kinds.extend(
            group
                .recommended_resources()
                .into_iter()
                .filter(|(_, capabilities)| {
                    capabilities.scope == Scope::Namespaced
                        && capabilities.supports_operation("list")
                })
                .map(|(resource, _)| resource),
        );
    }
    Ok(kinds)
}

/// Takes the finalizers from a kind's objects. What fails is tried again by the caller's next look.
async fn unguard(client: &Client, namespace: &str, kind: &ApiResource) {
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, kind);
    let Ok(list) = api.list(&ListParams::default()).await else {
        return;
    };
    let patch = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    let guarded = list.iter().filter(|object| !object.finalizers().is_empty());
    let freed = guarded.map(|object| {
        let (api, patch, name) = (&api, &patch, object.name_any());
        async move { api.patch(&name, &PatchParams::default(), patch).await }
    });
    join_all(freed).await;
}
