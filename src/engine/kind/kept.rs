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

use super::access;
use super::docker::{self, Node};
use super::management::node_of;
use super::names::{RUN_LABEL, is_kept, of_run, run_of};
use crate::cluster::kinds::NAMESPACE;
use crate::record::RunId;

/// How long a kept cluster may take to answer one request.
const ANSWER: Duration = Duration::from_secs(20);
/// How long a namespace may take to go.
const RELEASE: Duration = Duration::from_secs(120);
/// The pause between two looks at what keeps a namespace.
const PAUSE: Duration = Duration::from_millis(300);

/// In which kept clusters a run may have a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Clusters {
    /// In none.
    None,
    /// In the one of this name, if it is still there.
    One(String),
    /// Nobody knows; those that do not run are left out.
    All,
}

impl Clusters {
    /// Whether a node is the one to ask about its cluster.
    fn include(&self, node: &Node) -> bool {
        let wanted = match self {
            Self::None => false,
            Self::One(cluster) => node.cluster == *cluster,
            Self::All => node.running && is_kept(&node.cluster),
        };
        wanted && node.name == node_of(&node.cluster)
    }
}

/// The answer to a request, or that there was none in time.
async fn answer<T, E>(request: impl Future<Output = Result<T, E>>) -> Result<T>
where
    anyhow::Error: From<E>,
{
    match tokio::time::timeout(ANSWER, request).await {
        Ok(answer) => Ok(answer?),
        Err(_) => bail!("it does not answer within {} s", ANSWER.as_secs()),
    }
}

/// A client for the cluster of a node; none while kind is still making it, when nothing is in it yet.
async fn client(docker: &Docker, node: &Node) -> Result<Option<Client>> {
    if !node.running {
        bail!(
            "its container {0} does not run: start it with `docker start {0}`",
            node.name
        );
    }
    match answer(access::kubeconfig(docker, &node.name)).await? {
        Some(kubeconfig) => access::client(&kubeconfig).await.map(Some),
        None => Ok(None),
    }
}

/// Clients for clusters, or why there is none.
async fn clients(docker: &Docker, clusters: &Clusters) -> Result<Vec<(String, Result<Client>)>> {
    if *clusters == Clusters::None {
        return Ok(Vec::new());
    }
    let mut nodes = docker::nodes(docker).await?;
    nodes.retain(|node| clusters.include(node));
    let clients = nodes.into_iter().map(|node| async move {
        let client = client(docker, &node).await.transpose()?;
        Some((node.cluster, client))
    });
    Ok(join_all(clients).await.into_iter().flatten().collect())
}

/// What clusters said, unless one of them failed; then everything that failed.
fn all<T>(answers: Vec<(String, Result<T>)>) -> Result<Vec<(String, T)>> {
    let (mut said, mut errors) = (Vec::new(), Vec::new());
    for (cluster, answer) in answers {
        match answer {
            Ok(answer) => said.push((cluster, answer)),
            Err(error) => errors.push(format!("{cluster}: {error:#}")),
        }
    }
    if !errors.is_empty() {
        bail!(
            "failed to look for what runs left in kept management clusters: {}",
            errors.join("; ")
        );
    }
    Ok(said)
}

fn namespaces(client: &Client) -> Api<DynamicObject> {
    Api::all_with(client.clone(), &NAMESPACE.resource())
}

/// Every run with a namespace in a kept cluster.
pub(super) async fn runs(docker: &Docker) -> Result<Vec<RunId>> {
    let labelled = ListParams::default().labels(RUN_LABEL);
    let mut lists = Vec::new();
    for (cluster, client) in clients(docker, &Clusters::All).await? {
        let list = async { answer(namespaces(&client?).list(&labelled)).await };
        lists.push((cluster, list.await));
    }
    Ok(all(lists)?
        .iter()
        .flat_map(|(_, list)| list)
        .filter_map(|found| run_of(&found.name_any()))
        .collect())
}

/// The namespaces of a run in kept clusters, in the reader's words.
pub(super) async fn namespaces_of(
    docker: &Docker,
    run: &RunId,
    clusters: &Clusters,
) -> Result<Vec<String>> {
    let name = of_run(run);
    let mut found = Vec::new();
    for (cluster, client) in clients(docker, clusters).await? {
        let there = async {
            let namespace = answer(namespaces(&client?).get_opt(&name)).await?;
            Ok(namespace.is_some())
        };
        found.push((cluster, there.await));
    }
    Ok(told(&name, all(found)?))
}

