//! Cluster API in a management cluster: its manifests applied, or `clusterctl` run, and then its
//! webhooks asked until each answers.

use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures::future::{BoxFuture, try_join_all};
use kube::Client;
use serde_json::{Value, json};
use tokio::process::Command;

use super::create;
use crate::cluster::{
    Applier, Apply, ApplyError, Context, Investigate, Kind, Object, Progress, View, wait,
};
use crate::engine::EngineError;
use crate::record::{Blocker, Finding, RunId};

/// The files of a components folder, one per provider.
pub(super) const FILES: [&str; 4] = [
    "cluster-api.yaml",
    "bootstrap-kubeadm.yaml",
    "control-plane-kubeadm.yaml",
    "infrastructure-docker.yaml",
];
/// How long applying may take, and then again how long the managers may take to answer.
pub(super) const DEADLINE: Duration = Duration::from_secs(300);
/// Restarts of a manager after which it counts as crashing rather than as early.
const RESTARTS: i64 = 3;
const SOURCE: &str = "Cluster API's components";
/// What every provider's Deployment carries.
pub(super) const PROVIDER_LABEL: &str = "cluster.x-k8s.io/provider";

const DEPLOYMENT: Kind = Kind::new("apps", "v1", "Deployment", "deployments");
const POD: Kind = Kind::new("", "v1", "Pod", "pods");

/// Reads the manifests of a components folder.
pub(super) fn read(folder: &Path) -> Result<Vec<Value>> {
    let mut objects = Vec::new();
    for file in FILES {
        let path = folder.join(file);
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("failed to read {}", path.display()))?;
        objects.extend(parse(&text, &path.display())?);
    }
    Ok(objects)
}

/// Reads a provider's manifests, all variables filled in.
fn parse(text: &str, shown: &dyn Display) -> Result<Vec<Value>> {
    if let Some(at) = text.lines().position(|line| line.contains("${")) {
        bail!(
            "{shown}:{}: holds a variable: expected manifests with all variables filled in",
            at + 1
        );
    }
    let documents: Vec<Value> = serde_saphyr::from_multiple(text)
        .map_err(|error| anyhow::anyhow!("failed to read {shown}: {error}"))?;
    let documents = documents.into_iter();
    Ok(documents.filter(|document| !document.is_null()).collect())
}

/// Lets `clusterctl` fetch the manifests, with all variables filled in.
pub(super) async fn fetch(run: &RunId, version: &str) -> Result<Vec<Value>> {
    let providers = arguments(version).map(|(flag, provider)| async move {
        let mut command = Command::new("clusterctl");
        command.args(["generate", "provider", flag, &provider]);
        variables(&mut command);
        let mut text = String::new();
        create::run(command, run, |line| {
            text.push_str(line);
            text.push('\n');
        })
        .await
        .with_context(|| format!("failed to fetch {provider} with clusterctl"))?;
        parse(&text, &format!("{provider} of clusterctl"))
    });
    Ok(try_join_all(providers).await?.concat())
}

