//! Leaving nothing in a management cluster that is somebody's: the workload cluster first, so that its provider removes
//! what it made, then the run's namespace.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use kube::api::{DeleteParams, DynamicObject, ListParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::Value;
use tokio::time::Instant;

use super::{KUBECONFIG, RunRecord, folder_of, run_of_folder};
use crate::cluster::Kind;
use crate::cluster::kinds::{CLUSTER, MACHINE, NAMESPACE};
use crate::engine::access;
use crate::engine::names::of_run;
use crate::engine::private::PrivateFolder;
use crate::engine::process::{self, Process};
use crate::record::RunId;

/// The pause between two looks at what is still there.
const PAUSE: Duration = Duration::from_secs(1);
/// How long what an ended run left may take to go. It goes on going when nobody looks.
const CLEAN: Duration = Duration::from_secs(5 * 60);

/// Removes a run's namespace with all that is in it; returns whether there was one.
pub(super) async fn remove(client: &Client, run: &RunId, deadline: Duration) -> Result<bool> {
    let namespace = of_run(run);
    if !is_there(client, &namespace).await? {
        return Ok(false);
    }
    let end = Instant::now() + deadline;
    let clusters = objects(client, &CLUSTER, &namespace);
    for cluster in list(&clusters).await? {
        // Cluster API takes its parts down in order. In the foreground the garbage collector would take all of them
        // at once, and the last control plane would wait for a kubeconfig that is gone.
        gone(
            clusters
                .delete(&cluster.name_any(), &DeleteParams::background())
                .await,
        )?;
    }
    let machines = objects(client, &MACHINE, &namespace);
    loop {
        let mut left = list(&clusters).await?;
        if left.is_empty() {
            break;
        }
        if Instant::now() > end {
            left.extend(list(&machines).await?);
            let told: Vec<String> = left.iter().map(why_it_stays).collect();
            bail!(
                "failed to remove namespace {namespace}: its Cluster is still there after {} s: {}",
                deadline.as_secs(),
                told.join("; ")
            );
        }
        tokio::time::sleep(PAUSE).await;
    }
    let namespaces: Api<DynamicObject> = Api::all_with(client.clone(), &NAMESPACE.resource());
    gone(
        namespaces
            .delete(&namespace, &DeleteParams::background())
            .await,
    )?;
    while let Some(left) = namespaces.get_opt(&namespace).await? {
        if Instant::now() > end {
            bail!(
                "failed to remove namespace {namespace}: it is still there after {} s: {}",
                deadline.as_secs(),
                what_remains(&left)
            );
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(true)
}

/// Whether a namespace is there.
pub(super) async fn is_there(client: &Client, namespace: &str) -> Result<bool> {
    let namespaces: Api<DynamicObject> = Api::all_with(client.clone(), &NAMESPACE.resource());
    let found = namespaces.get_opt(namespace).await;
    Ok(found
        .with_context(|| format!("failed to look for namespace {namespace}"))?
        .is_some())
}

fn objects(client: &Client, kind: &Kind, namespace: &str) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), namespace, &kind.resource())
}

async fn list(api: &Api<DynamicObject>) -> Result<Vec<DynamicObject>> {
    let list = api.list(&ListParams::default()).await;
    Ok(list
        .context("failed to look for what is left of the run")?
        .items)
}

/// What was deleted already is deleted.
fn gone<T>(deleted: Result<T, kube::Error>) -> Result<()> {
    match deleted {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(error).context("failed to delete what the run created"),
    }
}

/// An object that is being deleted, with what Cluster API says about it.
fn why_it_stays(object: &DynamicObject) -> String {
    let kind = object.types.as_ref().map_or("", |types| &types.kind);
    let name = object.name_any();
    let told = conditions(object)
        .find(|condition| condition["type"] == "Deleting")
        .and_then(|condition| condition["message"].as_str())
        .filter(|message| !message.is_empty());
    match told {
        Some(message) => format!("{kind} {name}: {message}"),
        None => format!("{kind} {name}"),
    }
}

