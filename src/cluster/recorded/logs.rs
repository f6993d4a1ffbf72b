//! What containers print, where it tells most: those of the control plane, and those that are not well.

use futures::stream::{self, StreamExt};
use http::Request;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::record::{LogLine, LogOf, Recording};

/// How many of a container's last lines are read.
const LINES: usize = 400;
/// How many pods that are not well are looked at; a hundred more of them would tell the same.
const PODS: usize = 60;
/// How many logs are read at a time.
const READS: usize = 4;
/// The namespace of the control plane's pods, and the label that kubeadm gives them.
const CONTROL_PLANE: (&str, &str, &str) = ("kube-system", "tier", "control-plane");
/// What Cluster API labels its providers with. An infrastructure provider prints the bootstrap data of
/// machines, which is secret.
const PROVIDER: &str = "cluster.x-k8s.io/provider";

/// How often the containers of a pod have ended though they were to stay.
pub(super) fn failures(pod: &Value) -> i64 {
    let statuses = ["initContainerStatuses", "containerStatuses"]
        .iter()
        .filter_map(|list| pod["status"][*list].as_array())
        .flatten();
    let ended = |status: &Value| {
        let code = &status["state"]["terminated"]["exitCode"];
        i64::from(code.as_i64().is_some_and(|code| code != 0))
    };
    statuses
        .map(|status| status["restartCount"].as_i64().unwrap_or_default() + ended(status))
        .sum()
}

/// Whose logs are to be read now.
pub(super) enum Telling {
    /// Those of a pod whose container has ended: its namespace and its name.
    Failing(String, String),
    /// Those of the control plane on a node that is about to go.
    Leaving(String),
}

/// Reads logs as it is told, one after the other.
pub(super) async fn as_told(
    cluster: &'static str,
    client: Client,
    recording: Recording,
    mut told: mpsc::UnboundedReceiver<Telling>,
) {
    while let Some(telling) = told.recv().await {
        let pods = match telling {
            Telling::Failing(namespace, name) => {
                let api: Api<Pod> = Api::namespaced(client.clone(), &namespace);
                let pod = api.get_opt(&name).await.ok().flatten();
                pod.into_iter().collect()
            }
            Telling::Leaving(node) => {
                let api: Api<Pod> = Api::namespaced(client.clone(), CONTROL_PLANE.0);
                let there = ListParams::default()
                    .labels(&format!("{}={}", CONTROL_PLANE.1, CONTROL_PLANE.2))
                    .fields(&format!("spec.nodeName={node}"));
                api.list(&there)
                    .await
                    .map_or_else(|_| Vec::new(), |list| list.items)
            }
        };
        let pods = pods.iter().filter_map(|pod| serde_json::to_value(pod).ok());
        let wanted = pods.filter(|pod| !is_infrastructure(pod));
        let wanted = wanted.flat_map(|pod| logs(&pod)).collect();
        read(cluster, &client, &recording, wanted).await;
    }
}

/// Reads the logs of the control plane's pods and of those that are not well.
pub(super) async fn telling(cluster: &str, client: &Client, recording: &Recording) {
    let api: Api<Pod> = Api::all(client.clone());
    let Ok(pods) = api.list(&ListParams::default()).await else {
        return;
    };
    let pods = pods
        .items
        .iter()
        .filter_map(|pod| serde_json::to_value(pod).ok());
    let (control_plane, others): (Vec<Value>, Vec<Value>) = pods
        .filter(|pod| !is_infrastructure(pod))
        .partition(is_control_plane);
    let unwell = others.into_iter().filter(is_unwell).take(PODS);
    let wanted = control_plane.into_iter().chain(unwell);
    let wanted: Vec<LogOf> = wanted.flat_map(|pod| logs(&pod)).collect();
    read(cluster, client, recording, wanted).await;
}

fn is_control_plane(pod: &Value) -> bool {
    let (namespace, label, value) = CONTROL_PLANE;
    pod["metadata"]["namespace"] == namespace && pod["metadata"]["labels"][label] == value
}

fn is_infrastructure(pod: &Value) -> bool {
    let provider = pod["metadata"]["labels"][PROVIDER].as_str();
    provider.is_some_and(|provider| provider.starts_with("infrastructure-"))
}

fn is_unwell(pod: &Value) -> bool {
    let statuses = pod["status"]["containerStatuses"].as_array();
    let ready = statuses.is_some_and(|statuses| {
        !statuses.is_empty() && statuses.iter().all(|one| one["ready"] == true)
    });
    let done = pod["status"]["phase"] == "Succeeded";
    failures(pod) > 0 || !ready && !done
}

/// The logs that a pod has: of each container that has begun, and of the instance before.
fn logs(pod: &Value) -> Vec<LogOf> {
    let statuses = ["initContainerStatuses", "containerStatuses"]
        .iter()
        .filter_map(|list| pod["status"][*list].as_array())
        .flatten();
    let mut found = Vec::new();
    for status in statuses {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let of = |previous| LogOf {
            namespace: text(&pod["metadata"]["namespace"]),
            pod: text(&pod["metadata"]["name"]),
            container: text(&status["name"]),
            previous,
        };
        if status["restartCount"]
            .as_i64()
            .is_some_and(|count| count > 0)
        {
            found.push(of(true));
        }
        if !status["state"]["waiting"].is_object() {
            found.push(of(false));
        }
    }
    found
}

async fn read(cluster: &str, client: &Client, recording: &Recording, wanted: Vec<LogOf>) {
    let reads = wanted.into_iter().map(|of| async move {
        let text = printed(client, &of).await;
        (of, text)
    });
    let mut reads = stream::iter(reads).buffered(READS);
    while let Some((of, text)) = reads.next().await {
        // A container that is gone meanwhile has no log.
        let Ok(text) = text else { continue };
        let lines: Vec<LogLine> = text.lines().filter_map(line).collect();
        recording.log(cluster, &of, lines);
    }
}

async fn printed(client: &Client, of: &LogOf) -> anyhow::Result<String> {
    let LogOf {
        namespace,
        pod,
        container,
        previous,
    } = of;
    let path = format!(
        "/api/v1/namespaces/{namespace}/pods/{pod}/log?container={container}&timestamps=true&tailLines={LINES}&previous={previous}"
    );
    Ok(client
        .request_text(Request::get(path).body(Vec::new())?)
        .await?)
}

/// A time and what was printed.
fn line(text: &str) -> Option<LogLine> {
    let (time, line) = text.split_once(' ')?;
    Some((time.to_owned(), line.to_owned()))
}