/// The providers, as `clusterctl` is told of them.
fn arguments(version: &str) -> [(&'static str, String); 4] {
    [
        ("--core", format!("cluster-api:{version}")),
        ("--bootstrap", format!("kubeadm:{version}")),
        ("--control-plane", format!("kubeadm:{version}")),
        ("--infrastructure", format!("docker:{version}")),
    ]
}

/// The feature gates that the gate needs.
fn variables(command: &mut Command) {
    command
        .env("CLUSTER_TOPOLOGY", "true")
        .env("EXP_RUNTIME_SDK", "true");
}

/// Applies the manifests: everything but the managers at once, these when `images` says that their
/// images are on the node, since a Pod whose image is missing is put off for ten seconds and more.
pub(super) async fn install(
    context: &Context,
    client: &Client,
    objects: &[Value],
    images: impl Future<Output = Result<(), EngineError>>,
) -> Result<(), EngineError> {
    let applier = Applier::new("management", client.clone());
    let options = Apply {
        deadline: DEADLINE,
        namespace: None,
        labels: &[],
        source: SOURCE,
    };
    let (managers, others): (Vec<Value>, Vec<Value>) = objects
        .iter()
        .cloned()
        .partition(|object| object["kind"] == *DEPLOYMENT.kind);
    let others = async {
        applier
            .apply(context, &others, options)
            .await
            .map_err(infrastructure)
    };
    futures::future::try_join(others, images).await?;
    applier
        .apply(context, &managers, options)
        .await
        .map_err(infrastructure)
}

/// Lets `clusterctl` fetch and install the providers.
pub(super) async fn init(run: &RunId, kubeconfig: &Path, version: &str) -> Result<()> {
    let mut command = Command::new("clusterctl");
    command.arg("init").arg("--kubeconfig").arg(kubeconfig);
    for (flag, provider) in arguments(version) {
        command.args([flag, &provider]);
    }
    variables(&mut command);
    create::run(command, run, |_| ())
        .await
        .with_context(|| format!("failed to install Cluster API {version} with clusterctl"))
}

/// Waits until every manager is available and every webhook answers.
pub(super) async fn ready(context: &Context, client: &Client) -> Result<(), EngineError> {
    let view = View::start("management", client, &[(DEPLOYMENT, ""), (POD, "")]);
    let crashes = Crashes { view: &view };
    wait(
        context,
        "Cluster API's managers",
        DEADLINE,
        &[&view],
        Some(&crashes),
        || Progress::unless(unavailable(&view)),
    )
    .await
    .map_err(waited)?;
    webhooks_answer(context, client).await
}

/// Asks every provider's webhook until it answers.
pub(super) async fn webhooks_answer(context: &Context, client: &Client) -> Result<(), EngineError> {
    let applier = Applier::new("management", client.clone());
    let options = Apply {
        deadline: DEADLINE,
        namespace: Some("default"),
        labels: &[],
        source: "the question whether the webhook answers",
    };
    let groups = client
        .list_api_groups()
        .await
        .context("failed to list the API groups of the management cluster")?
        .groups;
    let preferred = |name: &str| {
        let group = groups.iter().find(|group| group.name == name)?;
        Some(group.preferred_version.as_ref()?.version.as_str())
    };
    let answers = probes(preferred).into_iter().map(|probe| {
        let applier = &applier;
        async move {
            match applier.dry_run(context, &probe, options).await {
                // What it says does not matter, as long as it is the webhook that says it.
                Ok(_) | Err(ApplyError::Refused { .. }) => Ok(()),
                Err(error) => Err(infrastructure(error)),
            }
        }
    });
    try_join_all(answers).await?;
    Ok(())
}

/// One small object per provider whose admission asks the provider's webhooks, in the version that
/// the API server prefers.
fn probes<'a>(preferred: impl Fn(&str) -> Option<&'a str>) -> [Value; 4] {
    let probe = |group: &str, kind: &str, spec: Value| {
        let version = preferred(group).unwrap_or("v1beta2");
        json!({
            "apiVersion": format!("{group}/{version}"),
            "kind": kind,
            "metadata": {"name": "stackgate-asks"},
            "spec": spec,
        })
    };
    let template = json!({"template": {"spec": {}}});
    [
        probe("cluster.x-k8s.io", "Cluster", json!({"paused": true})),
        probe(
            "bootstrap.cluster.x-k8s.io",
            "KubeadmConfigTemplate",
            template.clone(),
        ),
        probe(
            "controlplane.cluster.x-k8s.io",
            "KubeadmControlPlaneTemplate",
            json!({"template": {"spec": {"kubeadmConfigSpec": {}}}}),
        ),
        probe(
            "infrastructure.cluster.x-k8s.io",
            "DockerClusterTemplate",
            template,
        ),
    ]
}

/// Why the managers are not available yet.
fn unavailable(view: &View) -> Vec<Blocker> {
    let managers: Vec<Arc<Object>> = view
        .list(&DEPLOYMENT)
        .into_iter()
        .filter(|deployment| deployment.label(PROVIDER_LABEL).is_some())
        .collect();
    let mut blockers: Vec<Blocker> = view
        .unsettled()
        .into_iter()
        .map(|(kind, why)| {
            Object::new("management", json!({"kind": kind.kind, "metadata": {}})).blocker(why)
        })
        .collect();
    for manager in &managers {
        let blocker = if manager.is_observed() {
            manager.unless_true("Available")
        } else {
            Some(manager.blocker("not looked at yet"))
        };
        if let Some(blocker) = blocker {
            let namespace = manager.namespace();
            let pods = view.list(&POD);
            // What its Pod says is more telling than the Deployment's own condition.
            let waiting = pods.iter().filter(|pod| pod.namespace() == namespace);
            blockers.extend(waiting.flat_map(|pod| stuck(pod)).chain([blocker]));
        }
    }
    if managers.len() < FILES.len() && blockers.is_empty() {
        let deployment = json!({"kind": DEPLOYMENT.kind, "metadata": {}});
        let condition = format!("{} of {} there", managers.len(), FILES.len());
        blockers.push(Object::new("management", deployment).blocker(condition));
    }
    blockers
}

/// Containers of a Pod that wait for something other than their start.
fn stuck(pod: &Object) -> Vec<Blocker> {
    let containers = pod.array("/status/containerStatuses").iter();
    containers
        .filter_map(|container| {
            let waiting = container.pointer("/state/waiting")?;
            let reason = waiting["reason"].as_str().unwrap_or_default();
            (reason != "ContainerCreating").then(|| {
                let mut blocker = pod.blocker("waiting");
                blocker.reason = reason.to_owned();
                blocker.message = waiting["message"].as_str().unwrap_or_default().to_owned();
                blocker
            })
        })
        .collect()
}

/// Ends the wait for managers that will not come.
struct Crashes<'a> {
    view: &'a View,
}