/// What a namespace on its way out says of what is in it.
fn what_remains(namespace: &DynamicObject) -> String {
    let told: Vec<&str> = conditions(namespace)
        .filter(|condition| condition["status"] == "True")
        .filter_map(|condition| condition["message"].as_str())
        .collect();
    told.join("; ")
}

fn conditions(object: &DynamicObject) -> impl Iterator<Item = &Value> {
    let conditions = object.data.pointer("/status/conditions");
    conditions.and_then(Value::as_array).into_iter().flatten()
}

/// Removes what earlier runs left in management clusters that are somebody's. Without `run`, of every run of this
/// user's that is not under way; one that is named is ended when it is under way.
///
/// To `forget` a run, its management cluster is not asked: it is gone for good.
///
/// Returns what was removed, in the reader's words; nothing when there was nothing.
///
/// # Errors
/// When a management cluster does not answer, or something cannot be removed; the rest is removed nevertheless.
pub async fn clean(run: Option<RunId>, forget: bool) -> Result<Vec<String>> {
    let runs = PrivateFolder::all_by(run_of_folder);
    let (mut removed, mut errors) = (Vec::new(), Vec::new());
    for found in runs {
        if run.as_ref().is_some_and(|named| *named != found) {
            continue;
        }
        match clean_one(&found, run.is_some(), forget).await {
            Ok(more) => removed.extend(more),
            Err(error) => errors.push(format!(
                "run {found}: {error:#}; try again, or, if its management cluster is gone for good: stackgate clean {found} --engine existing --forget"
            )),
        }
    }
    if !errors.is_empty() {
        bail!("{}", errors.join("; "));
    }
    Ok(removed)
}

async fn clean_one(run: &RunId, named: bool, forget: bool) -> Result<Vec<String>> {
    let folder = folder_of(run);
    let mut removed = Vec::new();
    let record: Option<RunRecord> = folder.load();
    if let Some(record) = &record
        && record.process.is_alive()
    {
        if !named {
            return Ok(removed);
        }
        // Whoever cleans its own run does not mean itself.
        if Process::current().ok() != Some(record.process) {
            process::end(&[record.process]).await;
            removed.push(format!("process {}", record.process.pid));
        }
    }
    let kubeconfig = folder.file(KUBECONFIG);
    if let (Some(record), true) = (record, kubeconfig.exists()) {
        let namespace = format!(
            "namespace {} in the management cluster of context '{}'",
            of_run(run),
            record.context
        );
        if forget {
            folder.remove()?;
            removed.push(format!(
                "folder {}; {namespace} was not looked for",
                folder.path().display()
            ));
            return Ok(removed);
        }
        let text = std::fs::read_to_string(&kubeconfig)
            .with_context(|| format!("failed to read {}", kubeconfig.display()))?;
        let client = access::client(&text).await?;
        if remove(&client, run, CLEAN).await? {
            removed.push(namespace);
        }
    }
    folder.remove()?;
    removed.push(format!("folder {}", folder.path().display()));
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(json: Value) -> DynamicObject {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn what_stays_is_told_in_the_words_of_its_controller() {
        let machine = object(json!({
            "apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Machine", "metadata": {"name": "w-1"},
            "status": {"conditions": [
                {"type": "Ready", "status": "False", "message": "other"},
                {"type": "Deleting", "status": "True", "message": "Drain not completed yet"},
            ]},
        }));
        assert_eq!(
            why_it_stays(&machine),
            "Machine w-1: Drain not completed yet"
        );
        let silent = object(json!({
            "apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Cluster", "metadata": {"name": "demo"},
        }));
        assert_eq!(why_it_stays(&silent), "Cluster demo");
        let namespace = object(json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"},
            "status": {"conditions": [
                {"type": "NamespaceContentRemaining", "status": "True", "message": "a. has 1 resource instances"},
                {"type": "NamespaceDeletionDiscoveryFailure", "status": "False", "message": "well"},
            ]},
        }));
        assert_eq!(what_remains(&namespace), "a. has 1 resource instances");
    }
}