/// Ends a run in kept clusters, in all of them though one fails. Returns what was removed.
pub(super) async fn release(
    docker: &Docker,
    run: &RunId,
    clusters: &Clusters,
) -> Result<Vec<String>> {
    let name = of_run(run);
    let mut removed = Vec::new();
    for (cluster, client) in clients(docker, clusters).await? {
        let gone = async {
            release_in(&client?, run)
                .await
                .with_context(|| format!("failed to remove namespace {name}"))
        };
        removed.push((cluster, gone.await));
    }
    Ok(told(&name, all(removed)?))
}

fn told(namespace: &str, clusters: Vec<(String, bool)>) -> Vec<String> {
    clusters
        .into_iter()
        .filter(|(_, found)| *found)
        .map(|(cluster, _)| format!("namespace {namespace} in {cluster}"))
        .collect()
}

/// Removes a run's namespace with all its objects; returns whether there was one. Nothing can be made
/// in a namespace that is being deleted, so finalizers may go at once: what they guard, containers, is
/// removed by the caller.
async fn release_in(client: &Client, run: &RunId) -> Result<bool> {
    let name = of_run(run);
    let api = namespaces(client);
    let deleted = answer(async {
        match api.delete(&name, &DeleteParams::background()).await {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
            Err(error) => Err(error),
        }
    });
    if !deleted.await? {
        return Ok(false);
    }
    let kinds = kinds(client).await?;
    let deadline = Instant::now() + RELEASE;
    while answer(api.get_opt(&name)).await?.is_some() {
        if Instant::now() > deadline {
            bail!("it is still there after {} s", RELEASE.as_secs());
        }
        join_all(kinds.iter().map(|kind| unguard(client, &name, kind))).await;
        tokio::time::sleep(PAUSE).await;
    }
    Ok(true)
}

/// The namespaced kinds of Cluster API and its providers.
async fn kinds(client: &Client) -> Result<Vec<ApiResource>> {
    let groups = answer(client.list_api_groups()).await?;
    let mut kinds = Vec::new();
    for group in groups.groups {
        if !group.name.ends_with("cluster.x-k8s.io") {
            continue;
        }
        let group = answer(kube::discovery::group(client, &group.name)).await?;
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
    let Ok(list) = answer(api.list(&ListParams::default())).await else {
        return;
    };
    let patch = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    let guarded = list.iter().filter(|object| !object.finalizers().is_empty());
    let freed = guarded.map(|object| {
        let (api, patch, name) = (&api, &patch, object.name_any());
        async move { answer(api.patch(&name, &PatchParams::default(), patch)).await }
    });
    join_all(freed).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(cluster: &str, running: bool) -> Node {
        Node {
            id: "1".to_owned(),
            name: node_of(cluster),
            cluster: cluster.to_owned(),
            part: None,
            running,
            image: String::new(),
            volumes: Vec::new(),
        }
    }

    #[test]
    fn a_cluster_that_is_named_is_asked_though_it_does_not_run() {
        let one = Clusters::One("stackgate-keep-warm".to_owned());
        for (cluster, running, by_name, by_all) in [
            ("stackgate-keep-warm", true, true, true),
            ("stackgate-keep-warm", false, true, false),
            ("stackgate-keep-cold", true, false, true),
            ("stackgate-7f3a09bc", true, false, false),
        ] {
            let node = node(cluster, running);
            assert_eq!(one.include(&node), by_name, "{cluster} {running}");
            assert_eq!(Clusters::All.include(&node), by_all, "{cluster} {running}");
            assert!(!Clusters::None.include(&node), "{cluster} {running}");
        }
        let mut worker = node("stackgate-keep-warm", true);
        worker.name = "stackgate-keep-warm-worker".to_owned();
        assert!(!one.include(&worker));
    }

    #[tokio::test(start_paused = true)]
    async fn a_cluster_that_does_not_answer_is_an_error() {
        let silent = answer(std::future::pending::<Result<(), std::io::Error>>());
        let error = silent.await.unwrap_err().to_string();
        assert_eq!(error, "it does not answer within 20 s");
        let prompt = answer(async { Ok::<_, std::io::Error>(7) });
        assert_eq!(prompt.await.unwrap(), 7);
    }

    #[test]
    fn one_that_fails_is_told_and_not_taken_for_one_without() {
        let cluster = |name: &str, answer| (name.to_owned(), answer);
        let well = vec![cluster("a", Ok(true)), cluster("b", Ok(false))];
        assert_eq!(
            told("stackgate-7f3a09bc", all(well).unwrap()),
            ["namespace stackgate-7f3a09bc in a"]
        );
        let ill = vec![
            cluster("a", Ok(true)),
            cluster("b", Err(anyhow::anyhow!("it is silent"))),
        ];
        let error = all(ill).unwrap_err().to_string();
        assert!(error.ends_with(": b: it is silent"), "{error}");
    }
}