impl Investigate for Crashes<'_> {
    fn investigate<'a>(&'a self, _: &'a [Blocker]) -> BoxFuture<'a, Option<Finding>> {
        Box::pin(async {
            let managers: Vec<String> = self
                .view
                .list(&DEPLOYMENT)
                .iter()
                .filter(|deployment| deployment.label(PROVIDER_LABEL).is_some())
                .map(|deployment| deployment.namespace().to_owned())
                .collect();
            let pods = self.view.list(&POD);
            pods.iter()
                .filter(|pod| {
                    managers
                        .iter()
                        .any(|namespace| namespace == pod.namespace())
                })
                .find_map(|pod| doomed(pod))
        })
    }
}

/// A manager that crashes again and again, or whose image cannot be had.
fn doomed(pod: &Object) -> Option<Finding> {
    pod.array("/status/containerStatuses")
        .iter()
        .find_map(|container| {
            let waiting = container.pointer("/state/waiting")?;
            let message = waiting["message"].as_str().unwrap_or_default();
            let image = container["image"].as_str().unwrap_or_default();
            let name = pod.name();
            let (cause, told) = match waiting["reason"].as_str()? {
                "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" => (
                    "image-not-found",
                    format!("image {image} of Cluster API's manager {name} cannot be had"),
                ),
                "CrashLoopBackOff" if container["restartCount"].as_i64()? >= RESTARTS => (
                    "manager-crashed",
                    format!("Cluster API's manager {name} crashes again and again"),
                ),
                _ => return None,
            };
            let ended = container
                .pointer("/lastState/terminated/message")
                .and_then(Value::as_str);
            Some(Finding {
                cause: cause.to_owned(),
                message: told,
                object: pod.reference(),
                evidence: std::iter::once(message)
                    .chain(ended)
                    .flat_map(super::docker::clean_lines)
                    .collect(),
            })
        })
}

/// An error of applying, as the engine tells it.
pub(super) fn infrastructure(error: ApplyError) -> EngineError {
    match error {
        ApplyError::Interrupted(interrupted) => interrupted.into(),
        ApplyError::Wait(error) => waited(error),
        error => EngineError::Infrastructure(error.into()),
    }
}

/// An error of waiting, as the engine tells it.
pub(super) fn waited(error: crate::cluster::WaitError) -> EngineError {
    use crate::cluster::WaitError::{Cause, Deadline, Interrupted};
    match error {
        Interrupted(interrupted) => interrupted.into(),
        Cause(finding) => EngineError::Cause(finding),
        error @ Deadline { .. } => EngineError::Infrastructure(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(reason: &str, restarts: i64) -> Object {
        Object::new(
            "management",
            json!({
                "kind": "Pod",
                "metadata": {"name": "capd-0", "namespace": "capd-system"},
                "status": {"containerStatuses": [{
                    "image": "capd:v1",
                    "restartCount": restarts,
                    "state": {"waiting": {"reason": reason, "message": "said\u{1b}[0m"}},
                    "lastState": {"terminated": {"message": "panic: x"}},
                }]},
            }),
        )
    }

    #[test]
    fn a_manager_that_cannot_come_is_a_cause_and_a_young_one_is_not() {
        let cause = |reason, restarts| doomed(&pod(reason, restarts)).map(|found| found.cause);
        assert_eq!(
            cause("ImagePullBackOff", 0).as_deref(),
            Some("image-not-found")
        );
        assert_eq!(
            cause("CrashLoopBackOff", 3).as_deref(),
            Some("manager-crashed")
        );
        assert_eq!(cause("CrashLoopBackOff", 1), None);
        assert_eq!(cause("ErrImagePull", 0), None);
        assert_eq!(cause("ContainerCreating", 0), None);
        let evidence = doomed(&pod("CrashLoopBackOff", 3)).unwrap().evidence;
        assert_eq!(evidence, ["said", "panic: x"]);
    }

    #[test]
    fn a_container_that_is_being_made_is_not_told() {
        assert!(stuck(&pod("ContainerCreating", 0)).is_empty());
        let blocker = stuck(&pod("ErrImagePull", 0)).remove(0);
        assert_eq!(blocker.reason, "ErrImagePull");
    }

    #[test]
    fn a_variable_that_is_not_filled_in_is_refused_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        for file in FILES {
            std::fs::write(folder.path().join(file), "kind: A\n---\n---\nkind: B\n").unwrap();
        }
        assert_eq!(read(folder.path()).unwrap().len(), 8);
        let last = folder.path().join(FILES[3]);
        std::fs::write(&last, "kind: A\nx: ${PORT:=1}\n").unwrap();
        let error = read(folder.path()).unwrap_err().to_string();
        assert!(
            error.contains("infrastructure-docker.yaml:2: holds a variable"),
            "{error}"
        );
        std::fs::write(&last, "kind: [\n").unwrap();
        let error = read(folder.path()).unwrap_err().to_string();
        assert!(error.contains("infrastructure-docker.yaml"), "{error}");
        std::fs::remove_file(&last).unwrap();
        let error = format!("{:#}", read(folder.path()).unwrap_err());
        assert!(error.contains("failed to read"), "{error}");
    }
}
